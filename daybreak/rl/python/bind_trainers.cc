// Trainers and rollout samplers in Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <map>
#include <memory>

#include "daybreak/base/bind.h"
#include "daybreak/rl/algo/bc.h"
#include "daybreak/rl/algo/dqn_trainer.h"
#include "daybreak/rl/algo/on_policy.h"
#include "daybreak/rl/python/gym_vec_env.h"
#include "daybreak/rl/python/policy_object.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace daybreak::rl {
namespace {

template <typename T>
nb::object array_of(std::vector<T> values, std::vector<std::size_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape.size(), shape.data(), owner));
}

// What a person named as the environment, and what was made of it. The owner holds the GIL when this is made and
// destroyed.
class EnvMaker {
 public:
  EnvMaker(nb::object env, nb::dict options) : env_(std::move(env)), options_(std::move(options)) {}

  // For the trainer's own environments: they live as long as it does, so a failed step can be raised from its cause.
  EnvFactory factory() {
    return [this](const EnvOptions& options) -> base::Result<std::unique_ptr<VecEnv>> {
      auto env = make(options.num_envs, options_);
      if (!env) return env;
      const nb::gil_scoped_acquire acquire;
      if (made_from(**env)) {
        PyErr_SetString(PyExc_ValueError,
                        "the function gave the same environment for several threads: return a new one at each call");
        return base::fail(base::Code::kUnknown, "the environment could not be made");
      }
      made_.push_back(env->get());
      if (!warn_of_images(**env)) return base::fail(base::Code::kUnknown, "the environment could not be made");
      return env;
    };
  }

  // Whether the trainer's own environments hold one of these too. The GIL must be held.
  bool made_from(const VecEnv& env) const {
    const auto* gym = dynamic_cast<const GymVecEnv*>(&env);
    for (const VecEnv* made : made_) {
      const auto* other = dynamic_cast<const GymVecEnv*>(made);
      if (gym != nullptr && other != nullptr && gym->shares_with(*other)) return true;
    }
    return false;
  }

  // False when the warning was made an error, which is then set.
  bool warn_of_images(const VecEnv& env) {
    const nb::gil_scoped_acquire acquire;
    const auto* gym = dynamic_cast<const GymVecEnv*>(&env);
    const std::string shape = gym != nullptr && !warned_ ? gym->image_shape() : std::string();
    if (shape.empty()) return true;
    warned_ = true;
    const std::string text = fmt::format(
        "observations of shape {} look like images: the net is an MLP over the flattened numbers, which learns little "
        "from "
        "pixels. Give features instead, or at least small grey ones with normalize_observations=True",
        shape);
    return PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 3) == 0;
  }

  // A Python exception stays set, and the Result says only that there is one. Takes the GIL.
  base::Result<std::unique_ptr<VecEnv>> make(std::int64_t num_envs, const nb::dict& options) const {
    const nb::gil_scoped_acquire acquire;
    try {
      return make_env_from_python(env_, num_envs, Autoreset::kSameStep, options);
    } catch (nb::python_error& error) {
      error.restore();
    } catch (nb::builtin_exception& error) {
      PyErr_SetString(error.type() == nb::exception_type::type_error ? PyExc_TypeError : PyExc_ValueError,
                      error.what());
    }
    return base::fail(base::Code::kUnknown, "the environment could not be made");
  }

  nb::dict options_with(const nb::dict& more) const {
    nb::dict all;
    for (const auto& [key, value] : options_) all[key] = value;
    for (const auto& [key, value] : more) all[key] = value;
    return all;
  }

  // Whether the person gave an environment rather than what makes one.
  bool is_instance() const { return is_env_instance(env_); }

  // What factory() made is gone.
  void forget() { made_.clear(); }

  [[noreturn]] void raise(const base::Error& error) const {
    if (PyErr_Occurred() != nullptr) throw nb::python_error();
    for (VecEnv* env : made_) {
      if (const auto* gym = dynamic_cast<GymVecEnv*>(env); gym != nullptr && gym->failed())
        raise_env_error(*env, error);
    }
    base::raise(error);
  }

 private:
  nb::object env_;
  nb::dict options_;
  std::vector<VecEnv*> made_;
  bool warned_ = false;
};

