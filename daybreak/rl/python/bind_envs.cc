// The environments' part of daybreak._core.rl.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "daybreak/base/bind.h"
#include "daybreak/rl/envs/cartpole.h"
#include "daybreak/rl/envs/pendulum.h"
#include "daybreak/rl/envs/pong_batch.h"
#include "daybreak/rl/python/gym_vec_env.h"
#include "daybreak/rl/python/vec_env_object.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace daybreak::rl {
namespace {

// Draws from a Python callable, or from a generator of our own. A call that fails is kept for the caller to throw,
// since the game knows no exceptions.
class PythonDraws final : public UniformSource {
 public:
  explicit PythonDraws(nb::object callable) : callable_(std::move(callable)) {}

  double next() override {
    if (callable_.is_none()) return random_.uniform();
    if (failure_) return 0;
    try {
      const double value = nb::cast<double>(callable_());
      if (value >= 0 && value < 1) return value;
      throw nb::value_error(fmt::format("uniform() gave {}, which is not in [0, 1)", value).c_str());
    } catch (...) {
      failure_ = std::current_exception();
      return 0;
    }
  }

  bool seeded() const { return seeded_ || !callable_.is_none(); }
  void seed(std::uint64_t value) {
    random_ = base::Pcg64(value);
    seeded_ = true;
  }
  std::exception_ptr take_failure() { return std::exchange(failure_, nullptr); }
  const nb::object& callable() const { return callable_; }

 private:
  nb::object callable_;
  base::Pcg64 random_;
  bool seeded_ = false;
  std::exception_ptr failure_;
};

// One game with Gymnasium's methods and float64 observations.
class PongObject {
 public:
  PongObject(nb::object uniform, const std::string& reward) : draws_(std::move(uniform)), win_(reward == "win") {
    if (reward != "win" && reward != "step") {
      throw nb::value_error(("reward='" + reward + "' is not one of 'step', 'win'").c_str());
    }
  }

  nb::object reset(std::optional<std::uint64_t> seed, const std::optional<nb::dict>& options) {
    if (options && nb::len(*options) != 0) {
      throw nb::value_error(fmt::format("Pong's reset has no options, got {}", nb::repr(*options).c_str()).c_str());
    }
    const PongGame before = game_;
    if (seed || !draws_.seeded()) draws_.seed(seed ? *seed : fresh_seed());
    if (seed) game_ = PongGame();
    game_.reset(draws_);
    rethrow(before);
    return nb::make_tuple(observation(), nb::dict());
  }

  nb::object step(std::int64_t action) {
    if (!game_.served()) {
      base::raise(base::Error(base::Code::kFailedPrecondition, "Pong was never reset: call reset() before step()"));
    }
    const PongGame before = game_;
    const PongGame::Winner winner = game_.step(action, draws_);
    rethrow(before);
    const bool over = winner != PongGame::Winner::kNobody, won = winner == PongGame::Winner::kAgent;
    nb::dict info;
    if (over) info["won"] = won;
    const double reward = !win_ ? 1.0 : !over ? 0.0 : won ? 1.0 : -1.0;
    return nb::make_tuple(observation(), reward, over, false, info);
  }

  const PongGame& game() const { return game_; }
  const nb::object& uniform() const { return draws_.callable(); }

 private:
  static std::uint64_t fresh_seed() {
    return nb::cast<std::uint64_t>(nb::module_::import_("secrets").attr("randbits")(64));
  }

  // A failed draw leaves the game as it was.
  void rethrow(const PongGame& before) {
    if (std::exception_ptr failure = draws_.take_failure()) {
      game_ = before;
      std::rethrow_exception(failure);
    }
  }

  nb::object observation() const {
    using Array = nb::ndarray<nb::numpy, double, nb::shape<PongGame::kObservationSize>>;
    double values[PongGame::kObservationSize];
    game_.observe(values);
    return nb::cast(Array(values).cast(nb::rv_policy::copy));
  }

