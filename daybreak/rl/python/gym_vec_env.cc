#include "daybreak/rl/python/gym_vec_env.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "daybreak/base/bind.h"
#include "daybreak/rl/python/buffer.h"
#include "daybreak/rl/python/numbers.h"

namespace nb = nanobind;

namespace daybreak::rl {

using base::Code;
using base::fail;

namespace {

constexpr std::int64_t kMaxDiscrete = std::int64_t{1} << 30;  // so that every action fits into 32 bits

std::string text_of(nb::handle object) {
  return nb::str(object).c_str();
}

std::string type_of(nb::handle object) {
  return text_of(object.type().attr("__name__"));
}

nb::object gymnasium() {
  return nb::module_::import_("daybreak.rl.envs.extra").attr("gymnasium_or_raise")("these environments");
}

// What an environment answered is not what it should be.
base::Status answered(const char* method, std::int64_t row, const base::Error& error) {
  return fail(Code::kInvalidArgument, "{} of environment {} gave {}", method, row, error.message());
}

// Copies numbers of a buffer as float32; false for an element type that is not a number.
bool to_floats(const Buffer& buffer, std::int64_t n, float* to) {
  const auto convert = [&]<typename T>(const T* from) {
    std::transform(from, from + n, to, [](T value) { return static_cast<float>(value); });
    return true;
  };
  const void* from = buffer->buf;
  switch (buffer.letter()) {
    case 'f': std::memcpy(to, from, n * sizeof(float)); return true;
    case 'd': return convert(static_cast<const double*>(from));
    case 'B': return convert(static_cast<const std::uint8_t*>(from));
    case 'b': return convert(static_cast<const std::int8_t*>(from));
    case 'i': return convert(static_cast<const std::int32_t*>(from));
    case 'q':
    case 'l': return convert(static_cast<const std::int64_t*>(from));
    default: return false;
  }
}

}  // namespace

GymVecEnv::PySpace GymVecEnv::space_of(nb::handle space, const char* role) {
  const nb::object spaces = gymnasium().attr("spaces");
  PySpace result;
  if (nb::isinstance(space, spaces.attr("Discrete"))) {
    const auto number = [&](const char* name) { return base::value_or_raise(integer_of(space.attr(name), name)); };
    result.space = Space::discrete(number("n"), number("start"));
    if (const std::int64_t start = result.space.start; start < -kMaxDiscrete || start > kMaxDiscrete) {
      throw nb::value_error(
          fmt::format("the {} space {} starts at {}: -2**30 to 2**30 are possible", role, text_of(space), start)
              .c_str());
    }
    return result;
  }
  if (!nb::isinstance(space, spaces.attr("Box"))) {
    throw nb::value_error(
        fmt::format("the {} space {} is not supported: a Box (it is flattened) or a Discrete is; for others there are "
                    "wrappers, such as gymnasium.wrappers.FlattenObservation",
                    role, text_of(space))
            .c_str());
  }
  const auto numbers = [&](const char* side) {
    return nb::cast<std::vector<double>>(space.attr(side).attr("astype")("float64").attr("ravel")().attr("tolist")());
  };
  result.space = Space::box(numbers("low"), numbers("high"));
  if (result.space.n == 0) {
    throw nb::value_error(fmt::format("the {} space {} has no components", role, text_of(space)).c_str());
  }
  result.shape = space.attr("shape");
  const auto shape = nb::cast<std::vector<std::int64_t>>(result.shape);
  if (shape.size() != 1) result.space.shape = shape;
  result.dtype = space.attr("dtype");
  return result;
}

std::unique_ptr<GymVecEnv> GymVecEnv::make(std::vector<nb::object> envs, Autoreset autoreset) {
  const nb::object first_observation = envs.front().attr("observation_space"),
                   first_action = envs.front().attr("action_space");
  for (std::size_t i = 1; i < envs.size(); ++i) {
    for (const auto& [first, name] :
         {std::pair(first_observation, "observation_space"), std::pair(first_action, "action_space")}) {
      const nb::object space = envs[i].attr(name);
      if (!first.equal(space)) {
        throw nb::value_error(fmt::format("the {} of environment {} is {}, that of environment 0 is {}", name, i,
                                          text_of(space), text_of(first))
                                  .c_str());
      }
    }
  }
  PySpace observation = space_of(first_observation, "observation"), action = space_of(first_action, "action");
  return std::unique_ptr<GymVecEnv>(
      new GymVecEnv(std::move(envs), autoreset, std::move(observation), std::move(action)));
}

GymVecEnv::GymVecEnv(std::vector<nb::object> envs, Autoreset autoreset, PySpace observation, PySpace action)
    : autoreset_(autoreset),
      observation_(std::move(observation)),
      action_(std::move(action)),
      numpy_(nb::module_::import_("numpy")),
      exception_(nb::none()) {
  for (nb::object& env : envs) {
    nb::object reset = env.attr("reset"), step = env.attr("step");
    rows_.push_back({std::move(env), std::move(reset), std::move(step)});
  }
}

GymVecEnv::~GymVecEnv() {
  const nb::gil_scoped_acquire gil;
  rows_.clear();
  for (PySpace* space : {&observation_, &action_}) {
    space->shape.reset();
    space->dtype.reset();
  }
  numpy_.reset();
  exception_.reset();
}

bool GymVecEnv::shares_with(const GymVecEnv& other) const {
  const auto inner = [](const Row& row) { return nb::object(nb::getattr(row.env, "unwrapped", row.env)); };
  return std::ranges::any_of(rows_, [&](const Row& mine) {
    return std::ranges::any_of(other.rows_, [&](const Row& theirs) { return inner(mine).is(inner(theirs)); });
  });
}

std::string GymVecEnv::image_shape() const {
  if (observation_.space.kind != Space::Kind::kBox || nb::len(observation_.shape) < 2) return {};
  return text_of(observation_.dtype) == "uint8" ? text_of(observation_.shape) : std::string();
}

int GymVecEnv::traverse(visitproc visit, void* arg) const {
  for (const Row& row : rows_) {
    Py_VISIT(row.env.ptr());
    Py_VISIT(row.reset.ptr());
    Py_VISIT(row.step.ptr());
  }
  Py_VISIT(exception_.ptr());
  return 0;
}

void GymVecEnv::clear() {
  for (Row& row : rows_) row = {nb::none(), nb::none(), nb::none()};
  exception_ = nb::none();
  started_ = false;
}

// An exception's words; those of one whose str() raises are not worth losing it.
std::string words_of(nb::handle exception) {
  try {
    return text_of(exception);
  } catch (nb::python_error&) {
    return "(its str() raises)";
  }
}

// Runs what calls Python; an exception becomes an error and is kept.
template <typename Function>
base::Status GymVecEnv::guarded(std::int64_t row, const char* method, Function function) {
  try {
    return function();
  } catch (nb::python_error& error) {
    exception_ = nb::borrow(error.value());
    // An interrupt is the person's and no fault of the environment.
    const Code code = error.matches(PyExc_KeyboardInterrupt) ? Code::kCancelled : Code::kUnknown;
    return fail(code, "{} of environment {} raised {}: {}", method, row, type_of(error.value()),
                words_of(error.value()));
  } catch (const std::exception& error) {
    return fail(Code::kInvalidArgument, "{} of environment {} answered what cannot be read: {}", method, row,
                error.what());
  }
}

base::Status GymVecEnv::read_observation(nb::handle value, std::int64_t row, const char* method, float* to) const {
  const std::int64_t n = observation_.space.n;
  if (observation_.space.kind == Space::Kind::kDiscrete) {
    const base::Result<std::int64_t> found = integer_of(value, "observation");
    if (!found) return answered(method, row, found.error());
    const std::int64_t at = *found - observation_.space.start;
    if (at < 0 || at >= n) {
      return fail(Code::kInvalidArgument, "{} of environment {} gave the observation {}, which is not in {}..{}",
                  method, row, *found, observation_.space.start, observation_.space.start + n - 1);
    }
    std::fill_n(to, n, 0.0F);
    to[at] = 1;
    return {};
  }

  nb::object array = nb::borrow(value);
  if (!nb::hasattr(value, "shape")) array = numpy_.attr("asarray")(value);
  if (!array.attr("shape").equal(observation_.shape)) {
    return fail(Code::kInvalidArgument, "{} of environment {} gave an observation of shape {}, its space has {}",
                method, row, text_of(array.attr("shape")), text_of(observation_.shape));
  }
  bool read = false;
  if (!is_masked(array)) {
    const Buffer buffer(array);
    read = buffer.ok() && to_floats(buffer, n, to);
  }
  if (!read) {
    nb::object floats;
    try {
      floats = float_array_of(array, "observation");
    } catch (nb::python_error& error) {
      if (!error.matches(PyExc_ValueError)) throw;
      return fail(Code::kInvalidArgument, "{} of environment {} gave {}", method, row, text_of(error.value()));
    }
    to_floats(Buffer(floats), n, to);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(to[i])) {
      return fail(Code::kInvalidArgument, "{} of environment {} gave an observation that is {} at index {}", method,
                  row, to[i], i);
    }
  }
  return {};
}

