// Data races. What is shared and plain may be written only by somebody who knows, through releases and acquires, of
// every access before his, and read only by somebody who knows of the last write (C++ [intro.races]). So each byte of
// watched memory remembers who wrote it last and who has read it since, each with the time on that fiber's clock, and
// each access compares them with the clocks that its fiber has learned (Flanagan and Freund's FastTrack, PLDI 2009).
// Whether two accesses race does not depend on which of them came first in this run: one run finds what would need a
// rare moment on a machine.
//
// The code under test is compiled with -fsanitize=thread and linked without its runtime: the functions that the
// compiler calls at each access are here. memcpy, memmove and memset are wrapped by the linker.
#include <dlfcn.h>
#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "daybreak/base/interleave/state.h"

namespace daybreak::base::interleave {

namespace {

struct AccessRecord {
  const void* pc;
  std::uint32_t fiber, clock;
};

struct Shadow {  // of one byte
  std::uint32_t run;
  std::uint32_t readers;  // how many of `read` are taken
  AccessRecord write;     // fiber kNobody: none
  std::array<AccessRecord, 3> read;
  AccessRecord atomic_write, atomic_read;  // the last ones: they race with plain accesses, not with each other
};
constexpr std::uint32_t kNobody = UINT32_MAX;

struct Watched {
  const char* begin;
  std::size_t size;
  Shadow* shadow;
};
// Of this run. The shadow of an address is kept from run to run: it knows by `run` what is old.
std::vector<Watched>& watched() {
  static std::vector<Watched> list;
  return list;
}

// "Process::requeue at queue.cc:120" of an address in this program.
std::string place_of(const void* pc) {
  Dl_info info{};
  if (dladdr(pc, &info) == 0) return "?";
  char command[256], text[512] = {};
  std::snprintf(command, sizeof command, "addr2line -Cfpse /proc/%d/exe 0x%zx 2>/dev/null", getpid(),
                static_cast<std::size_t>(static_cast<const char*>(pc) - static_cast<const char*>(info.dli_fbase) - 1));
  if (FILE* pipe = popen(command, "r")) {
    std::size_t length = std::fread(text, 1, sizeof text - 1, pipe);
    pclose(pipe);
    while (length != 0 && text[length - 1] == '\n') text[--length] = 0;
  }
  return text[0] == 0 ? "?" : text;
}

}  // namespace

void Engine::watch(const void* begin, std::size_t size) {
  static std::unordered_map<const void*, std::pair<std::size_t, Shadow*>> shadows;
  auto& [shadowed, shadow] = shadows[begin];
  if (shadowed < size) {
    void* fresh = mmap(nullptr, size * sizeof(Shadow), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED) std::abort();
    if (shadow != nullptr) munmap(shadow, shadowed * sizeof(Shadow));
    shadowed = size;
    shadow = static_cast<Shadow*>(fresh);
  }
  watched().push_back({static_cast<const char*>(begin), size, shadow});
}

void Engine::State::watch_nothing() {
  watched().clear();
}

void Engine::plain_access(const void* at, std::size_t size, bool writes) {
  state_->access(at, size, writes, false, __builtin_return_address(0));
}

void Engine::State::access(const void* at, std::size_t size, bool writes, bool atomic, const void* pc) {
  if (current == nullptr) return;
  if (options.memory == Memory::kStoreBuffer && !atomic) return see_own_stores(at, size);
  if (options.memory != Memory::kC11) return;
  const char* byte = static_cast<const char*>(at);
  for (const Watched& w : watched()) {
    if (byte < w.begin || byte >= w.begin + w.size) continue;
    const std::vector<std::uint32_t>& known = current->view.clock;
    auto unknown = [&](const AccessRecord& a) {
      return a.fiber != kNobody && (a.fiber >= known.size() || known[a.fiber] < a.clock);
    };
    const AccessRecord now{pc, current->id, known[current->id]}, none{nullptr, kNobody, 0};
    for (std::size_t i = 0; i < size; ++i) {
      Shadow& s = w.shadow[byte - w.begin + static_cast<std::ptrdiff_t>(i)];
      if (s.run != run) s = {run, 0, none, {}, none, none};
      const AccessRecord* other = nullptr;
      if (unknown(s.write)) other = &s.write;
      if (!atomic && unknown(s.atomic_write)) other = &s.atomic_write;
      if (!atomic && writes && unknown(s.atomic_read)) other = &s.atomic_read;
      for (std::uint32_t r = 0; writes && r < s.readers; ++r)
        if (unknown(s.read[r])) other = &s.read[r];
      if (other != nullptr) {
        race.push_back({byte + i, other->pc, pc});
        Engine::get().fail("a data race");
      }
      if (atomic) {
        (writes ? s.atomic_write : s.atomic_read) = now;
      } else if (writes) {
        s.write = now;
        s.readers = 0;
      } else {
        // A reader whom this one knows, or who is this one, needs not be remembered any longer; a fourth replaces the
        // first.
        std::uint32_t r = 0;
        while (r < s.readers && unknown(s.read[r])) ++r;
        if (r == s.read.size()) r = 0;
        s.read[r] = now;
        s.readers = std::max(s.readers, r + 1);
      }
    }
    return;
  }
}

std::string Engine::State::describe_race() {
  const Race& r = race.front();
  return "a data race on " + program->describe(r.at) + ": " + place_of(r.first) + " and then, with nothing between, " +
         place_of(r.second);
}

}  // namespace daybreak::base::interleave

