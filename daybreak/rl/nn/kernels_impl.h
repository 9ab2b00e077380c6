// The kernels, written once over the vector type V (tensor/simd/vector.h). Everything is in an anonymous namespace,
// because each including file, kernels_<level>.cc, is compiled for another instruction level.

#include <cstddef>
#include <cstdint>

#include "daybreak/rl/nn/kernels.h"
#include "daybreak/tensor/simd/math.h"
#include "daybreak/tensor/simd/product.h"

namespace daybreak::rl::nn {
namespace {

using tensor::simd::for_row_tiles;
using tensor::simd::kTile;
using tensor::simd::M;
using tensor::simd::multiply;
using tensor::simd::V;
using tensor::simd::with_rows;

// ---- activations

template <Act A>
inline V activate(V x) {
  if constexpr (A == Act::kTanh) return tanh_v(x);
  if constexpr (A == Act::kRelu) return vmax(x, V::set(0.0F));
  return x;
}

// act'(x) from h = act(x)
template <Act A>
inline V slope(V g, V h) {
  if constexpr (A == Act::kTanh) return g - (g * h) * h;
  if constexpr (A == Act::kRelu) return select(less(V::set(0.0F), h), g, V::set(0.0F));
  return g;
}

// ---- layers

template <int R, int C, Act A>
void forward_tile(int in, const float* w, std::ptrdiff_t ldw, const float* bias, const float* x, std::ptrdiff_t ldx,
                  float* y, std::ptrdiff_t ldy) {
  V c[R][C];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < C; ++j) c[r][j] = V::set(bias[r]);
  }
  multiply<R, C>(w, ldw, 1, x, ldx, in, c);
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < C; ++j) activate<A>(c[r][j]).store(y + r * ldy + j * V::kLanes);
  }
}

template <int R, int C, Act A>
void backward_tile(int out, const float* w, std::ptrdiff_t ldw, const float* g, std::ptrdiff_t ldg, const float* h,
                   float* d, std::ptrdiff_t ldh) {
  V c[R][C];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < C; ++j) c[r][j] = V::set(0.0F);
  }
  multiply<R, C, 16>(w, 1, ldw, g, ldg, out, c);
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < C; ++j) {
      const std::ptrdiff_t at = r * ldh + j * V::kLanes;
      slope<A>(c[r][j], V::load(h + at)).store(d + at);
    }
  }
}

template <Act A>
void forward_act(int out, int in, int nb, const float* w, std::ptrdiff_t ldw, const float* bias, const float* x,
                 std::ptrdiff_t ldx, float* y, std::ptrdiff_t ldy) {
  int b = 0;
  for (; b + kTile <= nb; b += kTile) {
    for_row_tiles(out, [&](int o, int rows) {
      with_rows(rows, [&]<int R>() {
        forward_tile<R, 2, A>(in, w + o * ldw, ldw, bias + o, x + b, ldx, y + o * ldy + b, ldy);
      });
    });
  }
  for (; b < nb; b += V::kLanes) {
    for_row_tiles(out, [&](int o, int rows) {
      with_rows(rows, [&]<int R>() {
        forward_tile<R, 1, A>(in, w + o * ldw, ldw, bias + o, x + b, ldx, y + o * ldy + b, ldy);
      });
    });
  }
}

void forward(int out, int in, int nb, const float* w, std::ptrdiff_t ldw, const float* bias, const float* x,
             std::ptrdiff_t ldx, float* y, std::ptrdiff_t ldy, Act act) {
  switch (act) {
    case Act::kNone: return forward_act<Act::kNone>(out, in, nb, w, ldw, bias, x, ldx, y, ldy);
    case Act::kTanh: return forward_act<Act::kTanh>(out, in, nb, w, ldw, bias, x, ldx, y, ldy);
    case Act::kRelu: return forward_act<Act::kRelu>(out, in, nb, w, ldw, bias, x, ldx, y, ldy);
  }
}

