#include "daybreak/rl/algo/config.h"

#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

namespace daybreak::rl {

using base::Code;
using base::fail;
using nlohmann::json;

double Schedule::at(std::int64_t timestep) const {
  const double t = static_cast<double>(timestep);
  if (t <= points.front().first) return points.front().second;
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (t < points[i].first) {
      const auto& [t0, v0] = points[i - 1];
      const auto& [t1, v1] = points[i];
      return v0 + (v1 - v0) * (t - t0) / (t1 - t0);
    }
  }
  return points.back().second;
}

namespace {

base::Status read(std::string_view name, const json& value, Schedule& out) {
  if (value.is_number()) {
    out = Schedule(value.get<double>());
    return {};
  }
  if (!value.is_array() || value.empty()) {
    return fail(Code::kInvalidArgument, "{}={}: a number, or a list of [time step, value] points", name, value.dump());
  }
  out.points.clear();
  for (const json& point : value) {
    if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_number()) {
      return fail(Code::kInvalidArgument, "{}={}: each point is [time step, value]", name, value.dump());
    }
    out.points.emplace_back(point[0].get<double>(), point[1].get<double>());
    if (out.points.size() > 1 && !(out.points[out.points.size() - 2].first < out.points.back().first)) {
      return fail(Code::kInvalidArgument, "{}={}: time steps must increase", name, value.dump());
    }
  }
  return {};
}

base::Status read(std::string_view name, const json& value, std::string& out) {
  if (!value.is_string()) return fail(Code::kInvalidArgument, "{}={}: a string is needed", name, value.dump());
  out = value.get<std::string>();
  return {};
}

base::Status read(std::string_view name, const json& value, bool& out) {
  if (!value.is_boolean()) return fail(Code::kInvalidArgument, "{}={}: true or false is needed", name, value.dump());
  out = value.get<bool>();
  return {};
}

base::Status read(std::string_view name, const json& value, double& out) {
  if (!value.is_number()) return fail(Code::kInvalidArgument, "{}={}: a number is needed", name, value.dump());
  out = value.get<double>();
  return {};
}

base::Status read(std::string_view name, const json& value, std::uint64_t& out) {
  if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<std::int64_t>() < 0)) {
    return fail(Code::kInvalidArgument, "{}={}: a whole number from 0 to 2**64 - 1 is needed", name, value.dump());
  }
  out = value.get<std::uint64_t>();
  return {};
}

base::Status read(std::string_view name, const json& value, std::int64_t& out) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > kMost))
    return fail(Code::kInvalidArgument, "{}={}: a whole number is needed", name, value.dump());
  out = value.get<std::int64_t>();
  return {};
}

base::Status read(std::string_view name, const json& value, std::vector<int>& out) {
  constexpr int kMaxWidth = 1 << 14;
  out.clear();
  if (value.is_array() && value.size() <= 16) {
    for (const json& width : value) {
      if (!width.is_number_integer() || width.get<std::int64_t>() < 1 || width.get<std::int64_t>() > kMaxWidth) {
        return fail(Code::kInvalidArgument, "{}={}: sizes are whole numbers from 1 to {}", name, value.dump(),
                    kMaxWidth);
      }
      out.push_back(width.get<int>());
    }
    return {};
  }
  return fail(Code::kInvalidArgument, "{}={}: a list of up to 16 layer sizes is needed", name, value.dump());
}

base::Status read(std::string_view name, const json& value, std::map<std::string, std::string>& out) {
  out.clear();
  if (!value.is_object())
    return fail(Code::kInvalidArgument, "{}={}: an object of options is needed", name, value.dump());
  for (const auto& [key, option] : value.items())
    out[key] = option.is_string() ? option.get<std::string>() : option.dump();
  return {};
}

json write(const Schedule& schedule) {
  if (schedule.points.size() == 1) return schedule.points.front().second;
  json points = json::array();
  for (const auto& [t, v] : schedule.points) points.push_back({t, v});
  return points;
}
template <typename T>
json write(const T& value) {
  return json(value);
}

template <typename Config>
base::Result<Config> parse(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(Code::kInvalidArgument, "a trainer's configuration is one JSON object");
  Config config;
  std::vector<std::string> names;
  Config::fields(config, [&](const char* name, auto&, const char*) { names.emplace_back(name); });
  for (const auto& [key, value] : object.items()) {
    bool known = false;
    base::Status status;
    Config::fields(config, [&](const char* name, auto& field, const char*) {
      if (key != name) return;
      known = true;
      status = read(name, value, field);
    });
    if (!known) return fail(Code::kInvalidArgument, "unknown option '{}': valid are {}", key, fmt::join(names, ", "));
    DAYBREAK_TRY(std::move(status));
  }
  return config;
}

