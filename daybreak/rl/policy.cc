#include "daybreak/rl/policy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "daybreak/rl/nn/sde.h"

namespace daybreak::rl {

using base::Code;
using base::fail;
using nlohmann::json;
using tensor::DType;

namespace {

// The newest that is read. A file says the oldest version that reads it rightly: 2 where a Discrete space has a start.
constexpr std::int64_t kPolicyVersion = 2;
constexpr std::int64_t kMaxStart = std::int64_t{1} << 30;
constexpr std::string_view kKey = "policy";
constexpr std::size_t kMaxDimensions = 64;  // as many as numpy's arrays have

std::span<const std::byte> bytes_of(std::span<const float> x) {
  return std::as_bytes(x);
}

json space_json(const Space& space) {
  if (space.kind == Space::Kind::kDiscrete) {
    json discrete = {{"kind", "discrete"}, {"n", space.n}};
    if (space.start != 0) discrete["start"] = space.start;
    return discrete;
  }
  json low = json::array();
  json high = json::array();
  // JSON has no infinity: null.
  for (double x : space.low) low.push_back(std::isfinite(x) ? json(x) : json(nullptr));
  for (double x : space.high) high.push_back(std::isfinite(x) ? json(x) : json(nullptr));
  json box = {{"kind", "box"}, {"n", space.n}, {"low", low}, {"high", high}};
  if (space.shape) box["shape"] = *space.shape;
  return box;
}

// Of a box whose arrays have more or fewer dimensions than one.
base::Status read_shape(const json& value, Space& space) {
  const json* const shape = value.contains("shape") ? &value["shape"] : nullptr;
  if (shape == nullptr) return {};
  std::int64_t components = 1;
  bool good = shape->is_array() && shape->size() <= kMaxDimensions;
  std::vector<std::int64_t> sides;
  for (std::size_t i = 0; good && i < shape->size(); ++i) {
    const json& side = (*shape)[i];
    good = side.is_number_integer() && side > 0 && side <= space.n;
    if (good) sides.push_back(side.get<std::int64_t>());
    good = good && (components *= sides.back()) <= space.n;
  }
  if (!good || components != space.n) {
    return fail(Code::kInvalidArgument, "a box of {} components with the shape {}", space.n, shape->dump());
  }
  space.shape = std::move(sides);
  return {};
}

base::Result<Space> space_of(const json& value) {
  constexpr std::int64_t kMaxSize = 1 << 24;
  if (!value.is_object() || !value.contains("n") || !value["n"].is_number_integer()) {
    return fail(Code::kInvalidArgument, "the policy's space {} is not one of this version", value.dump());
  }
  Space space;
  space.n = value["n"].get<std::int64_t>();
  space.kind = value.value("kind", json()) == "box" ? Space::Kind::kBox : Space::Kind::kDiscrete;
  if (space.n < 1 || space.n > kMaxSize) return fail(Code::kInvalidArgument, "a space of {} components", space.n);
  if (space.kind == Space::Kind::kDiscrete) {
    const json start = value.value("start", json(0));
    if (!start.is_number_integer() || (start.is_number_unsigned() && start.get<std::uint64_t>() > kMaxStart) ||
        start.get<std::int64_t>() < -kMaxStart || start.get<std::int64_t>() > kMaxStart) {
      return fail(Code::kInvalidArgument, "a space that starts at {}", start.dump());
    }
    space.start = start.get<std::int64_t>();
    return space;
  }
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& [name, unbounded, out] :
       {std::tuple{"low", -infinity, &space.low}, std::tuple{"high", infinity, &space.high}}) {
    const json bounds = value.value(name, json::array());
    if (bounds.size() != static_cast<std::size_t>(space.n))
      return fail(Code::kInvalidArgument, "a box without its bounds");
    for (const json& x : bounds) out->push_back(x.is_number() ? x.get<double>() : unbounded);
  }
  DAYBREAK_TRY(read_shape(value, space));
  return space;
}

// [actions]; of kSde [features, actions].
std::vector<std::int64_t> log_std_shape(const PolicyInfo& info) {
  if (info.distribution != Distribution::kSde) return {info.action_space.n};
  return {info.hidden.empty() ? info.observation_space.n : info.hidden.back(), info.action_space.n};
}

constexpr std::string_view kDistributions[] = {"categorical", "gaussian", "q", "gsde"};

float* scratch(std::size_t floats) {
  thread_local std::vector<float> buffer;
  if (buffer.size() < floats) buffer.resize(floats);
  return buffer.data();
}

}  // namespace

