#include "daybreak/grant/encoding.h"

namespace daybreak::grant {

Hash hash_of(std::string_view tag, std::initializer_list<std::string_view> parts) {
  thread_local crypto::Sha256 sha;
  sha.update(tag);
  for (const std::string_view part : parts) sha.update(part);
  return sha.finish();
}

void write_optional_hash(Writer& out, const Hash& hash) {
  if (is_zero(hash)) {
    out.u8(0);
  } else {
    out.u8(1).raw(hash);
  }
}

Hash read_optional_hash(Reader& in, const char* field) {
  const std::uint8_t there = in.u8();
  if (there > 1) in.fail(fmt::format("{} is marked {}, which is neither there (1) nor absent (0)", field, there));
  if (there != 1) return {};
  const Hash hash = in.array<32>();
  if (in.ok() && is_zero(hash)) in.fail(fmt::format("{} is marked as there and is zero", field));
  return hash;
}

void read_version(Reader& in, std::uint8_t known) {
  const std::uint8_t version = in.u8();
  if (in.ok() && version != known) in.fail(fmt::format("its version is {}, known is {}", version, known));
}

}  // namespace daybreak::grant
