// base/atomic.h in the interleaver's build: the same names, each operation a step of the engine.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

namespace daybreak::base::interleave {

using Site = std::source_location;

enum class Modify : std::uint8_t { kExchange, kAdd, kSub, kOr, kAnd };

// Each is one step. Values are zero-extended to 64 bits; `size` is 1, 2, 4 or 8.
std::uint64_t load(const void* at, unsigned size, std::memory_order order, const Site& site);
void store(void* at, unsigned size, std::uint64_t value, std::memory_order order, const Site& site);
std::uint64_t modify(void* at, unsigned size, Modify how, std::uint64_t operand, std::memory_order order,
                     const Site& site);
bool compare_exchange(void* at, unsigned size, std::uint64_t& expected, std::uint64_t desired, std::memory_order order,
                      bool weak, const Site& site);
void pause(const Site& site);  // somebody else must act before going on makes sense
std::int64_t now_ns();
int futex_wait(void* word, std::uint32_t value, std::int64_t timeout_ns, const Site& site);
void futex_wake_all(void* word, const Site& site);
// `name` of a failpoint: a step, at which the process may be killed.
void failpoint(const char* name, const Site& site);
// A thread_local of the one thread that all fibers run on: saved and restored with each fiber.
struct FiberLocal {
  FiberLocal(void* at, unsigned size);
};

template <typename T>
std::uint64_t to_word(T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}
template <typename T>
T from_word(std::uint64_t word) {
  T value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

inline constexpr auto kSeqCst = std::memory_order_seq_cst;

// The operations, over a T somewhere.
template <typename T>
struct Operations {
  static T load(const T* at, std::memory_order order, const Site& site) {
    return from_word<T>(interleave::load(at, sizeof(T), order, site));
  }
  static void store(T* at, T value, std::memory_order order, const Site& site) {
    interleave::store(at, sizeof(T), to_word(value), order, site);
  }
  static T modify(T* at, Modify how, T operand, std::memory_order order, const Site& site) {
    return from_word<T>(interleave::modify(at, sizeof(T), how, to_word(operand), order, site));
  }
  static bool compare_exchange(T* at, T& expected, T desired, std::memory_order order, bool weak, const Site& site) {
    std::uint64_t word = to_word(expected);
    bool done = interleave::compare_exchange(at, sizeof(T), word, to_word(desired), order, weak, site);
    expected = from_word<T>(word);
    return done;
  }
};

}  // namespace daybreak::base::interleave

namespace daybreak::base {

template <typename T>
class Atomic {
  using Do = interleave::Operations<T>;
  using Site = interleave::Site;
  using Order = std::memory_order;

 public:
  constexpr Atomic() = default;
  constexpr Atomic(T value) : value_(value) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(Order order = interleave::kSeqCst, Site site = Site::current()) const {
    return Do::load(&value_, order, site);
  }
  void store(T value, Order order = interleave::kSeqCst, Site site = Site::current()) {
    Do::store(&value_, value, order, site);
  }
  T operator=(T value) {
    store(value);
    return value;
  }
  operator T() const { return load(); }
  T exchange(T value, Order order = interleave::kSeqCst, Site site = Site::current()) {
    return Do::modify(&value_, interleave::Modify::kExchange, value, order, site);
  }
  T fetch_add(T value, Order order = interleave::kSeqCst, Site site = Site::current()) {
    return Do::modify(&value_, interleave::Modify::kAdd, value, order, site);
  }
  T fetch_sub(T value, Order order = interleave::kSeqCst, Site site = Site::current()) {
    return Do::modify(&value_, interleave::Modify::kSub, value, order, site);
  }
  T fetch_or(T value, Order order = interleave::kSeqCst, Site site = Site::current()) {
    return Do::modify(&value_, interleave::Modify::kOr, value, order, site);
  }
  T fetch_and(T value, Order order = interleave::kSeqCst, Site site = Site::current()) {
    return Do::modify(&value_, interleave::Modify::kAnd, value, order, site);
  }
  bool compare_exchange_strong(T& expected, T desired, Order order = interleave::kSeqCst, Site site = Site::current()) {
    return Do::compare_exchange(&value_, expected, desired, order, false, site);
  }
  bool compare_exchange_weak(T& expected, T desired, Order order = interleave::kSeqCst, Site site = Site::current()) {
    return Do::compare_exchange(&value_, expected, desired, order, true, site);
  }

 private:
  T value_{};
};

template <typename T>
class AtomicRef {
  using Do = interleave::Operations<T>;
  using Site = interleave::Site;

 public:
  explicit AtomicRef(T& value) : at_(&value) {}
  T load(std::memory_order order = interleave::kSeqCst, Site site = Site::current()) const {
    return Do::load(at_, order, site);
  }
  void store(T value, std::memory_order order = interleave::kSeqCst, Site site = Site::current()) const {
    Do::store(at_, value, order, site);
  }

 private:
  T* at_;
};

inline void cpu_pause(interleave::Site site = interleave::Site::current()) {
  interleave::pause(site);
}
inline void yield_cpu(interleave::Site site = interleave::Site::current()) {
  interleave::pause(site);
}
inline void sleep_ns(std::int64_t, interleave::Site site = interleave::Site::current()) {
  interleave::pause(site);
}
inline std::int64_t monotonic_ns() {
  return interleave::now_ns();
}
inline int futex_wait(Atomic<std::uint32_t>& word, std::uint32_t value, std::int64_t timeout_ns,
                      interleave::Site site = interleave::Site::current()) {
  return interleave::futex_wait(&word, value, timeout_ns, site);
}
inline void futex_wake_all(Atomic<std::uint32_t>& word, interleave::Site site = interleave::Site::current()) {
  interleave::futex_wake_all(&word, site);
}

}  // namespace daybreak::base

#define DAYBREAK_FIBER_LOCAL_NAME(line) fiber_local_##line
#define DAYBREAK_FIBER_LOCAL_AT(variable, line) \
  static ::daybreak::base::interleave::FiberLocal DAYBREAK_FIBER_LOCAL_NAME(line)(&(variable), sizeof(variable))
#define DAYBREAK_FIBER_LOCAL(variable) DAYBREAK_FIBER_LOCAL_AT(variable, __LINE__)
