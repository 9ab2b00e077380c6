// A quantile of numbers that only become more, by linear interpolation as numpy's percentile has it. add() is O(log n), value() O(1).
#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

namespace daybreak::tune {

class Quantile {
 public:
  explicit Quantile(double fraction) : fraction_(fraction) {}

  // NaN does not count.
  void add(double value) {
    if (std::isnan(value)) return;
    // The lower heap holds the ranks 0 to floor(h), the upper one the rest; with one more number floor(h) stays or grows by one.
    if (!low_.empty() && value < low_.top()) {
      low_.push(value);
      move_up();
    } else {
      high_.push(value);
    }
    const auto rank = static_cast<std::size_t>(place());
    while (low_.size() < rank + 1) {
      low_.push(high_.top());
      high_.pop();
    }
  }

  std::size_t count() const { return low_.size() + high_.size(); }
  std::optional<double> value() const {
    if (low_.empty()) return std::nullopt;
    const double below = low_.top();
    const double part = place() - std::floor(place());
    if (part == 0 || high_.empty()) return below;
    const double gap = high_.top() - below;
    return part >= 0.5 ? high_.top() - gap * (1 - part) : below + gap * part;
  }

 private:
  double place() const { return static_cast<double>(count() - 1) * fraction_; }
  void move_up() {
    high_.push(low_.top());
    low_.pop();
  }

  double fraction_;
  std::priority_queue<double> low_;
  std::priority_queue<double, std::vector<double>, std::greater<>> high_;
};

}  // namespace daybreak::tune
