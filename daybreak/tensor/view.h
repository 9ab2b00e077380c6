// A strided view of elements that someone else owns: what crosses a room when arrays are not dense.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "daybreak/base/error.h"
#include "daybreak/tensor/container.h"
#include "daybreak/tensor/dtype.h"

namespace daybreak::tensor {

// Shape and strides without allocation: at most kMaxRank numbers.
class Dims {
 public:
  Dims() = default;
  // The caller has checked that there are at most kMaxRank.
  explicit Dims(std::span<const std::int64_t> numbers);

  std::size_t size() const { return size_; }
  std::int64_t operator[](std::size_t i) const { return numbers_[i]; }
  std::int64_t& operator[](std::size_t i) { return numbers_[i]; }
  const std::int64_t* begin() const { return numbers_.data(); }
  const std::int64_t* end() const { return numbers_.data() + size_; }
  void erase(std::size_t i);
  bool operator==(const Dims& other) const;

 private:
  std::array<std::int64_t, kMaxRank> numbers_{};
  std::size_t size_ = 0;
};

// Strides, in bytes, of a dense row-major array.
Dims row_major_strides(const Dims& shape, DType dtype);

// Where the elements of an array lie. A value: copying it copies no element, and the elements must outlive it. Whoever
// made it vouches that every index inside the shape is inside their memory; the functions below keep that true.
class View {
 public:
  // Dense row-major elements; kInvalidArgument when shape and size disagree or the rank is beyond kMaxRank.
  static base::Result<View> dense(DType dtype, std::span<const std::int64_t> shape, std::span<const std::byte> data);
  // Any strides (bytes, may be 0 or negative). kInvalidArgument when ranks disagree or are beyond kMaxRank; that the
  // strides stay inside the memory is the caller's word.
  static base::Result<View> strided(DType dtype, std::span<const std::int64_t> shape,
                                    std::span<const std::int64_t> strides, const std::byte* data);

  DType dtype() const { return dtype_; }
  const Dims& shape() const { return shape_; }
  const Dims& strides() const { return strides_; }
  const std::byte* data() const { return data_; }
  std::int64_t element_count() const;
  // True when the elements lie densely in row-major order. An empty view is dense whatever its strides.
  bool is_row_major() const;

  // One index of an axis; the rank falls by one.
  base::Result<View> select(std::size_t axis, std::int64_t index) const;
  // [begin, end) of an axis, every step-th; step >= 1.
  base::Result<View> slice(std::size_t axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1) const;
  // Axes in another order: transpose({1, 0}) of a matrix.
  base::Result<View> transpose(std::span<const std::size_t> axes) const;

  // Copies the elements, row-major, into `out`, which must have exactly their size. O(elements); a memcpy when dense.
  base::Status copy_to(std::span<std::byte> out) const;

 private:
  View(DType dtype, Dims shape, Dims strides, const std::byte* data)
      : dtype_(dtype), shape_(shape), strides_(strides), data_(data) {}

  DType dtype_;
  Dims shape_;
  Dims strides_;
  const std::byte* data_;
};

}  // namespace daybreak::tensor