  PongGame game_;
  PythonDraws draws_;
  bool win_;
};

// Where Gymnasium's spaces are made, when someone asks for one.
nb::module_ spaces_module() {
  return nb::module_::import_("daybreak.rl.envs.spaces");
}

// What there is to draw, in pixels of the 640 x 480 court.
nb::dict frame_of(const PongGame& game) {
  nb::dict frame;
  frame["width"] = PongCourt::kWidth;
  frame["height"] = PongCourt::kHeight;
  frame["wall"] = PongCourt::kWall;
  frame["paddle_width"] = PongCourt::kPaddleWidth;
  frame["paddle_height"] = PongCourt::kPaddleHeight;
  frame["ball_radius"] = PongCourt::kBallRadius;
  frame["agent_y"] = game.agent_y();
  frame["opponent_y"] = game.opponent_y();
  frame["ball_x"] = game.ball_x();
  frame["ball_y"] = game.ball_y();
  return frame;
}

nb::dict describe_space(const Space& space) {
  nb::dict result;
  result["kind"] = space.kind == Space::Kind::kDiscrete ? "discrete" : "box";
  result["n"] = space.n;
  if (space.kind == Space::Kind::kDiscrete) result["start"] = space.start;
  if (space.kind == Space::Kind::kBox) {
    result["low"] = space.low;
    result["high"] = space.high;
  }
  return result;
}

nb::dict describe(const VecEnvObject& self) {
  constexpr const char* kAutoreset[] = {"NextStep", "SameStep", "Disabled"};
  nb::dict result;
  result["observation_space"] = describe_space(self.env().observation_space());
  result["action_space"] = describe_space(self.env().action_space());
  result["autoreset_mode"] = kAutoreset[static_cast<int>(self.autoreset())];
  return result;
}

nb::object state_of(const VecEnvObject& self, std::int64_t row) {
  const auto as_tuple = [](const auto& state) {
    nb::list values;
    for (const double value : state) values.append(value);
    return nb::object(nb::tuple(values));
  };
  if (const auto* batch = dynamic_cast<const CartPoleBatch*>(&self.env())) {
    return as_tuple(base::value_or_raise(batch->state(row)));
  }
  if (const auto* batch = dynamic_cast<const PendulumBatch*>(&self.env())) {
    return as_tuple(base::value_or_raise(batch->state(row)));
  }
  throw nb::type_error("only CartPole-v1 and Pendulum-v1 show their state");
}

template <std::size_t kSize>
std::array<double, kSize> state_array(const std::vector<double>& values) {
  if (values.size() != kSize) {
    throw nb::value_error(fmt::format("a state has {} numbers, got {}", kSize, values.size()).c_str());
  }
  std::array<double, kSize> state{};
  std::copy(values.begin(), values.end(), state.begin());
  return state;
}

void set_state(VecEnvObject& self, std::int64_t row, const std::vector<double>& values) {
  if (auto* batch = dynamic_cast<CartPoleBatch*>(&self.env())) {
    base::value_or_raise(batch->set_state(row, state_array<4>(values)));
  } else if (auto* batch = dynamic_cast<PendulumBatch*>(&self.env())) {
    base::value_or_raise(batch->set_state(row, state_array<2>(values)));
  } else {
    throw nb::type_error("only CartPole-v1 and Pendulum-v1 take a state");
  }
}

nb::dict frame_of_row(const VecEnvObject& self, std::int64_t row) {
  const auto* batch = dynamic_cast<const PongBatch*>(&self.env());
  if (!batch) throw nb::type_error("only daybreak/Pong-v0 has frames");
  return frame_of(base::value_or_raise(batch->game(row)));
}

GymVecEnv* python_rows_of(PyObject* self) {
  if (!nb::inst_ready(self)) return nullptr;
  return dynamic_cast<GymVecEnv*>(&nb::inst_ptr<VecEnvObject>(self)->env());
}

int traverse_vec_env(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const GymVecEnv* rows = python_rows_of(self);
  return rows ? rows->traverse(visit, arg) : 0;
}

int clear_vec_env(PyObject* self) {
  if (GymVecEnv* rows = python_rows_of(self)) rows->clear();
  return 0;
}

PyType_Slot vec_env_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_vec_env)},
                               {Py_tp_clear, reinterpret_cast<void*>(clear_vec_env)},
                               {0, nullptr}};

