#include "daybreak/tensor/view.h"

#include <algorithm>
#include <cstring>

namespace daybreak::tensor {
namespace {

using base::Code;
using base::fail;

base::Status check_axis(const Dims& shape, std::size_t axis) {
  if (axis < shape.size()) return {};
  return fail(Code::kOutOfRange, "axis {} of an array with {} axes: count from 0", axis, shape.size());
}

// Copies the axes from `axis` on, returns where the next element goes.
std::byte* copy_axes(const Dims& shape, const Dims& strides, std::size_t axis, std::size_t element_bytes,
                     const std::byte* from, std::byte* to) {
  if (axis == shape.size()) {
    std::memcpy(to, from, element_bytes);
    return to + element_bytes;
  }
  for (std::int64_t i = 0; i < shape[axis]; ++i) {
    to = copy_axes(shape, strides, axis + 1, element_bytes, from + i * strides[axis], to);  // at most kMaxRank deep
  }
  return to;
}

}  // namespace

Dims::Dims(std::span<const std::int64_t> numbers) : size_(numbers.size()) {
  DAYBREAK_CHECK(numbers.size() <= kMaxRank);
  std::ranges::copy(numbers, numbers_.begin());
}

void Dims::erase(std::size_t i) {
  DAYBREAK_CHECK(i < size_);
  std::copy(begin() + i + 1, end(), numbers_.begin() + static_cast<std::ptrdiff_t>(i));
  --size_;
}

bool Dims::operator==(const Dims& other) const {
  return std::ranges::equal(*this, other);
}

Dims row_major_strides(const Dims& shape, DType dtype) {
  Dims strides = shape;
  auto stride = static_cast<std::int64_t>(size_of(dtype));
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<std::int64_t>(shape[i], 1);
  }
  return strides;
}

base::Result<View> View::dense(DType dtype, std::span<const std::int64_t> shape, std::span<const std::byte> data) {
  DAYBREAK_ASSIGN(const std::int64_t count, tensor::element_count(shape));
  if (static_cast<std::uint64_t>(count) != data.size() / size_of(dtype) || data.size() % size_of(dtype) != 0) {
    return fail(Code::kInvalidArgument, "{} elements of {} in {} bytes: shape {} does not fit the data", count,
                name_of(dtype), data.size(), shape_text(shape));
  }
  const Dims dims(shape);
  return View(dtype, dims, row_major_strides(dims, dtype), data.data());
}

base::Result<View> View::strided(DType dtype, std::span<const std::int64_t> shape,
                                 std::span<const std::int64_t> strides, const std::byte* data) {
  DAYBREAK_TRY(tensor::element_count(shape));
  if (shape.size() != strides.size()) {
    return fail(Code::kInvalidArgument, "{} strides for shape {}: one for each axis", strides.size(),
                shape_text(shape));
  }
  return View(dtype, Dims(shape), Dims(strides), data);
}

std::int64_t View::element_count() const {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape_) count *= dimension;
  return count;
}

bool View::is_row_major() const {
  if (element_count() == 0) return true;
  const Dims dense = row_major_strides(shape_, dtype_);
  for (std::size_t i = 0; i < shape_.size(); ++i) {
    if (shape_[i] > 1 && strides_[i] != dense[i]) return false;  // the stride of an axis of one is never used
  }
  return true;
}

base::Result<View> View::select(std::size_t axis, std::int64_t index) const {
  DAYBREAK_TRY(check_axis(shape_, axis));
  if (index < 0 || index >= shape_[axis]) {
    return fail(Code::kOutOfRange, "index {} on axis {} of size {}", index, axis, shape_[axis]);
  }
  View part = *this;
  part.data_ += index * strides_[axis];
  part.shape_.erase(axis);
  part.strides_.erase(axis);
  return part;
}

base::Result<View> View::slice(std::size_t axis, std::int64_t begin, std::int64_t end, std::int64_t step) const {
  DAYBREAK_TRY(check_axis(shape_, axis));
  if (begin < 0 || begin > end || end > shape_[axis] || step < 1) {
    return fail(Code::kOutOfRange, "slice [{}, {}) step {} on axis {} of size {}: 0 <= begin <= end <= size, step >= 1",
                begin, end, step, axis, shape_[axis]);
  }
  View part = *this;
  if (begin < end) part.data_ += begin * strides_[axis];  // an empty slice at the end points nowhere
  part.shape_[axis] = (end - begin) / step + ((end - begin) % step != 0 ? 1 : 0);
  if (part.shape_[axis] > 1) part.strides_[axis] = strides_[axis] * step;
  return part;
}

base::Result<View> View::transpose(std::span<const std::size_t> axes) const {
  if (axes.size() != shape_.size()) {
    return fail(Code::kInvalidArgument, "{} axes given for an array with {}: name each once", axes.size(),
                shape_.size());
  }
  View turned = *this;
  std::array<bool, kMaxRank> seen{};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    DAYBREAK_TRY(check_axis(shape_, axes[i]));
    if (seen[axes[i]]) return fail(Code::kInvalidArgument, "axis {} is given twice: name each once", axes[i]);
    seen[axes[i]] = true;
    turned.shape_[i] = shape_[axes[i]];
    turned.strides_[i] = strides_[axes[i]];
  }
  return turned;
}

base::Status View::copy_to(std::span<std::byte> out) const {
  const std::size_t element_bytes = size_of(dtype_);
  const auto count = static_cast<std::size_t>(element_count());
  if (out.size() / element_bytes != count || out.size() % element_bytes != 0) {
    return fail(Code::kInvalidArgument, "{} bytes to hold {} elements of {} bytes: give exactly their size", out.size(),
                count, element_bytes);
  }
  if (count == 0) return {};
  if (is_row_major()) {
    std::memcpy(out.data(), data_, out.size());
  } else {
    copy_axes(shape_, strides_, 0, element_bytes, data_, out.data());
  }
  return {};
}

}  // namespace daybreak::tensor
