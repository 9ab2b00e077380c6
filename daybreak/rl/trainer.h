// What every trainer can do, and its evaluation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/rl/algo/batch.h"
#include "daybreak/rl/envs/vec_env.h"
#include "daybreak/rl/policy.h"

namespace daybreak::rl {

// Makes environments for a trainer: ours by id, or a user's in Python. Called from the thread that calls the trainer.
using EnvFactory = std::function<base::Result<std::unique_ptr<VecEnv>>(const EnvOptions&)>;

// Names and values of one iteration, in the order in which a person wants to read them.
using IterationResult = std::vector<std::pair<std::string, double>>;

// One thread at a time calls a trainer. A call that fails leaves what has been learned as it was.
class Trainer {
 public:
  virtual ~Trainer() = default;

  // One iteration: sample, learn.
  virtual base::Result<IterationResult> train() = 0;
  virtual std::int64_t timesteps() const = 0;
  // A snapshot; training on does not change it.
  virtual std::shared_ptr<const Policy> policy() const = 0;
  // A container file with everything needed to go on to the bit; it is also a policy file.
  virtual base::Result<std::string> save() const = 0;
  // kDataLoss when damaged, kInvalidArgument when it is of another algorithm, environment or model. On failure nothing
  // changes.
  virtual base::Status restore(std::string bytes) = 0;
  // The configuration as JSON.
  virtual std::string config() const = 0;
  // Reads a configuration as JSON and takes from it what may change while training: the schedules of learning (and
  // DQN's exploration_timesteps). The rest of it is not looked at. kInvalidArgument as for parsing; nothing changes
  // then.
  virtual base::Status adjust(std::string_view config) = 0;
  // The environments have been used by somebody else: the next iteration starts new episodes in them.
  virtual void begin_anew() {}
};

// Means over the last episodes, kept by every trainer.
class EpisodeWindow {
 public:
  static constexpr std::size_t kEpisodes = 100;
  void add(const EpisodeLog& log);
  // Adds episode_reward_mean, _min, _max, episode_len_mean over the last kEpisodes (or all of the newest iteration's,
  // if more; NaN while none has ended), episodes_this_iter, episodes_total.
  void report(IterationResult& result) const;
  std::string save() const;
  bool load(std::string_view bytes);

 private:
  std::vector<double> returns_;
  std::vector<std::int64_t> lengths_;
  std::int64_t this_iteration_ = 0;
  std::int64_t total_ = 0;
};

struct EvaluateOptions {
  std::int64_t episodes = 100;
  std::uint64_t seed = 0;
  bool deterministic = true;
  std::int64_t max_steps = 100'000;  // of one episode; one that goes on is counted as it stands
  // Asked now and then; an error ends the evaluation with it (a person's interrupt).
  std::function<base::Status()> go_on = {};
};

struct Evaluation : EpisodeLog {
  std::int64_t unfinished = 0;  // episodes that were ended by max_steps
};

// Plays whole episodes, the same number (+-1) in every environment of `env`, so that short ones are not preferred.
base::Result<Evaluation> evaluate(const Policy& policy, VecEnv& env, const EvaluateOptions& options);
// How many environments evaluate() should be given.
std::int64_t evaluation_envs(std::int64_t episodes);

}  // namespace daybreak::rl
