// A trained policy on its own: what a trainer saves, what serving loads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/random.h"
#include "daybreak/rl/bounds.h"
#include "daybreak/rl/envs/vec_env.h"
#include "daybreak/rl/nn/filter.h"
#include "daybreak/rl/nn/model.h"
#include "daybreak/tensor/container.h"

namespace daybreak::rl {

// How the actor's outputs become an action.
enum class Distribution : std::uint8_t {
  kCategorical,  // logits; the greedy action is the largest
  kGaussian,     // means; standard deviations are parameters; [-1, 1] is mapped to finite bounds
  kQ,            // action values (with dueling heads: advantages); always greedy
  kSde,          // as kGaussian, with standard deviations that depend on the last hidden layer (nn/sde.h)
};

struct PolicyInfo {
  std::string algo;
  std::string env;
  Space observation_space;
  Space action_space;
  Distribution distribution = Distribution::kCategorical;
  std::vector<int> hidden;
  nn::Act act = nn::Act::kTanh;
};

// Immutable once made, so every const member may be called from any thread at once. act() of a 64-64 net takes some
// hundred nanoseconds and allocates nothing after a thread's first call.
class Policy {
 public:
  // `params`: flat, laid out as Mlp(observations, hidden, outputs, act, 0), `log_std`: `actions` for kGaussian,
  // [features][actions] for kSde. Outputs beyond the actions (a shared critic, a dueling value head) are dropped.
  Policy(PolicyInfo info, nn::Filter filter, const nn::Mlp& actor, std::span<const float> params,
         std::span<const float> log_std);

  // Reads a policy file or a trainer's checkpoint (which is one too). kDataLoss: damaged; kInvalidArgument: something
  // else.
  static base::Result<std::shared_ptr<const Policy>> from_bytes(std::string bytes);
  std::string to_bytes() const;
  // The tensors and metadata of the file, for a checkpoint that is also a policy. They point into this object.
  std::vector<tensor::TensorRef> tensors() const;
  tensor::Metadata metadata() const;

  const PolicyInfo& info() const { return info_; }
  std::int64_t observation_size() const { return observation_size_; }
  bool discrete() const { return info_.action_space.kind == Space::Kind::kDiscrete; }
  // 1 for Discrete, else the components of the action.
  std::int64_t action_size() const { return discrete() ? 1 : actions_; }
  // Whether [-1, 1] of a Box action is mapped to its bounds: all of them are finite. Else it is clipped to those it
  // has.
  bool bounded() const { return bounds_.scaled; }
  const ActionBounds& bounds() const { return bounds_; }
  const nn::Filter& filter() const { return filter_; }
  const nn::Mlp& actor() const { return actor_; }
  const std::vector<float>& params() const { return params_; }

  // One observation to one greedy action, from the space's start on where it is Discrete. kInvalidArgument when a size
  // is not the space's. `random`: when not null, the action is drawn from the distribution instead.
  base::Status act(std::span<const float> observation, std::int32_t* action, base::Xoshiro256* random = nullptr) const;
  base::Status act(std::span<const float> observation, std::span<float> action,
                   base::Xoshiro256* random = nullptr) const;
  // `count` observations, row-major; out: int32 [count] or float [count * action_size()].
  void act_batch(const float* observations, std::int64_t count, void* out, base::Xoshiro256* random = nullptr) const;
  // The actor's raw outputs (logits, means or action values) of one observation; out: actions floats.
  void outputs(const float* observation, float* out) const;

 private:
  // The outputs for one observation, and what its output layer was given. Of this thread, until its next run().
  struct Run {
    const float* outputs;
    const float* features;
  };
  Run run(const float* observation) const;
  std::int32_t choose(const float* logits, std::ptrdiff_t stride, base::Xoshiro256* random) const;
  // Outputs and features `stride` apart.
  void finish_box(const Run& run, std::ptrdiff_t stride, float* out, base::Xoshiro256* random) const;
  int features() const { return info_.hidden.empty() ? observation_size_ : info_.hidden.back(); }

  PolicyInfo info_;
  nn::Filter filter_;
  const nn::Kernels* kernels_;
  int observation_size_;
  int actions_;
  int scratch_size_ = 0;
  nn::Mlp actor_;
  std::vector<float> params_;  // laid out by actor_
  std::vector<float> log_std_;
  std::vector<float> dense_;       // the same weights without padding, as the file holds them
  std::vector<float> transposed_;  // w[in][out padded] and bias of every layer, for one sample at a time
  struct Wide {
    int in, out;
    std::ptrdiff_t ldo;
    std::size_t weights, bias;
    nn::Act act;
  };
  std::vector<Wide> wide_;
  ActionBounds bounds_;
};

// A float32 tensor of exactly this shape; kInvalidArgument where the file has none (it is then not the file that was
// meant).
base::Result<const tensor::TensorRef*> expect_floats(const tensor::Container& file, const std::string& name,
                                                     const std::vector<std::int64_t>& shape);

}  // namespace daybreak::rl
