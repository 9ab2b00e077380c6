// The seeds of the fuzz targets are committed; this keeps them readable by today's decoders.
#include <gtest/gtest.h>

#include "daybreak/base/env.h"
#include "daybreak/grant/bundle.h"
#include "daybreak/grant/encryption/ciphertext.h"
#include "daybreak/grant/encryption/key_ring.h"
#include "daybreak/grant/proof.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

// From the root of the repository, where ./dev test runs, or from the build folder.
std::string seed(const std::string& name) {
  for (const std::string root : {"", "../../", "../../../../"}) {
    if (auto bytes = base::Env::real().read_file(root + "daybreak/grant/tests/corpus/" + name, 1 << 20)) return *bytes;
  }
  ADD_FAILURE() << "no seed " << name << ": run this from the root of the repository";
  return {};
}

TEST(Corpus, is_what_the_decoders_read) {
  EXPECT_TRUE(Attestation::decode(seed("attestation/one")));
  EXPECT_TRUE(EntityRecord::decode(seed("attestation/entity")));
  EXPECT_TRUE(Proof::decode(seed("proof/two_hops")));
  EXPECT_TRUE(Proof::decode(seed("proof/two_paths")));
  EXPECT_TRUE(Bundle::decode(seed("bundle/plain")));
  for (const char* name : {"manifest/golden", "manifest/three_resources"}) EXPECT_TRUE(Manifest::decode(seed(name)));
  for (const char* name : {"ciphertext/golden", "ciphertext/with_a_proof"}) {
    const std::string bytes = seed(name);  // which the ciphertext borrows
    EXPECT_TRUE(Ciphertext::decode(bytes));
  }
  const auto granted =
      *canonical({*Statement::make({"decrypt"}, "apps/x"), *Statement::make({"decrypt", "publish"}, "models/*")});
  const auto reads = [&](const char* name) {
    KeyRing ring;
    const auto range = read_keys(seed(fmt::format("key_bundle/{}", name)), granted, ring);
    EXPECT_TRUE(range || range.error().code() == base::Code::kDataLoss);
    return range.has_value();
  };
  for (const char* name : {"a_day", "three_epochs_of_a_minute", "the_last_epoch"}) EXPECT_TRUE(reads(name)) << name;
  for (const char* name : {"epochs_of_0_s", "epochs_of_30_s", "one_epoch_too_late", "other_resource"})
    EXPECT_FALSE(reads(name)) << name;
}

}  // namespace
}  // namespace daybreak::grant
