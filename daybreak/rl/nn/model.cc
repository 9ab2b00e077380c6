#include "daybreak/rl/nn/model.h"

#include <utility>

namespace daybreak::rl::nn {

Model::Model(ModelSpec spec) : spec_(std::move(spec)) {
  const int heads = spec_.actions + (spec_.critic && spec_.shared ? 1 : 0);
  actor_ = Mlp(spec_.observation_size, spec_.hidden, heads, spec_.act, 0);
  size_ = actor_.end();
  if (separate_critic()) {
    critic_ = Mlp(spec_.observation_size, spec_.hidden, 1, spec_.act, size_);
    size_ = critic_.end();
  }
  log_std_ = size_;
  size_ += log_std_size();
}

ModelWorkspace::ModelWorkspace(const Model& model, int capacity)
    : actor_(model.actor(), capacity), ldx_(padded_stride(pad_batch(capacity))) {
  x_.resize(static_cast<std::size_t>(model.spec().observation_size) * static_cast<std::size_t>(ldx_));
  if (model.separate_critic()) {
    critic_ = MlpWorkspace(model.critic(), capacity);
    value_ = critic_.output();
  } else if (model.spec().critic) {
    value_ = actor_.output() + model.spec().actions * actor_.ld();
  }
}

void ModelWorkspace::forward(const Kernels& k, const Model& model, const float* params, int nb) {
  actor_.forward(k, model.actor(), params, x_.data(), ldx_, nb);
  if (model.separate_critic()) critic_.forward(k, model.critic(), params, x_.data(), ldx_, nb);
}

void ModelWorkspace::forward_value(const Kernels& k, const Model& model, const float* params, int nb) {
  if (model.separate_critic()) {
    critic_.forward(k, model.critic(), params, x_.data(), ldx_, nb);
  } else if (model.spec().critic) {
    actor_.forward(k, model.actor(), params, x_.data(), ldx_, nb);
  }
}

void ModelWorkspace::backward(const Kernels& k, const Model& model, const float* params, int nb, float* gradients) {
  actor_.backward(k, model.actor(), params, x_.data(), ldx_, nb, gradients);
  if (model.separate_critic()) critic_.backward(k, model.critic(), params, x_.data(), ldx_, nb, gradients);
}

}  // namespace daybreak::rl::nn
