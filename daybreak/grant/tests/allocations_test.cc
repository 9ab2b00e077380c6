#include "daybreak/grant/tests/allocations.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>

namespace {
thread_local std::size_t allocated = 0;
}

std::size_t daybreak::grant::allocations_of_this_thread() {
  return allocated;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t size) {
  ++allocated;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
// Never inlined: gcc would see a free() of what it knows to be new's.
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif

namespace daybreak::grant {
namespace {

TEST(Allocations, are_counted) {
  if (!kCountsAllocations) GTEST_SKIP() << "a sanitizer has its own operator new";
  const std::size_t before = allocations_of_this_thread();
  const std::string text(100, 'x');
  EXPECT_EQ(allocations_of_this_thread() - before, 1u);
}

}  // namespace
}  // namespace daybreak::grant
