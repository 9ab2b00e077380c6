// So many a second, and twice as many at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "daybreak/base/env.h"

namespace daybreak::net {

class Bucket {
 public:
  // 0: no limit. The clock outlives it.
  Bucket(double per_second, base::Env& env) : env_(env), rate_(per_second), left_(2 * per_second) {}
  bool take() {
    if (rate_ <= 0) return true;
    const std::int64_t now_ns = env_.monotonic_ns();
    left_ = std::min(2 * rate_, left_ + rate_ * 1e-9 * static_cast<double>(now_ns - last_ns_));
    last_ns_ = now_ns;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  base::Env& env_;
  double rate_;
  double left_;
  std::int64_t last_ns_ = env_.monotonic_ns();
};

}  // namespace daybreak::net
