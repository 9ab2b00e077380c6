// Policies in Python: loading, saving, answering.
#include <fmt/ranges.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <unistd.h>

#include <cmath>
#include <random>
#include <span>

#include "daybreak/base/bind.h"
#include "daybreak/rl/model.h"
#include "daybreak/rl/onnx.h"
#include "daybreak/rl/python/numbers.h"
#include "daybreak/rl/python/policy_object.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace daybreak::rl {
namespace {

std::uint64_t entropy() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

std::string shape_of(const Py_buffer& view) {
  std::vector<Py_ssize_t> shape(view.shape, view.shape + view.ndim);
  return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

[[noreturn]] void wrong_shape(const Py_buffer& view, const std::string& wanted) {
  throw nb::value_error(
      fmt::format("an observation of shape {}: this policy takes {}", shape_of(view), wanted).c_str());
}

// Observations of a policy's space as contiguous float32 rows: a view of a numpy array of that kind, else a copy. Of a
// Discrete space they are the whole numbers that the environment gives, of any kind, or one-hot rows.
class Observations {
 public:
  // many: rows of observations, else one.
  Observations(const Space& space, nb::handle given, bool many) : space_(space) {
    const auto width = static_cast<std::size_t>(space.n);
    if (space.kind == Space::Kind::kDiscrete && !one_hot(given, many)) {
      fill(given, many);
    } else {
      view(given);
      rows_ = many && view_.ndim > 0 ? static_cast<std::size_t>(view_.shape[0]) : 1;
      if (size() != rows_ * width || (many && view_.ndim < 2)) {
        wrong_shape(view_, many ? fmt::format("(n, {})", width) : fmt::format("({},)", width));
      }
    }
    check_finite();
  }
  std::size_t rows() const { return rows_; }
  const float* data() const { return view_.obj != nullptr ? static_cast<const float*>(view_.buf) : made_.data(); }
  std::span<const float> span() const { return {data(), size()}; }

 private:
  std::size_t size() const {
    return view_.obj != nullptr ? static_cast<std::size_t>(view_.len) / sizeof(float) : made_.size();
  }
  bool is_float32() const {
    return view_.itemsize == 4 && view_.format != nullptr && view_.format[0] == 'f' && view_.format[1] == 0;
  }

  void view(nb::handle object) {
    if (!is_masked(object) && PyObject_GetBuffer(object.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) == 0) {
      if (is_float32()) return;
      PyBuffer_Release(&view_);
    }
    PyErr_Clear();
    copy_ = float_array_of(object, "observation");
    if (PyObject_GetBuffer(copy_.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) throw nb::python_error();
  }

  bool one_hot(nb::handle given, bool many) const {
    if (space_.n == 1 || PyLong_Check(given.ptr())) return false;
    const nb::object shape = nb::module_::import_("numpy").attr("shape")(given);
    const std::size_t dimensions = many ? 2 : 1;
    return nb::len(shape) == dimensions && nb::cast<std::int64_t>(shape[dimensions - 1]) == space_.n;
  }

  void fill(nb::handle given, bool many) {
    if (!many) {
      made_.resize(static_cast<std::size_t>(space_.n));
      put(base::value_or_raise(integer_of(given, "observation")), 0);
      return;
    }
    const nb::object all = nb::module_::import_("daybreak.base.numbers").attr("integers")(given, "observations");
    const nb::list indices = nb::list(all.attr("ravel")().attr("tolist")());
    rows_ = nb::len(indices);
    const auto dimensions = nb::cast<std::int64_t>(all.attr("ndim"));
    if (dimensions < 1 || dimensions > 2 || nb::cast<std::size_t>(all.attr("shape")[0]) != rows_) {
      throw nb::value_error(
          fmt::format("observations of shape {}: this policy takes (n,) whole numbers or (n, {}) one-hot",
                      nb::str(all.attr("shape")).c_str(), space_.n)
              .c_str());
    }
    made_.resize(rows_ * static_cast<std::size_t>(space_.n));
    for (std::size_t row = 0; row < rows_; ++row) put(nb::cast<std::int64_t>(indices[row]), row);
  }

  void put(std::int64_t value, std::size_t row) {
    const std::int64_t at = value - space_.start;
    if (at < 0 || at >= space_.n) {
      throw nb::value_error(
          fmt::format("observation {} is not in {}..{}", value, space_.start, space_.start + space_.n - 1).c_str());
    }
    made_[row * static_cast<std::size_t>(space_.n) + static_cast<std::size_t>(at)] = 1;
  }

  // An answer to NaN would be the first action, whatever was learned.
  void check_finite() const {
    float sum = 0;
    for (const float x : span()) sum += x * 0.0F;
    if (sum == 0) return;
    for (std::size_t i = 0; i < size(); ++i) {
      if (std::isfinite(data()[i])) continue;
      throw nb::value_error(fmt::format("observation[{}]={} is not finite", i, data()[i]).c_str());
    }
  }

  const Space& space_;
  std::size_t rows_ = 1;
  nb::object copy_;
  std::vector<float> made_;
  // Released even where the constructor throws.
  struct Held : Py_buffer {
    Held() : Py_buffer{} {}
    ~Held() {
      if (obj != nullptr) PyBuffer_Release(this);
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
  } view_;
};

template <typename T>
nb::object array_of(std::vector<T> values, std::vector<std::size_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape.size(), shape.data(), owner));
}

}  // namespace

PolicyObject::PolicyObject(std::shared_ptr<const Policy> policy)
    : policy_(std::move(policy)), random_(entropy()), pid_(getpid()) {}

base::Xoshiro256* PolicyObject::random(bool deterministic) {
  if (deterministic) return nullptr;
  if (pid_ != getpid()) {  // a forked child must not draw what its siblings draw
    pid_ = getpid();
    random_ = base::Xoshiro256(entropy());
  }
  return &random_;
}

nb::object PolicyObject::compute_action(nb::handle observation, bool deterministic) {
  const Observations in(policy_->info().observation_space, observation, false);
  if (policy_->discrete()) {
    std::int32_t action = 0;
    base::value_or_raise(policy_->act(in.span(), &action, random(deterministic)));
    return nb::steal(PyLong_FromLong(action));
  }
  std::vector<float> action(static_cast<std::size_t>(policy_->action_size()));
  base::value_or_raise(policy_->act(in.span(), action, random(deterministic)));
  const std::size_t size = action.size();
  return array_of(std::move(action), {size});
}

nb::object PolicyObject::compute_actions(nb::handle observations, bool deterministic) {
  const Observations in(policy_->info().observation_space, observations, true);
  const std::size_t rows = in.rows();
  if (policy_->discrete()) {
    std::vector<std::int32_t> actions(rows);
    policy_->act_batch(in.data(), static_cast<std::int64_t>(rows), actions.data(), random(deterministic));
    return array_of(std::move(actions), {rows});
  }
  const auto size = static_cast<std::size_t>(policy_->action_size());
  std::vector<float> actions(rows * size);
  policy_->act_batch(in.data(), static_cast<std::int64_t>(rows), actions.data(), random(deterministic));
  return array_of(std::move(actions), {rows, size});
}

nb::object PolicyObject::logits(nb::handle observation) {
  const Observations in(policy_->info().observation_space, observation, false);
  std::vector<float> out(static_cast<std::size_t>(policy_->info().action_space.n));
  policy_->outputs(in.data(), out.data());
  const std::size_t size = out.size();
  return array_of(std::move(out), {size});
}

}  // namespace daybreak::rl