bool is_count(std::string_view name) {
  return name.ends_with("_total") || name.ends_with("_this_iter") || name == "training_iteration" ||
         name == "gradient_steps";
}

nb::dict result_dict(const IterationResult& result) {
  nb::dict out;
  nb::dict time;
  for (const auto& [name, value] : result) {
    if (name.ends_with("_s") && name != "steps_per_s") {
      time[name.substr(0, name.size() - 2).c_str()] = value;
    } else if (is_count(name)) {
      out[name.c_str()] = static_cast<std::int64_t>(value);
    } else {
      out[name.c_str()] = value;
    }
  }
  out["time"] = time;
  return out;
}

using FloatArray = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;

template <typename T>
std::span<const T> span_of(nb::handle fragment, const char* key) {
  using Array = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
  const auto array = nb::cast<Array>(fragment[key]);
  return {array.data(), array.size()};
}

Fragment fragment_of(nb::handle dict) {
  Fragment f;
  f.observations = span_of<float>(dict, "observations");
  f.actions = span_of<std::int32_t>(dict, "actions");
  f.box_actions = span_of<float>(dict, "box_actions");
  f.logp = span_of<float>(dict, "logp");
  f.values = span_of<float>(dict, "values");
  f.advantages = span_of<float>(dict, "advantages");
  f.returns = span_of<float>(dict, "returns");
  f.usable = span_of<std::uint8_t>(dict, "usable");
  f.episode_returns = span_of<double>(dict, "episode_returns");
  f.episode_lengths = span_of<std::int64_t>(dict, "episode_lengths");
  f.seen_count = nb::cast<double>(dict["seen_count"]);
  f.seen_mean = span_of<double>(dict, "seen_mean");
  f.seen_m2 = span_of<double>(dict, "seen_m2");
  f.seen_rewards = span_of<double>(dict, "seen_rewards");
  return f;
}

// A trainer and what makes its environments. The GIL is released while it works.
class TrainerObject {
 public:
  TrainerObject(std::unique_ptr<EnvMaker> maker, std::unique_ptr<Trainer> trainer)
      : maker_(std::move(maker)), trainer_(std::move(trainer)) {}

  nb::dict train() {
    base::Result<IterationResult> result;
    {
      const nb::gil_scoped_release release;
      result = trainer_->train();
    }
    return result_dict(raise_or(std::move(result)));
  }

  // callback(result): learning ends early where it answers False.
  nb::typed<nb::object, nb::any> learn(std::int64_t steps, nb::handle callback) {
    const std::int64_t end = trainer_->timesteps() + steps;
    nb::object last = nb::none();
    while (trainer_->timesteps() < end) {
      base::Result<IterationResult> result;
      {
        const nb::gil_scoped_release release;
        result = trainer_->train();
      }
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
      const IterationResult values = raise_or(std::move(result));
      const bool stop = !callback.is_none() && callback(result_dict(values)).is(nb::bool_(false));
      if (stop || trainer_->timesteps() >= end) last = result_dict(values);
      if (stop) break;
    }
    return last;
  }

  nb::dict update(const nb::list& fragments, double sample_s) {
    auto* on_policy = dynamic_cast<OnPolicyTrainer*>(trainer_.get());
    if (on_policy == nullptr) throw nb::type_error("only PPO, A2C and PG learn from fragments");
    std::vector<Fragment> parts;
    for (nb::handle fragment : fragments) parts.push_back(fragment_of(fragment));
    base::Result<IterationResult> result;
    {
      const nb::gil_scoped_release release;
      result = on_policy->update(parts, sample_s);
    }
    return result_dict(raise_or(std::move(result)));
  }

