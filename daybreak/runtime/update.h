// The protocol's compare-and-swap loops, few and loud. To everybody else each of these is one step on one word: he sees
// the word as it was or as it becomes. `next` may be called several times, once for each word that somebody else
// replaced meanwhile; only what its last call gave is stored.
#pragma once

#include <cstdint>
#include <optional>

#include "daybreak/runtime/layout.h"

namespace daybreak::runtime {

// Where in the source a step stands: the interleaver breaks one place at a time, that of the caller and not of the loop
// below. Nothing in the product.
#if defined(DAYBREAK_INTERLEAVE)
using Site = base::interleave::Site;
template <typename T>
bool swap_weak(base::Atomic<T>& word, T& seen, T next, Site site) {
  return word.compare_exchange_weak(seen, next, std::memory_order_seq_cst, site);
}
#else
struct Site {
  static constexpr Site current() { return {}; }
};
template <typename T>
bool swap_weak(base::Atomic<T>& word, T& seen, T next, Site) {
  return word.compare_exchange_weak(seen, next);
}
#endif

// Replaces a word by what `next` makes of it. What it was.
template <typename T, typename F>
T update(base::Atomic<T>& word, F&& next, Site site = Site::current()) {
  T seen = word.load();
  while (!swap_weak(word, seen, static_cast<T>(next(seen)), site)) {
  }
  return seen;
}

// As update(), as long as `condition` holds of what is there. What it was; nullopt: it did not hold, and nothing changed.
template <typename T, typename If, typename F>
std::optional<T> update_if(base::Atomic<T>& word, If&& condition, F&& next, Site site = Site::current()) {
  T seen = word.load();
  while (condition(seen))
    if (swap_weak(word, seen, static_cast<T>(next(seen)), site)) return seen;
  return std::nullopt;
}

// The same of an entry's state, which is what says who may do what with it.
template <typename F>
State update(Entry& entry, F&& next, Site site = Site::current()) {
  return {update(entry.state, [&](std::uint64_t word) { return next(State{word}).word; }, site)};
}
template <typename If, typename F>
std::optional<State> update_if(Entry& entry, If&& condition, F&& next, Site site = Site::current()) {
  auto was = update_if(
      entry.state, [&](std::uint64_t word) { return condition(State{word}); },
      [&](std::uint64_t word) { return next(State{word}).word; }, site);
  return was ? std::optional<State>(State{*was}) : std::nullopt;
}

// For words that only grow.
template <typename T>
void raise_to(base::Atomic<T>& word, T least, Site site = Site::current()) {
  update_if(word, [&](T now) { return now < least; }, [&](T) { return least; }, site);
}

}  // namespace daybreak::runtime