void bind_policy(nb::module_& m) {
  using daybreak::rl::Policy;
  using daybreak::rl::PolicyObject;
  using daybreak::rl::Space;
  namespace base = daybreak::base;
  nb::class_<PolicyObject>(m, "Policy", nb::is_weak_referenceable(),
                           "A trained policy: observation filter, network, and how its outputs become an action.")
      .def_static(
          "from_bytes",
          [](const nb::bytes& bytes) {
            return PolicyObject(base::value_or_raise(Policy::from_bytes(std::string(bytes.c_str(), bytes.size()))));
          },
          "bytes"_a,
          "The policy of to_bytes(), or of a trainer's checkpoint. DataLossError when truncated or altered, ValueError "
          "for "
          "something else.")
      .def(
          "to_bytes",
          [](const PolicyObject& self) {
            const std::string bytes = self.policy().to_bytes();
            return nb::bytes(bytes.data(), bytes.size());
          },
          "The policy file: safetensors with metadata, checksummed, no pickle.")
      .def(
          "to_onnx",
          [](const PolicyObject& self) {
            const std::string bytes = daybreak::rl::to_onnx(self.policy());
            return nb::bytes(bytes.data(), bytes.size());
          },
          "An ONNX model: input 'observation', outputs 'action' (greedy) and 'outputs'.")
      .def("compute_action", &PolicyObject::compute_action, "observation"_a.none(), "deterministic"_a = true,
           "One observation, [n] or of a Discrete space a whole number, to an int (Discrete) or a float32 array (Box, "
           "within the bounds). ValueError for another shape or a number that is not finite. "
           "deterministic=False draws from the policy's distribution.")
      .def("compute_actions", &PolicyObject::compute_actions, "observations"_a.none(), "deterministic"_a = true,
           "Observations [rows, n], of a Discrete space also whole numbers [rows], to int32 [rows] or float32 [rows, "
           "m].")
      .def("logits", &PolicyObject::logits, "observation"_a.none(),
           "The network's raw outputs for one observation: logits, means or action values, float32.")
      .def(
          "__daybreak_model_v1__",
          [](const PolicyObject& self) {
            const daybreak_model_v1* model = daybreak::rl::make_model(self.shared());
            return nb::capsule(model, DAYBREAK_MODEL_V1, [](void* pointer) noexcept {
              const auto* held = static_cast<const daybreak_model_v1*>(pointer);
              held->release(held->context);
            });
          },
          "A capsule 'daybreak.model.v1': the policy as a server runs it in process (base/capsule.h).")
      .def(
          "seed", [](PolicyObject& self, nb::handle seed) { self.seed(daybreak::rl::seed_of(seed)); }, "seed"_a,
          nb::sig("def seed(self, seed: typing.SupportsIndex) -> None"), "Seeds the draws of deterministic=False.")
      .def_prop_ro("algo", [](const PolicyObject& self) { return self.policy().info().algo; })
      .def_prop_ro("env", [](const PolicyObject& self) { return self.policy().info().env; })
      .def_prop_ro("observation_size", [](const PolicyObject& self) { return self.policy().observation_size(); })
      .def_prop_ro(
          "discrete_observations",
          [](const PolicyObject& self) {
            return self.policy().info().observation_space.kind == Space::Kind::kDiscrete;
          },
          "Whether observations are whole numbers.")
      .def_prop_ro("discrete", [](const PolicyObject& self) { return self.policy().discrete(); })
      .def_prop_ro(
          "num_actions", [](const PolicyObject& self) { return self.policy().info().action_space.n; },
          "Values of a Discrete action, components of a Box action.")
      .def_prop_ro(
          "action_shape", [](const PolicyObject& self) { return self.policy().info().action_space.shape; },
          "Of a Box whose actions have other than one dimension: their shape.")
      .def_prop_ro("hidden", [](const PolicyObject& self) { return self.policy().info().hidden; });
}
