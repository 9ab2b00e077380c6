// CRC-32C (Castagnoli, RFC 3720): the checksum of logs. By the processor's instruction where it has SSE 4.2 (4 GB/s and
// more in one stream), else by a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace daybreak::base {

// Of the bytes so far and these: crc32c(b, crc32c(a)) is that of a followed by b. It finds every error burst of up to
// 32 bits; it does not authenticate. Any thread.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);
inline std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0) {
  return crc32c(std::as_bytes(std::span(bytes)), before);
}

// The table's way, for tests and machines without the instruction.
std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace daybreak::base
