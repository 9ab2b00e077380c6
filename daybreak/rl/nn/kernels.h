// The inner loops of learning, one table of functions per instruction level, chosen once at run time by cpuid.
//
// Layout: activations are feature-major, x[feature * ld + sample]: the batch is the vector dimension. So a head of one
// or three outputs wastes no lanes, losses are vector code over samples, and weights need no transposed copy: they are
// only ever broadcast, which works in both orientations. Weights are w[out * ldw + in]. The number of samples of a call
// (`nb`) is a multiple of kBatchPad and ld >= nb; the padding lanes hold finite numbers and carry zero gradient.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "daybreak/base/cpu.h"

namespace daybreak::rl::nn {

inline constexpr int kBatchPad = 16;

enum class Act : std::uint8_t { kNone, kTanh, kRelu };

// What a policy-gradient loss adds up over its samples (sums, not means).
struct PolicySums {
  double loss = 0;  // surrogate, without entropy and KL terms
  double entropy = 0;
  double kl = 0;       // Schulman's estimator (r - 1) - log r of KL(old || new)
  double clipped = 0;  // samples with |ratio - 1| > clip
};

// One minibatch's policy loss: mean over samples of  surrogate - entropy_coef * H + kl_coef * KL.
struct PolicyLoss {
  bool vanilla = false;  // -adv * log p (REINFORCE, A2C) instead of PPO's clipped ratio
  float clip = 0.2F;
  float entropy_coef = 0;
  float kl_coef = 0;
  float scale = 1;  // 1 / samples in the minibatch
  int actions = 0;  // categories, or components of the action
};

struct Kernels {
  std::string_view name;

  // y[o][b] = act(bias[o] + sum_i w[o][i] x[i][b])
  void (*forward)(int out, int in, int nb, const float* w, std::ptrdiff_t ldw, const float* bias, const float* x,
                  std::ptrdiff_t ldx, float* y, std::ptrdiff_t ldy, Act act);
  // d[i][b] = (sum_o w[o][i] g[o][b]) * act'(h[i][b]), h being the layer's activation; d may be h. d and h share ldh.
  void (*backward)(int out, int in, int nb, const float* w, std::ptrdiff_t ldw, const float* g, std::ptrdiff_t ldg,
                   const float* h, float* d, std::ptrdiff_t ldh, Act act);
  // dw[o][i] += sum_b g[o][b] x[i][b];  db[o] += sum_b g[o][b]
  void (*gradient)(int out, int in, int nb, const float* g, std::ptrdiff_t ldg, const float* x, std::ptrdiff_t ldx,
                   float* dw, std::ptrdiff_t ldw, float* db);
  // y[o] = act(bias[o] + sum_i wt[i][o] x[i]): one sample; wt is transposed, ldo a multiple of kBatchPad, as is the
  // room of y and bias. No alignment is asked of any array.
  void (*gemv)(int out, int in, const float* wt, std::ptrdiff_t ldo, const float* bias, const float* x, float* y,
               Act act);

  // Adam (Kingma and Ba 2015) with the bias corrections folded into `rate` and `eps`; g is scaled by `scale` first.
  void (*adam)(std::size_t n, float* p, const float* g, float* m, float* v, float rate, float beta1, float beta2,
               float eps, float scale);
  // RMSprop (Hinton 2012): v = alpha v + (1 - alpha) g^2, p -= rate g / (sqrt(v) + eps), or with `inside` sqrt(v + eps)
  // as in TensorFlow; g is scaled by `scale` first.
  void (*rmsprop)(std::size_t n, float* p, const float* g, float* v, float rate, float alpha, float eps, float scale,
                  bool inside);
  double (*sum_squares)(std::size_t n, const float* g);
  void (*add)(std::size_t n, float* into, const float* from);

  // logits[a][b] -> log softmax over a, in place; entropies, when not null, gets H[b].
  void (*log_softmax)(int actions, int nb, float* logits, std::ptrdiff_t ld, float* entropies);
  // Losses write the gradient of the minibatch loss over logits (or mean) in place for b < n, zero for n <= b < nb.
  void (*categorical_loss)(const PolicyLoss& loss, int n, int nb, float* logits, std::ptrdiff_t ld,
                           const std::int32_t* action, const float* old_logp, const float* advantage, PolicySums* sums);
  // mean, action: [component][b]; d_log_std is added to.
  void (*gaussian_loss)(const PolicyLoss& loss, int n, int nb, float* mean, std::ptrdiff_t ld, const float* log_std,
                        const float* action, std::ptrdiff_t lda, const float* old_logp, const float* advantage,
                        float* d_log_std, PolicySums* sums);
  // value[b] in, its gradient out: coef * (v - target)^2, with v kept within +-clip of old_value when clip > 0. Returns
  // the sum of squared errors.
  double (*value_loss)(int n, int nb, float* value, const float* old_value, const float* target, float clip,
                       float coef_scale);
  void (*tanh)(std::size_t n, const float* x, float* y);
  void (*exp)(std::size_t n, const float* x, float* y);
};

// The best of a level. Null when this CPU does not have it.
const Kernels* kernels_for(base::CpuLevel level);
// Those of base::cpu_level().
const Kernels& kernels();

namespace internal {
const Kernels* scalar_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
}  // namespace internal
}  // namespace daybreak::rl::nn
