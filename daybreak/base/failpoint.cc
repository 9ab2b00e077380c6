#include "daybreak/base/failpoint.h"

#include <csignal>
#include <optional>
#include <utility>

#include "daybreak/base/mutex.h"

namespace daybreak::base::failpoint {

namespace {

struct FailpointRegistry {
  Mutex mutex;
  std::string prefix DAYBREAK_GUARDED_BY(mutex);
  std::uint64_t countdown DAYBREAK_GUARDED_BY(mutex) = 0;
  std::optional<std::string> watched DAYBREAK_GUARDED_BY(mutex);
  std::vector<std::string> passed DAYBREAK_GUARDED_BY(mutex);

  void rearm() DAYBREAK_REQUIRES(mutex) { armed = countdown != 0 || watched; }
};
FailpointRegistry points;

}  // namespace

void arm(std::string_view prefix, std::uint64_t countdown) {
  const MutexLock lock(points.mutex);
  points.prefix = prefix;
  points.countdown = countdown;
  points.rearm();
}

void watch(std::string_view prefix) {
  const MutexLock lock(points.mutex);
  points.watched = prefix;
  points.passed.clear();
  points.rearm();
}

std::vector<std::string> watched() {
  const MutexLock lock(points.mutex);
  points.watched.reset();
  points.rearm();
  return std::exchange(points.passed, {});
}

void hit(const char* name) {
  const MutexLock lock(points.mutex);
  const std::string_view point(name);
  if (points.watched && point.starts_with(*points.watched)) points.passed.emplace_back(point);
  if (points.countdown > 0 && point.starts_with(points.prefix) && --points.countdown == 0) raise(SIGKILL);
}

}  // namespace daybreak::base::failpoint
