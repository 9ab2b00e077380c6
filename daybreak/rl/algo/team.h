// A few threads that work on one job together: the learner's shards.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace daybreak::rl {

// `size` members; member 0 is the caller. The others are made at the first run with size > 1, sleep on a futex between
// jobs, and are made anew in a process that was forked from the one that had them. One thread owns a team and makes
// every call.
class Team {
 public:
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }
  // Calls job(member) in every member and returns when all have. The job must not throw.
  void run(const std::function<void(int)>& job);
  // Called by every member inside a job: returns when all have called it. Waits briefly awake (members are in step to
  // within microseconds), then asleep.
  void barrier();

 private:
  struct Shared;
  void start();
  static void serve(const std::shared_ptr<Shared>& shared, int member);

  int size_;
  std::int64_t owner_pid_ = 0;
  std::shared_ptr<Shared> shared_;
};

}  // namespace daybreak::rl
