#include "daybreak/linalg/greeting.h"

#include <fmt/format.h>

namespace daybreak::linalg {

base::Result<std::string> greeting(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    return base::fail(base::Code::kInvalidArgument, "a name of {} bytes: 1 to {} expected", name.size(), kMaxNameBytes);
  }
  return fmt::format("hello, {}", name);
}

}  // namespace daybreak::linalg
