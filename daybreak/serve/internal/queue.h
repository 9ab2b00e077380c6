// The order in which a version's requests wait.
#pragma once

#include <limits>

#include "daybreak/serve/model.h"

namespace daybreak::serve {

inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

// The earliest deadline comes out first.
struct Later {
  bool operator()(const ItemRef& a, const ItemRef& b) const { return a.call->deadline_ns > b.call->deadline_ns; }
};

}  // namespace daybreak::serve
