// A call set: chunks are claimed call by call, taken back, cancelled, lost with their worker and tried again; each call
// begins once, or as often as the tries of its task.
#include <fmt/format.h>

#include <map>

#include "daybreak/runtime/interleave/chunk_runner.h"
#include "daybreak/runtime/interleave/programs.h"
#include "daybreak/runtime/interleave/scheduled.h"

namespace daybreak::runtime {

namespace {

struct BatchShape {
  std::string name;
  std::uint32_t calls = 16;
  unsigned kills = 0;
  bool retries = false;
};

class BatchProgram : public ScheduledProgram {
 public:
  explicit BatchProgram(BatchShape shape) : ScheduledProgram(shape.name), shape_(std::move(shape)) {}

  void set_up(Engine& engine) override {
    reset(engine, 2);
    ran_.clear();
    begin(shape_.kills);
  }

 private:
  void run(Client& client, std::uint32_t index) override {
    Process& p = client.process();
    Client::current_task = index + 1;
    p.slot().running.store(index + 1, std::memory_order_relaxed);
    if (run_plain_chunk(client, index, [this](std::int64_t number) { ++ran_[number]; }))
      p.publish(index, false);
    else
      client.fail(index, ErrorKind::kUser, "it fails");
    p.slot().running.store(0, std::memory_order_relaxed);
    Client::current_task = 0;
  }

  void drive() override {
    Process& p = client_->process();
    const Ref function = client_->put(Payload{}).value();
    const std::uint32_t unit = 1 + engine_->below(2);
    const bool ordered = engine_->below(2) == 0;
    auto batch = Batch::make(*client_, {.function = function, .unit = unit, .ordered = ordered}).value();
    batch->add_lane({.max_retries = static_cast<std::int16_t>(shape_.retries ? 3 : 0)}, 2);
    for (std::uint32_t i = 0; i < shape_.calls; ++i) {
      const std::uint16_t size = 9;
      batch->add(plain_number(i), {&size, 1});
    }
    batch->end_inputs();
    bool cancelled = false;
    std::map<std::int64_t, std::uint32_t> found;
    std::uint64_t read = 0;
    while (!batch->finished()) {
      auto come = [&] {
        batch->pump(*client_);
        return batch->readable() || batch->finished();
      };
      if (client_->wait_until(come) != WaitResult::kDone) continue;
      while (auto results = batch->take()) {
        check(*results, ordered, read, cancelled, found);
        read += results->calls;
        Batch::release(*client_, *results);
      }
      if (engine_->below(8) == 0) {
        batch->cancel(*client_, false);
        cancelled = true;
      }
      if (engine_->below(12) == 0) break;  // nobody reads the rest
    }
    if (batch->finished() && read != shape_.calls) engine_->fail(fmt::format("{} results of {}", read, shape_.calls));
    batch->close(*client_);
    p.release(function);
    for (const auto& [number, times] : ran_)
      if (times > (shape_.retries ? 4u : 1u)) engine_->fail(fmt::format("call {} has begun {} times", number, times));
    for (const auto& [number, times] : found)
      if (times != 1) engine_->fail(fmt::format("call {} has {} results", number, times));
  }

  void check(const Batch::Results& results, bool ordered, std::uint64_t read, bool cancelled,
             std::map<std::int64_t, std::uint32_t>& found) {
    if (ordered && results.first != read) engine_->fail("results come out of order");
    if (results.refusal) engine_->fail("a chunk was refused: " + results.refusal->message());
    if (results.cancelled && !cancelled) engine_->fail("a call was cancelled by nobody");
    if (!(results.error == kNoRef) && shape_.kills == 0) engine_->fail("a chunk failed without a reason");
    if (results.cancelled || !(results.error == kNoRef)) {
      for (std::uint32_t i = 0; i < results.calls; ++i) ++found[static_cast<std::int64_t>(results.first + i)];
      return;
    }
    const std::vector<std::int64_t> numbers = plain_numbers(results.blob, true);
    if (numbers.size() != results.calls) engine_->fail("a chunk has fewer or more results than calls");
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (numbers[i] != static_cast<std::int64_t>(results.first + i)) engine_->fail("a call has another's result");
      if (ran_[numbers[i]] == 0) engine_->fail("a call has a result and never ran");
      ++found[numbers[i]];
    }
  }

  BatchShape shape_;
  std::map<std::int64_t, std::uint32_t> ran_;  // how often each has begun
};

}  // namespace

void add_batch_programs(Programs& programs) {
  auto add = [&](BatchShape shape) { programs.push_back(std::make_unique<BatchProgram>(std::move(shape))); };
  add({.name = "batch", .calls = 16});
  add({.name = "batch-killed", .calls = 12, .kills = 2});
  add({.name = "batch-retried", .calls = 12, .kills = 2, .retries = true});
}

}  // namespace daybreak::runtime
