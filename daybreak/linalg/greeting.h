// What is in this file, who owns what it holds, and which thread may call it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::linalg {

inline constexpr std::size_t kMaxNameBytes = 100;

// "hello, " and the name. kInvalidArgument unless the name has 1 to kMaxNameBytes bytes. Any thread.
base::Result<std::string> greeting(std::string_view name);

}  // namespace daybreak::linalg
