// How a server hands batches to one replica and gets results: a piece of memory that both see, a futex one way, an
// eventfd the other. The replica is another process, or a thread of this one.
//
// A batch is open until the replica takes it: requests that come while the replica computes the batch before still
// join, so the hop costs no waiting and the batch is as large as it can be. Two batches are under way at most: one that
// is being computed and an open one.
//
// The replica is not trusted with memory: every number that it writes is checked before it is used, and its results are
// copied before they are looked at.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/memory.h"

namespace daybreak::serve {

inline constexpr std::uint32_t kMaxBatch = 1024;           // requests in a batch
inline constexpr std::uint64_t kBatchSlots = 4;            // batches have a number; number n lies in slot n % 4
inline constexpr std::uint64_t kBatchesUnderWay = 2;       // one being computed, one open
inline constexpr std::size_t kResultBytes = 64u << 20;     // of all results of one batch; memory as they need it
inline constexpr std::size_t kKeptResultBytes = 4u << 20;  // what a batch needed beyond that goes back
inline constexpr std::size_t kMaxResultBytes = 1u << 20;   // of one
inline constexpr std::size_t kMaxErrorBytes = 1024;        // of the text of an error

enum class ResultStatus : std::uint32_t {
  kNone = 0,
  kJson = 1,     // text that the replica says is JSON
  kText = 2,     // any text: JSON when it parses, else a string (as Clipper does)
  kError = 3,    // the model failed; the text says how
  kSkipped = 4,  // the request had been answered before the replica came to it
  kRefused = 5,  // what the model gave cannot be sent; the text says why, and is for the caller too
};

struct InputRef {
  std::uint64_t offset;  // in the slab
  std::uint32_t size_bytes;
  std::atomic<std::uint32_t> cancelled;
};

struct ResultRef {
  ResultStatus status;
  std::uint32_t offset;  // in the batch's results
  std::uint32_t size_bytes;
  std::uint32_t kept;  // the model still holds the input's memory
};

struct BatchMemory {
  static constexpr std::uint32_t kTaken = 1u << 31;
  alignas(64) std::atomic<std::uint32_t> state;  // how many inputs; kTaken: no more may join
  alignas(64) std::atomic<std::int64_t> took_ns;
  std::array<InputRef, kMaxBatch> inputs;
  std::array<ResultRef, kMaxBatch> results;
};

struct ChannelMemory {
  alignas(64) std::atomic<std::uint32_t> bell;       // the futex on which the replica sleeps
  std::atomic<std::uint32_t> sleeping;               // it does, or is about to
  std::atomic<std::uint32_t> closed;                 // by the server: end
  alignas(64) std::atomic<std::uint64_t> completed;  // by the replica: so many batches
  std::array<BatchMemory, kBatchSlots> batches;
  alignas(64) std::array<std::array<char, kResultBytes>, kBatchSlots> results;
};

// The memory, shared by an anonymous file. Goes when the last of both sides has gone.
class ChannelMapping {
 public:
  static base::Result<std::shared_ptr<ChannelMapping>> create();
  static base::Result<std::shared_ptr<ChannelMapping>> open(os::Fd fd);

  // An anonymous file begins as zeros: all of it is 0 or kNone.
  ChannelMemory& memory() const { return *reinterpret_cast<ChannelMemory*>(mapping_.data()); }
  int fd() const { return fd_.get(); }
  // Of a batch's results: a replica that once gave a lot shall not hold that memory for ever.
  void give_back_results(std::size_t slot) const;

 private:
  ChannelMapping(os::Fd fd, os::Mapping mapping) : fd_(std::move(fd)), mapping_(std::move(mapping)) {}
  const os::Fd fd_;
  const os::Mapping mapping_;
};

// ---- the server's side; one thread at a time

struct Result {
  ResultStatus status = ResultStatus::kNone;
  bool kept = false;
  std::string text;
};

class ServerChannel {
 public:
  explicit ServerChannel(std::shared_ptr<ChannelMapping> mapping) : mapping_(std::move(mapping)) {}

  // Where an input went: the batch's number and its place in it.
  struct Place {
    std::uint64_t batch;
    std::uint32_t index;
  };
  // Puts an input into the open batch, or opens one that takes at most `limit`. Empty when neither is possible now.
  std::optional<Place> append(std::uint64_t offset, std::uint32_t size_bytes, std::uint32_t limit);
  // Whether append() will probably find a place.
  bool has_room() const;
  // Nobody waits for it any more.
  void cancel(Place place);
  // The next completed batch: how long it took, and its results in the order of append(). False when there is none.
  // kDataLoss when what the replica wrote makes no sense: it must end.
  base::Result<bool> next_completed(std::int64_t& took_ns, std::vector<Result>& results);
  // Batches opened and not completed.
  std::uint64_t under_way() const { return opened_ - completed_; }
  // Inputs in the open batch, and whether the replica has begun to compute it.
  std::uint32_t open_count() const;
  bool open_taken() const;
  std::uint64_t completed() const { return completed_; }
  std::uint64_t opened() const { return opened_; }
  // Ends the replica's serve().
  void close();

 private:
  void wake();

  std::shared_ptr<ChannelMapping> mapping_;
  std::uint64_t opened_ = 0;
  std::uint64_t completed_ = 0;
  std::uint32_t limit_ = 0;
  std::array<std::uint32_t, kBatchSlots> counts_{};  // as we wrote them, whatever the replica writes
};

// ---- the replica's side; one thread at a time

struct Input {
  std::uint32_t index;  // its place in the batch, for ResultWriter
  std::span<const std::byte> bytes;
};

class ReplicaSide;

// The results of one batch. An input without one becomes an error.
class ResultWriter {
 public:
  ResultWriter(BatchMemory& batch, std::span<char> memory, std::uint32_t count);
  void set(std::uint32_t index, ResultStatus status, std::string_view text);
  // The model failed; the text is for the log. refuse: for the caller, too.
  void fail(std::uint32_t index, std::string_view text);
  void refuse(std::uint32_t index, std::string_view text);
  // The same for all that have none yet.
  void fail_rest(std::string_view text);
  void refuse_rest(std::string_view text);
  void keep(std::uint32_t index) { batch_.results[index].kept = 1; }

 private:
  void end(std::uint32_t index, ResultStatus status, std::string_view text);

  BatchMemory& batch_;
  const std::span<char> memory_;
  const std::uint32_t count_;
  std::size_t used_ = 0;
};

class ReplicaSide {
 public:
  // `slab`: the inputs' memory. `event`: an eventfd that is rung after each batch; -1: none. `env`: its clock says how
  // long a batch took.
  ReplicaSide(std::shared_ptr<ChannelMapping> mapping, std::span<const std::byte> slab, int event,
              base::Env& env = base::Env::real())
      : mapping_(std::move(mapping)), slab_(slab), event_(event), env_(env) {}

  enum class Took { kBatch, kNothing, kClosed };
  // Waits at most `timeout_ms` for a batch and takes it.
  Took take(int timeout_ms);
  // The inputs of the batch that was taken, without those that were cancelled.
  std::span<const Input> inputs() const { return inputs_; }
  ResultWriter& results() { return *results_; }
  // Hands the results over.
  void complete();

 private:
  std::shared_ptr<ChannelMapping> mapping_;
  const std::span<const std::byte> slab_;
  const int event_;
  base::Env& env_;
  std::uint64_t next_ = 0;
  std::int64_t began_ns_ = 0;
  std::vector<Input> inputs_;
  std::optional<ResultWriter> results_;
};

}  // namespace daybreak::serve
