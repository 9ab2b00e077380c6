// Work in the background that fails: told once for each cause, tried again with pauses that double.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "daybreak/base/error.h"

namespace daybreak::track {

// One kind of work. One thread at a time; times are those of one clock that never goes back.
class Trouble {
 public:
  static constexpr std::int64_t kFirstPauseNs = 1'000'000'000;
  static constexpr std::int64_t kMaxPauseNs = 60'000'000'000;

  // Whether it is time to try.
  bool is_due(std::int64_t now_ns) const { return now_ns >= again_ns_; }
  // True when this is another cause than that of the last failure since it worked: then it is worth telling.
  bool failed(const base::Error& error, std::int64_t now_ns) {
    pause_ns_ = pause_ns_ == 0 ? kFirstPauseNs : std::min(2 * pause_ns_, kMaxPauseNs);
    again_ns_ = now_ns + pause_ns_;
    return std::exchange(cause_, error.code()) != error.code();
  }
  // True when it had failed before.
  bool worked() {
    const bool before = cause_.has_value();
    *this = Trouble();
    return before;
  }
  std::int64_t pause_ns() const { return pause_ns_; }

 private:
  std::optional<base::Code> cause_;
  std::int64_t pause_ns_ = 0;
  std::int64_t again_ns_ = INT64_MIN;
};

}  // namespace daybreak::track
