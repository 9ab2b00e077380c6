// Every instruction level that this machine has against plain loops in double, on the same random inputs and odd sizes.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "daybreak/base/random.h"
#include "daybreak/rl/nn/kernels.h"
#include "daybreak/rl/nn/mlp.h"

namespace daybreak::rl::nn {
namespace {

struct Sizes {
  int out, in, nb;
};
constexpr Sizes kSizes[] = {{1, 1, 16},    {2, 64, 16},  {3, 8, 48},     {7, 5, 32},   {64, 4, 256},
                            {64, 64, 112}, {13, 30, 16}, {256, 256, 64}, {29, 130, 32}};

class Levels : public testing::TestWithParam<base::CpuLevel> {
 protected:
  void SetUp() override {
    k_ = kernels_for(GetParam());
    if (k_ == nullptr) GTEST_SKIP() << "this CPU does not have the level";
  }
  std::vector<float> numbers(std::size_t n, float scale = 1) {
    std::vector<float> x(n);
    for (float& v : x) v = scale * random_.normal();
    return x;
  }
  const Kernels* k_ = nullptr;
  base::Xoshiro256 random_{12};
};

std::size_t at(int row, std::ptrdiff_t ld, int column) {
  return static_cast<std::size_t>(row * ld + column);
}

double act_of(Act act, double x) {
  if (act == Act::kTanh) return std::tanh(x);
  return act == Act::kRelu ? std::max(x, 0.0) : x;
}

TEST_P(Levels, forward_is_the_layer) {
  for (const auto& [out, in, nb] : kSizes) {
    for (Act act : {Act::kNone, Act::kTanh, Act::kRelu}) {
      const std::ptrdiff_t ldw = padded_stride(in);
      const std::ptrdiff_t ld = padded_stride(nb);
      const auto w = numbers(at(out, ldw, 0), 0.3F);
      const auto bias = numbers(static_cast<std::size_t>(out));
      const auto x = numbers(at(in, ld, 0));
      std::vector<float> y(at(out, ld, 0));
      k_->forward(out, in, nb, w.data(), ldw, bias.data(), x.data(), ld, y.data(), ld, act);
      for (int o = 0; o < out; ++o) {
        for (int b = 0; b < nb; ++b) {
          double sum = static_cast<double>(bias[static_cast<std::size_t>(o)]);
          for (int i = 0; i < in; ++i)
            sum += static_cast<double>(w[at(o, ldw, i)]) * static_cast<double>(x[at(i, ld, b)]);
          ASSERT_NEAR(static_cast<double>(y[at(o, ld, b)]), act_of(act, sum), 2e-5 * (1 + std::fabs(sum)))
              << out << "x" << in << " " << o << "," << b;
        }
      }
    }
  }
}

TEST_P(Levels, backward_is_the_transpose_times_the_slope) {
  for (const auto& [out, in, nb] : kSizes) {
    for (Act act : {Act::kNone, Act::kTanh, Act::kRelu}) {
      const std::ptrdiff_t ldw = padded_stride(in);
      const std::ptrdiff_t ld = padded_stride(nb);
      const auto w = numbers(at(out, ldw, 0), 0.3F);
      const auto g = numbers(at(out, ld, 0));
      auto h = numbers(at(in, ld, 0), 0.5F);
      const auto before = h;
      k_->backward(out, in, nb, w.data(), ldw, g.data(), ld, before.data(), h.data(), ld, act);
      for (int i = 0; i < in; ++i) {
        for (int b = 0; b < nb; ++b) {
          double sum = 0;
          for (int o = 0; o < out; ++o)
            sum += static_cast<double>(w[at(o, ldw, i)]) * static_cast<double>(g[at(o, ld, b)]);
          const double old = static_cast<double>(before[at(i, ld, b)]);
          const double slope = act == Act::kTanh ? 1 - old * old : act == Act::kRelu ? (old > 0 ? 1.0 : 0.0) : 1.0;
          ASSERT_NEAR(static_cast<double>(h[at(i, ld, b)]), sum * slope, 5e-5 * (1 + std::fabs(sum)))
              << out << "x" << in;
        }
      }
    }
  }
}

TEST_P(Levels, gradient_adds_the_outer_products_and_the_bias_sums) {
  for (const auto& [out, in, nb] : kSizes) {
    const std::ptrdiff_t ldw = padded_stride(in);
    const std::ptrdiff_t ld = padded_stride(nb);
    const auto g = numbers(at(out, ld, 0));
    const auto x = numbers(at(in, ld, 0));
    auto dw = numbers(at(out, ldw, 0));
    auto db = numbers(static_cast<std::size_t>(out));
    const auto dw_before = dw;
    const auto db_before = db;
    k_->gradient(out, in, nb, g.data(), ld, x.data(), ld, dw.data(), ldw, db.data());
    for (int o = 0; o < out; ++o) {
      double bias = static_cast<double>(db_before[static_cast<std::size_t>(o)]);
      for (int b = 0; b < nb; ++b) bias += static_cast<double>(g[at(o, ld, b)]);
      ASSERT_NEAR(static_cast<double>(db[static_cast<std::size_t>(o)]), bias, 1e-4);
      for (int i = 0; i < ldw; ++i) {
        double sum = static_cast<double>(dw_before[at(o, ldw, i)]);
        for (int b = 0; b < nb && i < in; ++b)
          sum += static_cast<double>(g[at(o, ld, b)]) * static_cast<double>(x[at(i, ld, b)]);
        ASSERT_NEAR(static_cast<double>(dw[at(o, ldw, i)]), sum, 2e-4)
            << out << "x" << in << " padding must stay: " << (i >= in);
      }
    }
  }
}

TEST_P(Levels, gemv_is_one_column_of_forward) {
  for (const auto& [out, in, nb] : kSizes) {
    const int ldo = pad_batch(out);
    const auto wt = numbers(at(in, ldo, 0), 0.3F);
    const auto bias = numbers(static_cast<std::size_t>(ldo));
    const auto x = numbers(static_cast<std::size_t>(in));
    std::vector<float> y(static_cast<std::size_t>(ldo));
    k_->gemv(out, in, wt.data(), ldo, bias.data(), x.data(), y.data(), Act::kTanh);
    for (int o = 0; o < out; ++o) {
      double sum = static_cast<double>(bias[static_cast<std::size_t>(o)]);
      for (int i = 0; i < in; ++i)
        sum += static_cast<double>(wt[at(i, ldo, o)]) * static_cast<double>(x[static_cast<std::size_t>(i)]);
      ASSERT_NEAR(static_cast<double>(y[static_cast<std::size_t>(o)]), std::tanh(sum), 3e-5);
    }
  }
}

TEST_P(Levels, tanh_and_exp_are_within_a_few_units_in_the_last_place) {
  std::vector<float> x;
  for (float v = -20; v < 20; v += 0.0037F) x.push_back(v);
  std::vector<float> y(x.size());
  k_->tanh(x.size(), x.data(), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(y[i], std::tanh(x[i]), 5e-7F) << x[i];
  k_->exp(x.size(), x.data(), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(y[i] / std::exp(x[i]), 1.0F, 4e-7F) << x[i];
}

TEST_P(Levels, adam_is_adam) {
  const std::size_t n = 37;
  auto p = numbers(n);
  const auto g = numbers(n);
  auto m = numbers(n, 0.1F);
  auto v = numbers(n, 0.1F);
  for (float& x : v) x *= x;
  const auto p0 = p;
  const auto m0 = m;
  const auto v0 = v;
  k_->adam(n, p.data(), g.data(), m.data(), v.data(), 0.01F, 0.9F, 0.999F, 1e-5F, 0.5F);
  for (std::size_t i = 0; i < n; ++i) {
    const double grad = 0.5 * static_cast<double>(g[i]);
    const double first = 0.9 * static_cast<double>(m0[i]) + 0.1 * grad;
    const double second = 0.999 * static_cast<double>(v0[i]) + 0.001 * grad * grad;
    EXPECT_NEAR(static_cast<double>(m[i]), first, 1e-6);
    EXPECT_NEAR(static_cast<double>(v[i]), second, 1e-6);
    EXPECT_NEAR(static_cast<double>(p[i]), static_cast<double>(p0[i]) - 0.01 * first / (std::sqrt(second) + 1e-5),
                1e-5);
  }
  const double squares = k_->sum_squares(n, g.data());
  double expected = 0;
  for (float x : g) expected += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(squares, expected, 1e-4);
}

TEST_P(Levels, rmsprop_is_rmsprop_with_epsilon_outside_and_inside_of_the_root) {
  for (const bool inside : {false, true}) {
    const std::size_t n = 37;
    auto p = numbers(n);
    const auto g = numbers(n);
    auto v = numbers(n, 0.1F);
    for (float& x : v) x *= x;
    const auto p0 = p;
    const auto v0 = v;
    k_->rmsprop(n, p.data(), g.data(), v.data(), 0.01F, 0.95F, 1e-2F, 0.5F, inside);
    for (std::size_t i = 0; i < n; ++i) {
      const double grad = 0.5 * static_cast<double>(g[i]);
      const double second = 0.95 * static_cast<double>(v0[i]) + 0.05 * grad * grad;
      const double root = inside ? std::sqrt(second + 1e-2) : std::sqrt(second) + 1e-2;
      EXPECT_NEAR(static_cast<double>(v[i]), second, 1e-6);
      EXPECT_NEAR(static_cast<double>(p[i]), static_cast<double>(p0[i]) - 0.01 * grad / root, 1e-5);
    }
  }
}

TEST_P(Levels, log_softmax_sums_to_one_and_survives_large_logits) {
  const int actions = 5;
  const int nb = 32;
  auto logits = numbers(static_cast<std::size_t>(actions * nb), 3);
  logits[0] = 80;
  logits[1] = -80;
  std::vector<float> entropy(nb);
  k_->log_softmax(actions, nb, logits.data(), nb, entropy.data());
  for (int b = 0; b < nb; ++b) {
    double total = 0;
    double h = 0;
    for (int a = 0; a < actions; ++a) {
      const double logp = static_cast<double>(logits[at(a, nb, b)]);
      total += std::exp(logp);
      h -= std::exp(logp) * logp;
    }
    EXPECT_NEAR(total, 1, 2e-6);
    EXPECT_NEAR(static_cast<double>(entropy[static_cast<std::size_t>(b)]), h, 1e-5);
  }
}

TEST_P(Levels, padding_lanes_get_no_gradient) {
  const int nb = 32;
  const int n = 19;
  auto logits = numbers(3 * nb);
  std::vector<std::int32_t> actions(nb, 1);
  const auto old = numbers(nb);
  const auto advantage = numbers(nb);
  PolicyLoss loss;
  loss.actions = 3;
  PolicySums sums;
  k_->categorical_loss(loss, n, nb, logits.data(), nb, actions.data(), old.data(), advantage.data(), &sums);
  auto value = numbers(nb);
  k_->value_loss(n, nb, value.data(), old.data(), advantage.data(), 0, 1);
  for (int b = 0; b < nb; ++b) {
    EXPECT_EQ(value[static_cast<std::size_t>(b)] == 0, b >= n);
    if (b >= n) {
      for (int a = 0; a < 3; ++a) EXPECT_EQ(logits[at(a, nb, b)], 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Levels,
                         testing::Values(base::CpuLevel::kScalar, base::CpuLevel::kAvx2, base::CpuLevel::kAvx512),
                         [](const auto& level) { return std::string(base::cpu_level_name(level.param)); });

TEST(Kernels, a_lower_level_has_other_ones) {
  const Kernels* scalar = kernels_for(base::CpuLevel::kScalar);
  ASSERT_NE(scalar, nullptr);
  EXPECT_EQ(kernels_for(base::CpuLevel::kSse42) == nullptr, base::best_cpu_level() < base::CpuLevel::kSse42);
  for (const auto level : {base::CpuLevel::kAvx2, base::CpuLevel::kAvx512}) {
    EXPECT_NE(kernels_for(level), scalar);  // null where the processor has no such level
  }
  EXPECT_EQ(&kernels(), kernels_for(base::cpu_level()));
}

}  // namespace
}  // namespace daybreak::rl::nn