base::Status GymVecEnv::reset_row(std::int64_t row, const std::uint64_t* seed, float* observations) {
  return guarded(row, "reset", [&]() -> base::Status {
    const nb::object answer = seed ? rows_[row].reset(nb::arg("seed") = *seed) : rows_[row].reset();
    if (!nb::isinstance<nb::tuple>(answer) || nb::len(answer) != 2) {
      return fail(Code::kInvalidArgument, "reset of environment {} gave {}, not a tuple (observation, info)", row,
                  type_of(answer));
    }
    DAYBREAK_TRY(read_observation(answer[0], row, "reset", observations + row * observation_.space.n));
    rows_[row].over = false;
    return {};
  });
}

base::Status GymVecEnv::reset(std::uint64_t seed, float* observations) {
  const nb::gil_scoped_acquire gil;
  started_ = false;
  for (std::int64_t row = 0; row < num_envs(); ++row) {
    const std::uint64_t row_seed = seed + row;
    DAYBREAK_TRY(reset_row(row, &row_seed, observations));
  }
  started_ = true;
  return {};
}

base::Status GymVecEnv::reset_rows(const std::uint8_t* mask, const std::uint64_t* seeds, float* observations) {
  const nb::gil_scoped_acquire gil;
  const bool started = started_ || !mask;
  started_ = false;
  for (std::int64_t row = 0; row < num_envs(); ++row) {
    if (mask && !mask[row]) continue;
    DAYBREAK_TRY(reset_row(row, seeds ? &seeds[row] : nullptr, observations));
  }
  started_ = started;
  return {};
}

