// Multi-layer perceptrons over flat parameter arrays: Mlp says where the weights lie, MlpWorkspace holds the
// activations of one block of samples. Neither owns parameters, so that a thread can run a net on weights and gradients
// of its choice.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "daybreak/base/random.h"
#include "daybreak/rl/nn/kernels.h"

namespace daybreak::rl::nn {

// The most samples that go through a net together: enough to fill the tiles and to pay for what is done once a tile.
inline constexpr int kBlock = 256;

constexpr int pad_batch(int n) {
  return (n + kBatchPad - 1) / kBatchPad * kBatchPad;
}

// Row stride of an array whose rows have n floats: rows a multiple of 512 bytes apart fall into few sets of the L1
// cache.
constexpr std::ptrdiff_t padded_stride(int n) {
  return n % 64 == 0 ? n + 16 : n;
}

struct Layer {
  int in = 0;
  int out = 0;
  std::ptrdiff_t ldw = 0;
  std::size_t weights = 0;  // offset of w[out][ldw] in the flat parameters
  std::size_t bias = 0;     // offset of bias[out]
  Act act = Act::kNone;
};

class Mlp {
 public:
  Mlp() = default;
  // Layers in -> hidden... -> out, the last one linear, laid out from `offset` on.
  Mlp(int in, const std::vector<int>& hidden, int out, Act act, std::size_t offset);

  const std::vector<Layer>& layers() const { return layers_; }
  int in() const { return layers_.front().in; }
  int out() const { return layers_.back().out; }
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return end_; }
  // Samples that are learned from together: as many as keep the widest layer's weights, its input and its deltas in a
  // 512 KiB L2 (256 x 256, backward: 68 GFLOP/s with 128 samples, 89 with 64); 64 to kBlock.
  int block() const;
  // Multiply-adds of one sample's forward pass, for flop counts.
  std::size_t multiply_adds() const;

  // Orthogonal rows or columns (Saxe et al. 2014) scaled by `gain`, `last_gain` in the last layer; biases zero.
  void init_orthogonal(float* params, float gain, float last_gain, base::Xoshiro256& random) const;
  // Normal columns scaled to norm `gain`, `last_gain` (what RLlib called normc); biases zero.
  void init_normc(float* params, float gain, float last_gain, base::Xoshiro256& random) const;
  // Uniform in +-1/sqrt(in), weights and biases (PyTorch's default; what DQN is used to).
  void init_uniform(float* params, base::Xoshiro256& random) const;

 private:
  std::vector<Layer> layers_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Activations of up to `capacity` samples of one net. One thread at a time.
class MlpWorkspace {
 public:
  MlpWorkspace() = default;
  MlpWorkspace(const Mlp& mlp, int capacity);

  std::ptrdiff_t ld() const { return ld_; }
  // The output layer, [out][ld]: forward's result, backward's input gradient.
  float* output() { return outputs_.back(); }
  // The last hidden layer, [width][ld] after forward; null without one.
  const float* features() const { return outputs_.size() > 1 ? outputs_[outputs_.size() - 2] : nullptr; }

  // nb: a multiple of kBatchPad, <= capacity.
  void forward(const Kernels& k, const Mlp& mlp, const float* params, const float* x, std::ptrdiff_t ldx, int nb);
  // After forward with the same x, and with the loss gradient in output(): adds to `gradients` (flat as the
  // parameters).
  void backward(const Kernels& k, const Mlp& mlp, const float* params, const float* x, std::ptrdiff_t ldx, int nb,
                float* gradients);

 private:
  std::vector<float> storage_;
  std::vector<float*> outputs_;  // one per layer
  float* deltas_[2] = {};        // of the widest hidden layer, taken in turn
  std::ptrdiff_t ld_ = 0;

 public:
  // storage_ is pointed into.
  MlpWorkspace(const MlpWorkspace&) = delete;
  MlpWorkspace& operator=(const MlpWorkspace&) = delete;
  MlpWorkspace(MlpWorkspace&&) = default;
  MlpWorkspace& operator=(MlpWorkspace&&) = default;
  ~MlpWorkspace() = default;
};

}  // namespace daybreak::rl::nn
