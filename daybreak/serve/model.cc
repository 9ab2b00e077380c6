#include "daybreak/serve/model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "daybreak/base/log.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

namespace {

constexpr Nanos kNever = std::numeric_limits<Nanos>::max();
// Batches may be so large that they take this share of what the most urgent request has left ...
constexpr double kBudgetShare = 0.9;
// ... and of the whole time that the app allows, however little that one has left: one late request does not make all
// batches small.
constexpr double kLeastShare = 0.4;
// A request is admitted when it will probably be answered within this share of its time.
constexpr double kAdmitShare = 0.92;

// The earliest deadline comes out first.
struct Later {
  bool operator()(const ItemRef& a, const ItemRef& b) const { return a.call->deadline_ns > b.call->deadline_ns; }
};

}  // namespace

std::string_view replica_state_name(ReplicaState state) {
  constexpr std::string_view kNames[] = {"starting", "ready", "draining", "dead"};
  return kNames[static_cast<std::size_t>(state)];
}

base::Result<std::shared_ptr<Model>> Model::create(std::string name, base::Registry& registry, Hooks hooks) {
  DAYBREAK_ASSIGN(auto slab, Slab::create());
  return std::shared_ptr<Model>(new Model(std::move(name), registry, std::move(slab), std::move(hooks)));
}

Model::Model(std::string name, base::Registry& registry, std::shared_ptr<Slab> slab, Hooks hooks)
    : name_(std::move(name)), registry_(registry), slab_(std::move(slab)), hooks_(std::move(hooks)) {}

// ---- versions

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

// ---- replicas

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

// ---- requests

base::Status Model::submit(const std::shared_ptr<Call>& call, const std::optional<std::string>& version) {
  Finished finished;
  bool wait = false;
  {
    const base::MutexLock lock(mutex_);
    VersionState* state = find(version ? *version : current_);
    if (version && state == nullptr)
      return fail(Code::kNotFound, "Requested version: {} does not exist for model: {}", *version, name_);
    call->pinned = version.has_value();
    call->remaining = call->items.size();
    if (state != nullptr) {
      call->version = state->config.name;
      if (const std::size_t takes = state->config.input_elements; takes > 0) {
        for (const Parsed::Place& place : call->parsed.inputs) {
          if (const std::size_t came = place.size_bytes / element_bytes(call->app->input_type); came != takes)
            return fail(Code::kInvalidArgument, "model '{}' takes {} numbers, {} came", name_, takes, came);
        }
      }
    }
    if (call->items.empty()) finished.push_back(call);
    const Nanos now = call->admitted_ns;
    for (std::uint32_t i = 0; i < call->items.size(); ++i) {
      ItemRef ref{call, i};
      if (state == nullptr || (state->replicas.empty() && state->died == 0)) {
        finish(ref, Reason::kNoModel, finished);
      } else if (!admits(*state, *call, now)) {
        finish(ref, Reason::kOverloaded, finished);
      } else {
        enqueue(*state, std::move(ref));
        wait = true;
      }
    }
    if (wait) {
      forget_done(call->app.get());
      const auto found = std::ranges::find(outstanding_, call->app, &Outstanding::app);
      Outstanding& mine = found != outstanding_.end() ? *found : outstanding_.emplace_back(Outstanding{call->app, {}});
      mine.calls.push_back(call);
      dispatch(*state, now);
    }
  }
  if (wait) hooks_.wake(call->deadline_ns);
  answer(finished, true);  // this is the loop that it came on
  return {};
}

// How long until the replica has done what it is computing, as far as is known.
Nanos Model::busy_for(const VersionState& version, const Replica& replica, Nanos now) const {
  const std::uint64_t under_way = replica.channel.under_way();
  if (under_way == 0 || (under_way == 1 && !replica.channel.open_taken())) return 0;
  const std::size_t size = replica.flights[replica.channel.completed() % kBatchSlots].size();
  const Nanos elapsed = now - replica.began_ns;
  const Nanos expected = static_cast<Nanos>(version.times.expected_ns(static_cast<std::uint32_t>(size)));
  return elapsed <= expected ? expected - elapsed : elapsed - expected;  // twice as late: probably twice as late again
}

bool Model::admits(const VersionState& version, const Call& call, Nanos now) const {
  if (version.queued >= kMaxQueued) return false;
  if (!version.times.known()) return true;
  std::size_t ready = 0, waiting = version.queued;
  Nanos busy = kNever;
  for (const auto& replica : version.replicas) {
    if (replica->state != ReplicaState::kReady) continue;
    ++ready;
    waiting += replica->channel.open_count();
    busy = std::min(busy, busy_for(version, *replica, now));
  }
  if (ready == 0) return true;                 // one that starts may be there in time
  if (waiting == 0 && busy == 0) return true;  // it would be computed at once, however long that takes
  const double slo = static_cast<double>(call.app->slo_ns);
  std::uint32_t largest = version.config.batch_size;
  if (largest == 0) largest = version.times.largest_within(kLeastShare * slo, kMaxBatch);
  const double batch =
      version.times.expected_ns(std::min<std::uint32_t>(largest, static_cast<std::uint32_t>(waiting) + 1));
  const double rounds = std::ceil(std::ceil(static_cast<double>(waiting + 1) / largest) / static_cast<double>(ready));
  const double wait =
      static_cast<double>(busy) + rounds * batch + (version.times.bound_ns(1) - version.times.expected_ns(1));
  return wait <= kAdmitShare * slo;
}

std::uint32_t Model::batch_limit(const VersionState& version, const Call& call, Nanos now) const {
  if (version.config.batch_size > 0) return std::min(version.config.batch_size, kMaxBatch);
  const double left = kBudgetShare * static_cast<double>(call.deadline_ns - now);
  const double least = kLeastShare * static_cast<double>(call.app->slo_ns);
  return version.times.largest_within(std::max(left, least), kMaxBatch);
}

