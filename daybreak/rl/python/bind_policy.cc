// Policies in Python: loading, saving, answering.
#include <fmt/ranges.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <unistd.h>

#include <random>

#include "daybreak/base/bind.h"
#include "daybreak/rl/model.h"
#include "daybreak/rl/onnx.h"
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

// The numbers of a Python object as contiguous float32: a view when it is a numpy array of that kind, else a copy that
// numpy makes.
class Floats {
 public:
  explicit Floats(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0 || !is_float32()) {
      if (PyErr_Occurred() != nullptr) {
        PyErr_Clear();
      } else {
        PyBuffer_Release(&view_);
      }
      copy_ = as_float_array(object);
      if (PyObject_GetBuffer(copy_.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) throw nb::python_error();
    }
  }
  ~Floats() { PyBuffer_Release(&view_); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;

  const Py_buffer& view() const { return view_; }
  const float* data() const { return static_cast<const float*>(view_.buf); }
  std::int64_t size() const { return view_.len / static_cast<Py_ssize_t>(sizeof(float)); }

 private:
  bool is_float32() const {
    return view_.itemsize == 4 && view_.format != nullptr && view_.format[0] == 'f' && view_.format[1] == 0;
  }
  Py_buffer view_{};
  nb::object copy_;
};

template <typename T>
nb::object array_of(std::vector<T> values, std::vector<std::size_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape.size(), shape.data(), owner));
}

}  // namespace

nb::object as_float_array(nb::handle array) {
  return nb::module_::import_("numpy").attr("ascontiguousarray")(array, "dtype"_a = "float32");
}

PolicyObject::PolicyObject(std::shared_ptr<const Policy> policy)
    : policy_(std::move(policy)), random_(entropy()), pid_(getpid()) {}

nn::Random* PolicyObject::random(bool deterministic) {
  if (deterministic) return nullptr;
  if (pid_ != getpid()) {  // a forked child must not draw what its siblings draw
    pid_ = getpid();
    random_ = nn::Random(entropy());
  }
  return &random_;
}

nb::object PolicyObject::compute_action(nb::handle observation, bool deterministic) {
  const Floats floats(observation);
  if (floats.size() != policy_->observation_size())
    wrong_shape(floats.view(), fmt::format("({},)", policy_->observation_size()));
  const std::span<const float> in(floats.data(), static_cast<std::size_t>(floats.size()));
  if (policy_->discrete()) {
    std::int32_t action = 0;
    base::value_or_raise(policy_->act(in, &action, random(deterministic)));
    return nb::steal(PyLong_FromLong(action));
  }
  std::vector<float> action(static_cast<std::size_t>(policy_->action_size()));
  base::value_or_raise(policy_->act(in, action, random(deterministic)));
  const std::size_t size = action.size();
  return array_of(std::move(action), {size});
}

nb::object PolicyObject::compute_actions(nb::handle observations, bool deterministic) {
  const Floats floats(observations);
  const std::int64_t width = policy_->observation_size();
  if (floats.view().ndim < 2 || floats.size() % width != 0 || floats.size() / width != floats.view().shape[0]) {
    wrong_shape(floats.view(), fmt::format("(n, {})", width));
  }
  const std::int64_t rows = floats.view().shape[0];
  const auto n = static_cast<std::size_t>(rows);
  if (policy_->discrete()) {
    std::vector<std::int32_t> actions(n);
    policy_->act_batch(floats.data(), rows, actions.data(), random(deterministic));
    return array_of(std::move(actions), {n});
  }
  const auto size = static_cast<std::size_t>(policy_->action_size());
  std::vector<float> actions(n * size);
  policy_->act_batch(floats.data(), rows, actions.data(), random(deterministic));
  return array_of(std::move(actions), {n, size});
}

nb::object PolicyObject::logits(nb::handle observation) {
  const Floats floats(observation);
  if (floats.size() != policy_->observation_size())
    wrong_shape(floats.view(), fmt::format("({},)", policy_->observation_size()));
  std::vector<float> out(static_cast<std::size_t>(policy_->info().action_space.n));
  policy_->outputs(floats.data(), out.data());
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
      .def("compute_action", &PolicyObject::compute_action, "observation"_a, "deterministic"_a = true,
           "One observation [n] to an int (Discrete) or a float32 array (Box, within the bounds). ValueError for "
           "another shape. "
           "deterministic=False draws from the policy's distribution.")
      .def("compute_actions", &PolicyObject::compute_actions, "observations"_a, "deterministic"_a = true,
           "Observations [rows, n] to int32 [rows] or float32 [rows, m].")
      .def("logits", &PolicyObject::logits, "observation"_a,
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
      .def("seed", &PolicyObject::seed, "seed"_a, "Seeds the draws of deterministic=False.")
      .def_prop_ro("algo", [](const PolicyObject& self) { return self.policy().info().algo; })
      .def_prop_ro("env", [](const PolicyObject& self) { return self.policy().info().env; })
      .def_prop_ro("observation_size", [](const PolicyObject& self) { return self.policy().observation_size(); })
      .def_prop_ro("discrete", [](const PolicyObject& self) { return self.policy().discrete(); })
      .def_prop_ro(
          "num_actions", [](const PolicyObject& self) { return self.policy().info().action_space.n; },
          "Values of a Discrete action, components of a Box action.")
      .def_prop_ro("hidden", [](const PolicyObject& self) { return self.policy().info().hidden; });
}
