// Counts what this thread allocates; only the test program that includes allocations_test.cc has the counting operator
// new.
#pragma once

#include <cstddef>

namespace daybreak::grant {

std::size_t allocations_of_this_thread();

}  // namespace daybreak::grant