void Model::enqueue(VersionState& version, ItemRef ref) {
  ref.item().queue = &version;
  ++version.queued;
  version.queue.push_back(std::move(ref));
  std::ranges::push_heap(version.queue, Later{});
}

// Moves what waits into batches, each to the replica that will come to it soonest.
void Model::dispatch(VersionState& version, Nanos now) {
  while (!version.queue.empty()) {
    if (version.queue.front().item().done) {
      std::ranges::pop_heap(version.queue, Later{});
      version.queue.pop_back();
      continue;
    }
    const ItemRef& first = version.queue.front();
    Replica* best = nullptr;
    std::uint64_t best_load = std::numeric_limits<std::uint64_t>::max();
    for (const auto& replica : version.replicas) {
      if (replica->state != ReplicaState::kReady) continue;
      const std::uint64_t load = replica->channel.under_way() * kMaxBatch * 2 + replica->channel.open_count();
      if (load < best_load && replica->channel.has_room()) {
        best = replica.get();
        best_load = load;
      }
    }
    if (best == nullptr) return;
    const Parsed& parsed = first.call->parsed;
    const Parsed::Place& input = parsed.inputs[first.index];
    const bool idle = best->channel.under_way() == 0;
    const auto place = best->channel.append(parsed.block.offset() + input.offset, input.size_bytes,
                                            batch_limit(version, *first.call, now));
    if (!place) return;  // it has just become full; it rings when there is room
    if (idle) best->began_ns = now;
    std::ranges::pop_heap(version.queue, Later{});
    ItemRef ref = std::move(version.queue.back());
    version.queue.pop_back();
    --version.queued;
    Item& item = ref.item();
    item.queue = nullptr;
    item.replica = best;
    item.place = *place;
    best->flights[place->batch % kBatchSlots].push_back(std::move(ref));
  }
}

void Model::finish(const ItemRef& ref, Reason reason, Finished& finished) {
  Item& item = ref.item();
  if (item.done) return;
  item.done = true;
  item.reason = reason;
  if (item.queue != nullptr) --item.queue->queued;
  if (item.replica != nullptr && reason != Reason::kAnswered && item.status == ResultStatus::kNone)
    item.replica->channel.cancel(item.place);
  item.queue = nullptr;
  item.replica = nullptr;
  if (--ref.call->remaining == 0) finished.push_back(ref.call);
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
    version.times.observe(computed, took_ns);
    metrics.batch_size->observe(computed);
    metrics.compute_s->observe(static_cast<double>(took_ns) * 1e-9);
  }
}

// ---- deadlines

void Model::forget_done(const AppConfig* app) {
  for (Outstanding& each : outstanding_) {
    if (app != nullptr && each.app.get() != app) continue;
    while (!each.calls.empty() && each.calls.front()->remaining == 0) each.calls.pop_front();
  }
}

Nanos Model::expire(Nanos now) {
  Finished finished;
  Nanos next = kNever;
  {
    const base::MutexLock lock(mutex_);
    for (Outstanding& each : outstanding_) {
      while (!each.calls.empty()) {
        const std::shared_ptr<Call>& call = each.calls.front();
        if (call->remaining > 0) {
          if (call->deadline_ns > now) break;
          for (std::uint32_t i = 0; i < call->items.size(); ++i) finish({call, i}, Reason::kDeadline, finished);
        }
        each.calls.pop_front();
      }
      if (!each.calls.empty()) next = std::min(next, each.calls.front()->deadline_ns);
    }
    std::erase_if(outstanding_, [](const Outstanding& each) { return each.calls.empty(); });
  }
  answer(finished);
  return next;
}

void Model::fail_all(Reason reason) {
  Finished finished;
  {
    const base::MutexLock lock(mutex_);
    for (Outstanding& each : outstanding_) {
      for (const auto& call : each.calls) {
        for (std::uint32_t i = 0; i < call->items.size(); ++i) finish({call, i}, reason, finished);
      }
    }
    outstanding_.clear();
  }
  answer(finished);
}

void Model::answer(Finished& finished, bool here) const {
  if (finished.empty()) return;
  if (here || !hooks_.post) return answer_here(finished, *hooks_.env);
  // One message for all of a loop: the answers of a batch wake it once, and it writes them itself.
  std::ranges::stable_sort(finished, {}, [](const auto& call) { return call->loop; });
  for (auto first = finished.begin(); first != finished.end();) {
    const int loop = (*first)->loop;
    const auto last = std::find_if(first, finished.end(), [&](const auto& call) { return call->loop != loop; });
    Finished mine(std::make_move_iterator(first), std::make_move_iterator(last));
    first = last;
    if (loop < 0) {
      answer_here(mine, *hooks_.env);
    } else {
      hooks_.post(loop, [calls = std::move(mine), env = hooks_.env] { answer_here(calls, *env); });
    }
  }
}

void Model::answer_here(const Finished& finished, base::Env& env) {
  const Nanos now = env.monotonic_ns();
  for (const auto& call : finished) {
    for (const Item& item : call->items) call->metrics->outcomes[static_cast<std::size_t>(item.reason)]->add();
    call->metrics->latency_s->observe(static_cast<double>(now - call->admitted_ns) * 1e-9);
    call->answer(*call);
    call->answer = nullptr;
  }
}

// ---- looking

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

std::size_t Model::outstanding() const {
  const base::MutexLock lock(mutex_);
  std::size_t count = 0;
  for (const Outstanding& each : outstanding_) {
    for (const auto& call : each.calls) count += call->remaining > 0 ? 1 : 0;
  }
  return count;
}

}  // namespace daybreak::serve
