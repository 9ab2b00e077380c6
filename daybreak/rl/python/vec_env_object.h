// The Python face of a batch: numpy arrays allocated once, and the native methods over them.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <vector>

#include "daybreak/rl/envs/vec_env.h"

namespace daybreak::rl {

// Owns a VecEnv and the arrays that its steps fill. Used with the GIL held, by one thread at a time.
class VecEnvObject {
 public:
  // copy: every call returns fresh arrays; without it a call returns the same arrays, filled anew, and costs no
  // allocation.
  VecEnvObject(std::unique_ptr<VecEnv> env, Autoreset autoreset, bool copy);

  // Gymnasium's VectorEnv.reset and .step.
  nanobind::object reset(nanobind::handle seed, nanobind::handle options);
  nanobind::object step(nanobind::handle actions);

  // Steps through recorded actions, int32 [steps, num_envs] or float32 [steps, num_envs, n], in C++ alone: (last
  // observations, float64 sum of rewards of each row, number of episodes that ended).
  nanobind::object play(nanobind::handle actions);

  VecEnv& env() { return *env_; }
  const VecEnv& env() const { return *env_; }
  Autoreset autoreset() const { return autoreset_; }
  bool copies() const { return copy_; }

 private:
  nanobind::object observations() const;
  nanobind::object final_info() const;
  const void* discrete_actions(nanobind::handle actions);
  const void* box_actions(nanobind::handle actions);
  [[noreturn]] void bad_actions(nanobind::handle actions) const;

  std::unique_ptr<VecEnv> env_;
  Autoreset autoreset_;
  bool copy_;
  bool seeded_ = false;
  std::int64_t num_envs_, observation_size_, action_size_;
  // numpy arrays and where their numbers lie
  nanobind::object numpy_, observations_, rewards_, terminated_, truncated_, final_observations_;
  StepBuffers buffers_{};
  std::vector<std::int32_t> int_actions_;
  std::vector<float> float_actions_;
};

// next_step, same_step, disabled, or Gymnasium's AutoresetMode or its value; ValueError for anything else.
Autoreset autoreset_from_python(nanobind::handle mode);

}  // namespace daybreak::rl
