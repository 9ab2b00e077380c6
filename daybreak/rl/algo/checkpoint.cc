#include "daybreak/rl/algo/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace daybreak::rl {

using base::Code;
using base::fail;
using nlohmann::json;
using tensor::DType;

namespace {

constexpr std::string_view kState = "train.state";

std::vector<std::int64_t> flat_shape(std::span<const float> values) {
  return {static_cast<std::int64_t>(values.size())};
}

}  // namespace

base::Result<std::string> write_checkpoint(const Policy& policy, std::span<const NamedConstFloats> arrays,
                                           std::string_view state, std::string_view config) {
  auto refs = policy.tensors();
  for (const NamedConstFloats& array : arrays)
    refs.push_back({array.name, DType::kF32, flat_shape(array.values), std::as_bytes(array.values)});
  refs.push_back({std::string(kState),
                  DType::kU8,
                  {static_cast<std::int64_t>(state.size())},
                  std::as_bytes(std::span(state.data(), state.size()))});
  auto metadata = policy.metadata();
  metadata.emplace(kCheckpointKey, json{{"version", kCheckpointVersion}, {"config", json::parse(config)}}.dump());
  return tensor::write_container(refs, metadata);
}

base::Result<Checkpoint> Checkpoint::open(std::string bytes, std::string_view config,
                                          std::initializer_list<const char*> same,
                                          std::span<const NamedFloats> arrays) {
  DAYBREAK_ASSIGN(tensor::Container file, tensor::Container::parse(std::move(bytes)));
  const auto text = file.metadata().find(std::string(kCheckpointKey));
  if (text == file.metadata().end()) {
    return fail(Code::kInvalidArgument,
                "this file holds no checkpoint of a trainer (a policy alone cannot be trained on)");
  }
  const auto object = json::parse(text->second, nullptr, false);
  if (!object.is_object() || object.value("version", json()) != kCheckpointVersion || !object.contains("config")) {
    return fail(Code::kInvalidArgument, "a checkpoint of another version than {}", kCheckpointVersion);
  }
  const json& theirs = object["config"];
  const json ours = json::parse(config);
  for (const char* name : same) {
    // Options younger than the file had one value only.
    const bool younger =
        theirs.is_object() && !theirs.contains(name) && (ours.at(name) == false || ours.at(name) == "adam");
    if (younger) continue;
    if (!theirs.is_object() || theirs.value(name, json()) != ours.at(name)) {
      return fail(Code::kInvalidArgument, "the checkpoint was made with {}={}, this trainer has {}={}", name,
                  theirs.is_object() ? theirs.value(name, json()).dump() : "?", name, ours.at(name).dump());
    }
  }
  for (const NamedFloats& array : arrays) DAYBREAK_TRY(expect_floats(file, array.name, flat_shape(array.values)));
  if (file.find(kState) == nullptr) return fail(Code::kInvalidArgument, "the checkpoint has no tensor '{}'", kState);
  return Checkpoint(std::move(file));
}

std::string_view Checkpoint::state() const {
  const tensor::TensorRef* state = file_.find(kState);
  return {reinterpret_cast<const char*>(state->data.data()), state->data.size()};
}

void Checkpoint::copy_to(std::span<const NamedFloats> arrays) const {
  for (const NamedFloats& array : arrays) {
    const tensor::TensorRef* from = file_.find(array.name);
    std::copy_n(reinterpret_cast<const float*>(from->data.data()), array.values.size(), array.values.data());
  }
}

}  // namespace daybreak::rl
