// An Env for tests: the clock moves only when told, randomness comes from a seed, files live in memory, and what can
// fail fails on command. Any thread may use it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/mutex.h"

namespace daybreak::base {

class TestEnv : public Env {
 public:
  explicit TestEnv(std::uint64_t seed = 1) : random_(seed) {}

  // -- what a test does to it
  // Both clocks move by so much. They start at 0 (monotonic) and at 2026-01-01 (unix).
  void advance_ns(std::int64_t duration_ns);
  // The time of day alone moves by so much, forward or back, as when an operator sets the clock.
  void jump_ns(std::int64_t duration_ns);
  // So many more bytes can be appended; then appends write what fits and fail with kResourceExhausted.
  void set_free_bytes(std::size_t bytes);
  // The next append writes its first `bytes` and fails, as when a cable is pulled; later ones work.
  void cut_next_append(std::size_t bytes);
  // The next call of sync() or sync_directory() fails.
  void fail_next_sync();
  // What was not synced is gone: appended bytes, and the creations, renames and removals of directories that were not
  // synced. Open files stay usable and continue behind what was kept.
  void lose_power();

  // -- Env
  std::int64_t monotonic_ns() override;
  std::int64_t unix_ns() override;
  // Advances the clock and returns at once.
  void sleep_ns(std::int64_t duration_ns) override;
  void fill_random(std::span<std::byte> out) override;
  Result<std::unique_ptr<WritableFile>> create_file(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> append_file(const std::string& path) override;
  Result<std::string> read_file(const std::string& path, std::size_t max_bytes) override;
  Status rename_file(const std::string& from, const std::string& to) override;
  Status remove_file(const std::string& path) override;
  Result<std::vector<std::string>> list_directory(const std::string& path) override;
  // Directories need no creation here: a file may be created in any.
  Status create_directories(const std::string& path) override;
  Status sync_directory(const std::string& path) override;

 private:
  friend class TestFile;

  struct Node {
    std::string bytes;
    std::size_t synced_bytes = 0;  // the first so many survive lose_power()
  };
  using Directory = std::map<std::string, std::shared_ptr<Node>>;  // by path

  Status append(Node& node, const std::string& path, std::string_view bytes);
  Status sync(Node& node, const std::string& path);
  bool take_sync_failure() DAYBREAK_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::int64_t now_ns_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::int64_t jumped_ns_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::mt19937_64 random_ DAYBREAK_GUARDED_BY(mutex_);
  Directory files_ DAYBREAK_GUARDED_BY(mutex_);
  Directory durable_ DAYBREAK_GUARDED_BY(mutex_);  // the names that survive lose_power()
  std::size_t free_bytes_ DAYBREAK_GUARDED_BY(mutex_) = SIZE_MAX;
  std::optional<std::size_t> cut_ DAYBREAK_GUARDED_BY(mutex_);
  bool sync_fails_ DAYBREAK_GUARDED_BY(mutex_) = false;
};

}  // namespace daybreak::base
