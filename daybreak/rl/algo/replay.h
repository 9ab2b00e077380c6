// The replay buffer of DQN: a ring of transitions, drawn evenly or by priority.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/random.h"

namespace daybreak::rl {

// Sums over a complete binary tree (Schaul et al. 2016): set one weight or find the leaf under a prefix sum, O(log n).
class SumTree {
 public:
  explicit SumTree(std::int64_t leaves);
  void set(std::int64_t leaf, double weight);  // weight >= 0
  double get(std::int64_t leaf) const { return nodes_[static_cast<std::size_t>(first_ + leaf)]; }
  double total() const { return nodes_[1]; }
  // The leaf whose share of [0, total()) holds `prefix`; never one of weight 0 while total() > 0.
  std::int64_t find(double prefix) const;
  std::span<double> leaves() { return std::span(nodes_).subspan(static_cast<std::size_t>(first_)); }
  void rebuild();  // after writing leaves()

 private:
  std::int64_t first_ = 1;  // index of leaf 0
  std::vector<double> nodes_;
};

// `capacity` transitions (s, a, R, discount, s'): R is the sum of up to n discounted rewards, discount is gamma^n, or 0
// where the episode terminated. Memory is taken as it fills. One thread.
class ReplayBuffer {
 public:
  ReplayBuffer(std::int64_t capacity, int observation_size, bool prioritized, double alpha);

  std::int64_t size() const { return size_; }
  void add(const float* observation, std::int32_t action, float reward, float discount, const float* next_observation);

  // Draws `rows.size()` transitions with replacement. weights: importance weights over the largest of the draw, 1 when
  // even.
  void draw(base::Xoshiro256& random, double beta, std::span<std::int64_t> rows, std::span<float> weights) const;
  // New priorities |temporal difference error| of drawn rows; ignored when even.
  void set_errors(std::span<const std::int64_t> rows, std::span<const float> errors);

  const float* observation(std::int64_t row) const { return observations_.data() + row * observation_size_; }
  const float* next_observation(std::int64_t row) const { return next_observations_.data() + row * observation_size_; }
  std::int32_t action(std::int64_t row) const { return actions_[static_cast<std::size_t>(row)]; }
  float reward(std::int64_t row) const { return rewards_[static_cast<std::size_t>(row)]; }
  float discount(std::int64_t row) const { return discounts_[static_cast<std::size_t>(row)]; }

  std::string save_state() const;
  bool load_state(std::string_view bytes);

 private:
  std::int64_t capacity_;
  std::int64_t size_ = 0;
  std::int64_t next_ = 0;
  int observation_size_;
  bool prioritized_;
  double alpha_;
  double largest_ = 1;  // priority of a transition not drawn yet
  std::vector<float> observations_, next_observations_, rewards_, discounts_;
  std::vector<std::int32_t> actions_;
  SumTree tree_;
};

}  // namespace daybreak::rl
