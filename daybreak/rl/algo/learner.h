// The on-policy learner: PPO (Schulman et al. 2017), A2C and REINFORCE over one batch of samples.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "daybreak/base/pool.h"
#include "daybreak/base/random.h"
#include "daybreak/rl/algo/batch.h"
#include "daybreak/rl/algo/checkpoint.h"
#include "daybreak/rl/algo/config.h"
#include "daybreak/rl/nn/model.h"

namespace daybreak::rl {

// Means over the samples of an iteration's gradient steps.
struct LearnStats {
  double policy_loss = 0;
  double value_loss = 0;
  double entropy = 0;
  double kl = 0;
  double clip_fraction = 0;
  double explained_variance = 0;
  double grad_norm = 0;
  double lr = 0;
  double clip = 0;
  double entropy_coef = 0;
  double kl_coef = 0;
  std::int64_t gradient_steps = 0;
  std::int64_t epochs = 0;
};

// Owns the parameters, Adam's moments and the generator of the minibatch order. One thread makes every call; update()
// works with `num_threads` threads, each on a shard of the minibatch, and gives the same bits for the same num_threads.
class OnPolicyLearner {
 public:
  OnPolicyLearner(const nn::Model& model, const OnPolicyConfig& config);
  ~OnPolicyLearner();
  OnPolicyLearner(const OnPolicyLearner&) = delete;
  OnPolicyLearner& operator=(const OnPolicyLearner&) = delete;

  const nn::Model& model() const { return model_; }
  std::span<float> params() { return params_; }
  std::span<const float> params() const { return params_; }
  // The three arrays as a checkpoint names them.
  std::array<NamedFloats, 3> arrays() { return arrays_of<NamedFloats>(*this); }
  std::array<NamedConstFloats, 3> arrays() const { return arrays_of<NamedConstFloats>(*this); }

  // What a checkpoint needs beside the three arrays above.
  struct State {
    std::int64_t adam_steps = 0;
    double kl_coef = 0;
    base::Xoshiro256 random;
  };
  State state() const { return {adam_steps_, kl_coef_, random_}; }
  void set_state(const State& state);
  // Takes lr, clip and entropy_coef of `config`.
  void set_schedules(const OnPolicyConfig& config) {
    config_.lr = config.lr;
    config_.clip = config.clip;
    config_.entropy_coef = config.entropy_coef;
  }

  // Learns from the usable rows of the batch with the schedules' values at `timestep`. No allocation once warm.
  // kInvalidArgument, which names the gradient step and the term, where a loss or the gradient is not finite: that step
  // and what would follow are not made, and the weights are those before it, all finite.
  base::Result<LearnStats> update(const SampleBatch& batch, std::int64_t timestep);

  // The gradient of the loss over rows[0..count) as one minibatch, without a step: for tests. `gradients` has
  // model().size().
  void gradient_of(const SampleBatch& batch, std::span<const std::int32_t> rows, std::int64_t timestep,
                   std::span<float> gradients, nn::PolicySums* sums, double* value_loss_sum);

 private:
  template <typename Floats, typename Self>
  static std::array<Floats, 3> arrays_of(Self& self) {
    return {{{"train.params", self.params_}, {"train.adam_m", self.adam_m_}, {"train.adam_v", self.adam_v_}}};
  }
  struct Shard;
  struct Minibatch {
    const SampleBatch* batch = nullptr;
    std::span<const std::int32_t> rows;
    nn::PolicyLoss loss;
    float value_clip = 0;
    float value_scale = 0;
    float advantage_mean = 0;
    float advantage_scale = 1;
  };
  void begin(const SampleBatch& batch, std::int64_t timestep);
  void prepare(Minibatch& minibatch, std::span<const std::int32_t> rows) const;
  void shard_gradient(Shard& shard, const Minibatch& minibatch, int member);
  void block_gradient(Shard& shard, const Minibatch& minibatch, std::int64_t first, int count);
  void work(int member, std::int64_t epochs, std::int64_t minibatch_size);
  bool apply_step(int member);
  void adam_step(std::size_t begin, std::size_t end, const float* total, double scale);
  base::Status fault() const;
  double explained_variance(const SampleBatch& batch) const;

  const nn::Model model_;
  OnPolicyConfig config_;
  const nn::Kernels& kernels_;
  base::Pool team_;
  std::vector<float> params_, adam_m_, adam_v_;
  std::int64_t adam_steps_ = 0;
  double kl_coef_ = 0;
  base::Xoshiro256 random_;

  const int block_;  // samples of one pass through the net
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::int32_t> order_;
  Minibatch shape_;  // what all minibatches of the update share
  LearnStats stats_;
  bool stop_ = false;
  double norm_ = 0;  // of the last step's gradient
  std::int64_t timestep_ = 0;
};

}  // namespace daybreak::rl
