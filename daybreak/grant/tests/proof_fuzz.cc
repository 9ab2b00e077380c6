#include "daybreak/grant/proof.h"
#include "daybreak/grant/tests/fuzzing.h"

using namespace daybreak::grant;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = input_of(data, size);
  const auto proof = Proof::decode(input);
  if (!proof) return 0;
  // Built again from its parts it is the same.
  std::vector<Attestation> attestations;
  for (std::size_t i = 0; i < proof->hops().size(); ++i) attestations.push_back(proof->attestation(i));
  std::vector<std::vector<std::size_t>> paths;
  for (const ProofPath& path : proof->paths()) paths.emplace_back(path.begin(), path.end());
  const auto again = Proof::make(proof->entities(), attestations, paths);
  must(again.has_value() && again->bytes() == input);
  // Its own namespace, a time in it: the whole of the verification runs, and nothing that nobody signed is allowed with
  // a key of ours.
  const RevokedSet revoked = {Hash{1}};
  std::ignore = authenticate(*proof, proof->root().id, proof->hops()[0].terms.validity.from_s, &revoked);
  std::ignore = check_policy(*proof, *Policy::make({*Pair::make("read", "a/b"), *Pair::make("write", "*")}));
  return 0;
}
