// How long a batch takes, learnt from those before it, and how large the next one may be.
#pragma once

#include <cstdint>

namespace daybreak::serve {

// time(size) = fixed + each * size, by least squares over recent batches (older ones fade), and how far batches lie
// above that. Before anything is known batches may double in size from kFirstLimit on: the largest that has been tried,
// times two, is the limit. One thread at a time; nothing allocates.
class BatchTimes {
 public:
  static constexpr std::uint32_t kFirstLimit = 4;

  void observe(std::uint32_t size, std::int64_t took_ns);

  // What a batch of this size will probably take, and what it should not exceed. 0 when nothing is known.
  double expected_ns(std::uint32_t size) const;
  double bound_ns(std::uint32_t size) const { return expected_ns(size) + 3 * deviation_ns_; }
  // The largest size whose bound lies within `budget_ns`; at least 1, at most `limit` and what exploring allows.
  std::uint32_t largest_within(double budget_ns, std::uint32_t limit) const;
  bool known() const { return weight_ > 0; }
  std::uint32_t explored() const { return explored_; }

 private:
  void fit();

  // weighted sums
  double weight_ = 0, size_ = 0, time_ = 0, size_size_ = 0, size_time_ = 0;
  double fixed_ns_ = 0, each_ns_ = 0;
  double deviation_ns_ = 0;
  std::uint32_t explored_ = 0;
};

}  // namespace daybreak::serve
