// What the driver's monitor does when a process has died: everything that it had begun in shared memory is undone or
// completed, everything that it held comes back. The process is dead for certain (its exit was reaped) and its slot
// says kDead.
#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/robust_guard.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

// Whether the operation that it had announced took effect (process.cc, apply), and what follows from that. The word is
// looked at first: whoever overwrites the dead's stamp has acknowledged it before, so it is found here or there.
void Process::resolve_operation(std::uint32_t dead) {
  Operation& op = control_.proc[dead].operation;
  std::uint32_t sequence = op.sequence.load();
  if (sequence == 0) return;
  DetectableWord& target = op.kind == Operation::kPush       ? list_word(op.context)
                           : op.field == Operation::kLineage ? control_.lineage_pins[op.target]
                                                             : entry(op.target).pins;
  std::uint64_t word = target.word.load();
  bool applied = (DetectableWord::proc(word) == dead && DetectableWord::sequence(word) == sequence) ||
                 control_.proc[dead].acknowledged.load() == sequence;
  if (op.kind == Operation::kPush) {
    Phase phase = entry(op.target).load().phase();
    if (!applied && (phase == Phase::kQueued || phase == Phase::kPending)) push(op.context, op.target, phase);
  } else if (applied) {
    Entry& context = entry(op.context);
    (op.field == Operation::kArgs    ? context.part.pinned
     : op.field == Operation::kValue ? context.value_pinned
                                     : context.kept_deps) = op.after;
  }
  op.sequence.store(0);
}

// Memory that the dead process took for entries that it was filling and that they do not show yet; and its chunks.
void Process::free_stray_blocks(std::uint32_t dead, const std::vector<bool>& filling) {
  auto stray = [&](std::uint32_t tag, std::uint64_t offset) {
    std::uint32_t index = tag - 1;
    if (index >= filling.size() || !filling[index]) return false;
    Entry& e = entry(index);
    return !(e.value.has_block() && e.value.offset == offset) && !(e.args.where == kBlock && e.args.offset == offset);
  };
  // A reclaimer may be about to take an empty chunk of the dead, or have given it to another.
  RobustGuard guard(*this, control_.heap_lock);
  // A tag that it had set after a reclaimer had found the chunk empty, and had not come to take back.
  if (std::uint64_t taking = control_.proc[dead].taking.exchange(0); taking != 0) {
    base::Atomic<std::uint32_t>& tag =
        segment_.tags((taking - 1) / kBlocksPerChunk * kChunkGranules).tag[(taking - 1) % kBlocksPerChunk];
    std::uint32_t index = tag.load() - 1;
    std::uint64_t word = segment_.run((taking - 1) / kBlocksPerChunk * kChunkGranules).load();
    if (index < filling.size() && filling[index] && (!Run::is_chunk(word) || Run::owner(word) != dead + 1))
      tag.store(0);
  }
  segment_.for_each_run([&](std::uint64_t granule, std::uint64_t word) {
    if (!Run::is_chunk(word)) {
      if (stray(Run::tag(word), granule * kGranule)) segment_.run(granule).compare_exchange_strong(word, 0);
      return;
    }
    if (Run::owner(word) != dead + 1) return;
    std::uint64_t block = size_of_class(Run::size_class(word));
    ChunkTags& tags = segment_.tags(granule);
    bool empty = true;
    for (std::uint32_t i = 0; i < kChunkBytes / block; ++i) {
      std::uint32_t tag = tags.tag[i].load();
      if (tag != 0 && stray(tag, granule * kGranule + i * block)) tags.tag[i].store(tag = 0);
      empty = empty && tag == 0;
    }
    // Without an owner nobody takes blocks from it any more; reclaim_chunks() gets it when the last one is freed.
    segment_.run(granule).store(empty ? 0 : Run::make(Run::tag(word) & ~0xffffu, kChunkGranules));
  });
}

// Takes the dead process's bit out of all entries and notes in which of them it was in the middle of something.
Process::Unfinished Process::find_unfinished(std::uint32_t dead, SweepResult& result) {
  Unfinished found;
  found.filling.resize(std::size_t{control_.entry_blocks_used.load()} * kEntriesPerBlock);
  for_each_entry([&](std::uint32_t i) {
    Entry& e = entry(i);
    // What he read where it lay may move again.
    if (control_.made[i].load(std::memory_order_relaxed) != 0)
      control_.readers[i].word[dead / 64].fetch_and(~(1ull << (dead % 64)));
    clear_holder(i, dead);
    State s = e.load();
    bool his = s.proc_plus_one() == dead + 1;
    switch (s.phase()) {
      case Phase::kCreated:
        if (his) found.created.push_back(i), found.filling[i] = true;
        break;
      case Phase::kRunning:
        if (his) result.lost.push_back(i), found.filling[i] = true;
        break;
      case Phase::kDying:
        if (his) found.dying.push_back(i);
        break;
      case Phase::kSpilling:
      case Phase::kRestoring:
        if (his) found.moving.push_back(i), found.filling[i] = true;
        break;
      case Phase::kReady:
      case Phase::kError:
        if (his && s.has(State::kInFlight)) found.finishing.push_back(i);
        break;
      case Phase::kQueued:
        if (e.part.target_now() == dead + 1)
          result.directed.push_back(i);
        else if (e.part.submitter_now() == dead && e.kind_now() == Kind::kTask && e.part.target_now() == 0)
          found.submitted.push_back(i);
        break;
      default: break;
    }
  });
  if (control_.proc[dead].kind == ProcKind::kActor) {
    // A constructor that failed may have died while it wrote its exception there.
    std::uint32_t creation = control_.actor[control_.proc[dead].actor].creation.index;
    if (creation < found.filling.size()) found.filling[creation] = true;
  }
  return found;
}