// ---------------------------------------------------------------------------------------------------------------------
// What the compiler calls (-fsanitize=thread; gcc 12 and clang 19 agree on the names).

namespace {
void access(const void* at, std::size_t size, bool writes, const void* pc) {
  daybreak::base::interleave::Access::state().access(at, size, writes, false, pc);
}
}  // namespace

#define DAYBREAK_ACCESS(name, size, writes)                \
  void __tsan_##name(void* at) {                           \
    access(at, size, writes, __builtin_return_address(0)); \
  }
#define DAYBREAK_ACCESSES(size)                      \
  DAYBREAK_ACCESS(read##size, size, false)           \
  DAYBREAK_ACCESS(write##size, size, true)           \
  DAYBREAK_ACCESS(unaligned_read##size, size, false) \
  DAYBREAK_ACCESS(unaligned_write##size, size, true) \
  DAYBREAK_ACCESS(volatile_read##size, size, false)  \
  DAYBREAK_ACCESS(volatile_write##size, size, true)

extern "C" {

DAYBREAK_ACCESSES(1)
DAYBREAK_ACCESSES(2)
DAYBREAK_ACCESSES(4)
DAYBREAK_ACCESSES(8)
DAYBREAK_ACCESSES(16)

void __tsan_read_range(void* at, std::size_t size) {
  access(at, size, false, __builtin_return_address(0));
}
void __tsan_write_range(void* at, std::size_t size) {
  access(at, size, true, __builtin_return_address(0));
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
// Of what is not the protocol's: the guard of a function's static, signal fences.
unsigned char __tsan_atomic8_load(const volatile unsigned char* at, int) {
  return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
// Counts of std::shared_ptr, which are one process's own: all its fibers are of one thread.
int __tsan_atomic32_fetch_add(volatile int* at, int by, int) {
  const int before = *at;
  *at = before + by;
  return before;
}
void __tsan_atomic_signal_fence(int) {}

void* __real_memcpy(void* to, const void* from, std::size_t size);
void* __real_memmove(void* to, const void* from, std::size_t size);
void* __real_memset(void* to, int value, std::size_t size);
void* __wrap_memcpy(void* to, const void* from, std::size_t size) {
  access(from, size, false, __builtin_return_address(0));
  access(to, size, true, __builtin_return_address(0));
  return __real_memcpy(to, from, size);
}
void* __wrap_memmove(void* to, const void* from, std::size_t size) {
  access(from, size, false, __builtin_return_address(0));
  access(to, size, true, __builtin_return_address(0));
  return __real_memmove(to, from, size);
}
void* __wrap_memset(void* to, int value, std::size_t size) {
  access(to, size, true, __builtin_return_address(0));
  return __real_memset(to, value, size);
}

}  // extern "C"