Policy::Policy(PolicyInfo info, nn::Filter filter, const nn::Mlp& actor, std::span<const float> params,
               std::span<const float> log_std)
    : info_(std::move(info)),
      filter_(std::move(filter)),
      kernels_(&nn::kernels()),
      observation_size_(static_cast<int>(info_.observation_space.n)),
      actions_(static_cast<int>(info_.action_space.n)),
      actor_(observation_size_, info_.hidden, actions_, info_.act, 0),
      log_std_(log_std.begin(), log_std.end()) {
  params_.resize(actor_.end());
  int widest = observation_size_;
  for (std::size_t l = 0; l < actor_.layers().size(); ++l) {
    const nn::Layer& from = actor.layers()[l];
    const nn::Layer& to = actor_.layers()[l];
    const int padded = nn::pad_batch(to.out);
    Wide wide{to.in, to.out, padded, transposed_.size(), 0, to.act};
    wide.bias = wide.weights + static_cast<std::size_t>(to.in) * static_cast<std::size_t>(padded);
    transposed_.resize(wide.bias + static_cast<std::size_t>(padded), 0.0F);
    for (int o = 0; o < to.out; ++o) {
      for (int i = 0; i < to.in; ++i) {
        const float w = params[from.weights + static_cast<std::size_t>(o * from.ldw + i)];
        params_[to.weights + static_cast<std::size_t>(o * to.ldw + i)] = w;
        transposed_[wide.weights + static_cast<std::size_t>(i * padded + o)] = w;
        dense_.push_back(w);
      }
    }
    for (int o = 0; o < to.out; ++o) {
      const float bias = params[from.bias + static_cast<std::size_t>(o)];
      params_[to.bias + static_cast<std::size_t>(o)] = bias;
      transposed_[wide.bias + static_cast<std::size_t>(o)] = bias;
      dense_.push_back(bias);
    }
    wide_.push_back(wide);
    widest = std::max(widest, padded);
  }
  scratch_size_ = nn::pad_batch(widest);
  bounds_ = ActionBounds(info_.action_space);
}

Policy::Run Policy::run(const float* observation) const {
  float* from = scratch(2 * static_cast<std::size_t>(scratch_size_));
  float* to = from + scratch_size_;
  filter_.apply(observation, from);
  for (const Wide& layer : wide_) {
    kernels_->gemv(layer.out, layer.in, transposed_.data() + layer.weights, layer.ldo, transposed_.data() + layer.bias,
                   from, to, layer.act);
    std::swap(from, to);
  }
  return {from, to};
}

void Policy::outputs(const float* observation, float* out) const {
  std::copy_n(run(observation).outputs, actions_, out);
}

std::int32_t Policy::choose(const float* logits, std::ptrdiff_t stride, base::Xoshiro256* random) const {
  const auto start = static_cast<std::int32_t>(info_.action_space.start);
  int best = 0;
  for (int a = 1; a < actions_; ++a) {
    if (logits[a * stride] > logits[best * stride]) best = a;
  }
  if (random == nullptr || info_.distribution == Distribution::kQ) return start + best;
  float total = 0;
  for (int a = 0; a < actions_; ++a) total += std::exp(logits[a * stride] - logits[best * stride]);
  float left = random->uniform() * total;
  for (int a = 0; a < actions_ - 1; ++a) {
    left -= std::exp(logits[a * stride] - logits[best * stride]);
    if (left < 0) return start + a;
  }
  return start + actions_ - 1;
}

