// A column as numpy and pandas keep it: an element type, where it begins, and the step from one element to the next.
#pragma once

#include <cstddef>
#include <cstdint>

namespace daybreak::frame {

template <typename T>
struct Column {
  const T* data = nullptr;
  std::ptrdiff_t step = 1;  // in elements
  std::size_t size = 0;

  const T& operator[](std::size_t i) const { return data[static_cast<std::ptrdiff_t>(i) * step]; }
};

// Rows that one thread takes at a time. What comes out does not depend on it.
struct Chunks {
  std::size_t rows = 1u << 16;
  std::size_t count(std::size_t n) const { return (n + rows - 1) / rows; }
};

}  // namespace daybreak::frame