template <typename Config>
std::string dump(const Config& config) {
  json object = json::object();
  Config::fields(config, [&](const char* name, const auto& field, const char*) { object[name] = write(field); });
  return object.dump();
}

template <typename Config>
std::vector<std::array<std::string, 3>> describe() {
  const Config config;
  std::vector<std::array<std::string, 3>> rows;
  Config::fields(config, [&](const char* name, const auto& field, const char* help) {
    rows.push_back({name, help, write(field).dump()});
  });
  return rows;
}

template <typename T>
base::Status in_range(const char* name, T value, T low, T high) {
  if (value >= low && value <= high) return {};
  return fail(Code::kInvalidArgument, "{}={} is outside {} to {}", name, value, low, high);
}

base::Status one_of(const char* name, const std::string& value, std::initializer_list<std::string_view> valid) {
  for (std::string_view candidate : valid) {
    if (value == candidate) return {};
  }
  return fail(Code::kInvalidArgument, "{}='{}': valid are {}", name, value, fmt::join(valid, ", "));
}

base::Status no_less_than_zero(const char* name, const Schedule& schedule) {
  for (const auto& [steps, value] : schedule.points) {
    if (!(value >= 0)) return fail(Code::kInvalidArgument, "{}={} is less than 0", name, value);
  }
  return {};
}

base::Status no_less_than_zero(const char* name, double value) {
  return value >= 0 ? base::Status{} : fail(Code::kInvalidArgument, "{}={} is less than 0", name, value);
}

constexpr std::int64_t kMaxEnvs = 1 << 16;
constexpr std::int64_t kMaxSteps = 1 << 20;
constexpr std::int64_t kMaxSamples = std::int64_t{1} << 26;
constexpr std::int64_t kMaxThreads = 64;

}  // namespace

base::Result<OnPolicyConfig> parse_on_policy(std::string_view text) {
  DAYBREAK_ASSIGN(OnPolicyConfig c, parse<OnPolicyConfig>(text));
  DAYBREAK_TRY(one_of("algo", c.algo, {"ppo", "a2c", "pg"}));
  DAYBREAK_TRY(one_of("activation", c.activation, {"tanh", "relu"}));
  DAYBREAK_TRY(one_of("init", c.init, {"orthogonal", "normc", "uniform"}));
  DAYBREAK_TRY(one_of("optimizer", c.optimizer, {"adam", "rmsprop", "rmsprop_tf"}));
  DAYBREAK_TRY(in_range<std::int64_t>("sde_sample_freq", c.sde_sample_freq, -1, kMaxSteps));
  DAYBREAK_TRY(in_range("rmsprop_alpha", c.rmsprop_alpha, 0.0, 1.0));
  DAYBREAK_TRY(in_range<std::int64_t>("num_envs", c.num_envs, 1, kMaxEnvs));
  DAYBREAK_TRY(in_range<std::int64_t>("num_steps", c.num_steps, 1, kMaxSteps));
  DAYBREAK_TRY(in_range<std::int64_t>("num_envs * num_steps", c.num_envs * c.num_steps, 1, kMaxSamples));
  DAYBREAK_TRY(in_range<std::int64_t>("num_threads", c.num_threads, 1, kMaxThreads));
  DAYBREAK_TRY(in_range<std::int64_t>("minibatch_size", c.minibatch_size, 0, kMaxSamples));
  DAYBREAK_TRY(in_range<std::int64_t>("num_epochs", c.num_epochs, 1, 10000));
  DAYBREAK_TRY(in_range("gamma", c.gamma, 0.0, 1.0));
  DAYBREAK_TRY(in_range("gae_lambda", c.gae_lambda, 0.0, 1.0));
  DAYBREAK_TRY(in_range("adam_beta1", c.adam_beta1, 0.0, 1.0));
  DAYBREAK_TRY(in_range("adam_beta2", c.adam_beta2, 0.0, 1.0));
  DAYBREAK_TRY(no_less_than_zero("lr", c.lr));
  DAYBREAK_TRY(no_less_than_zero("clip", c.clip));
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, double>>{{"value_clip", c.value_clip},
                                                             {"observation_clip", c.observation_clip},
                                                             {"reward_clip", c.reward_clip},
                                                             {"max_grad_norm", c.max_grad_norm},
                                                             {"kl_coef", c.kl_coef},
                                                             {"kl_target", c.kl_target},
                                                             {"target_kl", c.target_kl},
                                                             {"rmsprop_eps", c.rmsprop_eps},
                                                             {"adam_eps", c.adam_eps}}) {
    DAYBREAK_TRY(no_less_than_zero(name, value));
  }
  return c;
}

