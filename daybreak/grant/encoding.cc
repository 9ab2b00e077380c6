#include "daybreak/grant/encoding.h"

namespace daybreak::grant {

Hash hash_of(std::string_view tag, std::initializer_list<std::string_view> parts) {
  thread_local crypto::Sha256 sha;
  sha.update(tag);
  for (const std::string_view part : parts) sha.update(part);
  return sha.finish();
}

Writer& Writer::u8(std::uint8_t value) {
  bytes_.push_back(static_cast<char>(value));
  return *this;
}

Writer& Writer::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) u8(static_cast<std::uint8_t>(value | 0x80));
  return u8(static_cast<std::uint8_t>(value));
}

Writer& Writer::raw(std::string_view bytes) {
  bytes_.append(bytes);
  return *this;
}

Writer& Writer::optional_hash(const Hash& hash) {
  return is_zero(hash) ? u8(0) : u8(1).raw(hash);
}

void Reader::fail(std::string problem) {
  if (ok()) problem_ = fmt::format("{} is malformed at byte {}: {}", what_, offset_, problem);
}

std::string_view Reader::raw(std::size_t size) {
  if (!ok()) return {};
  if (size > left()) {
    fail("it ends too early");
    return {};
  }
  offset_ += size;
  return bytes_.substr(offset_ - size, size);
}

std::uint8_t Reader::u8() {
  const std::string_view byte = raw(1);
  return byte.empty() ? 0 : static_cast<std::uint8_t>(byte[0]);
}

std::uint64_t Reader::varint(std::uint64_t min, std::uint64_t max, const char* field) {
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const std::uint8_t byte = u8();
    if (!ok()) return 0;
    if (shift == 63 && byte > 1) {
      fail(fmt::format("{} has more than 64 bits", field));
      return 0;
    }
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte >= 0x80) continue;
    if (byte == 0 && shift > 0) {
      fail(fmt::format("{} is not in its shortest form", field));
      return 0;
    }
    break;
  }
  if (value < min || value > max) {
    fail(fmt::format("{} is {}, allowed are {} to {}", field, value, min, max));
    return 0;
  }
  return value;
}

std::string_view Reader::text(std::size_t min, std::size_t max, const char* field) {
  return raw(varint(min, max, field));
}

Hash Reader::optional_hash(const char* field) {
  const std::uint8_t there = u8();
  if (there > 1) fail(fmt::format("{} is marked {}, which is neither there (1) nor absent (0)", field, there));
  if (there != 1) return {};
  const Hash hash = array<32>();
  if (ok() && is_zero(hash)) fail(fmt::format("{} is marked as there and is zero", field));
  return hash;
}

void Reader::version(std::uint8_t known) {
  const std::uint8_t version = u8();
  if (ok() && version != known) fail(fmt::format("its version is {}, known is {}", version, known));
}

base::Status Reader::status() const {
  if (!ok()) return base::fail(base::Code::kDataLoss, "{}", problem_);
  return {};
}

base::Status Reader::finish() {
  if (left() != 0) fail(fmt::format("{} bytes are left over", left()));
  return status();
}

}  // namespace daybreak::grant