nb::object GymVecEnv::action_at(const void* actions, std::int64_t row) const {
  if (action_.space.kind == Space::Kind::kDiscrete) {
    return nb::int_(static_cast<const std::int32_t*>(actions)[row]);
  }
  const std::int64_t n = action_.space.n;
  const float* from = static_cast<const float*>(actions) + row * n;
  const nb::bytes bytes(reinterpret_cast<const char*>(from), n * sizeof(float));
  const nb::object flat = numpy_.attr("frombuffer")(bytes, "float32");
  return flat.attr("astype")(action_.dtype).attr("reshape")(action_.shape);  // astype copies: the environment may write
}

base::Status GymVecEnv::call_step(std::int64_t row, const void* actions, const StepBuffers& out) {
  return guarded(row, "step", [&]() -> base::Status {
    if (action_.space.kind == Space::Kind::kDiscrete) {
      const std::int32_t action = static_cast<const std::int32_t*>(actions)[row];
      const std::int64_t start = action_.space.start;
      if (action < start || action >= start + action_.space.n) {
        return fail(Code::kInvalidArgument, "action {} of environment {} is not in {}..{}", action, row, start,
                    start + action_.space.n - 1);
      }
    }
    const nb::object answer = rows_[row].step(action_at(actions, row));
    if (!nb::isinstance<nb::tuple>(answer) || nb::len(answer) != 5) {
      return fail(Code::kInvalidArgument,
                  "step of environment {} gave {}, not a tuple (observation, reward, terminated, truncated, info)", row,
                  nb::isinstance<nb::tuple>(answer) ? fmt::format("a tuple of {}", nb::len(answer)) : type_of(answer));
    }
    DAYBREAK_TRY(read_observation(answer[0], row, "step", out.observations + row * observation_.space.n));
    const base::Result<double> reward = real_of(answer[1], "reward");
    if (!reward) return answered("step", row, reward.error());
    if (!std::isfinite(static_cast<float>(*reward))) {
      return fail(Code::kInvalidArgument, "step of environment {} gave the reward {}: it must be finite in 32 bits",
                  row, *reward);
    }
    const base::Result<bool> terminated = flag_of(answer[2], "terminated");
    if (!terminated) return answered("step", row, terminated.error());
    const base::Result<bool> truncated = flag_of(answer[3], "truncated");
    if (!truncated) return answered("step", row, truncated.error());
    out.rewards[row] = static_cast<float>(*reward);
    out.terminated[row] = *terminated ? 1 : 0;
    out.truncated[row] = *truncated ? 1 : 0;
    return {};
  });
}

