// Threads that work on one job together: a loop whose steps go to whoever is free, or a team whose members meet at
// barriers.
//
//   base::Pool pool(4);
//   DAYBREAK_TRY(pool.for_each(blocks.size(), [&](std::size_t i) { return check(blocks[i]); }));
#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>

#include "daybreak/base/error.h"

namespace daybreak::base {

inline constexpr std::size_t kMaxPoolSize = 1024;

// `size` threads work, the caller among them. The others are made when the first job needs them, wait for the next one
// awake for some 30 microseconds and then asleep, and have ended when the destructor returns. Any thread may call, one
// job runs at a time. A process that was forked has none of the threads: it makes its own at its first job, also when
// the fork came in the middle of one.
//
// What a step or a job returns is void or Status. An error comes back to the caller and an exception is thrown again in
// it, of several the one of the lowest step or member.
class Pool {
 public:
  explicit Pool(std::size_t size);  // 1 to kMaxPoolSize
  ~Pool();                          // while no job runs
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::size_t size() const { return size_; }

  // step(0) ... step(count - 1), each once, begun in this order; returns when all have ended. After one has failed none
  // is begun any more, so that the lowest that fails is the same however many threads there are. A loop inside of a step
  // or a job of the same pool is the calling thread's alone. Where the system gives no more threads, fewer work.
  template <typename Step>
  std::invoke_result_t<Step&, std::size_t> for_each(std::size_t count, Step&& step) {
    auto each = [&step](std::size_t i) -> Status { return status_of(step, i); };
    return result_of<Step>(loop(count, &call<decltype(each)>, &each));
  }

  // job(member) in `size` threads at once; member 0 is the caller. Returns when all have returned. Not from inside of a
  // step or a job of the same pool. Throws std::system_error where the system gives no thread.
  template <typename Job>
  std::invoke_result_t<Job&, std::size_t> run(Job&& job) {
    auto each = [&job](std::size_t member) -> Status { return status_of(job, member); };
    return result_of<Job>(team(&call<decltype(each)>, &each));
  }

  // Called by the members of a run(): returns when all have called it that have not returned from the job.
  void barrier();

 private:
  struct Shared;
  using Call = Status (*)(void* job, std::size_t i);

  template <typename Job>
  static Status call(void* job, std::size_t i) {
    return (*static_cast<Job*>(job))(i);
  }
  template <typename Step>
  static Status status_of(Step& step, std::size_t i) {
    if constexpr (std::is_void_v<std::invoke_result_t<Step&, std::size_t>>) {
      step(i);
      return {};
    } else {
      return step(i);
    }
  }
  template <typename Step>
  static std::invoke_result_t<Step&, std::size_t> result_of(Status status) {
    if constexpr (std::is_void_v<std::invoke_result_t<Step&, std::size_t>>) {
      DAYBREAK_CHECK(status.has_value());
    } else {
      return status;
    }
  }

  Status loop(std::size_t count, Call call, void* job);
  Status team(Call call, void* job);
  Shared& shared();
  static void keep(Shared* of_parent);

  const std::size_t size_;
  std::atomic<Shared*> shared_;  // of this process, or of the one that it was forked from
};

}  // namespace daybreak::base
