// Whatever bytes come: a ciphertext is read or refused, what is read can be written again to the same bytes, and its
// proof and its body are looked at without harm.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daybreak/grant/encryption/ciphertext.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace daybreak;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto ciphertext = grant::Ciphertext::decode(bytes);
  if (!ciphertext) return 0;
  if (!bytes.starts_with(ciphertext->encode_header())) std::abort();
  if (!bytes.ends_with(ciphertext->body())) std::abort();
  static_cast<void>(grant::Proof::decode(ciphertext->author_proof()));
  static_cast<void>(ciphertext->check_signature(ciphertext->owner().verify_key));
  if (ciphertext->text_bytes() > bytes.size()) std::abort();
  crypto::SecretBytes text(ciphertext->text_bytes());
  static_cast<void>(ciphertext->open(crypto::Secret<32>(), text.writable()));
  return 0;
}
