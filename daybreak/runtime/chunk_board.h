// The calls of a chunk (batch.h), as who runs it and who has submitted it share them out.
#pragma once

#include <cstdint>

#include "daybreak/base/atomic.h"

namespace daybreak::runtime {

// How far a chunk is: 64 bytes in shared memory, of the chunk as long as it is not done.
struct alignas(64) ChunkBoard {
  base::Atomic<std::uint64_t> claim;       // [63:32] calls that are to be run | [31:0] of them, how many have begun
  base::Atomic<std::uint64_t> began_ns;    // monotonic; 0: not yet
  base::Atomic<std::uint64_t> elapsed_ns;  // once it is done
  base::Atomic<std::uint32_t> failed;      // once it is done: calls that raised
};

// The two sides of a board. All functions may be called at any time by their side, from one thread at a time.
class ChunkProgress {
 public:
  explicit ChunkProgress(ChunkBoard& board) : board_(board) {}

  // -- who runs it
  void begin();                         // from the first call on, also where a run before has died
  std::uint32_t take(std::uint32_t n);  // claims up to n calls; 0: there are no more
  void end(std::uint32_t failed);       // before the result is published

  // -- who has submitted it
  void open(std::uint32_t calls);  // before it is submitted
  struct Now {
    std::uint32_t begun, limit;
  };
  Now now();
  // Takes back calls that have not begun, from the end: all, or half of them; whole units. `leave`: so many of what has
  // not begun stay. How many were won.
  std::uint32_t take_back(std::uint32_t unit, bool all, std::uint32_t leave);
  std::int64_t began_ns();
  std::uint64_t elapsed_ns();
  std::uint32_t failed();

 private:
  ChunkBoard& board_;
};

}  // namespace daybreak::runtime
