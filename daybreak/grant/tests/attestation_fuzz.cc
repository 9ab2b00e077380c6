#include "daybreak/grant/attestation.h"
#include "daybreak/grant/entity.h"
#include "daybreak/grant/tests/fuzzing.h"

using namespace daybreak::grant;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = input_of(data, size);
  if (const auto attestation = Attestation::decode(input)) {
    must(attestation->encode() == input);
    must(*Attestation::decode(input) == *attestation);
    std::size_t pairs = 0;
    for (const Statement& statement : attestation->terms.statements) {
      pairs += statement.permissions.size();
      must(statement.resource.contains(statement.resource));
    }
    must(pairs >= 1 && pairs <= kMaxPairs && attestation->terms.hops < kMaxHops);
  }
  if (const auto record = EntityRecord::decode(input)) must(record->encode() == input);
  return 0;
}