void Policy::finish_box(const Run& run, std::ptrdiff_t stride, float* out, base::Xoshiro256* random) const {
  for (int a = 0; a < actions_; ++a) {
    float action = run.outputs[a * stride];
    const auto i = static_cast<std::size_t>(a);
    if (random != nullptr && info_.distribution == Distribution::kSde) {
      float variance = nn::kSdeVariance;
      for (int k = 0; k < features(); ++k) {
        const float part = run.features[k * stride] *
                           std::exp(log_std_[static_cast<std::size_t>(k) * static_cast<std::size_t>(actions_) +
                                             static_cast<std::size_t>(a)]);
        variance += part * part;
      }
      action += std::sqrt(variance) * random->normal();
    } else if (random != nullptr) {
      action += std::exp(log_std_[i]) * random->normal();
    }
    out[a] = bounds_.apply(action, i);
  }
}

base::Status Policy::act(std::span<const float> observation, std::int32_t* action, base::Xoshiro256* random) const {
  if (observation.size() != static_cast<std::size_t>(observation_size_) || !discrete()) {
    return fail(Code::kInvalidArgument, "an observation of shape ({}) for a policy that takes ({}) and gives {}",
                observation.size(), observation_size_, discrete() ? "one of some actions" : "a Box action");
  }
  *action = choose(run(observation.data()).outputs, 1, random);
  return {};
}

base::Status Policy::act(std::span<const float> observation, std::span<float> action, base::Xoshiro256* random) const {
  if (observation.size() != static_cast<std::size_t>(observation_size_) || discrete() ||
      action.size() != static_cast<std::size_t>(actions_)) {
    return fail(Code::kInvalidArgument, "an observation of shape ({}) and room for ({}) for a policy from ({}) to ({})",
                observation.size(), action.size(), observation_size_, action_size());
  }
  finish_box(run(observation.data()), 1, action.data(), random);
  return {};
}

void Policy::act_batch(const float* observations, std::int64_t count, void* out, base::Xoshiro256* random) const {
  constexpr std::int64_t kFewRows = 4;  // below this one sample at a time is faster than a padded block
  auto* discrete_out = static_cast<std::int32_t*>(out);
  auto* box_out = static_cast<float*>(out);
  if (count <= kFewRows) {
    for (std::int64_t b = 0; b < count; ++b) {
      const Run result = run(observations + b * observation_size_);
      if (discrete()) {
        discrete_out[b] = choose(result.outputs, 1, random);
      } else {
        finish_box(result, 1, box_out + b * actions_, random);
      }
    }
    return;
  }
  const int capacity = static_cast<int>(std::min<std::int64_t>(count, nn::kBlock));
  nn::MlpWorkspace workspace(actor_, capacity);
  const std::ptrdiff_t ld = workspace.ld();
  std::vector<float> x(static_cast<std::size_t>(observation_size_ * ld));
  std::vector<float> row(static_cast<std::size_t>(observation_size_));
  for (std::int64_t first = 0; first < count; first += nn::kBlock) {
    const int n = static_cast<int>(std::min<std::int64_t>(count - first, nn::kBlock));
    for (int b = 0; b < n; ++b) {
      filter_.apply(observations + (first + b) * observation_size_, row.data());
      for (int i = 0; i < observation_size_; ++i)
        x[static_cast<std::size_t>(i * ld + b)] = row[static_cast<std::size_t>(i)];
    }
    workspace.forward(*kernels_, actor_, params_.data(), x.data(), ld, nn::pad_batch(n));
    for (int b = 0; b < n; ++b) {
      if (discrete()) {
        discrete_out[first + b] = choose(workspace.output() + b, ld, random);
      } else {
        const float* features = workspace.features() != nullptr ? workspace.features() : x.data();
        finish_box({workspace.output() + b, features + b}, ld, box_out + (first + b) * actions_, random);
      }
    }
  }
}

// ---- the file
// ----------------------------------------------------------------------------------------------------------