  nb::tuple evaluate(std::int64_t episodes, std::uint64_t seed, bool deterministic, std::int64_t max_steps,
                     const nb::dict& options) {
    const auto policy = trainer_->policy();
    // An environment that exists is the only one there is: it is played here, and training starts new episodes in it.
    const bool single = maker_->is_instance();
    const std::int64_t envs = single ? 1 : evaluation_envs(episodes);
    auto env = raise_or(maker_->make(envs, maker_->options_with(options)));
    if (maker_->made_from(*env)) trainer_->begin_anew();
    const auto go_on = []() -> base::Status {
      const nb::gil_scoped_acquire acquire;
      if (PyErr_CheckSignals() == 0) return {};
      return base::fail(base::Code::kCancelled, "interrupted");
    };
    base::Result<Evaluation> log;
    {
      const nb::gil_scoped_release release;
      log = rl::evaluate(
          *policy, *env,
          {.episodes = episodes, .seed = seed, .deterministic = deterministic, .max_steps = max_steps, .go_on = go_on});
    }
    if (!log) {
      if (PyErr_Occurred() != nullptr) throw nb::python_error();
      raise_env_error(*env, log.error());
    }
    Evaluation done = *std::move(log);
    const std::size_t n = done.returns.size();
    return nb::make_tuple(array_of(std::move(done.returns), {n}), array_of(std::move(done.lengths), {n}),
                          done.unfinished);
  }

  nb::bytes save() const {
    const std::string bytes = base::value_or_raise(trainer_->save());
    return nb::bytes(bytes.data(), bytes.size());
  }
  void restore(const nb::bytes& bytes) {
    base::value_or_raise(trainer_->restore(std::string(bytes.c_str(), bytes.size())));
  }

  nb::object weights() const {
    const auto* on_policy = dynamic_cast<const OnPolicyTrainer*>(trainer_.get());
    if (on_policy == nullptr) throw nb::type_error("only PPO, A2C and PG hand out weights for samplers");
    std::vector<float> flat = on_policy->weights();
    const std::size_t size = flat.size();
    return array_of(std::move(flat), {size});
  }

  Trainer& trainer() { return *trainer_; }

 private:
  template <typename T>
  T raise_or(base::Result<T> result) {
    if (!result) maker_->raise(result.error());
    return *std::move(result);
  }

  std::unique_ptr<EnvMaker> maker_;
  std::unique_ptr<Trainer> trainer_;
};

// RolloutSampler with its batch, as an actor holds it.
class SamplerObject {
 public:
  SamplerObject(const std::string& config, std::uint64_t stream, std::int64_t num_envs, nb::object env_name,
                nb::dict options)
      : config_(base::value_or_raise(parse_on_policy(config))), maker_(std::move(env_name), std::move(options)) {
    EnvOptions env_options;
    env_options.num_envs = num_envs;
    auto made = maker_.factory()(env_options);
    if (!made) maker_.raise(made.error());  // nothing was made
    auto env = *std::move(made);
    model_ = nn::Model(base::value_or_raise(model_spec(config_, env->observation_space(), env->action_space())));
    const int width = model_.spec().observation_size;
    filter_ = nn::Filter(width, config_.normalize_observations, static_cast<float>(config_.observation_clip));
    seen_ = nn::RunningStats(width);
    sampler_ = std::make_unique<RolloutSampler>(std::move(env), model_, sampler_options(config_), config_.seed, stream);
  }

  void set_weights(const FloatArray& flat) {
    const auto width = static_cast<std::size_t>(model_.spec().observation_size);
    if (flat.size() != model_.size() + 2 * width + 3) {
      throw nb::value_error(
          fmt::format("{} weights: this sampler's model has {}, a filter of 2 x {} and statistics of 3", flat.size(),
                      model_.size(), width)
              .c_str());
    }
    params_.assign(flat.data(), flat.data() + model_.size());
    std::copy_n(flat.data() + model_.size(), width, filter_.mean.data());
    std::copy_n(flat.data() + model_.size() + width, width, filter_.inverse_std.data());
    const float* rewards = flat.data() + model_.size() + 2 * width;
    nn::RunningStats stats(1);
    stats.count = static_cast<double>(rewards[0]);
    stats.mean[0] = static_cast<double>(rewards[1]);
    stats.m2[0] = static_cast<double>(rewards[2]);
    sampler_->set_reward_stats(stats);
  }