base::Result<BcConfig> parse_bc(std::string_view text) {
  DAYBREAK_ASSIGN(BcConfig c, parse<BcConfig>(text));
  DAYBREAK_TRY(one_of("algo", c.algo, {"bc"}));
  DAYBREAK_TRY(one_of("activation", c.activation, {"tanh", "relu"}));
  DAYBREAK_TRY(one_of("init", c.init, {"orthogonal", "normc", "uniform"}));
  DAYBREAK_TRY(in_range<std::int64_t>("num_threads", c.num_threads, 1, kMaxThreads));
  DAYBREAK_TRY(in_range<std::int64_t>("minibatch_size", c.minibatch_size, 0, kMaxSamples));
  DAYBREAK_TRY(in_range<std::int64_t>("num_epochs", c.num_epochs, 1, 10000));
  DAYBREAK_TRY(in_range("validation_fraction", c.validation_fraction, 0.0, 0.9));
  DAYBREAK_TRY(in_range("adam_beta1", c.adam_beta1, 0.0, 1.0));
  DAYBREAK_TRY(in_range("adam_beta2", c.adam_beta2, 0.0, 1.0));
  DAYBREAK_TRY(no_less_than_zero("lr", c.lr));
  DAYBREAK_TRY(no_less_than_zero("observation_clip", c.observation_clip));
  DAYBREAK_TRY(no_less_than_zero("max_grad_norm", c.max_grad_norm));
  DAYBREAK_TRY(no_less_than_zero("adam_eps", c.adam_eps));
  return c;
}

base::Result<DqnConfig> parse_dqn(std::string_view text) {
  DAYBREAK_ASSIGN(DqnConfig c, parse<DqnConfig>(text));
  DAYBREAK_TRY(one_of("activation", c.activation, {"tanh", "relu"}));
  DAYBREAK_TRY(in_range<std::int64_t>("num_envs", c.num_envs, 1, 4096));
  DAYBREAK_TRY(in_range<std::int64_t>("batch_size", c.batch_size, 1, 1 << 16));
  DAYBREAK_TRY(in_range<std::int64_t>("buffer_size", c.buffer_size, 1, kMaxSamples));
  DAYBREAK_TRY(in_range<std::int64_t>("train_freq", c.train_freq, 1, kMaxSteps));
  DAYBREAK_TRY(in_range<std::int64_t>("steps_per_iteration", c.steps_per_iteration, 1, kMaxSamples));
  DAYBREAK_TRY(in_range<std::int64_t>("gradient_steps", c.gradient_steps, 1, kMaxSteps));
  DAYBREAK_TRY(in_range<std::int64_t>("target_update_interval", c.target_update_interval, 1, kMaxSamples));
  DAYBREAK_TRY(in_range<std::int64_t>("n_step", c.n_step, 1, 64));
  DAYBREAK_TRY(in_range("gamma", c.gamma, 0.0, 1.0));
  DAYBREAK_TRY(in_range("tau", c.tau, 0.0, 1.0));
  DAYBREAK_TRY(in_range("exploration_initial_eps", c.exploration_initial_eps, 0.0, 1.0));
  DAYBREAK_TRY(in_range("exploration_final_eps", c.exploration_final_eps, 0.0, 1.0));
  DAYBREAK_TRY(in_range<std::int64_t>("exploration_timesteps", c.exploration_timesteps, 0, INT64_MAX));
  DAYBREAK_TRY(in_range<std::int64_t>("learning_starts", c.learning_starts, 0, INT64_MAX));
  DAYBREAK_TRY(no_less_than_zero("lr", c.lr));
  DAYBREAK_TRY(no_less_than_zero("prioritized_alpha", c.prioritized_alpha));
  DAYBREAK_TRY(no_less_than_zero("prioritized_beta", c.prioritized_beta));
  DAYBREAK_TRY(no_less_than_zero("max_grad_norm", c.max_grad_norm));
  DAYBREAK_TRY(no_less_than_zero("adam_eps", c.adam_eps));
  return c;
}

std::string to_json(const OnPolicyConfig& config) {
  return dump(config);
}
std::string to_json(const BcConfig& config) {
  return dump(config);
}
std::string to_json(const DqnConfig& config) {
  return dump(config);
}
std::vector<std::array<std::string, 3>> describe_on_policy() {
  return describe<OnPolicyConfig>();
}
std::vector<std::array<std::string, 3>> describe_bc() {
  return describe<BcConfig>();
}
std::vector<std::array<std::string, 3>> describe_dqn() {
  return describe<DqnConfig>();
}

}  // namespace daybreak::rl