template <Act A>
void backward_act(int out, int in, int nb, const float* w, std::ptrdiff_t ldw, const float* g, std::ptrdiff_t ldg,
                  const float* h, float* d, std::ptrdiff_t ldh) {
  // Tiles of weights outside, samples inside: the column of weights that a tile needs is one cache line a row, which no
  // prefetcher foresees, so it is fetched once and used for every sample.
  for_row_tiles(in, [&](int i, int rows) {
    with_rows(rows, [&]<int R>() {
      int b = 0;
      for (; b + kTile <= nb; b += kTile)
        backward_tile<R, 2, A>(out, w + i, ldw, g + b, ldg, h + i * ldh + b, d + i * ldh + b, ldh);
      for (; b < nb; b += V::kLanes)
        backward_tile<R, 1, A>(out, w + i, ldw, g + b, ldg, h + i * ldh + b, d + i * ldh + b, ldh);
    });
  });
}

void backward(int out, int in, int nb, const float* w, std::ptrdiff_t ldw, const float* g, std::ptrdiff_t ldg,
              const float* h, float* d, std::ptrdiff_t ldh, Act act) {
  switch (act) {
    case Act::kNone: return backward_act<Act::kNone>(out, in, nb, w, ldw, g, ldg, h, d, ldh);
    case Act::kTanh: return backward_act<Act::kTanh>(out, in, nb, w, ldw, g, ldg, h, d, ldh);
    case Act::kRelu: return backward_act<Act::kRelu>(out, in, nb, w, ldw, g, ldg, h, d, ldh);
  }
}

void gradient(int out, int in, int nb, const float* g, std::ptrdiff_t ldg, const float* x, std::ptrdiff_t ldx,
              float* dw, std::ptrdiff_t ldw, float* db) {
  tensor::simd::add_product_nt(out, in, nb, g, ldg, x, ldx, dw, ldw);
  for (int o = 0; o < out; ++o) {
    V s0 = V::set(0.0F);
    const float* row = g + o * ldg;
    for (int b = 0; b < nb; b += V::kLanes) s0 = s0 + V::load(row + b);
    db[o] += sum(s0);
  }
}

template <Act A>
void gemv_act(int out, int in, const float* wt, std::ptrdiff_t ldo, const float* bias, const float* x, float* y) {
  // kBatchPad lanes a step, four steps' accumulators at a time to cover the latency of the multiply-add.
  constexpr int kSteps = kBatchPad / V::kLanes;
  int o = 0;
  for (; o + 4 * kBatchPad <= out; o += 4 * kBatchPad) {
    V c[4 * kSteps];
    for (int j = 0; j < 4 * kSteps; ++j) c[j] = V::load(bias + o + j * V::kLanes);
    for (int i = 0; i < in; ++i) {
      const V s = V::set(x[i]);
      const float* row = wt + i * ldo + o;
#pragma GCC unroll 8
      for (int j = 0; j < 4 * kSteps; ++j) c[j] = fma(s, V::load(row + j * V::kLanes), c[j]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < 4 * kSteps; ++j) activate<A>(c[j]).store(y + o + j * V::kLanes);
  }
  for (; o < out; o += kBatchPad) {
    V even[kSteps];
    V odd[kSteps];
    for (int j = 0; j < kSteps; ++j) {
      even[j] = V::load(bias + o + j * V::kLanes);
      odd[j] = V::set(0.0F);
    }
    int i = 0;
    for (; i + 2 <= in; i += 2) {
      const float* row = wt + i * ldo + o;
      const V s = V::set(x[i]);
      const V t = V::set(x[i + 1]);
#pragma GCC unroll 2
      for (int j = 0; j < kSteps; ++j) {
        even[j] = fma(s, V::load(row + j * V::kLanes), even[j]);
        odd[j] = fma(t, V::load(row + ldo + j * V::kLanes), odd[j]);
      }
    }
    for (; i < in; ++i) {
      for (int j = 0; j < kSteps; ++j) even[j] = fma(V::set(x[i]), V::load(wt + i * ldo + o + j * V::kLanes), even[j]);
    }
    for (int j = 0; j < kSteps; ++j) activate<A>(even[j] + odd[j]).store(y + o + j * V::kLanes);
  }
}

void gemv(int out, int in, const float* wt, std::ptrdiff_t ldo, const float* bias, const float* x, float* y, Act act) {
  switch (act) {
    case Act::kNone: return gemv_act<Act::kNone>(out, in, wt, ldo, bias, x, y);
    case Act::kTanh: return gemv_act<Act::kTanh>(out, in, wt, ldo, bias, x, y);
    case Act::kRelu: return gemv_act<Act::kRelu>(out, in, wt, ldo, bias, x, y);
  }
}

// ---- optimiser

void adam(std::size_t n, float* p, const float* g, float* m, float* v, float rate, float beta1, float beta2, float eps,
          float scale) {
  const auto step = [&]<typename T>(T grad, T first, T second, T param, T* out_first, T* out_second) {
    grad = grad * T::set(scale);
    *out_first = fma(T::set(beta1), first, T::set(1 - beta1) * grad);
    *out_second = fma(T::set(beta2), second, T::set(1 - beta2) * (grad * grad));
    return param - (T::set(rate) * *out_first) / (vsqrt(*out_second) + T::set(eps));
  };
  std::size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) {
    V first;
    V second;
    const V out = step(V::load(g + i), V::load(m + i), V::load(v + i), V::load(p + i), &first, &second);
    first.store(m + i);
    second.store(v + i);
    out.store(p + i);
  }
  if (i < n) {
    float buffer[4][V::kLanes] = {};
    for (std::size_t j = i; j < n; ++j) {
      buffer[0][j - i] = g[j];
      buffer[1][j - i] = m[j];
      buffer[2][j - i] = v[j];
      buffer[3][j - i] = p[j];
    }
    V first;
    V second;
    const V out = step(V::load(buffer[0]), V::load(buffer[1]), V::load(buffer[2]), V::load(buffer[3]), &first, &second);
    first.store(buffer[1]);
    second.store(buffer[2]);
    out.store(buffer[3]);
    for (std::size_t j = i; j < n; ++j) {
      m[j] = buffer[1][j - i];
      v[j] = buffer[2][j - i];
      p[j] = buffer[3][j - i];
    }
  }
}

