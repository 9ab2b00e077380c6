#include "daybreak/track/run_id.h"

#include <algorithm>
#include <span>

#include "daybreak/base/mutex.h"
#include "daybreak/crypto/hash.h"

namespace daybreak::track {

RunId RunId::make(base::Env& env) {
  static base::Mutex mutex;
  static std::uint64_t last = 0;  // milliseconds << 12 | counter: the 60 leading bits that order ids
  RunId id;
  env.fill_random(std::as_writable_bytes(std::span(id.bytes)));
  std::uint64_t order =
      static_cast<std::uint64_t>(env.unix_ns() / 1'000'000) << 12 | (id.bytes[6] & 7) << 8 | id.bytes[7];
  {
    base::MutexLock lock(mutex);
    order = last = std::max(order, last + 1);  // a counter that overflows borrows from the milliseconds
  }
  const std::uint64_t ms = order >> 12;
  for (int i = 0; i < 6; ++i) id.bytes[i] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
  id.bytes[6] = static_cast<std::uint8_t>(0x70 | (order >> 8 & 15));
  id.bytes[7] = static_cast<std::uint8_t>(order);
  id.bytes[8] = static_cast<std::uint8_t>(0x80 | (id.bytes[8] & 0x3f));
  return id;
}

std::optional<RunId> RunId::parse(std::string_view text) {
  RunId id;
  std::string digits;
  if (text.size() != 36) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return std::nullopt;
    if (!dash) digits += text[i];
  }
  if (!crypto::from_hex(digits, id.bytes)) return std::nullopt;
  if (id.bytes[6] >> 4 != 7 || id.bytes[8] >> 6 != 2) return std::nullopt;
  return id;
}

std::string RunId::to_string() const {
  std::string text = crypto::to_hex(bytes);
  for (const std::size_t at : {8, 13, 18, 23}) text.insert(at, 1, '-');
  return text;
}

}  // namespace daybreak::track
