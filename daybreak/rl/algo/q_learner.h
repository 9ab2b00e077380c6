// The learner of deep Q learning (Mnih et al. 2015) with double targets (van Hasselt et al. 2016) and dueling heads
// (Wang et al. 2016).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/rl/algo/checkpoint.h"
#include "daybreak/rl/algo/config.h"
#include "daybreak/rl/algo/replay.h"
#include "daybreak/rl/nn/mlp.h"

namespace daybreak::rl {

// The net, its target and Adam. Outputs: one value an action, or with dueling heads one advantage an action and the
// state's value: Q = V + A - mean A. One thread.
class QLearner {
 public:
  QLearner(int observation_size, int actions, const DqnConfig& config);

  struct Transitions {
    std::span<const std::int64_t> rows;
    std::span<const float> weights;
  };
  // One gradient step on the Huber loss of drawn transitions; `errors` gets their temporal difference errors. Returns
  // the loss. kInvalidArgument where the loss or its gradient is not finite: nothing is changed then.
  base::Result<double> learn(const ReplayBuffer& replay, const Transitions& drawn, double lr, std::span<float> errors);
  // The same loss and its gradient, without a step.
  double gradient(const ReplayBuffer& replay, const Transitions& drawn, std::span<float> errors);
  std::span<const float> gradients() const { return gradients_; }
  // target += tau (net - target)
  void update_target(double tau);

  const nn::Mlp& net() const { return net_; }
  std::span<float> params() { return params_; }
  std::span<const float> params() const { return params_; }
  std::span<float> target() { return target_; }
  // The four arrays as a checkpoint names them.
  std::array<NamedFloats, 4> arrays() { return arrays_of<NamedFloats>(*this); }
  std::array<NamedConstFloats, 4> arrays() const { return arrays_of<NamedConstFloats>(*this); }
  std::int64_t adam_steps = 0;
  double grad_norm = 0;  // of the last step
  double mean_q = 0;     // mean of Q(s, a) over the last step's transitions

 private:
  void load_block(const ReplayBuffer& replay, std::span<const std::int64_t> rows, bool next, float* x) const;
  void block(const ReplayBuffer& replay, const Transitions& drawn, std::size_t first, int count,
             std::span<float> errors);
  template <typename Floats, typename Self>
  static std::array<Floats, 4> arrays_of(Self& self) {
    return {{{"train.params", self.params_},
             {"train.target", self.target_},
             {"train.adam_m", self.adam_m_},
             {"train.adam_v", self.adam_v_}}};
  }
  float q(const float* out, std::ptrdiff_t ld, int action, int sample) const;

  const DqnConfig config_;
  const nn::Kernels& kernels_;
  int observation_size_, actions_;
  nn::Mlp net_;
  std::vector<float> params_, target_, adam_m_, adam_v_, gradients_;
  nn::MlpWorkspace workspace_, target_workspace_;
  std::vector<float> x_;
  std::ptrdiff_t ldx_ = 0;
  int block_ = 0;  // samples of one pass through the net
  std::vector<float> targets_;
  double loss_ = 0;
};

}  // namespace daybreak::rl