base::Status GymVecEnv::step(const void* actions, const StepBuffers& out) {
  const nb::gil_scoped_acquire gil;
  if (!started_) {
    return fail(Code::kFailedPrecondition,
                "the environments were never reset, or not since one of them failed: call reset() before step()");
  }
  if (autoreset_ == Autoreset::kDisabled) {
    for (std::int64_t row = 0; row < num_envs(); ++row) {
      if (!rows_[row].over) continue;
      return fail(Code::kFailedPrecondition,
                  "the episode of environment {} is over and autoreset is disabled: reset it before the next step",
                  row);
    }
  }
  started_ = false;
  for (std::int64_t row = 0; row < num_envs(); ++row) DAYBREAK_TRY(step_row(row, actions, out));
  started_ = true;
  return {};
}

base::Status GymVecEnv::step_row(std::int64_t row, const void* actions, const StepBuffers& out) {
  const std::int64_t width = observation_.space.n;
  if (rows_[row].over) {  // kNextStep
    out.rewards[row] = 0;
    out.terminated[row] = out.truncated[row] = 0;
    return reset_row(row, nullptr, out.observations);
  }
  DAYBREAK_TRY(call_step(row, actions, out));
  if (!out.terminated[row] && !out.truncated[row]) return {};
  rows_[row].over = true;
  if (autoreset_ != Autoreset::kSameStep) return {};
  if (out.final_observations) {
    std::copy_n(out.observations + row * width, width, out.final_observations + row * width);
  }
  return reset_row(row, nullptr, out.observations);
}

base::Status GymVecEnv::load_state(std::string_view) {
  return fail(Code::kUnimplemented, "environments written in Python cannot be put back into a saved state: reset them");
}

namespace {

std::map<std::string, std::string> native_options(const nb::dict& options) {
  std::map<std::string, std::string> result;
  for (auto [key, value] : options) {
    const std::string name = nb::cast<std::string>(key);
    const nb::object plain = nb::module_::import_("daybreak.base.numbers").attr("plain")(value, name);
    result[name] = plain.is(nb::bool_(true)) ? "true" : plain.is(nb::bool_(false)) ? "false" : text_of(plain);
  }
  return result;
}

}  // namespace

