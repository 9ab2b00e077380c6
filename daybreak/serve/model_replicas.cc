// A model's replicas: how they come, ring and go, and what becomes of what they had.
#include <algorithm>

#include "daybreak/base/log.h"
#include "daybreak/serve/model.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

std::string_view replica_state_name(ReplicaState state) {
  constexpr std::string_view kNames[] = {"starting", "ready", "draining", "dead"};
  return kNames[static_cast<std::size_t>(state)];
}

VersionState* Model::version_of_replica(std::uint64_t id, std::shared_ptr<Replica>& replica) {
  for (const auto& [name, state] : versions_) {
    const auto found = std::ranges::find(state->replicas, id, &Replica::id);
    if (found == state->replicas.end()) continue;
    replica = *found;
    return state.get();
  }
  return nullptr;
}

base::Status Model::add_replica(const std::string& version, std::shared_ptr<Replica> replica) {
  const base::MutexLock lock(mutex_);
  VersionState* state = find(version);
  if (state == nullptr) return fail(Code::kNotFound, "model '{}' has no version '{}'", name_, version);
  state->replicas.push_back(std::move(replica));
  if (state->died > 0) --state->died;
  return {};
}

void Model::replica_ready(std::uint64_t id, int pid) {
  const base::MutexLock lock(mutex_);
  std::shared_ptr<Replica> replica;
  VersionState* state = version_of_replica(id, replica);
  if (state == nullptr || replica->state != ReplicaState::kStarting) return;
  replica->state = ReplicaState::kReady;
  replica->pid = pid;
  dispatch(*state, now());
}

bool Model::remove_replica(std::uint64_t id, std::chrono::milliseconds limit) {
  std::shared_ptr<Replica> replica;
  Finished finished;
  bool clean = true;
  {
    const base::MutexLock lock(mutex_);
    VersionState* state = version_of_replica(id, replica);
    if (state == nullptr) return true;
    if (replica->state == ReplicaState::kReady || replica->state == ReplicaState::kStarting)
      replica->state = ReplicaState::kDraining;
    const Nanos end = now() + std::chrono::nanoseconds(limit).count();
    while (replica->channel.under_way() > 0 && replica->state == ReplicaState::kDraining) {
      const Nanos left = end - now();
      if (left <= 0) break;
      changed_.wait_for(mutex_, left);
    }
    clean = replica->channel.under_way() == 0;
    state = version_of_replica(id, replica);
    if (state == nullptr) return clean;
    take_back(*state, *replica, !clean, finished);
    std::erase(state->replicas, replica);
    replica->state = ReplicaState::kDead;
    replica->channel.close();
    dispatch(*state, now());
  }
  answer(finished);
  if (replica->end) replica->end(!clean);
  return clean;
}

bool Model::replica_died(std::uint64_t id, std::string why) {
  std::shared_ptr<Replica> replica;
  Finished finished;
  {
    const base::MutexLock lock(mutex_);
    VersionState* state = version_of_replica(id, replica);
    if (state == nullptr) return false;
    replica->state = ReplicaState::kDead;
    replica->last_error = std::move(why);
    take_back(*state, *replica, true, finished);
    std::erase(state->replicas, replica);
    ++state->died;
    dispatch(*state, now());
    changed_.notify_all();
  }
  answer(finished);
  if (replica->end) replica->end(true);
  return true;
}

// What a replica had: what it had begun counts as tried.
void Model::take_back(VersionState& version, Replica& replica, bool died, Finished& finished) {
  for (std::uint64_t number = replica.channel.completed(); number < replica.channel.opened(); ++number) {
    const bool begun = number + 1 < replica.channel.opened() || replica.channel.open_taken();
    for (ItemRef& ref : std::exchange(replica.flights[number % kBatchSlots], {})) {
      Item& item = ref.item();
      if (item.done) continue;
      item.replica = nullptr;
      if (begun && died && ++item.attempts > 1) {
        version.metrics->errors->add();
        finish(ref, Reason::kModelError, finished);
        continue;
      }
      if (begun && died) version.metrics->retried->add();
      enqueue(version, std::move(ref));
    }
  }
  replica.kept.clear();
}

void Model::replica_rang(std::uint64_t id) {
  Finished finished;
  std::shared_ptr<Replica> replica;
  std::string broken;
  {
    const base::MutexLock lock(mutex_);
    VersionState* version = version_of_replica(id, replica);
    if (version == nullptr) return;
    const Nanos at = now();
    std::vector<Result> results;
    std::int64_t took_ns = 0;
    for (;;) {
      const auto more = replica->channel.next_completed(took_ns, results);
      if (!more) {
        broken = more.error().message();
        break;
      }
      if (!*more) break;
      take_results(*version, *replica, took_ns, results, at, finished);
    }
    dispatch(*version, at);
    changed_.notify_all();
  }
  answer(finished);
  if (!broken.empty()) {
    base::log_error("a replica wrote nonsense into its channel and is ended", {{"replica", id}, {"why", broken}});
    if (replica->end) replica->end(true);
  }
}

void Model::take_results(VersionState& version, Replica& replica, std::int64_t took_ns, std::vector<Result>& results,
                         Nanos now, Finished& finished) {
  auto& flight = replica.flights[(replica.channel.completed() - 1) % kBatchSlots];
  took_ns = std::clamp<std::int64_t>(took_ns, 0, std::max<Nanos>(now - replica.began_ns, 0));
  std::uint32_t computed = 0;
  VersionMetrics& metrics = *version.metrics;
  for (std::size_t i = 0; i < std::min(results.size(), flight.size()); ++i) {
    ItemRef& ref = flight[i];
    Result& result = results[i];
    Item& item = ref.item();
    if (result.status != ResultStatus::kSkipped) ++computed;
    if (result.kept) replica.kept.push_back(ref);
    if (result.status == ResultStatus::kError || result.status == ResultStatus::kRefused) {
      metrics.errors->add();
      replica.last_error = result.text;
    }
    if (item.done) continue;
    item.status = result.status;
    if (result.status == ResultStatus::kRefused) item.output = std::move(result.text);
    if (result.status == ResultStatus::kJson || result.status == ResultStatus::kText) {
      item.output = std::move(result.text);
      ref.call->version = version.config.name;
      metrics.predictions->add();
      metrics.latency_s->observe(static_cast<double>(now - ref.call->admitted_ns) * 1e-9);
      metrics.queue_s->observe(static_cast<double>(std::max<Nanos>(now - took_ns - ref.call->admitted_ns, 0)) * 1e-9);
      finish(ref, Reason::kAnswered, finished);
    } else {
      finish(ref, Reason::kModelError, finished);
    }
  }
  flight.clear();
  forget_done(nullptr);
  ++replica.batches;
  replica.began_ns = now;
  if (computed > 0) {
    // A replica's first batch loads and warms what the model needs, perhaps at fifty times the cost of the next one: taken for
    // the model's pace it would have the second request refused.
    if (replica.batches > 1) version.times.observe(computed, took_ns);
    metrics.batch_size->observe(computed);
    metrics.compute_s->observe(static_cast<double>(took_ns) * 1e-9);
  }
}

std::vector<ReplicaInfo> Model::replicas() const {
  const base::MutexLock lock(mutex_);
  std::vector<ReplicaInfo> all;
  for (const auto& [name, state] : versions_) {
    for (const auto& replica : state->replicas)
      all.push_back({replica->id, name_, name, replica->native, replica->state, replica->pid, replica->batches,
                     replica->last_error, replica->channel.under_way()});
  }
  return all;
}

}  // namespace daybreak::serve
