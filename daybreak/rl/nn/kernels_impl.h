// The kernels, written once over a vector type V that the including file defines (kernels_<level>.cc). Everything is in
// an anonymous namespace, because each including file is compiled for another instruction level.
//
// The matrix tiles follow the usual register blocking (Goto and van de Geijn 2008): R rows x 2 vectors of accumulators,
// one broadcast and two loads feeding 2 R fused multiply-adds per step of the inner dimension.

#include <cstddef>
#include <cstdint>

#include "daybreak/rl/nn/kernels.h"

namespace daybreak::rl::nn {
namespace {

// ---- elementary functions
// ----------------------------------------------------------------------------------------------

// e^x, Cephes' polynomial: under 2 ulp between the clamps (-87.3, 88.3).
inline V exp_v(V x) {
  x = vmin(vmax(x, V::set(-87.33F)), V::set(88.37F));
  const V n = vround(x * V::set(1.44269504088896341F));
  V r = fma(n, V::set(-0.693359375F), x);
  r = fma(n, V::set(2.12194440e-4F), r);
  V p = V::set(1.9875691500e-4F);
  p = fma(p, r, V::set(1.3981999507e-3F));
  p = fma(p, r, V::set(8.3334519073e-3F));
  p = fma(p, r, V::set(4.1665795894e-2F));
  p = fma(p, r, V::set(1.6666665459e-1F));
  p = fma(p, r, V::set(5.0000001201e-1F));
  p = fma(p, r * r, r) + V::set(1.0F);
  return scale2(p, n);
}

// ln x for normal x > 0 (here x >= 1), Cephes' polynomial.
inline V log_v(V x) {
  V e = exponent(x);
  V m = mantissa(x);
  const M high = less(V::set(1.41421356F), m);
  m = select(high, m * V::set(0.5F), m) - V::set(1.0F);
  e = select(high, e + V::set(1.0F), e);
  V p = V::set(7.0376836292e-2F);
  p = fma(p, m, V::set(-1.1514610310e-1F));
  p = fma(p, m, V::set(1.1676998740e-1F));
  p = fma(p, m, V::set(-1.2420140846e-1F));
  p = fma(p, m, V::set(1.4249322787e-1F));
  p = fma(p, m, V::set(-1.6668057665e-1F));
  p = fma(p, m, V::set(2.0000714765e-1F));
  p = fma(p, m, V::set(-2.4999993993e-1F));
  p = fma(p, m, V::set(3.3333331174e-1F));
  const V z = m * m;
  V y = p * m * z;
  y = fma(e, V::set(-2.12194440e-4F), y);
  y = fma(z, V::set(-0.5F), y);
  return fma(e, V::set(0.693359375F), m + y);
}

// tanh x, the odd 13/6 rational minimax approximation that Eigen uses: a few ulp, one division.
inline V tanh_v(V x) {
  x = vmin(vmax(x, V::set(-7.90531110763549805F)), V::set(7.90531110763549805F));
  const V s = x * x;
  V p = V::set(-2.76076847742355e-16F);
  p = fma(p, s, V::set(2.00018790482477e-13F));
  p = fma(p, s, V::set(-8.60467152213735e-11F));
  p = fma(p, s, V::set(5.12229709037114e-08F));
  p = fma(p, s, V::set(1.48572235717979e-05F));
  p = fma(p, s, V::set(6.37261928875436e-04F));
  p = fma(p, s, V::set(4.89352455891786e-03F));
  V q = V::set(1.19825839466702e-06F);
  q = fma(q, s, V::set(1.18534705686654e-04F));
  q = fma(q, s, V::set(2.26843463243900e-03F));
  q = fma(q, s, V::set(4.89352518554385e-03F));
  return (p * x) / q;
}

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

// ---- matrix tiles
// ------------------------------------------------------------------------------------------------------

// c[r][j] += sum_k a[r * row + k * step] * x[k * ldx + j * kLanes]
// Ahead: rows of a to fetch in advance, where a row is a cache line of its own.
template <int R, int C, int Ahead = 0>
[[gnu::always_inline]] inline void multiply(const float* a, std::ptrdiff_t row, std::ptrdiff_t step, const float* x,
                                            std::ptrdiff_t ldx, int depth, V (&c)[R][C]) {
  for (int k = 0; k < depth; ++k, a += step, x += ldx) {
    if constexpr (Ahead > 0) __builtin_prefetch(a + Ahead * step);
    V b[C];
#pragma GCC unroll 2
    for (int j = 0; j < C; ++j) b[j] = V::load(x + j * V::kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const V s = V::set(a[r * row]);
#pragma GCC unroll 2
      for (int j = 0; j < C; ++j) c[r][j] = fma(s, b[j], c[r][j]);
    }
  }
}

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

// Calls f.template operator()<R>() for 1 <= rows = R <= kRows.
template <int R = V::kRows, typename F>
[[gnu::always_inline]] inline void with_rows(int rows, F&& f) {
  if constexpr (R >= 1) {
    if (rows == R) {
      f.template operator()<R>();
    } else {
      with_rows<R - 1>(rows, f);
    }
  }
}

// Splits `n` rows into tiles of kRows, the last two of equal height when that avoids a thin one (a tile under 4 rows is
// bound by latency, not by arithmetic).
template <typename F>
[[gnu::always_inline]] inline void for_row_tiles(int n, F&& f) {
  int i = 0;
  while (i < n) {
    const int left = n - i;
    int rows = left;
    if (left > V::kRows) rows = left < 2 * V::kRows ? (left + 1) / 2 : V::kRows;
    f(i, rows);
    i += rows;
  }
}

constexpr int kTile = 2 * V::kLanes;

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

// R x C dot products over samples; C is 4 but at the right edge.
template <int R, int C>
void gradient_tile(int nb, const float* g, std::ptrdiff_t ldg, const float* x, std::ptrdiff_t ldx, float* dw,
                   std::ptrdiff_t ldw) {
  V c[R][C];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) c[r][j] = V::set(0.0F);
  }
  for (int b = 0; b < nb; b += V::kLanes) {
    V a[C];
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) a[j] = V::load(x + j * ldx + b);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const V s = V::load(g + r * ldg + b);
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) c[r][j] = fma(s, a[j], c[r][j]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
    if constexpr (C == 4) {
      add_sums4(c[r][0], c[r][1], c[r][2], c[r][3], dw + r * ldw);
    } else {
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) dw[r * ldw + j] += sum(c[r][j]);
    }
  }
}

