// A model's requests, from admission over the queue and the batches to the answer or the deadline.
#include <algorithm>
#include <cmath>

#include "daybreak/serve/internal/queue.h"
#include "daybreak/serve/model.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

namespace {

// Batches may be so large that they take this share of what the most urgent request has left ...
constexpr double kBudgetShare = 0.9;
// ... and of the whole time that the app allows, however little that one has left: one late request does not make all
// batches small.
constexpr double kLeastShare = 0.4;
// A request is admitted when it will probably be answered within this share of its time.
constexpr double kAdmitShare = 0.92;

}  // namespace

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

std::size_t Model::outstanding() const {
  const base::MutexLock lock(mutex_);
  std::size_t count = 0;
  for (const Outstanding& each : outstanding_) {
    for (const auto& call : each.calls) count += call->remaining > 0 ? 1 : 0;
  }
  return count;
}

}  // namespace daybreak::serve
