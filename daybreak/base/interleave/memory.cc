// The atomic operations and what memory they see.
//
// kStoreBuffer: a weak store waits in its fiber's buffer, in order, and may go to memory at any later step; the fiber
// itself sees it at once. kC11: memory keeps a history of each location; a fiber may read any write that is not older
// than what it knows of (its view). An acquiring read takes over the view that a releasing write carries; seq_cst reads
// see at least the newest seq_cst write; read-modify-writes always continue the newest write and carry on its view (a
// release sequence). The order of writes to one location is the order in which they happen in the run.
#include <cstring>

#include "daybreak/base/interleave/state.h"

namespace daybreak::base::interleave {

namespace {

constexpr std::size_t kHistory = 8;  // writes that are kept of a location; older ones can no longer be read
constexpr std::uint64_t kDrainOneIn = 8;
constexpr std::uint64_t kStaleOneIn = 4;
constexpr std::uint64_t kSpuriousOneIn = 16;

bool acquires(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst || order == std::memory_order_consume;
}
bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}

std::uint64_t apply(Modify how, std::uint64_t old, std::uint64_t operand) {
  switch (how) {
    case Modify::kExchange: return operand;
    case Modify::kAdd: return old + operand;
    case Modify::kSub: return old - operand;
    case Modify::kOr: return old | operand;
    case Modify::kAnd: return old & operand;
  }
  return old;
}

std::uint64_t cut(std::uint64_t value, unsigned size) {
  return size == 8 ? value : value & ((std::uint64_t{1} << (size * 8)) - 1);
}

}  // namespace

static void join(std::vector<std::uint32_t>& into, const std::vector<std::uint32_t>& from) {
  if (into.size() < from.size()) into.resize(from.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

void join(View& into, const View& from) {
  join(into.writes, from.writes);
  join(into.clock, from.clock);
}

std::uint32_t& slot(std::vector<std::uint32_t>& list, std::uint32_t id) {
  if (list.size() <= id) list.resize(id + 1, 0);
  return list[id];
}

// Not by memcpy, which is looked at for races (race.cc).
template <typename T>
static std::uint64_t typed_read(const void* at) {
  return *static_cast<const volatile T*>(at);
}
std::uint64_t raw_read(const void* at, unsigned size) {
  switch (size) {
    case 1: return typed_read<std::uint8_t>(at);
    case 2: return typed_read<std::uint16_t>(at);
    case 4: return typed_read<std::uint32_t>(at);
    default: return typed_read<std::uint64_t>(at);
  }
}

template <typename T>
static void typed_write(void* at, std::uint64_t value) {
  *static_cast<volatile T*>(at) = static_cast<T>(value);
}
void raw_write(void* at, unsigned size, std::uint64_t value) {
  switch (size) {
    case 1: return typed_write<std::uint8_t>(at, value);
    case 2: return typed_write<std::uint16_t>(at, value);
    case 4: return typed_write<std::uint32_t>(at, value);
    default: return typed_write<std::uint64_t>(at, value);
  }
}

void Engine::State::drain(Fiber& fiber) {
  for (const Fiber::Store& s : fiber.buffer) raw_write(s.at, s.size, s.value);
  fiber.buffer.clear();
}

// A plain access where this fiber has a store waiting: it sees its own stores, and so does, by now, everybody.
void Engine::State::see_own_stores(const void* at, std::size_t size) {
  const char* byte = static_cast<const char*>(at);
  for (const Fiber::Store& s : current->buffer) {
    const char* stored = static_cast<const char*>(s.at);
    if (byte < stored + s.size && stored < byte + size) return drain(*current);
  }
}

// A store that has waited becomes visible.
void Engine::State::drain_one() {
  if (options.memory != Memory::kStoreBuffer || below(kDrainOneIn) != 0) return;
  Fiber& fiber = *fibers[below(fibers.size())];
  if (fiber.buffer.empty()) return;
  const Fiber::Store& s = fiber.buffer.front();
  raw_write(s.at, s.size, s.value);
  fiber.buffer.pop_front();
}

Location& Engine::State::location(const void* at, unsigned size) {
  auto [found, added] = locations.try_emplace(at);
  Location& location = found->second;
  std::uint64_t now = raw_read(at, size);
  if (added) {
    location.id = static_cast<std::uint32_t>(locations.size() - 1);
    location.history.push_back({now, nullptr});
  } else if (location.history.back().value != now) {
    location.history.push_back({now, nullptr});  // written by what is not modelled
  }
  return location;
}

std::shared_ptr<const View> Engine::State::released() {
  auto view = std::make_shared<View>(current->view);
  ++slot(current->view.clock, current->id);  // what it does from now on is later
  return view;
}

std::uint64_t Engine::State::read(const void* at, unsigned size, std::memory_order order) {
  Fiber& fiber = *current;
  if (options.memory == Memory::kStoreBuffer) {
    for (auto s = fiber.buffer.rbegin(); s != fiber.buffer.rend(); ++s)
      if (s->at == at && s->size == size) return s->value;
    return raw_read(at, size);
  }
  if (options.memory == Memory::kSequential) return raw_read(at, size);
  Location& l = location(at, size);
  std::uint32_t oldest = std::max(slot(fiber.view.writes, l.id), l.first);
  if (order == std::memory_order_seq_cst) oldest = std::max(oldest, slot(sc_view, l.id));
  std::uint32_t chosen = l.last();
  if (oldest < chosen && below(kStaleOneIn) == 0) chosen = oldest + static_cast<std::uint32_t>(below(chosen - oldest));
  const Write& write = l.history[chosen - l.first];
  slot(fiber.view.writes, l.id) = chosen;
  if (acquires(order) && write.view != nullptr) join(fiber.view, *write.view);
  return write.value;
}

std::uint64_t Engine::State::read_latest(const void* at, unsigned size, std::memory_order order) {
  if (options.memory == Memory::kStoreBuffer) drain(*current);
  if (options.memory != Memory::kC11) return raw_read(at, size);
  Location& l = location(at, size);
  slot(current->view.writes, l.id) = l.last();
  const Write& write = l.history.back();
  if (acquires(order) && write.view != nullptr) join(current->view, *write.view);
  return write.value;
}

void Engine::State::write(void* at, unsigned size, std::uint64_t value, std::memory_order order) {
  if (options.memory == Memory::kStoreBuffer && order != std::memory_order_seq_cst) {
    current->buffer.push_back({at, size, value});
    return;
  }
  if (options.memory == Memory::kStoreBuffer) drain(*current);
  if (options.memory != Memory::kC11) return raw_write(at, size, value);
  Location& l = location(at, size);
  l.history.push_back({value, nullptr});
  slot(current->view.writes, l.id) = l.last();
  if (releases(order)) l.history.back().view = released();
  if (order == std::memory_order_seq_cst) slot(sc_view, l.id) = l.last();
  if (l.history.size() > kHistory) {
    l.history.pop_front();
    ++l.first;
  }
  raw_write(at, size, value);
}

// The second half of a read-modify-write.
void Engine::State::write_latest(void* at, unsigned size, std::uint64_t value, std::memory_order order) {
  if (options.memory != Memory::kC11) return raw_write(at, size, value);
  Location& l = location(at, size);
  std::shared_ptr<const View> before = l.history.back().view;
  l.history.push_back({value, nullptr});
  slot(current->view.writes, l.id) = l.last();
  if (releases(order)) {
    l.history.back().view = released();
    if (before != nullptr) {
      auto both = std::make_shared<View>(*before);
      join(*both, *l.history.back().view);
      l.history.back().view = std::move(both);
    }
  } else {
    l.history.back().view = std::move(before);
  }
  if (order == std::memory_order_seq_cst) slot(sc_view, l.id) = l.last();
  if (l.history.size() > kHistory) {
    l.history.pop_front();
    ++l.first;
  }
  raw_write(at, size, value);
}

// ---------------------------------------------------------------------------------------------------------------------

std::uint64_t load(const void* at, unsigned size, std::memory_order order, const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) return raw_read(at, size);
  PlaceState& place = s.place(site, order == std::memory_order_relaxed ? "" : "c");
  s.point(&place);
  if (place.mutation == Mutation::kWeaken) order = std::memory_order_relaxed;
  s.access(at, size, false, true, __builtin_return_address(0));
  std::uint64_t value = s.read(at, size, order);
  s.note("load", at, value, site);
  return value;
}

void store(void* at, unsigned size, std::uint64_t value, std::memory_order order, const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) return raw_write(at, size, value);
  PlaceState& place = s.place(site, order == std::memory_order_relaxed ? "d" : "wd");
  s.point(&place);
  if (place.mutation == Mutation::kDrop) return s.note("store", at, value, site, " (dropped)");
  if (place.mutation == Mutation::kWeaken) order = std::memory_order_relaxed;
  s.access(at, size, true, true, __builtin_return_address(0));
  s.write(at, size, value, order);
  s.note("store", at, value, site);
}

