// The name of a run: 128 bits, ordered by time of birth.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daybreak/base/env.h"

namespace daybreak::track {

// UUID version 7 (RFC 9562): 48 bits of milliseconds since 1970, then 74 random bits. Ids made in one process are
// strictly ascending, also when the clock goes back; nobody has to be asked for one, so any number of processes and
// machines may make them.
struct RunId {
  std::array<std::uint8_t, 16> bytes{};

  // Any thread.
  static RunId make(base::Env& env = base::Env::real());
  // "01934a1c-9f7b-7c3e-8a5d-0123456789ab"; nothing when the text is anything else.
  static std::optional<RunId> parse(std::string_view text);
  std::string to_string() const;

  bool operator==(const RunId&) const = default;
  auto operator<=>(const RunId&) const = default;
};

}  // namespace daybreak::track
