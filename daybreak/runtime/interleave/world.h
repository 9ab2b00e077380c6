// What programs for the interleaver share: a shared segment that begins clean in each run, processes in it, and the
// checks that hold for all of them. How to write one: docs/interleaver.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daybreak/base/interleave/engine.h"
#include "daybreak/runtime/client.h"
#include "daybreak/runtime/worker_loop.h"

namespace daybreak::runtime {

using base::interleave::Engine;

// Private parts of Process that only tests use.
class ProtocolInspector {
 public:
  static bool push(Process& p, std::uint32_t ring, std::uint32_t index) {
    return p.push_to_ring(p.control_.ring[ring], index, p.entry(index).load().generation(), 0);
  }
  static std::uint32_t take(Process& p, std::uint32_t ring) { return p.take_from_ring(p.control_.ring[ring]); }
};

class World {
 public:
  World();

  // Everything as if just created; processes of the last run are gone.
  void reset(std::uint32_t num_cpus);
  Segment& segment() { return *segment_; }
  Control& control() { return segment_->control(); }
  // A new life in the slot `id`.
  Process& start(std::uint32_t id, ProcKind kind);
  Process& process(std::uint32_t id) { return *processes_[id]; }

  // "" when nothing is left: no entry, no memory, no token, nothing queued, no lock.
  std::string left_over();
  // Who sleeps and what is queued: for "everybody sleeps for ever".
  std::string situation();
  // A worker that is idle while a task is queued and a CPU token is free; "" when there is none.
  std::string idle_beside_work();
  std::string describe(const void* at);

 private:
  std::unique_ptr<Segment> segment_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<Process>> graveyard_;  // of this run: abandoned fibers may be inside
};

class RuntimeProgram : public base::interleave::Program {
 public:
  std::string describe(const void* at) override { return world_.describe(at); }

 protected:
  World world_;
};

// Every program there is, by name.
std::vector<std::unique_ptr<base::interleave::Program>> all_programs();

}  // namespace daybreak::runtime
