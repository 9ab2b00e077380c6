// The networks of a policy: an actor and a critic, apart or with a shared trunk, and a log standard deviation for Box
// actions.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "daybreak/rl/nn/mlp.h"

namespace daybreak::rl::nn {

struct ModelSpec {
  int observation_size = 0;
  bool discrete = true;
  int actions = 0;  // categories, or components of a Box action
  std::vector<int> hidden = {64, 64};
  Act act = Act::kTanh;
  bool shared = false;  // one trunk; the critic is one more output row of the actor
  bool critic = true;   // false: no value estimate at all (REINFORCE)
  bool sde = false;     // Box: the noise is a linear function of the actor's last hidden layer

  bool operator==(const ModelSpec&) const = default;
};

// Where the parameters of a model lie in one flat float array. A value; immutable after construction.
class Model {
 public:
  Model() = default;
  explicit Model(ModelSpec spec);

  const ModelSpec& spec() const { return spec_; }
  const Mlp& actor() const { return actor_; }
  const Mlp& critic() const { return critic_; }  // only if separate_critic()
  bool separate_critic() const { return spec_.critic && !spec_.shared; }
  std::size_t log_std() const { return log_std_; }  // offset of log_std_size() floats, Box only
  // One an action; with sde [features][actions].
  std::size_t log_std_size() const {
    if (spec_.discrete) return 0;
    return static_cast<std::size_t>(spec_.actions) * static_cast<std::size_t>(spec_.sde ? features() : 1);
  }
  // Width of the actor's last hidden layer; of the observation where there is none.
  int features() const { return spec_.hidden.empty() ? spec_.observation_size : spec_.hidden.back(); }
  // Floats of the flat array; rows of weights are padded (Layer::ldw), the padding is and stays zero.
  std::size_t size() const { return size_; }

 private:
  ModelSpec spec_;
  Mlp actor_;
  Mlp critic_;
  std::size_t log_std_ = 0;
  std::size_t size_ = 0;
};

// Activations of one block of samples through a model, and the outputs by name.
class ModelWorkspace {
 public:
  ModelWorkspace() = default;
  ModelWorkspace(const Model& model, int capacity);

  // x: [observation_size][ldx], room for `capacity` samples.
  float* x() { return x_.data(); }
  std::ptrdiff_t ldx() const { return ldx_; }
  float* policy() { return actor_.output(); }  // [actions][ld_policy()]
  std::ptrdiff_t ld_policy() const { return actor_.ld(); }
  float* value() { return value_; }  // [capacity]; null without a critic
  // The input of the actor's output layer, [features][ld_features()].
  const float* features() const { return actor_.features() != nullptr ? actor_.features() : x_.data(); }
  std::ptrdiff_t ld_features() const { return actor_.features() != nullptr ? actor_.ld() : ldx_; }

  void forward(const Kernels& k, const Model& model, const float* params, int nb);
  void forward_value(const Kernels& k, const Model& model, const float* params, int nb);
  void backward(const Kernels& k, const Model& model, const float* params, int nb, float* gradients);

 private:
  MlpWorkspace actor_;
  MlpWorkspace critic_;
  std::vector<float> x_;
  std::ptrdiff_t ldx_ = 0;
  float* value_ = nullptr;
};

}  // namespace daybreak::rl::nn