std::vector<tensor::TensorRef> Policy::tensors() const {
  std::vector<tensor::TensorRef> refs;
  const float* at = dense_.data();
  for (std::size_t l = 0; l < actor_.layers().size(); ++l) {
    const nn::Layer& layer = actor_.layers()[l];
    const auto weights = static_cast<std::size_t>(layer.out) * static_cast<std::size_t>(layer.in);
    refs.push_back({fmt::format("actor.{}.weight", l), DType::kF32, {layer.out, layer.in}, bytes_of({at, weights})});
    refs.push_back({fmt::format("actor.{}.bias", l),
                    DType::kF32,
                    {layer.out},
                    bytes_of({at + weights, static_cast<std::size_t>(layer.out)})});
    at += weights + static_cast<std::size_t>(layer.out);
  }
  if (!log_std_.empty()) refs.push_back({"actor.log_std", DType::kF32, log_std_shape(info_), bytes_of(log_std_)});
  if (filter_.enabled) {
    refs.push_back({"filter.mean", DType::kF32, {observation_size_}, bytes_of(filter_.mean)});
    refs.push_back({"filter.inverse_std", DType::kF32, {observation_size_}, bytes_of(filter_.inverse_std)});
  }
  return refs;
}

tensor::Metadata Policy::metadata() const {
  const bool newer =
      info_.observation_space.start != 0 || info_.action_space.start != 0 || info_.distribution == Distribution::kSde;
  const json info = {{"version", newer ? 2 : 1},
                     {"algo", info_.algo},
                     {"env", info_.env},
                     {"observation_space", space_json(info_.observation_space)},
                     {"action_space", space_json(info_.action_space)},
                     {"distribution", kDistributions[static_cast<std::size_t>(info_.distribution)]},
                     {"hidden", info_.hidden},
                     {"activation", info_.act == nn::Act::kRelu ? "relu" : "tanh"},
                     {"filter_limit", filter_.enabled ? json(filter_.limit) : json(nullptr)}};
  return {{std::string(kKey), info.dump()}};
}

std::string Policy::to_bytes() const {
  auto bytes = tensor::write_container(tensors(), metadata());
  DAYBREAK_CHECK(bytes.has_value());
  return *std::move(bytes);
}

namespace {

base::Result<PolicyInfo> info_of(const json& object) {
  const json version = object.is_object() ? object.value("version", json()) : json();
  if (!version.is_number_integer() || version < 1 || version > kPolicyVersion) {
    return fail(Code::kInvalidArgument, "a policy of version {}; this program reads versions 1 to {}", version.dump(),
                kPolicyVersion);
  }
  PolicyInfo info;
  const json none;
  const json algo = object.value("algo", none);
  const json env = object.value("env", none);
  if (algo.is_string()) info.algo = algo.get<std::string>();
  if (env.is_string()) info.env = env.get<std::string>();
  DAYBREAK_ASSIGN(info.observation_space, space_of(object.value("observation_space", none)));
  DAYBREAK_ASSIGN(info.action_space, space_of(object.value("action_space", none)));
  const json hidden = object.value("hidden", none);
  if (!hidden.is_array() || hidden.size() > 16)
    return fail(Code::kInvalidArgument, "hidden={}: a list of layer sizes", hidden.dump());
  for (const json& width : hidden) {
    if (!width.is_number_integer() || width.get<std::int64_t>() < 1 || width.get<std::int64_t>() > (1 << 14)) {
      return fail(Code::kInvalidArgument, "hidden={}: sizes from 1 to 16384", hidden.dump());
    }
    info.hidden.push_back(width.get<int>());
  }
  info.act = object.value("activation", none) == "relu" ? nn::Act::kRelu : nn::Act::kTanh;
  const json distribution = object.value("distribution", none);
  for (std::size_t i = 0; i < std::size(kDistributions); ++i) {
    if (distribution == kDistributions[i]) {
      info.distribution = static_cast<Distribution>(i);
      const bool of_box = info.distribution == Distribution::kGaussian || info.distribution == Distribution::kSde;
      if (of_box == (info.action_space.kind == Space::Kind::kBox)) return info;
    }
  }
  return fail(Code::kInvalidArgument, "distribution={} does not fit the action space", distribution.dump());
}

// Copies a dense tensor into `out`; it must be float32 of exactly this shape.
base::Status copy_tensor(const tensor::Container& file, const std::string& name, const std::vector<std::int64_t>& shape,
                         float* out) {
  DAYBREAK_ASSIGN(const tensor::TensorRef* found, expect_floats(file, name, shape));
  std::copy_n(reinterpret_cast<const float*>(found->data.data()), found->data.size() / sizeof(float), out);
  return {};
}

}  // namespace

