"""Bugs to plant: does the interleaver find each within a minute? Every one was real once, here or in its like elsewhere.

Each: name, file (a .cc of the runtime), text, what it becomes; perhaps the one program whose turn comes too seldom among all. The
text must be there exactly once: a change of the source that moves it has to move it here, too. tools/interleave.py plants them, one
at a time.
"""

PLANTED: list[tuple[str, ...]] = [
    (
        "full by a tail that may be older than the head",
        "queue.cc",
        "    if (is_item_of_lap(seen, lap_of(tail) - 1)) {\n"
        "      // The lap before's: nobody has taken it. If the tail has been here all the while, the ring is full.\n"
        "      if (ring.tail.load() == tail) return false;",
        "    if (is_item(seen) && tail - ring.head.load() >= kRingCells) {\n      return false;",
    ),
    (
        "the tail moves over a cell that was emptied in the meantime",
        "queue.cc",
        "    if (is_item_of_lap(seen, lap_of(tail) - 1)) {\n"
        "      // The lap before's: nobody has taken it. If the tail has been here all the while, the ring is full.\n"
        "      if (ring.tail.load() == tail) return false;",
        "    if (is_item(seen) && static_cast<std::int64_t>(tail - ring.head.load()) >= std::int64_t{kRingCells}) {\n"
        "      return false;",
    ),
    (
        "a tail that lags behind an emptied cell is not helped on",
        "queue.cc",
        "    } else {\n      // Somebody has placed his item here",
        "    } else if (is_item_of_lap(seen, lap_of(tail))) {\n      // Somebody has placed his item here",
    ),
    (
        "who comes with an old head takes an item of another lap",
        "queue.cc",
        "    if (!is_item_of_lap(seen, lap_of(head))) {",
        "    if (!is_item(seen)) {",
    ),
    (
        "a task that found no room is forgotten",
        "tasks.cc",
        "  self_.revert(task.index, Phase::kPending);\n  return !take_over(task.index);",
        "  self_.revert(task.index, Phase::kQueued);\n  return true;",
    ),
    (
        "a far bit's word is named after the bit is set",
        "references.cc",
        "  if ((e.far_groups.load() & 1u << group) == 0) e.far_groups.fetch_or(1u << group);\n"
        '  DAYBREAK_FAILPOINT("hold.named");\n'
        "  control_.far_holders[group][index].fetch_or(holder_bit(id_));",
        "  control_.far_holders[group][index].fetch_or(holder_bit(id_));\n"
        '  DAYBREAK_FAILPOINT("hold.named");\n'
        "  if ((e.far_groups.load() & 1u << group) == 0) e.far_groups.fetch_or(1u << group);",
        "objects-killed",
    ),
    (
        "who clears the last far bit of a word takes its name back",
        "references.cc",
        "    control_.far_holders[group][index].fetch_and(~holder_bit(proc));",
        "    if (control_.far_holders[group][index].fetch_and(~holder_bit(proc)) == holder_bit(proc))\n"
        "      e.far_groups.fetch_and(~(1u << group));",
    ),
    (
        "an idle worker does not look at the queue once more",
        "worker_loop.cc",
        "  do next = p_.queue_empty() ? Next::kIdle : poll(index);\n  while (next == Next::kIdle && give_token_back());",
        "  next = Next::kIdle;",
    ),
    (
        "an idle worker keeps a token",
        "worker_loop.cc",
        "  while (next == Next::kIdle && give_token_back());",
        "  while (false);",
    ),
    (
        "the last searcher wakes nobody for what is left",
        "queue.cc",
        "  rest.fetch_and(~searching_bit(id_));\n  wake_next();",
        "  rest.fetch_and(~searching_bit(id_));",
    ),
    (
        "a worker that got a task while it looked idle stays marked as searching",
        "worker_loop.cc",
        "    p_.stop_searching();  // somebody may have woken us while we looked idle,\n",
        "",
    ),
    (
        "a searcher that became idle and found a task wakes nobody for the rest",
        "worker_loop.cc",
        "    p_.wake_next();       // or",
        "    // or",
    ),
    (
        "a waiter's mark on a dying entry is overwritten",
        "queue.cc",
        "  State s = settled(ref.index);\n  for (;;) {\n    if (s.phase() == Phase::kDying) s = settled(ref.index);",
        "  State s = e.load();\n  for (;;) {",
        "passing",
    ),
    (
        "nobody is looked for a second time before an object is freed",
        "references.cc",
        '    DAYBREAK_FAILPOINT("free.dying");\n    if (anyone_left(ref.index)) {',
        '    DAYBREAK_FAILPOINT("free.dying");\n    if (false) {',
    ),
    (
        "who gains a reference does not await the verdict",
        "references.cc",
        "    if (s.phase() != Phase::kDying) return s;",
        "    return s;",
        "passing",
    ),
    (
        "news of a death is rung like anything else",
        "scheduler.cc",
        "  self_.ring_surely(kSchedulerProc);",
        "  self_.ring(kSchedulerProc);",
    ),
    (
        "the sweep looks at chunks without the lock",
        "sweep.cc",
        "  RobustGuard guard(*this, control_.heap_lock);\n  // A tag that it had set",
        "  // A tag that it had set",
    ),
    (
        "a tag that a death has left in another's chunk stays there",
        "sweep.cc",
        "      tag.store(0);\n  }\n  segment_",
        "      (void)tag.load();\n  }\n  segment_",
        "heap-killed",
    ),
    (
        "a push that a death cut off is not done",
        "sweep.cc",
        "    if (!applied && (phase == Phase::kQueued || phase == Phase::kPending)) push(op.context, op.target, phase);",
        "",
    ),
    (
        "who overwrites a word does not acknowledge its writer",
        "process.cc",
        "    acknowledge(seen);\n    std::uint32_t value",
        "    std::uint32_t value",
    ),
    (
        "a waiter does not look again after it has marked itself",
        "client.cc",
        "      if (!p_.set_waiter(ref) && ++done >= count) break;",
        "      if (!p_.set_waiter(ref)) ++done;\n      break;",
    ),
    (
        "a worker that blocks in get keeps its CPU",
        "client.cc",
        "    p_.release_token(worker_->token, p_.id());\n    worker_->token = kNone;",
        "",
    ),
    (
        "a last handle dropped during kill() is forgotten",
        "actors.cc",
        "  if (creation.load().has(State::kNoHandles)) actor.terminate.compare_exchange_strong(none, 1);",
        "  (void)none;",
    ),
    (
        "tasks of a dead submitter are not queued again",
        "sweep.cc",
        "    if (!requeue(i)) result.queued.push_back({i, entry(i).load().generation()});",
        "    (void)i;",
    ),
    (
        "the scheduler is not told which dependency is done",
        "process.cc",
        "    if (s.waiter() == kSchedulerProc + 1 || s.waiter() == State::kManyWaiters) control_.scheduler_looks.add(index);",
        "    if (s.waiter() == kSchedulerProc + 1) control_.scheduler_looks.add(index);",
    ),
    (
        "a death between a result and the news of it is forgotten",
        "scheduler.cc",
        "  if (!exits.empty()) look_at_all_awaited();",
        "",
    ),
    (
        "a cell that a death has left half written stays so",
        "processes.cc",
        "    self_.revert(index, Phase::kPending);\n    return true;",
        "    return true;",
        "streams-killed",
    ),
    (
        "a stream's next cell waits before it is named",
        "stream.cc",
        "  p_.replace_further_result(index_, (items_ + 1) % 2, cell);\n",
        "",
    ),
    (
        "what is short is announced, and not looked for once more",
        "tasks.cc",
        "    control_.wanted.store(announced | wanted_);\n",
        "    control_.wanted.store(announced | wanted_);\n    return;\n",
    ),
    (
        "a reader sets no bit",
        "spill.cc",
        "  if (count.load() == 0) control_.readers[ref.index].word[id_ / 64].fetch_or(1ull << (id_ % 64));\n",
        "",
        "spill",
    ),
    (
        "who spills looks at the readers before he claims",
        "spill.cc",
        "  if (e.value.has_block() && may_move(ref.index) && !anyone_reads(ref.index)) {",
        "  if (e.value.has_block() && may_move(ref.index)) {",
        "spill",
    ),
    (
        "what was let go of during a move is not freed at its end",
        "spill.cc",
        "  try_free(ref);  // whoever let go of it meanwhile has left that to us\n",
        "",
        "spill",
    ),
    (
        "the block of a spilled value goes before its entry says so",
        "spill.cc",
        '    e.value.set_where(kOnDisk);\n    DAYBREAK_FAILPOINT("spill.moved");\n    free_block(ref.index, offset);\n',
        '    free_block(ref.index, offset);\n    DAYBREAK_FAILPOINT("spill.moved");\n    e.value.set_where(kOnDisk);\n',
        "spill-killed",
    ),
    (
        "the bits of a dead reader stay",
        "sweep.cc",
        "    if (control_.made[i].load(std::memory_order_relaxed) != 0)\n",
        "    if (false)\n",
        "spill-killed",
    ),
    (
        "who waits for a move is not told of its end",
        "spill.cc",
        "  if (s.waiter() != 0) wake_waiters(s.waiter());\n",
        "",
        "spill",
    ),
    (
        "a dead process's move is not settled",
        "sweep.cc",
        "  for (std::uint32_t i : unfinished.moving) settle_move({i, entry(i).load().generation()});\n",
        "",
        "spill-killed",
    ),
    (
        "the file of a value that was not written to the end stays",
        "spill.cc",
        "  if (e.value.where == kBlock || e.value.where == kNowhere) spill_files_->remove(ref);\n",
        "",
        "spill-killed",
    ),
    (
        "the file of a value that was read back outlives its object",
        "process.cc",
        "  if (blob.has_file() && spill_files_)",
        "  if (blob.where == kOnDisk && spill_files_)",
        "spill",
    ),
    (
        "who awaits a result that comes again is not marked anew",
        "tasks.cc",
        "    if (s.generation() != found->second.generation || !kept || !self_.set_waiter({index, s.generation()})) {",
        "    if (!s.done() && s.generation() == found->second.generation) return;\n    {",
        "lineage",
    ),
    (
        "who waits for the end of a move is not told that there was none",
        "lineage.cc",
        "    wake_waiters(s.waiter());\n",
        "",
        "lineage",
    ),
    (
        "what lineage counts stays counted when it is given up",
        "lineage.cc",
        "  while (e.kept_deps > 0)\n",
        "  while (false)\n",
        "lineage",
    ),
    (
        "dependencies that were given up are not sent for",
        "lineage.cc",
        "  release_lineage(index);\n  for (const Ref dep",
        "  for (const Ref dep",
        "lineage",
    ),
]
