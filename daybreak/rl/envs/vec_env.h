// The one interface between environments and learners: a batch of environments stepped together over flat arrays.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::rl {

// A Gymnasium Discrete(n, start), or a Box flattened to n components in row-major order. A value; any thread may read
// it.
struct Space {
  enum class Kind { kDiscrete, kBox };
  Kind kind = Kind::kDiscrete;
  std::int64_t n = 0;             // kDiscrete: number of values; kBox: number of components
  std::vector<double> low, high;  // kBox only, n each (may be infinite)
  std::int64_t start = 0;         // kDiscrete: the smallest value
  // kBox: the shape of its arrays where that is not {n}. Everything here is flat; it is for whoever hands arrays out.
  std::optional<std::vector<std::int64_t>> shape;

  static Space discrete(std::int64_t n, std::int64_t start = 0);
  static Space box(std::vector<double> low, std::vector<double> high);

  bool operator==(const Space&) const = default;
};

// Gymnasium's AutoresetMode: what happens to a row whose episode has ended.
//   kNextStep   the next step ignores that row's action, resets it and returns the first observation with reward 0
//   kSameStep   the same step resets it: `observations` holds the new episode's first observation, `final_observations`
//               the last one of the episode that ended
//   kDisabled   nothing; the owner resets the row, and until then stepping it is an error
enum class Autoreset { kNextStep, kSameStep, kDisabled };

// Flat row-major arrays owned by the caller, num_envs rows each, not overlapping. A step writes every row of the first
// four.
struct StepBuffers {
  float* observations;        // [num_envs * observation size]; Discrete observations arrive one-hot
  float* rewards;             // [num_envs]
  std::uint8_t* terminated;   // [num_envs], 0 or 1
  std::uint8_t* truncated;    // [num_envs], 0 or 1
  float* final_observations;  // may be null; [num_envs * observation size]; written for rows that ended, kSameStep only
};

// A batch of environments of one kind. One thread owns it and makes every call; nothing here is shared or locked.
// An observation occupies observation_space().n floats (a Discrete one is one-hot). After a failed step or load_state
// the environments are as before the call, but for environments that call foreign code (Python), which must be reset.
class VecEnv {
 public:
  virtual ~VecEnv() = default;
  virtual std::int64_t num_envs() const = 0;
  virtual const Space& observation_space() const = 0;
  virtual const Space& action_space() const = 0;

  // Starts a new episode in every row. Row i of our own environments draws from the generator seeded by seed + i
  // (Gymnasium's rule for a batch), so its episodes do not depend on num_envs. observations: [num_envs * observation
  // size].
  virtual base::Status reset(std::uint64_t seed, float* observations) = 0;

  // actions: int32 [num_envs] from the space's start on for Discrete, float [num_envs * n] for Box. An action outside a
  // Discrete space is kInvalidArgument and names the row and the value; before the first reset a step is
  // kFailedPrecondition.
  virtual base::Status step(const void* actions, const StepBuffers& out) = 0;

  // Starts a new episode in the rows whose mask byte is not 0 (null: in all), and writes the observations of those rows
  // only. seeds: null, and the rows' generators go on; or [num_envs], and row i draws from then on as row 0 of a batch
  // reset with seeds[i] would. kUnimplemented where not overridden.
  virtual base::Status reset_rows(const std::uint8_t* mask, const std::uint64_t* seeds, float* observations);

  // Everything needed to go on to the bit: the state of the environments and of their generators. load_state accepts
  // what save_state of a batch of the same kind, size and options gave, and refuses anything else with kDataLoss.
  // Where can_restore() is false (environments in foreign code) the state is empty, load_state is kUnimplemented, and
  // whoever goes on must reset instead.
  virtual bool can_restore() const { return true; }
  virtual std::string save_state() const = 0;
  virtual base::Status load_state(std::string_view bytes) = 0;
};

struct EnvOptions {
  std::int64_t num_envs = 1;
  Autoreset autoreset = Autoreset::kSameStep;
  std::map<std::string, std::string> options = {};  // e.g. {"reward", "win"}, {"max_episode_steps", "1000"}
};

// A batch of one of our own environments: "CartPole-v1", "Pendulum-v1", "daybreak/Pong-v0". An unknown id (kNotFound)
// or option key (kInvalidArgument) fails with a sentence that names the valid ones.
base::Result<std::unique_ptr<VecEnv>> make_vec_env(std::string_view id, const EnvOptions& options);

// The ids that make_vec_env knows.
std::vector<std::string> env_ids();

}  // namespace daybreak::rl