// Further results of tasks that never came to be, and objects that nobody is left for.
void Process::free_what_is_left_behind() {
  for_each_entry([&](std::uint32_t i) {
    Entry& e = entry(i);
    State s = e.load();
    if (s.done() && !s.has(State::kInFlight)) {
      try_free({i, s.generation()});
    } else if (s.phase() == Phase::kPending && e.kind_now() == Kind::kReturn) {
      // Of this object, if it is still that when it is claimed.
      const Ref task = e.part.task_now(), ref{i, s.generation()};
      if (entry(task.index % kMaxObjects).load().generation() != task.generation && claim_pending(ref))
        publish_error(i, ErrorKind::kOwnerDied, "the process that submitted the task died before it had done so");
    }
  });
  release_pending();
}

// Single words that name the dead process, each by a step that does nothing when it names another by now.
void Process::give_back_of(std::uint32_t dead) {
  const std::uint64_t bit = 1ull << (dead % 64);
  for (std::uint32_t i = 0; i < control_.num_cpus; ++i) {
    std::uint32_t holder = dead + 1;
    control_.token[i].holder.compare_exchange_strong(holder, 0);
  }
  control_.spinning[dead / 64].fetch_and(~bit);
  if (dead < 64) control_.workers.fetch_and(~bit);
  control_.rest[dead / 32].fetch_and(~(0x1'0000'0001ull << (dead % 32)));
  std::uint32_t blocks = control_.entry_blocks_used.load();
  for (std::uint32_t i = 0; i < blocks; ++i) {
    std::uint32_t owner = dead + 1;
    control_.entry_block_owner[i].compare_exchange_strong(owner, 0);
  }
}

// The order: (1) locks, which the rest takes; (2) the operation that was announced, as the counters that it moves say what
// is pinned; (3) a look at all entries; (4) memory that no entry shows, while the entries that it may belong to are as
// the dead left them; (5) then these are undone or completed. (6) Objects without anybody are looked for when all its
// references are gone, also those that (5) took back. (7) Its CPUs, bits and entry blocks last: what is in them was in
// its name until here. (8) Everybody is rung, for wake-ups that it owed.
Process::SweepResult Process::sweep(std::uint32_t dead) {
  SweepResult result;
  break_lock(control_.heap_lock, dead);
  break_lock(control_.names_lock, dead);
  resolve_operation(dead);
  const Unfinished unfinished = find_unfinished(dead, result);
  free_stray_blocks(dead, unfinished.filling);

  for (std::uint32_t i : result.lost) drop_value(i);
  for (std::uint32_t i : unfinished.created) abandon(i);
  for (std::uint32_t i : unfinished.dying) {
    std::uint32_t generation = entry(i).load().generation();
    give_up_free(i);
    try_free({i, generation});
  }
  for (std::uint32_t i : unfinished.moving) settle_move({i, entry(i).load().generation()});
  for (std::uint32_t i : unfinished.finishing) finish(i, entry(i).load().generation());
  // Perhaps in no ring; a second copy does no harm.
  for (std::uint32_t i : unfinished.submitted)
    if (!requeue(i)) result.queued.push_back({i, entry(i).load().generation()});

  free_what_is_left_behind();
  give_back_of(dead);
  // Surely: it may have taken a sleeper's mark and not have come to waking him.
  if (!queue_empty()) wake_idle();
  ring_all();
  return result;
}

void Process::adopt(std::uint32_t index) {
  DAYBREAK_CHECK(entry(index).load().phase() == Phase::kRunning);
  entry(index).part.set_option(kKept, false);  // it had a result, perhaps, and died before that was seen
  update(entry(index), [&](State s) { return s.with_proc(id_); });
}

void Process::revert(std::uint32_t index, Phase phase) {
  DAYBREAK_CHECK(entry(index).load().phase() == Phase::kRunning);
  update(entry(index), [&](State s) { return s.with_phase(phase).without_proc(); });
}

}  // namespace daybreak::runtime