void rmsprop(std::size_t n, float* p, const float* g, float* v, float rate, float alpha, float eps, float scale,
             bool inside) {
  const V outer = V::set(inside ? 0 : eps);
  const V inner = V::set(inside ? eps : 0);
  const auto step = [&](V grad, V second, V param, V* out_second) {
    grad = grad * V::set(scale);
    *out_second = fma(V::set(alpha), second, V::set(1 - alpha) * (grad * grad));
    return param - (V::set(rate) * grad) / (vsqrt(*out_second + inner) + outer);
  };
  std::size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) {
    V second;
    const V out = step(V::load(g + i), V::load(v + i), V::load(p + i), &second);
    second.store(v + i);
    out.store(p + i);
  }
  if (i == n) return;
  float buffer[3][V::kLanes];
  for (std::size_t j = i; j < i + V::kLanes; ++j) {  // lanes of no element divide by something
    buffer[0][j - i] = j < n ? g[j] : 1;
    buffer[1][j - i] = j < n ? v[j] : 1;
    buffer[2][j - i] = j < n ? p[j] : 1;
  }
  V second;
  step(V::load(buffer[0]), V::load(buffer[1]), V::load(buffer[2]), &second).store(buffer[2]);
  second.store(buffer[1]);
  for (std::size_t j = i; j < n; ++j) {
    v[j] = buffer[1][j - i];
    p[j] = buffer[2][j - i];
  }
}

double sum_squares(std::size_t n, const float* g) {
  V s0 = V::set(0.0F);
  V s1 = V::set(0.0F);
  std::size_t i = 0;
  for (; i + 2 * V::kLanes <= n; i += 2 * V::kLanes) {
    const V a = V::load(g + i);
    const V b = V::load(g + i + V::kLanes);
    s0 = fma(a, a, s0);
    s1 = fma(b, b, s1);
  }
  double total = static_cast<double>(sum(s0)) + static_cast<double>(sum(s1));
  for (; i < n; ++i) total += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  return total;
}

void add(std::size_t n, float* into, const float* from) {
  std::size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) (V::load(into + i) + V::load(from + i)).store(into + i);
  for (; i < n; ++i) into[i] += from[i];
}

// ---- distributions and losses

