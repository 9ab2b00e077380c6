// One step of many CartPoles: the same function for each instruction level, equal to the bit.
#pragma once

#include <cstdint>

#include "daybreak/base/cpu.h"
#include "daybreak/rl/envs/small_trig.h"

namespace daybreak::rl::cartpole {

// Gymnasium's constants, with its own order of operations where one is computed from others.
inline constexpr double kGravity = 9.8, kPoleMass = 0.1, kTotalMass = 0.1 + 1.0, kHalfLength = 0.5,
                        kPoleMassLength = 0.1 * 0.5, kForce = 10.0, kTau = 0.02;
inline constexpr double kAngleLimit = 12 * 2 * 3.141592653589793 / 360, kPositionLimit = 2.4;

// Arrays of one number a row.
struct Rows {
  double *x, *x_dot, *theta, *theta_dot;
  std::int32_t* steps;
};

struct Outputs {
  float* observations;  // [rows, 4]
  float* rewards;
  std::uint8_t* terminated;
  std::uint8_t* truncated;
  std::int32_t* ended;  // receives the indices of the rows that ended, ascending
};

struct Rules {
  std::int32_t step_limit;
  float reward, reward_at_fall;
};

// Moves rows [0, n); actions are 0 or 1. Returns how many rows ended. Any thread, no alignment needed.
using StepFunction = std::int64_t(const Rows& rows, const std::int32_t* actions, std::int64_t n, const Rules& rules,
                                  const Outputs& out);
StepFunction step_scalar;
StepFunction step_avx2;  // only where the processor has AVX2 and FMA

// The fastest one of a level.
StepFunction* step_function(base::CpuLevel level = base::cpu_level());

// Row `i` alone: what step_scalar does, and the last rows of the others.
inline bool step_row(const Rows& rows, std::int64_t i, std::int32_t action, const Rules& rules, const Outputs& out) {
  const double x = rows.x[i], x_dot = rows.x_dot[i], theta = rows.theta[i], theta_dot = rows.theta_dot[i];
  const double force = action == 1 ? kForce : -kForce;
  double sine, cosine;
  small_trig::sin_cos(theta, sine, cosine);
  const double temp = (force + kPoleMassLength * (theta_dot * theta_dot) * sine) / kTotalMass;
  const double theta_acc =
      (kGravity * sine - cosine * temp) / (kHalfLength * (4.0 / 3.0 - kPoleMass * (cosine * cosine) / kTotalMass));
  const double x_acc = temp - kPoleMassLength * theta_acc * cosine / kTotalMass;
  const double next[4] = {x + kTau * x_dot, x_dot + kTau * x_acc, theta + kTau * theta_dot,
                          theta_dot + kTau * theta_acc};
  rows.x[i] = next[0];
  rows.x_dot[i] = next[1];
  rows.theta[i] = next[2];
  rows.theta_dot[i] = next[3];
  for (int k = 0; k < 4; ++k) out.observations[4 * i + k] = static_cast<float>(next[k]);
  const bool terminated =
      next[0] < -kPositionLimit || next[0] > kPositionLimit || next[2] < -kAngleLimit || next[2] > kAngleLimit;
  const bool truncated = ++rows.steps[i] >= rules.step_limit;
  out.rewards[i] = terminated ? rules.reward_at_fall : rules.reward;
  out.terminated[i] = terminated;
  out.truncated[i] = truncated;
  return terminated || truncated;
}

}  // namespace daybreak::rl::cartpole
