// The rule of daybreak.base.numbers where C++ is handed numbers by Python: what environments mostly answer is read
// here, everything else is asked of that module, so that both say the same.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "daybreak/base/error.h"

namespace daybreak::rl {

// A flag, whole number or float of any kind that numbers.flag, .integer, .real take; kInvalidArgument with their
// sentence
// ("reward='x' (a str) is no number") for anything else. The GIL must be held; other exceptions pass as
// nb::python_error.
base::Result<bool> flag_of(nanobind::handle value, const char* name);
base::Result<std::int64_t> integer_of(nanobind::handle value, const char* name);
base::Result<double> real_of(nanobind::handle value, const char* name);

// A seed from 0 to 2**64 - 1. Throws ValueError.
std::uint64_t seed_of(nanobind::handle value);

// Whether it is a masked array with masked elements, of which its buffer knows nothing.
bool is_masked(nanobind::handle array);

// A C-contiguous float32 numpy array equal to `array`, the array itself when it is one. Throws ValueError by `name`
// where elements are no real numbers (text, complex, dates, objects that are none).
nanobind::object float_array_of(nanobind::handle array, const char* name);

}  // namespace daybreak::rl