void log_softmax(int actions, int nb, float* logits, std::ptrdiff_t ld, float* entropies) {
  for (int b = 0; b < nb; b += V::kLanes) {
    V top = V::load(logits + b);
    for (int a = 1; a < actions; ++a) top = vmax(top, V::load(logits + a * ld + b));
    V total = V::set(0.0F);
    for (int a = 0; a < actions; ++a) total = total + exp_v(V::load(logits + a * ld + b) - top);
    const V log_total = top + log_v(total);
    V entropy = V::set(0.0F);
    for (int a = 0; a < actions; ++a) {
      const V logp = V::load(logits + a * ld + b) - log_total;
      logp.store(logits + a * ld + b);
      if (entropies != nullptr) entropy = entropy - exp_v(logp) * logp;
    }
    if (entropies != nullptr) entropy.store(entropies + b);
  }
}

// The part that categorical and Gaussian policies share: from log p of the action taken to d loss / d log p.
struct Surrogate {
  V loss = V::set(0.0F);
  V entropy = V::set(0.0F);
  V kl = V::set(0.0F);
  V clipped = V::set(0.0F);

  V coefficient(const PolicyLoss& config, V logp, V old_logp, V advantage, M valid) {
    const V zero = V::set(0.0F);
    const V one = V::set(1.0F);
    const V log_ratio = vmin(logp - old_logp, V::set(20.0F));
    const V ratio = exp_v(log_ratio);
    V value;
    V slope_of_loss;
    if (config.vanilla) {
      value = zero - advantage * logp;
      slope_of_loss = zero - advantage;
    } else {
      const V free = ratio * advantage;
      const V held = vmin(vmax(ratio, V::set(1 - config.clip)), V::set(1 + config.clip)) * advantage;
      value = zero - vmin(free, held);
      slope_of_loss = select(less_equal(free, held), zero - free, zero);
    }
    slope_of_loss = fma(V::set(config.kl_coef), ratio - one, slope_of_loss);
    loss = loss + select(valid, value, zero);
    kl = kl + select(valid, (ratio - one) - log_ratio, zero);
    clipped = clipped + select(valid, select(less(V::set(config.clip), vabs(ratio - one)), one, zero), zero);
    return slope_of_loss * V::set(config.scale);
  }

  void add_to(PolicySums* sums) const {
    sums->loss += static_cast<double>(sum(loss));
    sums->entropy += static_cast<double>(sum(entropy));
    sums->kl += static_cast<double>(sum(kl));
    sums->clipped += static_cast<double>(sum(clipped));
  }
};

inline M valid_lanes(int b, int n) {
  return less(V::lane_index() + V::set(static_cast<float>(b)), V::set(static_cast<float>(n)));
}

void categorical_loss(const PolicyLoss& config, int n, int nb, float* logits, std::ptrdiff_t ld,
                      const std::int32_t* action, const float* old_logp, const float* advantage, PolicySums* sums) {
  const V zero = V::set(0.0F);
  Surrogate surrogate;
  for (int b = 0; b < nb; b += V::kLanes) {
    const M valid = valid_lanes(b, n);
    V top = V::load(logits + b);
    for (int a = 1; a < config.actions; ++a) top = vmax(top, V::load(logits + a * ld + b));
    V total = zero;
    for (int a = 0; a < config.actions; ++a) total = total + exp_v(V::load(logits + a * ld + b) - top);
    const V log_total = top + log_v(total);
    const V taken = V::from_int(action + b);
    V logp_taken = zero;
    V entropy = zero;
    for (int a = 0; a < config.actions; ++a) {
      const V logp = V::load(logits + a * ld + b) - log_total;
      entropy = entropy - exp_v(logp) * logp;
      logp_taken = select(equal(taken, V::set(static_cast<float>(a))), logp, logp_taken);
    }
    surrogate.entropy = surrogate.entropy + select(valid, entropy, zero);
    const V coefficient =
        surrogate.coefficient(config, logp_taken, V::load(old_logp + b), V::load(advantage + b), valid);
    const V entropy_scale = V::set(config.entropy_coef * config.scale);
    for (int a = 0; a < config.actions; ++a) {
      const V logp = V::load(logits + a * ld + b) - log_total;
      const V p = exp_v(logp);
      const V one_hot = select(equal(taken, V::set(static_cast<float>(a))), V::set(1.0F), zero);
      const V d = fma(coefficient, one_hot - p, entropy_scale * (p * (logp + entropy)));
      select(valid, d, zero).store(logits + a * ld + b);
    }
  }
  surrogate.add_to(sums);
}

