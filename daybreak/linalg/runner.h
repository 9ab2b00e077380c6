// Runs a schedule: threads that call kernels, a cache of tiles that keeps to a budget, threads that read ahead and write
// behind.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/linalg/kernels.h"
#include "daybreak/linalg/schedule.h"

namespace daybreak::linalg {

inline constexpr int kMaxThreads = 256;
inline constexpr int kReaders = 4;  // threads of input and output: one reader does not fill a disk's queue

struct RunOptions {
  int threads = 1;  // 1 to kMaxThreads; each calls BLAS, which has one thread itself
  // Of tiles and workspaces; 0: no limit, then every matrix must be in memory.
  std::uint64_t budget_bytes = 0;
  // Where tiles go that must make room before they are final: a folder that exists and that nobody else writes.
  std::string spill_folder;
  // Asked some times a second by the calling thread: true ends the run with kCancelled.
  std::function<bool()> interrupted;
};

struct RunReport {
  Fault fault;  // of the first call, in the program's order, that found one
  int fault_slot = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t spilled_bytes = 0;  // of the written ones
  std::uint64_t held_bytes = 0;     // the most at once, of tiles and workspaces
  std::uint64_t tasks = 0;
};

// Returns when all has ended, whatever came of it: no thread goes on. Results are the same to the bit whatever the
// number of threads and the budget: each tile's updates happen in the program's order. Outputs in a folder that were
// final before a failure are there, complete. kResourceExhausted: the disk is full, or the budget is below
// Forecast::least_bytes.
base::Result<RunReport> run(const Blas& blas, const Schedule& schedule, const RunOptions& options);

}  // namespace daybreak::linalg
