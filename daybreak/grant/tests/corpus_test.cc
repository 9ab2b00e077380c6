// The seeds of the fuzz targets are committed; this keeps them readable by today's decoders.
#include <gtest/gtest.h>

#include "daybreak/base/env.h"
#include "daybreak/grant/bundle.h"
#include "daybreak/grant/proof.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

std::string seed(const std::string& name) {
  const std::string file = __FILE__;
  return *base::Env::real().read_file(file.substr(0, file.rfind('/')) + "/corpus/" + name, 1 << 20);
}

TEST(Corpus, is_what_the_decoders_read) {
  EXPECT_TRUE(Attestation::decode(seed("attestation/one")));
  EXPECT_TRUE(EntityRecord::decode(seed("attestation/entity")));
  EXPECT_TRUE(Proof::decode(seed("proof/two_hops")));
  EXPECT_TRUE(Proof::decode(seed("proof/two_paths")));
  EXPECT_TRUE(Bundle::decode(seed("bundle/plain")));
}

}  // namespace
}  // namespace daybreak::grant
