#include "daybreak/rl/envs/batch_env.h"

#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace daybreak::rl {

using base::Code;
using base::fail;

bool BytesIn::raw(void* data, std::size_t size) {
  if (bytes_.size() < size) {
    bytes_ = {};
    return false;
  }
  std::memcpy(data, bytes_.data(), size);
  bytes_.remove_prefix(size);
  return true;
}

const std::string* OptionReader::find(std::string key) {
  const auto found = options_.find(key);
  known_.push_back(std::move(key));
  return found == options_.end() ? nullptr : &found->second;
}

base::Result<std::int64_t> OptionReader::integer(std::string key, std::int64_t fallback, std::int64_t low,
                                                 std::int64_t high) {
  const std::string* text = find(key);
  if (!text) return fallback;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < low || value > high) {
    return fail(Code::kInvalidArgument, "{}: {}={} is not an integer from {} to {}", env_id_, key, *text, low, high);
  }
  return value;
}

base::Result<double> OptionReader::number(std::string key, double fallback) {
  const std::string* text = find(key);
  if (!text) return fallback;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || !(std::abs(value) <= 1e12)) {
    return fail(Code::kInvalidArgument, "{}: {}={} is not a number of at most 1e12", env_id_, key, *text);
  }
  return value;
}

base::Result<bool> OptionReader::boolean(std::string key, bool fallback) {
  const std::string* text = find(key);
  if (!text) return fallback;
  if (*text == "true" || *text == "True" || *text == "1") return true;
  if (*text == "false" || *text == "False" || *text == "0") return false;
  return fail(Code::kInvalidArgument, "{}: {}={} is neither true nor false", env_id_, key, *text);
}

base::Result<std::string> OptionReader::choice(std::string key, std::vector<std::string> values) {
  const std::string* text = find(key);
  if (!text) return values.front();
  if (std::ranges::find(values, *text) == values.end()) {
    return fail(Code::kInvalidArgument, "{}: {}={} is not one of {}", env_id_, key, *text, fmt::join(values, ", "));
  }
  return *text;
}

base::Status OptionReader::finish() const {
  for (const auto& [key, value] : options_) {
    if (std::ranges::find(known_, key) == known_.end()) {
      return fail(Code::kInvalidArgument, "{} has no option '{}': it has {}", env_id_, key, fmt::join(known_, ", "));
    }
  }
  return {};
}

BatchEnv::BatchEnv(std::string kind, const EnvOptions& options, Space observations, Space actions,
                   std::int32_t step_limit)
    : kind_(std::move(kind)),
      num_envs_(options.num_envs),
      autoreset_(options.autoreset),
      options_(options.options),
      observation_space_(std::move(observations)),
      action_space_(std::move(actions)),
      observation_size_(observation_space_.n),
      step_limit_(step_limit),
      generators_(options.num_envs),
      steps_(options.num_envs, 0),
      over_(options.num_envs, 1),
      unstarted_(options.num_envs),
      started_(options.num_envs, 0) {
  ended_.reserve(options.num_envs);
  beginning_.reserve(options.num_envs);
}

void BatchEnv::mark_started(std::int64_t row) {
  unstarted_ -= started_[row] == 0;
  started_[row] = 1;
  over_[row] = 0;
  steps_[row] = 0;
}

void BatchEnv::start_from_outside(std::int64_t row) {
  mark_started(row);
  std::erase(ended_, static_cast<std::int32_t>(row));
}

void BatchEnv::begin(std::int64_t row, float* observations) {
  start(row);
  mark_started(row);
  observe(row, observations + row * observation_size_);
}

base::Status BatchEnv::reset(std::uint64_t seed, float* observations) {
  for (std::int64_t row = 0; row < num_envs_; ++row) {
    generators_[row] = base::Pcg64(seed, row);
    forget(row);
    begin(row, observations);
  }
  ended_.clear();
  return {};
}

base::Status BatchEnv::reset_rows(const std::uint8_t* mask, const std::uint64_t* seeds, float* observations) {
  for (std::int64_t row = 0; row < num_envs_; ++row) {
    if (mask && !mask[row]) continue;
    if (seeds) {
      generators_[row] = base::Pcg64(seeds[row]);
      forget(row);
    }
    begin(row, observations);
  }
  std::erase_if(ended_, [this](std::int32_t row) { return !over_[row]; });
  return {};
}

