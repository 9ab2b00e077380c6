// Whatever a granter sealed: its plaintext is read as the keys of these statements or refused, and what is read is
// written again to the same bytes.
#include "daybreak/grant/encryption/key_ring.h"
#include "daybreak/grant/tests/fuzzing.h"

using namespace daybreak::grant;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Statement> granted =
      *canonical({*Statement::make({"decrypt"}, "apps/x"), *Statement::make({"decrypt", "publish"}, "models/*")});
  const std::string_view plain = input_of(data, size);
  KeyRing ring;
  const auto range = read_keys(plain, granted, ring);
  if (!range) {
    must(range.error().code() == daybreak::base::Code::kDataLoss && !ring.epochs());
    return 0;
  }
  must(ring.epochs()->begin(range->last) <= kMaxTimeS);
  const auto again = encode_keys(ring, granted, *range);
  must(again.has_value() && again->view() == plain);
  must(ring.rivals("models/pong", range->first).has_value() && ring.rivals("apps/x", range->last).has_value());
  return 0;
}