template <int R>
void gradient_row(int in, int nb, const float* g, std::ptrdiff_t ldg, const float* x, std::ptrdiff_t ldx, float* dw,
                  std::ptrdiff_t ldw) {
  int i = 0;
  for (; i + 4 <= in; i += 4) gradient_tile<R, 4>(nb, g, ldg, x + i * ldx, ldx, dw + i, ldw);
  for (; i < in; ++i) gradient_tile<R, 1>(nb, g, ldg, x + i * ldx, ldx, dw + i, ldw);
}

// The same products the other way round, for many outputs: kPanel inputs are transposed to [sample][input] once and
// shared by all rows of g, so that no sum across lanes is needed at the end of a tile.
constexpr int kPanel = kTile < 16 ? 16 : kTile;
constexpr int kPanelSamples = 256;

template <int R>
void gradient_panel_tile(int nb, const float* g, std::ptrdiff_t ldg, const float* panel, float* dw,
                         std::ptrdiff_t ldw) {
  for (int column = 0; column < kPanel; column += kTile) {
    V c[R][2];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      c[r][0] = V::load(dw + r * ldw + column);
      c[r][1] = V::load(dw + r * ldw + column + V::kLanes);
    }
    multiply<R, 2>(g, ldg, 1, panel + column, kPanel, nb, c);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      c[r][0].store(dw + r * ldw + column);
      c[r][1].store(dw + r * ldw + column + V::kLanes);
    }
  }
}

void gradient_panel(int out, int nb, const float* g, std::ptrdiff_t ldg, const float* x, std::ptrdiff_t ldx, float* dw,
                    std::ptrdiff_t ldw) {
  alignas(64) float panel[kPanelSamples * kPanel];
  for (int first = 0; first < nb; first += kPanelSamples) {
    const int count = nb - first < kPanelSamples ? nb - first : kPanelSamples;
    for (int b = 0; b < count; b += 8) {
      for (int i = 0; i < kPanel; i += 8) transpose8(x + i * ldx + first + b, ldx, panel + b * kPanel + i, kPanel);
    }
    for_row_tiles(out, [&](int o, int rows) {
      with_rows(rows,
                [&]<int R>() { gradient_panel_tile<R>(count, g + o * ldg + first, ldg, panel, dw + o * ldw, ldw); });
    });
  }
}

void gradient(int out, int in, int nb, const float* g, std::ptrdiff_t ldg, const float* x, std::ptrdiff_t ldx,
              float* dw, std::ptrdiff_t ldw, float* db) {
  // Rows of x that stay in half of a 32 KiB L1 while every row of g passes by.
  constexpr int kResidentFloats = 4096;
  int chunk = kResidentFloats / nb & ~3;
  if (chunk < 4) chunk = 4;
  int i = 0;
  // Measured on Zen 3 (64 to 256 outputs, 64 to 256 samples): from here on the sums across lanes, which are paid once
  // for each output, cost more than a transpose, which is paid once for each sample. 256 x 256, 256 samples: 75 to 92
  // GFLOP/s.
  if (nb < 2 * out) {
    for (; i + kPanel <= in; i += kPanel) gradient_panel(out, nb, g, ldg, x + i * ldx, ldx, dw + i, ldw);
  }
  for (; i < in; i += chunk) {
    const int width = in - i < chunk ? in - i : chunk;
    int o = 0;
    for (; o + V::kDotRows <= out; o += V::kDotRows) {
      gradient_row<V::kDotRows>(width, nb, g + o * ldg, ldg, x + i * ldx, ldx, dw + o * ldw + i, ldw);
    }
    for (; o + 2 <= out; o += 2) gradient_row<2>(width, nb, g + o * ldg, ldg, x + i * ldx, ldx, dw + o * ldw + i, ldw);
    for (; o < out; ++o) gradient_row<1>(width, nb, g + o * ldg, ldg, x + i * ldx, ldx, dw + o * ldw + i, ldw);
  }
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
// ---------------------------------------------------------------------------------------------------------

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
// ------------------------------------------------------------------------------------------

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
