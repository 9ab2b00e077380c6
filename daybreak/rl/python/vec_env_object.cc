#include "daybreak/rl/python/vec_env_object.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "daybreak/base/bind.h"
#include "daybreak/rl/python/buffer.h"
#include "daybreak/rl/python/gym_vec_env.h"
#include "daybreak/rl/python/numbers.h"

namespace nb = nanobind;

namespace daybreak::rl {
namespace {

template <typename T>
T* data_of(const nb::object& array) {
  Py_buffer view;
  if (PyObject_GetBuffer(array.ptr(), &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) != 0) throw nb::python_error();
  T* data = static_cast<T*>(view.buf);
  PyBuffer_Release(&view);  // numpy's memory stays where it is while the array lives
  return data;
}

nb::object copy_of(const nb::object& array) {
  return nb::steal(PyObject_CallMethod(array.ptr(), "copy", nullptr));
}

// In blocks of a constant size, which is what compilers vectorise at -O2.
constexpr std::int64_t kBlock = 16;

void add_to(double* totals, const float* rewards, std::int64_t n) {
  std::int64_t at = 0;
  for (; at + kBlock <= n; at += kBlock) {
    for (std::int64_t i = 0; i < kBlock; ++i) totals[at + i] += rewards[at + i];
  }
  for (; at < n; ++at) totals[at] += rewards[at];
}

std::int64_t count_ends(const std::uint8_t* terminated, const std::uint8_t* truncated, std::int64_t n) {
  std::int64_t count = 0, at = 0;
  for (; at + kBlock <= n; at += kBlock) {
    std::uint8_t ends = 0;
    for (std::int64_t i = 0; i < kBlock; ++i) ends += terminated[at + i] | truncated[at + i];
    count += ends;
  }
  for (; at < n; ++at) count += terminated[at] | truncated[at];
  return count;
}

std::uint64_t fresh_seed() {
  const nb::bytes bytes = nb::cast<nb::bytes>(nb::module_::import_("os").attr("urandom")(8));
  std::uint64_t seed;
  std::memcpy(&seed, bytes.c_str(), sizeof seed);
  return seed;
}

}  // namespace

Autoreset autoreset_from_python(nb::handle mode) {
  const nb::object value = nb::hasattr(mode, "value") ? nb::getattr(mode, "value") : nb::borrow(mode);
  std::string name;
  if (nb::try_cast(value, name)) {
    if (name == "next_step" || name == "NextStep") return Autoreset::kNextStep;
    if (name == "same_step" || name == "SameStep") return Autoreset::kSameStep;
    if (name == "disabled" || name == "Disabled") return Autoreset::kDisabled;
  }
  throw nb::value_error(
      ("autoreset_mode=" + std::string(nb::repr(mode).c_str()) + " is not one of 'next_step', 'same_step', 'disabled'")
          .c_str());
}

VecEnvObject::VecEnvObject(std::unique_ptr<VecEnv> env, Autoreset autoreset, bool copy)
    : env_(std::move(env)),
      autoreset_(autoreset),
      copy_(copy),
      num_envs_(env_->num_envs()),
      observation_size_(env_->observation_space().n),
      action_size_(env_->action_space().kind == Space::Kind::kBox ? env_->action_space().n : 1),
      numpy_(nb::module_::import_("numpy")) {
  const auto zeros = [&](const nb::object& shape, const char* dtype) { return numpy_.attr("zeros")(shape, dtype); };
  const nb::object matrix = nb::make_tuple(num_envs_, observation_size_), vector = nb::int_(num_envs_);
  observations_ = zeros(matrix, "float32");
  rewards_ = zeros(vector, "float32");
  terminated_ = zeros(vector, "bool");
  truncated_ = zeros(vector, "bool");
  buffers_ = {.observations = data_of<float>(observations_),
              .rewards = data_of<float>(rewards_),
              .terminated = data_of<std::uint8_t>(terminated_),
              .truncated = data_of<std::uint8_t>(truncated_),
              .final_observations = nullptr};
  if (autoreset_ == Autoreset::kSameStep) {
    final_observations_ = zeros(matrix, "float32");
    buffers_.final_observations = data_of<float>(final_observations_);
  }
  if (env_->action_space().kind == Space::Kind::kDiscrete) {
    int_actions_.resize(num_envs_);
  } else {
    float_actions_.resize(num_envs_ * action_size_);
  }
}

nb::object VecEnvObject::observations() const {
  return copy_ ? copy_of(observations_) : observations_;
}

nb::object VecEnvObject::reset(nb::handle seed, nb::handle options) {
  std::vector<std::uint64_t> seeds;
  if (!seed.is_none()) {
    const bool scalar = nb::hasattr(seed, "ndim") && nb::cast<std::int64_t>(seed.attr("ndim")) == 0;
    if (nb::isinstance<nb::sequence>(seed) && !nb::isinstance<nb::str>(seed) && !scalar) {
      for (nb::handle one : seed) seeds.push_back(one.is_none() ? fresh_seed() : seed_of(one));
      if (static_cast<std::int64_t>(seeds.size()) != num_envs_) {
        throw nb::value_error(fmt::format("{} seeds for num_envs={}", seeds.size(), num_envs_).c_str());
      }
    }
  }
  nb::object mask = nb::none();
  if (!options.is_none()) {
    for (auto [key, value] : nb::cast<nb::dict>(options)) {
      if (nb::cast<std::string>(key) != "reset_mask") {
        throw nb::value_error(
            ("reset has no option " + std::string(nb::repr(key).c_str()) + ": it has 'reset_mask'").c_str());
      }
      mask = nb::borrow(value);
    }
  }
  const std::uint8_t* mask_bytes = nullptr;
  std::unique_ptr<Buffer> mask_buffer;
  if (!mask.is_none()) {
    mask_buffer = std::make_unique<Buffer>(mask);
    if (mask_buffer->letter() != '?') {
      throw nb::type_error("options['reset_mask'] must be a contiguous numpy array of dtype bool");
    }
    if ((*mask_buffer)->len != num_envs_) {
      throw nb::value_error(
          fmt::format("options['reset_mask'] has {} elements for num_envs={}", (*mask_buffer)->len, num_envs_).c_str());
    }
    mask_bytes = static_cast<const std::uint8_t*>((*mask_buffer)->buf);
    if (!std::memchr(mask_bytes, 1, num_envs_)) throw nb::value_error("options['reset_mask'] selects no environment");
  }

  // An unseeded first reset: our own generators start from the system's, environments in Python do as they like.
  const bool first_unseeded = seed.is_none() && !seeded_ && env_->can_restore();
  if (seeds.empty() && (!seed.is_none() || first_unseeded)) {
    const std::uint64_t first = seed.is_none() ? fresh_seed() : seed_of(seed);
    for (std::int64_t row = 0; row < num_envs_; ++row) seeds.push_back(first + row);
    if (!mask_bytes) {
      if (const base::Status done = env_->reset(first, buffers_.observations); !done)
        raise_env_error(*env_, done.error());
      seeded_ = true;
      return nb::make_tuple(observations(), nb::dict());
    }
  }
  const std::uint64_t* row_seeds = seeds.empty() ? nullptr : seeds.data();
  if (const base::Status done = env_->reset_rows(mask_bytes, row_seeds, buffers_.observations); !done) {
    raise_env_error(*env_, done.error());
  }
  seeded_ = seeded_ || !mask_bytes;
  return nb::make_tuple(observations(), nb::dict());
}

void VecEnvObject::bad_actions(nb::handle actions) const {
  const auto text = [](const nb::object& object) { return std::string(nb::str(object).c_str()); };
  const bool discrete = env_->action_space().kind == Space::Kind::kDiscrete;
  std::string got = nb::repr(actions).c_str();
  if (nb::hasattr(actions, "dtype")) {
    got = "an array of shape " + text(actions.attr("shape")) + " and dtype " + text(actions.attr("dtype"));
  }
  const std::string shape =
      discrete ? fmt::format("({},)", num_envs_) : fmt::format("({}, {})", num_envs_, action_size_);
  throw nb::value_error(
      fmt::format("actions must be {} of shape {}, got {}", discrete ? "integers" : "floats", shape, got).c_str());
}

// Where 32-bit integers lie: those of the array itself, or a converted copy. An integer too large for 32 bits becomes
// the smallest one, which no Discrete space holds.
const void* VecEnvObject::discrete_actions(nb::handle actions) {
  Buffer buffer(actions);
  if (!buffer.ok() || !std::strchr("ilqhbBHIL", buffer.letter()) || !buffer.letter()) {
    const nb::object array = numpy_.attr("asarray")(actions);
    const std::string kind = nb::cast<std::string>(array.attr("dtype").attr("kind"));
    if (kind != "i" && kind != "u") bad_actions(actions);
    return discrete_actions(nb::module_::import_("daybreak.base.numbers").attr("integers")(array, "actions"));
  }
  if (buffer->itemsize * num_envs_ != buffer->len) bad_actions(actions);
  if (buffer.letter() == 'i') {
    std::memcpy(int_actions_.data(), buffer->buf, buffer->len);
    return int_actions_.data();
  }
  if (buffer.letter() == 'l' || buffer.letter() == 'q') {
    const auto* values = static_cast<const std::int64_t*>(buffer->buf);
    for (std::int64_t row = 0; row < num_envs_; ++row) {
      const auto narrow = static_cast<std::int32_t>(values[row]);
      int_actions_[row] = narrow == values[row] ? narrow : std::numeric_limits<std::int32_t>::min();
    }
    return int_actions_.data();
  }
  return discrete_actions(nb::module_::import_("daybreak.base.numbers").attr("integers")(actions, "actions"));
}

const void* VecEnvObject::box_actions(nb::handle actions) {
  Buffer buffer(actions);
  if (buffer.letter() != 'f') {
    return box_actions(float_array_of(actions, "actions"));
  }
  if (buffer->len != static_cast<Py_ssize_t>(float_actions_.size() * sizeof(float))) bad_actions(actions);
  std::memcpy(float_actions_.data(), buffer->buf, buffer->len);
  return float_actions_.data();
}

nb::object VecEnvObject::step(nb::handle actions) {
  const bool discrete = env_->action_space().kind == Space::Kind::kDiscrete;
  const void* moves = discrete ? discrete_actions(actions) : box_actions(actions);
  if (const base::Status stepped = env_->step(moves, buffers_); !stepped) raise_env_error(*env_, stepped.error());
  nb::object info = autoreset_ == Autoreset::kSameStep ? final_info() : nb::dict();
  if (!copy_) return nb::make_tuple(observations_, rewards_, terminated_, truncated_, info);
  return nb::make_tuple(copy_of(observations_), copy_of(rewards_), copy_of(terminated_), copy_of(truncated_), info);
}

nb::object VecEnvObject::play(nb::handle actions) {
  const bool discrete = env_->action_space().kind == Space::Kind::kDiscrete;
  const std::string kind = nb::cast<std::string>(numpy_.attr("asarray")(actions).attr("dtype").attr("kind"));
  const Buffer buffer(numpy_.attr("ascontiguousarray")(actions, discrete ? "int32" : "float32"));
  const bool fits = buffer.ok() && buffer->ndim == (discrete ? 2 : 3) && buffer->shape[1] == num_envs_ &&
                    (discrete ? kind == "i" || kind == "u" : buffer->shape[2] == action_size_);
  if (!fits) bad_actions(actions);

  nb::object sums = numpy_.attr("zeros")(num_envs_, "float64");
  const auto* bytes = static_cast<const std::uint8_t*>(buffer->buf);
  const std::int64_t row_bytes = num_envs_ * action_size_ * 4;
  std::int64_t ended = 0;
  base::Status status;
  {
    auto* const totals = data_of<double>(sums);
    const nb::gil_scoped_release release;
    for (std::int64_t at = 0; at < buffer->len && status; at += row_bytes) {
      status = env_->step(bytes + at, buffers_);
      add_to(totals, buffers_.rewards, num_envs_);
      ended += count_ends(buffers_.terminated, buffers_.truncated, num_envs_);
    }
  }
  if (!status) raise_env_error(*env_, status.error());
  return nb::make_tuple(observations(), sums, ended);
}

// Gymnasium's info of kSameStep: nothing, or for the rows that ended their last observations in an array of objects.
nb::object VecEnvObject::final_info() const {
  nb::dict info;
  nb::object finals, mask;
  for (std::int64_t row = 0; row < num_envs_; ++row) {
    if (!(buffers_.terminated[row] | buffers_.truncated[row])) continue;
    if (!finals.is_valid()) {
      finals = numpy_.attr("full")(num_envs_, nb::none(), "object");
      mask = numpy_.attr("logical_or")(terminated_, truncated_);
    }
    finals[row] = copy_of(final_observations_[row]);
  }
  if (finals.is_valid()) {
    info["final_obs"] = finals;
    info["_final_obs"] = mask;
    info["final_info"] = nb::dict();
    info["_final_info"] = copy_of(mask);
  }
  return info;
}

}  // namespace daybreak::rl