  nb::dict sample(std::int64_t steps) {
    if (params_.empty()) throw nb::value_error("set_weights() before sample()");
    if (steps < 1) throw nb::value_error("num_steps must be at least 1");
    const nn::ModelSpec& spec = model_.spec();
    SampleBatch batch;
    EpisodeLog log;
    batch.resize(steps * sampler_->num_envs(), spec.observation_size, spec.discrete ? 0 : spec.actions);
    base::Status status;
    {
      const nb::gil_scoped_release release;
      status = sampler_->sample(params_.data(), filter_, steps, batch, 0, log, seen_);
    }
    if (!status) maker_.raise(status.error());
    const auto rows = static_cast<std::size_t>(batch.rows);
    const auto width = static_cast<std::size_t>(spec.observation_size);
    const std::size_t episodes = log.returns.size();
    nb::dict out;
    out["observations"] = array_of(std::move(batch.observations), {rows, width});
    const std::size_t discrete_rows = batch.actions.size();
    out["actions"] = array_of(std::move(batch.actions), {discrete_rows});
    const std::size_t box_rows = spec.discrete ? 0 : rows;
    out["box_actions"] = array_of(std::move(batch.box_actions), {box_rows, static_cast<std::size_t>(spec.actions)});
    out["logp"] = array_of(std::move(batch.logp), {rows});
    out["values"] = array_of(std::move(batch.values), {rows});
    out["advantages"] = array_of(std::move(batch.advantages), {rows});
    out["returns"] = array_of(std::move(batch.returns), {rows});
    out["usable"] = array_of(std::move(batch.usable), {rows});
    out["episode_returns"] = array_of(std::move(log.returns), {episodes});
    out["episode_lengths"] = array_of(std::move(log.lengths), {episodes});
    out["seen_count"] = seen_.count;
    out["seen_mean"] = array_of(std::vector<double>(seen_.mean), {width});
    out["seen_m2"] = array_of(std::vector<double>(seen_.m2), {width});
    const nn::RunningStats& rewards = sampler_->seen_rewards();
    out["seen_rewards"] = array_of(std::vector<double>{rewards.count, rewards.mean[0], rewards.m2[0]}, {3});
    return out;
  }

  std::int64_t num_envs() const { return sampler_->num_envs(); }

 private:
  OnPolicyConfig config_;
  EnvMaker maker_;
  nn::Model model_;
  nn::Filter filter_;
  nn::RunningStats seen_;
  std::vector<float> params_;
  std::unique_ptr<RolloutSampler> sampler_;
};

// keeps: whether the trainer holds the environments that it makes; without it they are gone once their spaces are
// known.
template <typename Make>
std::unique_ptr<TrainerObject> make_trainer(nb::object env, nb::dict options, bool keeps, Make&& make) {
  auto maker = std::make_unique<EnvMaker>(std::move(env), std::move(options));
  auto trainer = make(maker->factory());
  if (!trainer) {
    maker->forget();
    maker->raise(trainer.error());
  }
  if (!keeps) maker->forget();
  return std::make_unique<TrainerObject>(std::move(maker), *std::move(trainer));
}

std::unique_ptr<TrainerObject> make_on_policy(const std::string& config, nb::object env, nb::dict options,
                                              bool local_sampling) {
  const OnPolicyConfig parsed = base::value_or_raise(parse_on_policy(config));
  return make_trainer(std::move(env), std::move(options), local_sampling, [&](const EnvFactory& factory) {
    return OnPolicyTrainer::make(parsed, factory, local_sampling);
  });
}

std::unique_ptr<TrainerObject> make_dqn(const std::string& config, nb::object env, nb::dict options) {
  const DqnConfig parsed = base::value_or_raise(parse_dqn(config));
  return make_trainer(std::move(env), std::move(options), true,
                      [&](const EnvFactory& factory) { return DqnTrainer::make(parsed, factory); });
}

std::unique_ptr<TrainerObject> make_bc(const std::string& config, nb::object env, nb::dict options,
                                       const FloatArray& observations, nb::handle actions) {
  const BcConfig parsed = base::value_or_raise(parse_bc(config));
  Demonstrations demonstrations;
  if (observations.ndim() == 0) throw nb::value_error("observations of shape (): [rows, n] is needed");
  demonstrations.rows = static_cast<std::int64_t>(observations.shape(0));
  demonstrations.observations.assign(observations.data(), observations.data() + observations.size());
  using IntArray = nb::ndarray<const std::int32_t, nb::c_contig, nb::device::cpu>;
  if (IntArray whole; nb::try_cast(actions, whole, false)) {
    demonstrations.actions.assign(whole.data(), whole.data() + whole.size());
  } else {
    const auto real = nb::cast<FloatArray>(actions);
    demonstrations.box_actions.assign(real.data(), real.data() + real.size());
  }
  return make_trainer(std::move(env), std::move(options), false, [&](const EnvFactory& factory) {
    return BcTrainer::make(parsed, factory, std::move(demonstrations));
  });
}