base::Status BatchEnv::step(const void* actions, const StepBuffers& out) {
  if (unstarted_ > 0) {
    const auto row = std::ranges::find(started_, 0) - started_.begin();
    return fail(Code::kFailedPrecondition, "{}: environment {} of {} was never reset: call reset() before step()",
                kind_, row, num_envs_);
  }
  if (autoreset_ == Autoreset::kDisabled && !ended_.empty()) {
    return fail(Code::kFailedPrecondition,
                "{}: the episode of environment {} is over and autoreset is disabled: reset it before the next step",
                kind_, ended_.front());
  }
  DAYBREAK_TRY(check_actions(actions));

  if (autoreset_ == Autoreset::kNextStep && !ended_.empty()) {
    // The rows that ended last time begin now; what advance() makes of them is overwritten.
    beginning_.swap(ended_);
    ended_.clear();
    advance(actions, out, ended_);
    std::size_t kept = 0;  // without branches, which would be guessed wrong
    for (const std::int32_t row : ended_) {
      ended_[kept] = row;
      kept += over_[row] == 0;
    }
    ended_.resize(kept);
    for (const std::int32_t row : beginning_) {
      begin(row, out.observations);
      out.rewards[row] = 0;
      out.terminated[row] = out.truncated[row] = 0;
    }
  } else {
    ended_.clear();
    advance(actions, out, ended_);
  }

  if (autoreset_ == Autoreset::kSameStep) {
    for (const std::int32_t row : ended_) {
      if (out.final_observations) {
        const std::int64_t at = row * observation_size_;
        std::copy_n(out.observations + at, observation_size_, out.final_observations + at);
      }
      begin(row, out.observations);
    }
    ended_.clear();
  } else {
    for (const std::int32_t row : ended_) over_[row] = 1;
  }
  return {};
}

base::Status BatchEnv::check_discrete(const std::int32_t* actions) const {
  constexpr std::int64_t kBlock = 16;  // a constant count is what compilers vectorise at -O2
  const auto n = static_cast<std::uint32_t>(action_space_.n);
  std::uint32_t bad = 0;
  std::int64_t at = 0;
  for (; at + kBlock <= num_envs_; at += kBlock) {
    for (std::int64_t i = 0; i < kBlock; ++i) bad |= static_cast<std::uint32_t>(actions[at + i]) >= n;
  }
  for (; at < num_envs_; ++at) bad |= static_cast<std::uint32_t>(actions[at]) >= n;
  if (!bad) return {};
  const auto row =
      std::find_if(actions, actions + num_envs_, [n](std::int32_t a) { return static_cast<std::uint32_t>(a) >= n; }) -
      actions;
  return fail(Code::kInvalidArgument, "{}: action {} of environment {} is not in 0..{}", kind_, actions[row], row,
              n - 1);
}

base::Status BatchEnv::check_row(std::int64_t row) const {
  if (row >= 0 && row < num_envs_) return {};
  return fail(Code::kOutOfRange, "{}: there is no environment {} among {}", kind_, row, num_envs_);
}

// Everything that a saved state must agree with.
std::string BatchEnv::header() const {
  return fmt::format("daybreak environments 1\n{} num_envs={} autoreset={} {}\n", kind_, num_envs_,
                     static_cast<int>(autoreset_), options_);
}

std::string BatchEnv::save_state() const {
  BytesOut out;
  out.array(generators_);
  out.array(steps_);
  out.array(over_);
  out.array(started_);
  save(out);
  std::string bytes = header() + out.take();
  const std::uint64_t sum = XXH3_64bits(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return bytes;
}

base::Status BatchEnv::load_state(std::string_view bytes) {
  const std::string expected = header();
  std::uint64_t sum = 0;
  if (bytes.size() < expected.size() + sizeof sum) {
    return fail(Code::kDataLoss, "the saved state is cut short: {} bytes", bytes.size());
  }
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  bytes.remove_suffix(sizeof sum);
  if (XXH3_64bits(bytes.data(), bytes.size()) != sum) {
    return fail(Code::kDataLoss, "the saved state is damaged: its checksum does not match");
  }
  if (!bytes.starts_with(expected)) {
    return fail(Code::kDataLoss, "the saved state is of other environments: '{}', these are '{}'",
                bytes.substr(0, bytes.find('\n', bytes.find('\n') + 1)), expected);
  }
  BytesIn in(bytes.substr(expected.size()));
  auto generators = generators_;
  auto steps = steps_;
  auto over = over_, started = started_;
  bool good = in.array(generators) && in.array(steps) && in.array(over) && in.array(started);
  for (std::int64_t row = 0; row < num_envs_ && good; ++row) {
    good = over[row] <= 1 && started[row] <= 1 && steps[row] >= 0 &&
           steps[row] < std::int64_t{step_limit_} + over[row] && (started[row] || over[row]) &&
           !(autoreset_ == Autoreset::kSameStep && started[row] && over[row]);
  }
  // load() comes last and leaves the physics alone when it returns false.
  if (!good || !load(in)) {
    return fail(Code::kDataLoss, "the saved state does not hold {} environments of {}", num_envs_, kind_);
  }
  generators_ = std::move(generators);
  steps_ = std::move(steps);
  over_ = std::move(over);
  started_ = std::move(started);
  unstarted_ = std::ranges::count(started_, 0);
  ended_.clear();
  for (std::int64_t row = 0; row < num_envs_; ++row) {
    if (over_[row] && started_[row]) ended_.push_back(static_cast<std::int32_t>(row));
  }
  return {};
}

}  // namespace daybreak::rl
