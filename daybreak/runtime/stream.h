// The stream of a task that yields its results one by one: a chain of cells, each an object whose value names an item and
// the next cell.
//
// A cell is a further result of its task (Kind::kReturn), pending until it is written. The task names two of them behind
// its arguments, so that whoever ends it, whether it is cancelled, fails or loses its worker, finds the one that the
// consumer waits for: cell i lies in place i % 2. Before cell i is written, cell i + 1 takes the place of cell i - 1, which
// is done; so each cell that is pending is named, at every instruction. Cells carry their number: a second attempt at the
// task finds how far the first had come, and passes over as many items.
#pragma once

#include <cstdint>
#include <vector>

#include "daybreak/runtime/client.h"

namespace daybreak::runtime {

// The producer's side, of a task that this process runs. One thread at a time.
class Stream {
 public:
  static constexpr std::uint16_t kResults = 3;  // the task's own, and two places for cells

  Stream(Client& client, std::uint32_t index);

  // Whether an earlier attempt has written the end, and died before the task was done: nothing more is to be written.
  bool ended() const { return ended_; }
  // How many items have been written, by earlier attempts too: the next one's number.
  std::uint32_t items() const { return items_; }
  // Whether the consumer has dropped the stream.
  bool abandoned();
  // Whether the consumer has come close enough for one more item. Who lets go of a cell of a stream with a window rings the
  // process that runs its task.
  bool has_room();
  // The next item, which the caller holds. On an error nothing has changed.
  base::Status write(Ref item);
  // Claims what is pending: the cell that the consumer waits for, to be written and published by the caller, first.
  std::vector<std::uint32_t> claim_rest();

 private:
  Ref place(std::uint32_t number);
  base::Result<Ref> next_cell();

  Client& client_;
  Process& p_;
  const std::uint32_t index_;
  bool ended_ = false;
  std::uint32_t items_ = 0;
  std::vector<Ref> ahead_;  // the last cells that were written, by number modulo the window; not held
};

}  // namespace daybreak::runtime