std::uint64_t modify(void* at, unsigned size, Modify how, std::uint64_t operand, std::memory_order order,
                     const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) {
    std::uint64_t old = raw_read(at, size);
    raw_write(at, size, cut(apply(how, old, operand), size));
    return old;
  }
  PlaceState& place = s.place(site, order == std::memory_order_relaxed ? "dt" : "cdt");
  s.point(&place);
  if (place.mutation == Mutation::kWeaken) order = std::memory_order_relaxed;
  std::uint64_t old = s.read_latest(at, size, order);
  if (place.mutation == Mutation::kDrop) {
    s.note("modify", at, old, site, " (dropped)");
    return old;
  }
  if (place.mutation == Mutation::kTear) s.linger();
  s.access(at, size, true, true, __builtin_return_address(0));
  s.write_latest(at, size, cut(apply(how, old, operand), size), order);
  s.note("modify", at, cut(apply(how, old, operand), size), site);
  return old;
}

bool compare_exchange(void* at, unsigned size, std::uint64_t& expected, std::uint64_t desired, std::memory_order order,
                      bool weak, const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) {
    std::uint64_t old = raw_read(at, size);
    if (old != expected) {
      expected = old;
      return false;
    }
    raw_write(at, size, desired);
    return true;
  }
  PlaceState& place = s.place(site, order == std::memory_order_relaxed ? "dt" : "cdt");
  s.point(&place);
  if (place.mutation == Mutation::kWeaken) order = std::memory_order_relaxed;
  std::uint64_t old = s.read_latest(at, size, order);
  s.access(at, size, old == expected, true, __builtin_return_address(0));
  if (old != expected) {
    expected = old;
    s.note("compare-exchange", at, old, site, " (fails)");
    return false;
  }
  if (place.mutation == Mutation::kDrop) {
    s.note("compare-exchange", at, desired, site, " (dropped)");
    return true;
  }
  if (weak && s.options.strategy != Strategy::kExhaustive && s.below(kSpuriousOneIn) == 0) {
    s.note("compare-exchange", at, old, site, " (fails for no reason)");
    return false;
  }
  if (place.mutation == Mutation::kTear) s.linger();
  s.write_latest(at, size, desired, order);
  s.note("compare-exchange", at, desired, site);
  return true;
}

}  // namespace daybreak::base::interleave