base::Result<std::shared_ptr<const Policy>> Policy::from_bytes(std::string bytes) {
  DAYBREAK_ASSIGN(const tensor::Container file, tensor::Container::parse(std::move(bytes)));
  const auto text = file.metadata().find(std::string(kKey));
  if (text == file.metadata().end()) {
    return fail(Code::kInvalidArgument, "this container holds no policy (no '{}' in its metadata)", kKey);
  }
  const json object = json::parse(text->second, nullptr, false);
  DAYBREAK_ASSIGN(PolicyInfo info, info_of(object));
  const int observations = static_cast<int>(info.observation_space.n);
  const int actions = static_cast<int>(info.action_space.n);
  const nn::Mlp actor(observations, info.hidden, actions, info.act, 0);
  // The sizes in the metadata are somebody's word: memory is taken only once the file is seen to hold as much.
  for (std::size_t l = 0; l < actor.layers().size(); ++l) {
    const std::vector<std::int64_t> shape{actor.layers()[l].out, actor.layers()[l].in};
    DAYBREAK_TRY(expect_floats(file, fmt::format("actor.{}.weight", l), shape));
  }
  std::vector<float> params(actor.end());
  std::vector<float> dense;
  for (std::size_t l = 0; l < actor.layers().size(); ++l) {
    const nn::Layer& layer = actor.layers()[l];
    const std::string name = fmt::format("actor.{}", l);
    dense.resize(static_cast<std::size_t>(layer.out) * static_cast<std::size_t>(layer.in));
    DAYBREAK_TRY(copy_tensor(file, name + ".weight", {layer.out, layer.in}, dense.data()));
    for (int o = 0; o < layer.out; ++o) {
      std::copy_n(dense.data() + static_cast<std::ptrdiff_t>(o) * layer.in, layer.in,
                  params.data() + layer.weights + static_cast<std::size_t>(o * layer.ldw));
    }
    DAYBREAK_TRY(copy_tensor(file, name + ".bias", {layer.out}, params.data() + layer.bias));
  }
  std::vector<float> log_std;
  if (info.action_space.kind == Space::Kind::kBox) {
    const std::vector<std::int64_t> shape = log_std_shape(info);
    DAYBREAK_ASSIGN(const tensor::TensorRef* found, expect_floats(file, "actor.log_std", shape));
    log_std.resize(found->data.size() / sizeof(float));
    DAYBREAK_TRY(copy_tensor(file, "actor.log_std", shape, log_std.data()));
  }
  const json limit = object.value("filter_limit", json());
  nn::Filter filter(observations, limit.is_number(), limit.is_number() ? limit.get<float>() : 0.0F);
  if (filter.enabled) {
    DAYBREAK_TRY(copy_tensor(file, "filter.mean", {observations}, filter.mean.data()));
    DAYBREAK_TRY(copy_tensor(file, "filter.inverse_std", {observations}, filter.inverse_std.data()));
  }
  return std::make_shared<const Policy>(std::move(info), std::move(filter), actor, params, log_std);
}

base::Result<const tensor::TensorRef*> expect_floats(const tensor::Container& file, const std::string& name,
                                                     const std::vector<std::int64_t>& shape) {
  auto found = file.expect(name, DType::kF32, shape);
  if (!found) return fail(Code::kInvalidArgument, "{}", found.error().message());
  return found;
}

}  // namespace daybreak::rl
