#include "daybreak/base/bytes.h"

namespace daybreak::base {

ByteWriter& ByteWriter::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) u8(static_cast<std::uint8_t>(value | 0x80));
  return u8(static_cast<std::uint8_t>(value));
}

void ByteReader::fail(std::string problem) {
  if (ok()) problem_ = fmt::format("{} is malformed at byte {}: {}", what_, offset_, problem);
}

std::string_view ByteReader::raw(std::size_t size) {
  if (!ok()) return {};
  if (size > left()) {
    fail("it ends too early");
    return {};
  }
  offset_ += size;
  return bytes_.substr(offset_ - size, size);
}

std::uint64_t ByteReader::varint(std::uint64_t min, std::uint64_t max, const char* field) {
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
  return checked(value, min, max, field);
}

std::uint64_t ByteReader::checked(std::uint64_t value, std::uint64_t min, std::uint64_t max, const char* field) {
  if (!ok()) return 0;
  if (value >= min && value <= max) return value;
  fail(fmt::format("{} is {}, allowed are {} to {}", field, value, min, max));
  return 0;
}

Status ByteReader::status() const {
  if (!ok()) return base::fail(Code::kDataLoss, "{}", problem_);
  return {};
}

Status ByteReader::finish() {
  if (left() != 0) fail(fmt::format("{} bytes are left over", left()));
  return status();
}

}  // namespace daybreak::base