nb::list option_rows(const std::vector<std::array<std::string, 3>>& rows) {
  nb::list out;
  for (const auto& [name, help, value] : rows) out.append(nb::make_tuple(name, help, value));
  return out;
}

}  // namespace
}  // namespace daybreak::rl

void bind_trainers(nb::module_& m) {
  using namespace daybreak::rl;
  nb::class_<TrainerObject>(m, "Trainer", "A native trainer; daybreak.rl's trainers hold one.")
      .def("train", &TrainerObject::train, "One iteration; its results by name.")
      .def("learn", &TrainerObject::learn, "timesteps"_a, "callback"_a = nb::none(),
           "Iterations until that many more steps have been made, or the callback answers False; the last one's "
           "results.")
      .def("update", &TrainerObject::update, "fragments"_a, "sample_s"_a,
           "Learns from what samplers with weights() have made: one iteration's results.")
      .def("evaluate", &TrainerObject::evaluate, "episodes"_a, "seed"_a, "deterministic"_a, "max_steps"_a, "options"_a,
           "(returns, lengths, how many of them max_steps ended) of whole episodes in fresh environments.")
      .def("save", &TrainerObject::save, "A checkpoint, resumable to the bit; it is a policy file too.")
      .def("restore", &TrainerObject::restore, "bytes"_a,
           "Goes on from save(). DataLossError when damaged, ValueError when of another trainer; then nothing has "
           "changed.")
      .def(
          "adjust",
          [](TrainerObject& self, const std::string& config) {
            daybreak::base::value_or_raise(self.trainer().adjust(config));
          },
          "config"_a, "Takes the schedules of a configuration as JSON; the rest of it is not looked at.")
      .def("weights", &TrainerObject::weights, "What Sampler.set_weights takes: float32, flat.")
      .def_prop_ro(
          "policy", [](TrainerObject& self) { return PolicyObject(self.trainer().policy()); },
          "A snapshot of the policy.")
      .def_prop_ro("timesteps", [](TrainerObject& self) { return self.trainer().timesteps(); })
      .def_prop_ro("config", [](TrainerObject& self) { return self.trainer().config(); }, "The configuration as JSON.");
  nb::class_<SamplerObject>(
      m, "Sampler", "Environments and a copy of the policy that make fragments of samples: what a rollout actor holds.")
      .def(nb::init<const std::string&, std::uint64_t, std::int64_t, nb::object, nb::dict>(), "config"_a, "stream"_a,
           "num_envs"_a, "env"_a, "options"_a)
      .def("set_weights", &SamplerObject::set_weights, "weights"_a, "Trainer.weights().")
      .def("sample", &SamplerObject::sample, "num_steps"_a,
           "num_steps steps of every environment as a dict of arrays, for Trainer.update.")
      .def_prop_ro("num_envs", &SamplerObject::num_envs);
  m.def("make_on_policy", &make_on_policy, "config"_a, "env"_a, "options"_a, "local_sampling"_a = true,
        "A PPO, A2C or PG trainer from its configuration as JSON.");
  m.def(
      "on_policy_options", [] { return option_rows(describe_on_policy()); },
      "(name, help, default as JSON) of each option.");
  m.def("make_bc", &make_bc, "config"_a, "env"_a, "options"_a, "observations"_a, "actions"_a,
        "A BC trainer from its configuration as JSON; observations float32 [rows, n], actions int32 [rows] or float32 "
        "[rows, m].");
  m.def("bc_options", [] { return option_rows(describe_bc()); }, "(name, help, default as JSON) of each option.");
  m.def("make_dqn", &make_dqn, "config"_a, "env"_a, "options"_a, "A DQN trainer from its configuration as JSON.");
  m.def("dqn_options", [] { return option_rows(describe_dqn()); }, "(name, help, default as JSON) of each option.");
}
