#include "daybreak/rl/nn/mlp.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace daybreak::rl::nn {

Mlp::Mlp(int in, const std::vector<int>& hidden, int out, Act act, std::size_t offset) : begin_(offset), end_(offset) {
  int width = in;
  for (std::size_t l = 0; l <= hidden.size(); ++l) {
    Layer layer;
    layer.in = width;
    layer.out = l < hidden.size() ? hidden[l] : out;
    layer.ldw = padded_stride(layer.in);
    layer.act = l < hidden.size() ? act : Act::kNone;
    layer.weights = end_;
    layer.bias = layer.weights + static_cast<std::size_t>(layer.out) * static_cast<std::size_t>(layer.ldw);
    end_ = layer.bias + static_cast<std::size_t>(layer.out);
    layers_.push_back(layer);
    width = layer.out;
  }
}

int Mlp::block() const {
  constexpr std::int64_t kL2Floats = 100 << 10;
  std::int64_t block = kBlock;
  for (const Layer& layer : layers_) {
    const std::int64_t left = kL2Floats - static_cast<std::int64_t>(layer.in) * layer.out;
    block = std::min(block, left / (layer.in + layer.out) / kBatchPad * kBatchPad);
  }
  return static_cast<int>(std::max<std::int64_t>(block, 64));
}

std::size_t Mlp::multiply_adds() const {
  std::size_t n = 0;
  for (const Layer& layer : layers_) n += static_cast<std::size_t>(layer.in) * static_cast<std::size_t>(layer.out);
  return n;
}

namespace {

// Makes the rows of m [rows][cols], rows <= cols, orthonormal (modified Gram-Schmidt).
void orthonormalise(std::vector<double>& m, int rows, int cols) {
  for (int r = 0; r < rows; ++r) {
    double* row = m.data() + static_cast<std::ptrdiff_t>(r) * cols;
    for (int q = 0; q < r; ++q) {
      const double* done = m.data() + static_cast<std::ptrdiff_t>(q) * cols;
      double dot = 0;
      for (int c = 0; c < cols; ++c) dot += row[c] * done[c];
      for (int c = 0; c < cols; ++c) row[c] -= dot * done[c];
    }
    double norm = 0;
    for (int c = 0; c < cols; ++c) norm += row[c] * row[c];
    const double scale = 1.0 / std::sqrt(norm);
    for (int c = 0; c < cols; ++c) row[c] *= scale;
  }
}

}  // namespace

void Mlp::init_orthogonal(float* params, float gain, float last_gain, base::Xoshiro256& random) const {
  for (const Layer& layer : layers_) {
    const bool wide = layer.in >= layer.out;
    const int rows = wide ? layer.out : layer.in;
    const int cols = wide ? layer.in : layer.out;
    std::vector<double> m(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    for (double& x : m) x = static_cast<double>(random.normal());
    orthonormalise(m, rows, cols);
    const float scale = &layer == &layers_.back() ? last_gain : gain;
    for (int o = 0; o < layer.out; ++o) {
      for (int i = 0; i < layer.in; ++i) {
        const std::ptrdiff_t row = wide ? o : i;
        const std::ptrdiff_t column = wide ? i : o;
        const double x = m[static_cast<std::size_t>(row * cols + column)];
        params[layer.weights + static_cast<std::size_t>(o * layer.ldw + i)] = scale * static_cast<float>(x);
      }
    }
    std::fill_n(params + layer.bias, layer.out, 0.0F);
  }
}

void Mlp::init_normc(float* params, float gain, float last_gain, base::Xoshiro256& random) const {
  for (const Layer& layer : layers_) {
    const float scale = &layer == &layers_.back() ? last_gain : gain;
    std::vector<float> row(static_cast<std::size_t>(layer.in));
    for (int o = 0; o < layer.out; ++o) {
      float norm = 0;
      for (float& x : row) {
        x = random.normal();
        norm += x * x;
      }
      const float factor = scale / std::sqrt(norm);
      float* w = params + layer.weights + static_cast<std::size_t>(o * layer.ldw);
      for (int i = 0; i < layer.in; ++i) w[i] = factor * row[static_cast<std::size_t>(i)];
    }
    std::fill_n(params + layer.bias, layer.out, 0.0F);
  }
}

void Mlp::init_uniform(float* params, base::Xoshiro256& random) const {
  for (const Layer& layer : layers_) {
    const float bound = 1.0F / std::sqrt(static_cast<float>(layer.in));
    for (int o = 0; o < layer.out; ++o) {
      float* w = params + layer.weights + static_cast<std::size_t>(o * layer.ldw);
      for (int i = 0; i < layer.in; ++i) w[i] = bound * (2 * random.uniform() - 1);
      params[layer.bias + static_cast<std::size_t>(o)] = bound * (2 * random.uniform() - 1);
    }
  }
}

MlpWorkspace::MlpWorkspace(const Mlp& mlp, int capacity) : ld_(padded_stride(pad_batch(capacity))) {
  std::size_t total = 0;
  for (const Layer& layer : mlp.layers()) total += static_cast<std::size_t>(layer.out) * static_cast<std::size_t>(ld_);
  std::ptrdiff_t widest = 0;
  for (const Layer& layer : mlp.layers()) widest = std::max<std::ptrdiff_t>(widest, layer.out);
  total += static_cast<std::size_t>(2 * widest * ld_);
  // From a cache line on: a tile of samples is then whole lines.
  storage_.resize(total + 16);
  float* at = storage_.data();
  while (reinterpret_cast<std::uintptr_t>(at) % 64 != 0) ++at;
  for (const Layer& layer : mlp.layers()) {
    outputs_.push_back(at);
    at += static_cast<std::ptrdiff_t>(layer.out) * ld_;
  }
  for (float*& delta : deltas_) {
    delta = at;
    at += widest * ld_;
  }
}

void MlpWorkspace::forward(const Kernels& k, const Mlp& mlp, const float* params, const float* x, std::ptrdiff_t ldx,
                           int nb) {
  const float* in = x;
  std::ptrdiff_t ld_in = ldx;
  for (std::size_t l = 0; l < mlp.layers().size(); ++l) {
    const Layer& layer = mlp.layers()[l];
    k.forward(layer.out, layer.in, nb, params + layer.weights, layer.ldw, params + layer.bias, in, ld_in, outputs_[l],
              ld_, layer.act);
    in = outputs_[l];
    ld_in = ld_;
  }
}

void MlpWorkspace::backward(const Kernels& k, const Mlp& mlp, const float* params, const float* x, std::ptrdiff_t ldx,
                            int nb, float* gradients) {
  float* g = outputs_.back();
  for (std::size_t l = mlp.layers().size(); l-- > 0;) {
    const Layer& layer = mlp.layers()[l];
    const float* in = l > 0 ? outputs_[l - 1] : x;
    float* next = deltas_[l % 2];
    // Deltas first, into memory of their own: the layer's weights are still in the cache from the forward pass, and
    // would be driven out by the gradient.
    if (l > 0) {
      k.backward(layer.out, layer.in, nb, params + layer.weights, layer.ldw, g, ld_, in, next, ld_,
                 mlp.layers()[l - 1].act);
    }
    k.gradient(layer.out, layer.in, nb, g, ld_, in, l > 0 ? ld_ : ldx, gradients + layer.weights, layer.ldw,
               gradients + layer.bias);
    g = next;
  }
}

}  // namespace daybreak::rl::nn