namespace {

// One object that is stepped as two rows would give each of them every other step of one episode.
void refuse_shared(const std::vector<nb::object>& envs, nb::handle maker) {
  std::map<const PyObject*, std::size_t> seen;
  for (std::size_t i = 0; i < envs.size(); ++i) {
    const nb::object inner = nb::getattr(envs[i], "unwrapped", envs[i]);
    const auto [at, added] = seen.emplace(inner.ptr(), i);
    if (added) continue;
    throw nb::value_error(
        fmt::format("{} gave the same environment for rows {} and {}: return a new one at each call, or give the "
                    "environment itself with num_envs=1",
                    text_of(nb::repr(maker)), at->second, i)
            .c_str());
  }
}

}  // namespace

std::unique_ptr<VecEnv> make_env_from_python(nb::handle env, std::int64_t num_envs, Autoreset autoreset,
                                             const nb::dict& options) {
  std::string id;
  // The class of one game is a name for the games that C++ steps, unless they take their draws from Python.
  if (env.is(nb::module_::import_("daybreak._core").attr("rl").attr("Pong")) && !options.contains("uniform")) {
    return make_env_from_python(nb::str("daybreak/Pong-v0"), num_envs, autoreset, options);
  }
  const bool named = nb::try_cast(env, id);
  if (named) {
    const std::vector<std::string> ours = env_ids();
    if (std::ranges::find(ours, id) != ours.end()) {
      return base::value_or_raise(
          make_vec_env(id, {.num_envs = num_envs, .autoreset = autoreset, .options = native_options(options)}));
    }
  }
  if (num_envs < 1) throw nb::value_error(fmt::format("num_envs={} is not at least 1", num_envs).c_str());
  std::vector<nb::object> envs;
  if (named) {
    const nb::object gym = gymnasium();
    try {
      for (std::int64_t i = 0; i < num_envs; ++i) envs.push_back(gym.attr("make")(id, **options));
    } catch (nb::python_error& error) {
      if (!error.matches(gym.attr("error").attr("UnregisteredEnv"))) throw;
      std::string message = fmt::format("there is no environment '{}': built in are", id);
      for (const std::string& known : env_ids()) message += " " + known;
      base::raise(base::Error(Code::kNotFound, message + "; Gymnasium says: " + text_of(error.value())));
    }
  } else if (is_env_instance(env)) {
    if (num_envs != 1) {
      throw nb::value_error(
          fmt::format("one environment was given for num_envs={}: give a function that makes one", num_envs).c_str());
    }
    if (nb::len(options) != 0)
      throw nb::value_error("options are for an id, a class or a function, not for an environment that exists");
    envs.push_back(nb::borrow(env));
  } else if (PyCallable_Check(env.ptr())) {
    for (std::int64_t i = 0; i < num_envs; ++i) {
      envs.push_back(env(**options));
      if (!nb::hasattr(envs.back(), "reset") || !nb::hasattr(envs.back(), "step")) {
        throw nb::type_error(
            fmt::format("{} gave {}, which has no reset and step", text_of(nb::repr(env)), type_of(envs.back()))
                .c_str());
      }
    }
    refuse_shared(envs, env);
  } else {
    throw nb::type_error(
        fmt::format("an environment is an id, a class, a function or an object with reset and step, not {}",
                    type_of(env))
            .c_str());
  }
  return GymVecEnv::make(std::move(envs), autoreset);
}

bool is_env_instance(nb::handle env) {
  return nb::hasattr(env, "reset") && nb::hasattr(env, "step") && !PyType_Check(env.ptr());
}

void raise_env_error(VecEnv& env, const base::Error& error) {
  auto* gym = dynamic_cast<GymVecEnv*>(&env);
  const nb::object cause = gym ? gym->take_exception() : nb::none();
  if (cause.is_none()) base::raise(error);
  try {
    cause.attr("add_note")(error.to_string());
  } catch (nb::python_error&) {  // one that is frozen takes none
  }
  PyErr_SetObject(cause.type().ptr(), cause.ptr());
  throw nb::python_error();
}

}  // namespace daybreak::rl