void bind_vec_env(nb::module_& m) {
  nb::class_<VecEnvObject>(m, "VecEnv", nb::type_slots(vec_env_slots),
                           "A batch of environments with Gymnasium's VectorEnv methods, in C++.")
      .def(
          "__init__",
          [](VecEnvObject* self, nb::handle env, std::int64_t num_envs, nb::handle autoreset_mode, bool copy,
             const nb::dict& options) {
            const Autoreset mode = autoreset_from_python(autoreset_mode);
            new (self) VecEnvObject(make_env_from_python(env, num_envs, mode, options), mode, copy);
          },
          "env"_a, "num_envs"_a, "autoreset_mode"_a, "copy"_a, "options"_a,
          nb::sig("def __init__(self, env: typing.Any, num_envs: int, autoreset_mode: typing.Any, copy: bool, "
                  "options: dict[str, typing.Any]) -> None"))
      .def(
          "reset", &VecEnvObject::reset, nb::kw_only(), "seed"_a = nb::none(), "options"_a = nb::none(),
          nb::sig("def reset(self, *, seed: int | collections.abc.Sequence[int | None] | None = None, "
                  "options: dict[str, typing.Any] | None = None) "
                  "-> tuple[numpy.typing.NDArray[numpy.float32], dict[str, typing.Any]]"),
          "Starts new episodes: (observations, {}). seed: an integer (row i takes seed + i), one for each row, or None "
          "to go on. options={'reset_mask': array of bool} resets only those rows.")
      .def("step", &VecEnvObject::step, "actions"_a,
           nb::sig("def step(self, actions: numpy.typing.ArrayLike) -> tuple[numpy.typing.NDArray[numpy.float32], "
                   "numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool_], "
                   "numpy.typing.NDArray[numpy.bool_], dict[str, typing.Any]]"),
           "One step of every row: (observations, rewards, terminations, truncations, infos).")
      .def("play", &VecEnvObject::play, "actions"_a,
           nb::sig("def play(self, actions: numpy.typing.ArrayLike) -> tuple[numpy.typing.NDArray[numpy.float32], "
                   "numpy.typing.NDArray[numpy.float64], int]"),
           "Steps through recorded actions [steps, num_envs, ...] in C++: (last observations, sum of rewards of each "
           "row, number of episodes that ended).")
      .def("state", &state_of, "row"_a, nb::sig("def state(self, row: int) -> tuple[float, ...]"),
           "The float64 state of one row (CartPole, Pendulum).")
      .def("set_state", &set_state, "row"_a, "state"_a, "Begins an episode in one row from this state, without a draw.")
      .def("frame", &frame_of_row, "row"_a = 0, nb::sig("def frame(self, row: int = 0) -> dict[str, float]"),
           "What there is to draw of one game of Pong, in pixels.")
      .def(
          "save_state",
          [](const VecEnvObject& self) {
            const std::string bytes = self.env().save_state();
            return nb::bytes(bytes.data(), bytes.size());
          },
          "All state of environments and generators, as bytes.")
      .def(
          "load_state",
          [](VecEnvObject& self, const nb::bytes& bytes) {
            base::value_or_raise(self.env().load_state({bytes.c_str(), bytes.size()}));
          },
          "bytes"_a, "Goes on from save_state() of a like batch; DataLossError for other or damaged bytes.")
      .def_prop_ro("num_envs", [](const VecEnvObject& self) { return self.env().num_envs(); })
      .def_prop_ro("copy", &VecEnvObject::copies)
      .def("describe", &describe, nb::sig("def describe(self) -> dict[str, typing.Any]"),
           "Spaces and autoreset mode as plain values, for which Gymnasium need not be there.");
}

}  // namespace
}  // namespace daybreak::rl

void bind_envs(nb::module_& m) {
  using namespace daybreak::rl;
  m.def("env_ids", &env_ids, "The ids of the environments that are built in.");
  bind_vec_env(m);
  nb::class_<PongObject>(m, "Pong",
                         "PongJS of the 2018 course, exact in float64. uniform: a callable that gives a float in [0, "
                         "1) for each random draw, in the "
                         "original's order; without it the draws are those of numpy.random.default_rng(seed). reward: "
                         "'step' (+1 each step) or 'win' "
                         "(+1 or -1 at the end).")
      .def(nb::init<nb::object, const std::string&>(), "uniform"_a = nb::none(), "reward"_a = "step",
           nb::sig("def __init__(self, uniform: collections.abc.Callable[[], float] | None = None, reward: str = "
                   "'step') -> None"))
      .def("reset", &PongObject::reset, "seed"_a = nb::none(), "options"_a = nb::none(),
           nb::sig("def reset(self, seed: int | None = None, options: dict[str, typing.Any] | None = None) "
                   "-> tuple[numpy.typing.NDArray[numpy.float64], dict[str, typing.Any]]"),
           "Serves: (observation, {}). Paddles and the opponent's prediction stay as they are, as in the original, "
           "unless a seed is given: that begins a new game.")
      .def("step", &PongObject::step, "action"_a,
           nb::sig("def step(self, action: typing.SupportsIndex) "
                   "-> tuple[numpy.typing.NDArray[numpy.float64], float, bool, bool, dict[str, typing.Any]]"),
           "0 stop, 1 down, 2 up, else go on as before: (observation, reward, terminated, truncated, info). The last "
           "observation of a rally shows the next serve; info then says whether the agent 'won'.")
      .def_prop_ro(
          "observation_space", [](nb::handle) { return spaces_module().attr("pong_observation_space")(); },
          nb::sig("def observation_space(self) -> typing.Any"), "Gymnasium's Box without bounds, in float64.")
      .def_prop_ro(
          "action_space", [](nb::handle) { return spaces_module().attr("pong_action_space")(); },
          nb::sig("def action_space(self) -> typing.Any"), "Gymnasium's Discrete(3).")
      .def(
          "frame", [](const PongObject& self) { return frame_of(self.game()); },
          nb::sig("def frame(self) -> dict[str, float]"), "What there is to draw, in pixels.");
}
