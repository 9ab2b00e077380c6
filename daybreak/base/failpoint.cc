#include "daybreak/base/failpoint.h"

#include <csignal>
#include <cstring>

namespace daybreak::base::failpoint {

static const char* prefix_ = "";
static std::atomic<std::uint64_t> countdown_{0};

void arm(const char* prefix, std::uint64_t countdown) {
  prefix_ = prefix;
  countdown_ = countdown;
  armed = countdown != 0;
}

void hit(const char* name) {
  if (std::strncmp(name, prefix_, std::strlen(prefix_)) != 0) return;
  if (countdown_.fetch_sub(1) == 1) raise(SIGKILL);
}

}  // namespace daybreak::base::failpoint
