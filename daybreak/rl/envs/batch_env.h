// What our own batches have in common: generators, time limits, autoreset, saved states.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/random.h"
#include "daybreak/rl/envs/vec_env.h"

namespace daybreak::rl {

// Appends the bytes of trivially copyable values; BytesIn reads them back and turns false for good at the first
// shortage.
class BytesOut {
 public:
  void raw(const void* data, std::size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  template <typename T>
  void value(const T& item) {
    raw(&item, sizeof item);
  }
  template <typename T>
  void array(const std::vector<T>& items) {
    raw(items.data(), items.size() * sizeof(T));
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class BytesIn {
 public:
  explicit BytesIn(std::string_view bytes) : bytes_(bytes) {}
  bool raw(void* data, std::size_t size);
  template <typename T>
  bool value(T& item) {
    return raw(&item, sizeof item);
  }
  template <typename T>
  bool array(std::vector<T>& items) {
    return raw(items.data(), items.size() * sizeof(T));
  }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

// Takes EnvOptions::options apart; finish() refuses the keys that nobody asked for.
class OptionReader {
 public:
  OptionReader(std::string_view env_id, const std::map<std::string, std::string>& options)
      : env_id_(env_id), options_(options) {}

  base::Result<std::int64_t> integer(std::string key, std::int64_t fallback, std::int64_t low, std::int64_t high);
  base::Result<double> number(std::string key, double fallback);
  base::Result<bool> boolean(std::string key, bool fallback);
  base::Result<std::string> choice(std::string key, std::vector<std::string> values);  // the first one is the default
  base::Status finish() const;

 private:
  const std::string* find(std::string key);

  std::string_view env_id_;
  const std::map<std::string, std::string>& options_;
  std::vector<std::string> known_;
};

inline constexpr std::int32_t kNoStepLimit = std::numeric_limits<std::int32_t>::max();

// A batch of one simulation. The subclass keeps the rows' physics; this class decides when a row starts.
class BatchEnv : public VecEnv {
 public:
  std::int64_t num_envs() const final { return num_envs_; }
  const Space& observation_space() const final { return observation_space_; }
  const Space& action_space() const final { return action_space_; }
  base::Status reset(std::uint64_t seed, float* observations) final;
  base::Status reset_rows(const std::uint8_t* mask, const std::uint64_t* seeds, float* observations) final;
  base::Status step(const void* actions, const StepBuffers& out) final;
  std::string save_state() const final;
  base::Status load_state(std::string_view bytes) final;

 protected:
  // step_limit: steps after which an episode is truncated (kNoStepLimit: never).
  BatchEnv(std::string kind, const EnvOptions& options, Space observations, Space actions, std::int32_t step_limit);

  // A new episode in this row, with draws from random(row).
  virtual void start(std::int64_t row) = 0;
  // Before the first start() after a new seed: drops what one episode hands on to the next, if anything.
  virtual void forget(std::int64_t row) {}
  virtual void observe(std::int64_t row, float* observation) const = 0;
  // Moves every row and writes all of `out`: observations, rewards, ends. Calls or repeats count_step for each row, and
  // appends the rows that ended to `ended`, which has room for all. Rows with idle(row) are overwritten afterwards and
  // may be skipped.
  virtual void advance(const void* actions, const StepBuffers& out, std::vector<std::int32_t>& ended) = 0;
  virtual base::Status check_actions(const void* actions) const = 0;
  virtual void save(BytesOut& out) const = 0;
  virtual bool load(BytesIn& in) = 0;  // false: too short, or values that no save wrote

  base::Status check_discrete(const std::int32_t* actions) const;
  base::Status check_row(std::int64_t row) const;

  base::Pcg64& random(std::int64_t row) { return generators_[row]; }
  bool idle(std::int64_t row) const { return over_[row] != 0; }
  std::int32_t* steps() { return steps_.data(); }
  std::int32_t step_limit() const { return step_limit_; }
  void start_from_outside(std::int64_t row);  // after its physics were set by hand: an episode begins

  // The bookkeeping of one row that has just been moved; true if the episode ended.
  bool count_step(std::int64_t row, bool terminated, const StepBuffers& out) {
    const bool truncated = ++steps_[row] >= step_limit_;
    out.terminated[row] = terminated;
    out.truncated[row] = truncated;
    return terminated | truncated;
  }

 private:
  void mark_started(std::int64_t row);
  void begin(std::int64_t row, float* observations);
  std::string header() const;

  std::string kind_;
  std::int64_t num_envs_;
  Autoreset autoreset_;
  std::map<std::string, std::string> options_;
  Space observation_space_, action_space_;
  std::int64_t observation_size_;
  std::int32_t step_limit_;
  std::vector<base::Pcg64> generators_;
  std::vector<std::int32_t> steps_;      // of the running episode
  std::vector<std::uint8_t> over_;       // 1 from the end of an episode, and before the first, to the next start
  std::vector<std::int32_t> ended_;      // by the last step; empty in kSameStep, as its rows have begun anew
  std::vector<std::int32_t> beginning_;  // scratch of kNextStep
  std::int64_t unstarted_;               // rows that no reset has reached
  std::vector<std::uint8_t> started_;
};

}  // namespace daybreak::rl
