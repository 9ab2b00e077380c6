// A model's versions: which there are, which one is current, and what becomes of what waits when that changes.
#include <algorithm>

#include "daybreak/serve/internal/queue.h"
#include "daybreak/serve/model.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

base::Result<std::shared_ptr<Model>> Model::create(std::string name, base::Registry& registry, Hooks hooks) {
  DAYBREAK_ASSIGN(auto slab, Slab::create());
  return std::shared_ptr<Model>(new Model(std::move(name), registry, std::move(slab), std::move(hooks)));
}

Model::Model(std::string name, base::Registry& registry, std::shared_ptr<Slab> slab, Hooks hooks)
    : name_(std::move(name)), registry_(registry), slab_(std::move(slab)), hooks_(std::move(hooks)) {}

VersionState* Model::find(const std::string& version) {
  const auto found = versions_.find(version);
  return found == versions_.end() ? nullptr : found->second.get();
}

base::Status Model::add_version(VersionConfig config) {
  const base::MutexLock lock(mutex_);
  if (find(config.name) != nullptr)
    return fail(Code::kAlreadyExists, "model '{}' has a version '{}' already", name_, config.name);
  auto state = std::make_unique<VersionState>();
  state->metrics = std::make_shared<VersionMetrics>(registry_, name_, config.name, config.lineage);
  state->config = std::move(config);
  const std::string key = state->config.name;
  versions_.emplace(key, std::move(state));
  return {};
}

base::Status Model::delete_version(const std::string& version) {
  Finished finished;
  {
    const base::MutexLock lock(mutex_);
    VersionState* state = find(version);
    if (state == nullptr) return fail(Code::kNotFound, "model '{}' has no version '{}'", name_, version);
    if (!state->replicas.empty())
      return fail(Code::kFailedPrecondition, "version '{}' of model '{}' has replicas: remove them first", version,
                  name_);
    VersionState* next = current_ == version ? nullptr : find(current_);
    for (ItemRef& ref : std::exchange(state->queue, {})) {
      if (ref.item().done) continue;
      ref.item().queue = nullptr;
      if (next != nullptr && !ref.call->pinned) {
        enqueue(*next, std::move(ref));
      } else {
        finish(ref, Reason::kNoModel, finished);
      }
    }
    if (current_ == version) current_.clear();
    if (next != nullptr) dispatch(*next, now());
    versions_.erase(version);
  }
  answer(finished);
  return {};
}

base::Status Model::set_current(const std::string& version) {
  const base::MutexLock lock(mutex_);
  VersionState* next = find(version);
  if (next == nullptr) return fail(Code::kNotFound, "model '{}' has no version '{}'", name_, version);
  VersionState* before = current_ == version ? nullptr : find(current_);
  current_ = version;
  if (before == nullptr) return {};
  std::vector<ItemRef> stay;
  for (ItemRef& ref : std::exchange(before->queue, {})) {
    if (ref.item().done) continue;
    if (ref.call->pinned) {
      stay.push_back(std::move(ref));
      continue;
    }
    --before->queued;
    ref.item().queue = nullptr;
    enqueue(*next, std::move(ref));
  }
  before->queue = std::move(stay);
  std::ranges::make_heap(before->queue, Later{});
  dispatch(*next, now());
  return {};
}

bool Model::has_version(const std::string& version) const {
  const base::MutexLock lock(mutex_);
  return versions_.contains(version);
}

std::string Model::current() const {
  const base::MutexLock lock(mutex_);
  return current_;
}

InputType Model::input_type(const std::string& version) const {
  const base::MutexLock lock(mutex_);
  const auto found = versions_.find(version);
  return found == versions_.end() ? InputType::kDoubles : found->second->config.input_type;
}

void Model::set_input_elements(const std::string& version, std::size_t elements) {
  const base::MutexLock lock(mutex_);
  if (VersionState* state = find(version)) state->config.input_elements = elements;
}

bool Model::ready() const {
  const base::MutexLock lock(mutex_);
  const auto found = versions_.find(current_);
  if (found == versions_.end()) return false;
  return std::ranges::any_of(found->second->replicas,
                             [](const auto& replica) { return replica->state == ReplicaState::kReady; });
}

std::vector<VersionInfo> Model::versions() const {
  const base::MutexLock lock(mutex_);
  std::vector<VersionInfo> all;
  for (const auto& [name, state] : versions_) {
    const auto ready = std::ranges::count(state->replicas, ReplicaState::kReady, &Replica::state);
    all.push_back({name, name == current_, static_cast<std::size_t>(ready), state->replicas.size(), state->queued,
                   state->config.batch_size, state->times.explored(), state->config.lineage, state->metrics});
  }
  return all;
}

}  // namespace daybreak::serve
