// Any Gymnasium environment behind the batch interface: every step calls Python.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <vector>

#include "daybreak/rl/envs/vec_env.h"

namespace daybreak::rl {

// Rows that are Python objects with Gymnasium's reset and step. The owner's thread need not hold the GIL: each method
// takes it. An observation is a Box (flattened) or a Discrete (one-hot), an action a Discrete or a Box. What a row
// answers is checked: a wrong shape, a number that is not finite, or an exception fails the step with the row's index,
// and the whole batch must then be reset. Such environments cannot be saved: can_restore() is false.
class GymVecEnv final : public VecEnv {
 public:
  // `envs` are not empty and all have the spaces of the first. Throws ValueError (nanobind) that names an unsupported
  // space.
  static std::unique_ptr<GymVecEnv> make(std::vector<nanobind::object> envs, Autoreset autoreset);
  ~GymVecEnv() override;

  std::int64_t num_envs() const override { return static_cast<std::int64_t>(rows_.size()); }
  const Space& observation_space() const override { return observation_.space; }
  const Space& action_space() const override { return action_.space; }
  base::Status reset(std::uint64_t seed, float* observations) override;
  base::Status reset_rows(const std::uint8_t* mask, const std::uint64_t* seeds, float* observations) override;
  base::Status step(const void* actions, const StepBuffers& out) override;
  bool can_restore() const override { return false; }
  std::string save_state() const override { return {}; }
  base::Status load_state(std::string_view bytes) override;

  // Whether a row here and a row there are one environment, whatever is wrapped around it.
  bool shares_with(const GymVecEnv& other) const;

  // The shape of observations that look like images (uint8 of two or more dimensions) as text; empty for others.
  std::string image_shape() const;

  // For tp_traverse and tp_clear of the Python object that owns this: an environment may refer back to its batch.
  int traverse(visitproc visit, void* arg) const;
  void clear();

  // The exception behind the last error, for `raise ... from`; none where the environment itself raised nothing.
  bool failed() const { return !exception_.is_none(); }
  nanobind::object take_exception() { return std::exchange(exception_, nanobind::none()); }

 private:
  // A space with what Python needs to know of it.
  struct PySpace {
    Space space;
    nanobind::object shape, dtype;
  };
  struct Row {
    nanobind::object env, reset, step;
    bool over = true;  // a kNextStep row waits for its reset, a kDisabled row for its owner
  };

  GymVecEnv(std::vector<nanobind::object> envs, Autoreset autoreset, PySpace observation, PySpace action);
  static PySpace space_of(nanobind::handle space, const char* role);
  nanobind::object action_at(const void* actions, std::int64_t row) const;
  base::Status read_observation(nanobind::handle value, std::int64_t row, const char* method, float* to) const;
  base::Status reset_row(std::int64_t row, const std::uint64_t* seed, float* observations);
  base::Status call_step(std::int64_t row, const void* actions, const StepBuffers& out);
  base::Status step_row(std::int64_t row, const void* actions, const StepBuffers& out);
  template <typename Function>
  base::Status guarded(std::int64_t row, const char* method, Function function);

  Autoreset autoreset_;
  std::vector<Row> rows_;
  PySpace observation_, action_;
  nanobind::object numpy_, exception_;
  bool started_ = false;
};

// A batch from what a person names: one of our ids (stepped in C++), an id of Gymnasium's registry, a callable or class
// that makes an environment (called num_envs times with **options), or one environment when num_envs is 1. Throws
// Python exceptions; the GIL must be held.
std::unique_ptr<VecEnv> make_env_from_python(nanobind::handle env, std::int64_t num_envs, Autoreset autoreset,
                                             const nanobind::dict& options);

// Whether `env` is an environment that exists, not an id, a class or a function.
bool is_env_instance(nanobind::handle env);

// Throws the exception that the Python environment raised, with a note of where; of other errors their own.
[[noreturn]] void raise_env_error(VecEnv& env, const base::Error& error);

}  // namespace daybreak::rl
