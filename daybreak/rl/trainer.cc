#include "daybreak/rl/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "daybreak/base/bytes.h"
#include "daybreak/rl/algo/sampler.h"

namespace daybreak::rl {

using base::Code;
using base::fail;

void EpisodeWindow::add(const EpisodeLog& log) {
  returns_.insert(returns_.end(), log.returns.begin(), log.returns.end());
  lengths_.insert(lengths_.end(), log.lengths.begin(), log.lengths.end());
  const std::size_t keep = std::max(kEpisodes, log.returns.size());
  if (returns_.size() > keep) {
    const auto drop = static_cast<std::ptrdiff_t>(returns_.size() - keep);
    returns_.erase(returns_.begin(), returns_.begin() + drop);
    lengths_.erase(lengths_.begin(), lengths_.begin() + drop);
  }
  this_iteration_ = static_cast<std::int64_t>(log.returns.size());
  total_ += this_iteration_;
}

void EpisodeWindow::report(IterationResult& result) const {
  double sum = 0;
  double length = 0;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  double low = nan;
  double high = nan;
  for (std::size_t i = 0; i < returns_.size(); ++i) {
    sum += returns_[i];
    length += static_cast<double>(lengths_[i]);
    low = i == 0 ? returns_[i] : std::min(low, returns_[i]);
    high = i == 0 ? returns_[i] : std::max(high, returns_[i]);
  }
  const auto n = static_cast<double>(returns_.size());
  result.emplace_back("episode_reward_mean", returns_.empty() ? nan : sum / n);
  result.emplace_back("episode_reward_min", low);
  result.emplace_back("episode_reward_max", high);
  result.emplace_back("episode_len_mean", returns_.empty() ? nan : length / n);
  result.emplace_back("episodes_this_iter", static_cast<double>(this_iteration_));
  result.emplace_back("episodes_total", static_cast<double>(total_));
}

std::string EpisodeWindow::save() const {
  base::ByteWriter out;
  out.fixed<std::uint64_t>(returns_.size());
  out.fixed<std::uint64_t>(static_cast<std::uint64_t>(this_iteration_));
  out.fixed<std::uint64_t>(static_cast<std::uint64_t>(total_));
  out.array(std::span(returns_));
  out.array(std::span(lengths_));
  return out.take();
}

bool EpisodeWindow::load(std::string_view bytes) {
  base::ByteReader in(bytes, "the window of episodes");
  const std::uint64_t n = in.fixed<std::uint64_t>();
  if (n > bytes.size()) return false;
  EpisodeWindow loaded;
  loaded.this_iteration_ = static_cast<std::int64_t>(in.fixed<std::uint64_t>());
  loaded.total_ = static_cast<std::int64_t>(in.fixed<std::uint64_t>());
  loaded.returns_.resize(n);
  loaded.lengths_.resize(n);
  in.array(std::span(loaded.returns_), "returns");
  in.array(std::span(loaded.lengths_), "lengths");
  if (!in.finish()) return false;
  *this = std::move(loaded);
  return true;
}

std::int64_t evaluation_envs(std::int64_t episodes) {
  return std::clamp<std::int64_t>(episodes, 1, 256);
}

base::Result<Evaluation> evaluate(const Policy& policy, VecEnv& env, const EvaluateOptions& options) {
  constexpr std::int64_t kStepsBetweenQuestions = 1024;
  if (options.episodes < 1) return fail(Code::kInvalidArgument, "episodes={}: at least 1", options.episodes);
  if (options.max_steps < 1) return fail(Code::kInvalidArgument, "max_steps={}: at least 1", options.max_steps);
  const Space& actions_here = env.action_space();
  const Space& actions_there = policy.info().action_space;
  if (env.observation_space().n != policy.observation_size() || actions_here.n != actions_there.n ||
      actions_here.start != actions_there.start) {
    return fail(Code::kInvalidArgument,
                "the environment has {} observations and {} actions from {} on, the policy {} and {} from {} on",
                env.observation_space().n, actions_here.n, actions_here.start, policy.observation_size(),
                actions_there.n, actions_there.start);
  }
  const auto envs = static_cast<std::size_t>(env.num_envs());
  const auto width = static_cast<std::size_t>(policy.observation_size());
  std::vector<float> observations(envs * width);
  std::vector<float> finals(envs * width);
  std::vector<float> rewards(envs);
  std::vector<std::uint8_t> terminated(envs);
  std::vector<std::uint8_t> truncated(envs);
  std::vector<std::uint8_t> cut(envs);
  std::vector<std::int32_t> actions(envs);
  std::vector<float> box_actions(policy.discrete() ? 0 : envs * static_cast<std::size_t>(policy.action_size()));
  std::vector<double> returns(envs);
  std::vector<std::int64_t> lengths(envs);
  std::vector<std::int64_t> quota(envs, options.episodes / env.num_envs());
  for (std::size_t i = 0; i < static_cast<std::size_t>(options.episodes % env.num_envs()); ++i) ++quota[i];
  base::Xoshiro256 random(options.seed, 77);
  void* out = policy.discrete() ? static_cast<void*>(actions.data()) : box_actions.data();

  Evaluation log;
  auto left = options.episodes;
  DAYBREAK_TRY(env.reset(env_seed(options.seed, 0), observations.data()));
  for (std::int64_t step = 0; left > 0; ++step) {
    if (options.go_on && step % kStepsBetweenQuestions == 0) DAYBREAK_TRY(options.go_on());
    policy.act_batch(observations.data(), env.num_envs(), out, options.deterministic ? nullptr : &random);
    DAYBREAK_TRY(
        env.step(out, {observations.data(), rewards.data(), terminated.data(), truncated.data(), finals.data()}));
    bool any_cut = false;
    for (std::size_t i = 0; i < envs; ++i) {
      returns[i] += static_cast<double>(rewards[i]);
      ++lengths[i];
      const bool ended = (terminated[i] | truncated[i]) != 0;
      cut[i] = !ended && lengths[i] >= options.max_steps ? 1 : 0;
      if (!ended && cut[i] == 0) continue;
      any_cut = any_cut || cut[i] != 0;
      if (quota[i] > 0) {
        log.returns.push_back(returns[i]);
        log.lengths.push_back(lengths[i]);
        log.unfinished += cut[i];
        --quota[i];
        --left;
      }
      returns[i] = 0;
      lengths[i] = 0;
    }
    if (any_cut && left > 0) DAYBREAK_TRY(env.reset_rows(cut.data(), nullptr, observations.data()));
  }
  return log;
}

}  // namespace daybreak::rl