void gaussian_loss(const PolicyLoss& config, int n, int nb, float* mean, std::ptrdiff_t ld, const float* log_std,
                   const float* action, std::ptrdiff_t lda, const float* old_logp, const float* advantage,
                   float* d_log_std, PolicySums* sums) {
  constexpr float kHalfLog2Pi = 0.91893853320467274F;
  constexpr float kHalfLog2PiE = 1.41893853320467274F;
  const V zero = V::set(0.0F);
  V entropy = zero;
  for (int a = 0; a < config.actions; ++a) entropy = entropy + V::set(log_std[a] + kHalfLog2PiE);
  Surrogate surrogate;
  // Two passes per block: log p sums over the components before any gradient is known.
  for (int b = 0; b < nb; b += V::kLanes) {
    const M valid = valid_lanes(b, n);
    V logp = zero;
    for (int a = 0; a < config.actions; ++a) {
      const V inverse = exp_v(V::set(-log_std[a]));
      const V z = (V::load(action + a * lda + b) - V::load(mean + a * ld + b)) * inverse;
      logp = logp - fma(V::set(0.5F) * z, z, V::set(log_std[a] + kHalfLog2Pi));
    }
    surrogate.entropy = surrogate.entropy + select(valid, entropy, zero);
    const V coefficient = surrogate.coefficient(config, logp, V::load(old_logp + b), V::load(advantage + b), valid);
    for (int a = 0; a < config.actions; ++a) {
      const V inverse = exp_v(V::set(-log_std[a]));
      const V z = (V::load(action + a * lda + b) - V::load(mean + a * ld + b)) * inverse;
      select(valid, coefficient * z * inverse, zero).store(mean + a * ld + b);
      d_log_std[a] += sum(
          select(valid, fma(coefficient, fma(z, z, V::set(-1.0F)), V::set(-config.entropy_coef * config.scale)), zero));
    }
  }
  surrogate.add_to(sums);
}

double value_loss(int n, int nb, float* value, const float* old_value, const float* target, float clip,
                  float coef_scale) {
  const V zero = V::set(0.0F);
  const V twice = V::set(2 * coef_scale);
  V total = zero;
  for (int b = 0; b < nb; b += V::kLanes) {
    const M valid = valid_lanes(b, n);
    const V v = V::load(value + b);
    const V t = V::load(target + b);
    const V error = v - t;
    V square = error * error;
    V d = twice * error;
    if (clip > 0) {
      const V old = V::load(old_value + b);
      const V moved = v - old;
      const V held_error = old + vmin(vmax(moved, V::set(-clip)), V::set(clip)) - t;
      // Inside the clip both losses are one; rounding must not decide between them.
      const V held_square = select(less(V::set(clip), vabs(moved)), held_error * held_error, square);
      // The larger of the two losses counts; where the held one does, nothing pulls on v.
      d = select(less(square, held_square), zero, d);
      square = vmax(square, held_square);
    }
    total = total + select(valid, square, zero);
    select(valid, d, zero).store(value + b);
  }
  return static_cast<double>(sum(total));
}

template <typename F>
inline void map(std::size_t n, const float* x, float* y, F&& f) {
  std::size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) f(V::load(x + i)).store(y + i);
  if (i < n) {
    float buffer[V::kLanes] = {};
    for (std::size_t j = i; j < n; ++j) buffer[j - i] = x[j];
    f(V::load(buffer)).store(buffer);
    for (std::size_t j = i; j < n; ++j) y[j] = buffer[j - i];
  }
}
void tanh_array(std::size_t n, const float* x, float* y) {
  map(n, x, y, [](V v) { return tanh_v(v); });
}
void exp_array(std::size_t n, const float* x, float* y) {
  map(n, x, y, [](V v) { return exp_v(v); });
}

Kernels make_table() {
  return Kernels{DAYBREAK_KERNELS_NAME,
                 forward,
                 backward,
                 gradient,
                 gemv,
                 adam,
                 rmsprop,
                 sum_squares,
                 add,
                 log_softmax,
                 categorical_loss,
                 gaussian_loss,
                 value_loss,
                 tanh_array,
                 exp_array};
}

}  // namespace
}  // namespace daybreak::rl::nn
