#include "daybreak/rl/algo/replay.h"

#include <algorithm>
#include <cmath>

#include "daybreak/base/bytes.h"

namespace daybreak::rl {

SumTree::SumTree(std::int64_t leaves) {
  while (first_ < leaves) first_ *= 2;
  nodes_.resize(static_cast<std::size_t>(2 * first_));
}

void SumTree::set(std::int64_t leaf, double weight) {
  std::int64_t node = first_ + leaf;
  nodes_[static_cast<std::size_t>(node)] = weight;
  for (node /= 2; node >= 1; node /= 2) {
    nodes_[static_cast<std::size_t>(node)] =
        nodes_[static_cast<std::size_t>(2 * node)] + nodes_[static_cast<std::size_t>(2 * node + 1)];
  }
}

void SumTree::rebuild() {
  for (std::int64_t node = first_ - 1; node >= 1; --node) {
    nodes_[static_cast<std::size_t>(node)] =
        nodes_[static_cast<std::size_t>(2 * node)] + nodes_[static_cast<std::size_t>(2 * node + 1)];
  }
}

std::int64_t SumTree::find(double prefix) const {
  std::int64_t node = 1;
  while (node < first_) {
    const double left = nodes_[static_cast<std::size_t>(2 * node)];
    const double right = nodes_[static_cast<std::size_t>(2 * node + 1)];
    // Rounding may leave a prefix just past the end: an empty side is never entered.
    if (prefix < left || right == 0) {
      node = 2 * node;
    } else {
      prefix -= left;
      node = 2 * node + 1;
    }
  }
  return node - first_;
}

ReplayBuffer::ReplayBuffer(std::int64_t capacity, int observation_size, bool prioritized, double alpha)
    : capacity_(capacity),
      observation_size_(observation_size),
      prioritized_(prioritized),
      alpha_(alpha),
      tree_(prioritized ? capacity : 1) {}

void ReplayBuffer::add(const float* observation, std::int32_t action, float reward, float discount,
                       const float* next_observation) {
  if (size_ < capacity_ && next_ == size_) {
    ++size_;
    observations_.insert(observations_.end(), observation, observation + observation_size_);
    next_observations_.insert(next_observations_.end(), next_observation, next_observation + observation_size_);
    actions_.push_back(action);
    rewards_.push_back(reward);
    discounts_.push_back(discount);
  } else {
    const auto i = static_cast<std::size_t>(next_);
    std::copy_n(observation, observation_size_, observations_.data() + next_ * observation_size_);
    std::copy_n(next_observation, observation_size_, next_observations_.data() + next_ * observation_size_);
    actions_[i] = action;
    rewards_[i] = reward;
    discounts_[i] = discount;
  }
  if (prioritized_) tree_.set(next_, largest_);
  next_ = (next_ + 1) % capacity_;
}

void ReplayBuffer::draw(base::Xoshiro256& random, double beta, std::span<std::int64_t> rows,
                        std::span<float> weights) const {
  if (!prioritized_) {
    for (std::int64_t& row : rows) row = random.below(static_cast<std::uint32_t>(size_));
    std::fill(weights.begin(), weights.end(), 1.0F);
    return;
  }
  // One draw from each of rows.size() equal parts of the total, as in the paper.
  const double part = tree_.total() / static_cast<double>(rows.size());
  double largest = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = tree_.find((static_cast<double>(i) + random.uniform_double()) * part);
    const double chance = tree_.get(rows[i]) / tree_.total();
    const double weight = std::pow(static_cast<double>(size_) * chance, -beta);
    weights[i] = static_cast<float>(weight);
    largest = std::max(largest, weight);
  }
  for (float& weight : weights) weight = static_cast<float>(static_cast<double>(weight) / largest);
}

void ReplayBuffer::set_errors(std::span<const std::int64_t> rows, std::span<const float> errors) {
  if (!prioritized_) return;
  constexpr double kSmallest = 1e-6;  // so that no transition is lost for good
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double priority = std::pow(std::fabs(static_cast<double>(errors[i])) + kSmallest, alpha_);
    largest_ = std::max(largest_, priority);
    tree_.set(rows[i], priority);
  }
}

std::string ReplayBuffer::save_state() const {
  base::ByteWriter out;
  out.fixed<std::uint64_t>(static_cast<std::uint64_t>(size_));
  out.fixed<std::uint64_t>(static_cast<std::uint64_t>(next_));
  out.fixed<double>(largest_);
  out.array(std::span(observations_));
  out.array(std::span(next_observations_));
  out.array(std::span(rewards_));
  out.array(std::span(discounts_));
  out.array(std::span(actions_));
  std::vector<double> priorities;
  for (std::int64_t i = 0; prioritized_ && i < size_; ++i) priorities.push_back(tree_.get(i));
  out.array(std::span(priorities));
  return out.take();
}

bool ReplayBuffer::load_state(std::string_view bytes) {
  base::ByteReader in(bytes, "the replay buffer");
  const std::uint64_t size = in.fixed<std::uint64_t>();
  const std::uint64_t next = in.fixed<std::uint64_t>();
  if (size > static_cast<std::uint64_t>(capacity_) || next >= static_cast<std::uint64_t>(capacity_) ||
      size * sizeof(float) > bytes.size())
    return false;
  ReplayBuffer loaded(capacity_, observation_size_, prioritized_, alpha_);
  loaded.size_ = static_cast<std::int64_t>(size);
  loaded.next_ = static_cast<std::int64_t>(next);
  loaded.largest_ = in.fixed<double>();
  const std::size_t numbers = size * static_cast<std::size_t>(observation_size_);
  if (numbers * sizeof(float) > bytes.size()) return false;
  loaded.observations_.resize(numbers);
  loaded.next_observations_.resize(numbers);
  loaded.rewards_.resize(size);
  loaded.discounts_.resize(size);
  loaded.actions_.resize(size);
  std::vector<double> priorities(prioritized_ ? size : 0);
  in.array(std::span(loaded.observations_), "observations");
  in.array(std::span(loaded.next_observations_), "next observations");
  in.array(std::span(loaded.rewards_), "rewards");
  in.array(std::span(loaded.discounts_), "discounts");
  in.array(std::span(loaded.actions_), "actions");
  in.array(std::span(priorities), "priorities");
  if (!in.finish()) return false;
  std::copy(priorities.begin(), priorities.end(), loaded.tree_.leaves().begin());
  loaded.tree_.rebuild();
  *this = std::move(loaded);
  return true;
}

}  // namespace daybreak::rl
