// So many a second, and twice as many at once.
#pragma once

#include <algorithm>
#include <chrono>

namespace daybreak::net {

class Bucket {
 public:
  // 0: no limit.
  explicit Bucket(double per_second) : rate_(per_second), left_(2 * per_second) {}
  bool take() {
    if (rate_ <= 0) return true;
    const auto now = std::chrono::steady_clock::now();
    left_ = std::min(2 * rate_, left_ + rate_ * std::chrono::duration<double>(now - last_).count());
    last_ = now;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  double rate_;
  double left_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace daybreak::net
