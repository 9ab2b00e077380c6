// What every decoder of the room owes: whatever bytes come, it answers; what it accepts encodes to the very same bytes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::grant {

inline std::string_view input_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline void must(bool condition) {
  if (!condition) std::abort();
}

}  // namespace daybreak::grant
