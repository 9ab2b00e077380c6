// The named-tensor container: one file that holds named arrays and string metadata. Its bytes are a valid safetensors
// file (any safetensors reader opens it) with two metadata keys of ours that make it verifiable.
// docs/formats/tensor-container.md specifies every byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tensor/dtype.h"

namespace daybreak::tensor {

// Limits on both sides: the writer refuses what the reader would refuse.
inline constexpr std::size_t kMaxHeaderBytes = 16u << 20;  // JSON header; bounds what a hostile file can make us parse
inline constexpr std::size_t kMaxTensors = 65536;
inline constexpr std::size_t kMaxRank = 8;
inline constexpr std::size_t kMaxNameBytes = 512;
inline constexpr std::size_t kDataAlignment =
    64;  // the data starts at a multiple of this: one cache line, one AVX-512 load

// Keys of ours in the metadata. write_container() sets them; a caller that passes one gets an error.
inline constexpr std::string_view kFormatKey = "daybreak.format";
inline constexpr std::string_view kChecksumKey = "daybreak.checksum";
inline constexpr std::string_view kFormatVersion = "1";

// One named array, row-major and dense. `data` is borrowed: from the caller when writing, from the Container when
// reading.
struct TensorRef {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;  // empty = a scalar
  std::span<const std::byte> data;
};

using Metadata = std::map<std::string, std::string>;

// The bytes of a container file. Deterministic: the same tensors and metadata in any order give the same bytes. In the
// header tensors are sorted by name; in the data by element size (largest first) and then by name, so that each is
// aligned to its element. kInvalidArgument when a limit is broken, a name is used twice or is "__metadata__", a shape
// does not match its data, a string is not UTF-8 or a metadata key is ours. O(total bytes), one copy.
base::Result<std::string> write_container(std::span<const TensorRef> tensors, const Metadata& metadata);

// A parsed container. Owns the bytes; what it hands out lives as long as it does and stays valid when it is moved.
// Const after parse(): any thread may read it.
class Container {
 public:
  // Takes the bytes and verifies all of them: checksum, format version, names, shapes, and that the tensors cover the
  // data without gap or overlap. Truncated or altered bytes give kDataLoss, another format or version kInvalidArgument.
  // The checksum detects accidents, not an attacker: anyone can write a file whose checksum matches. Data pointers are
  // aligned to their element size. O(bytes).
  static base::Result<Container> parse(std::string bytes);

  Container(Container&&) noexcept = default;
  Container& operator=(Container&&) noexcept = default;
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container() = default;

  // Includes kFormatKey and kChecksumKey.
  const Metadata& metadata() const { return metadata_; }
  // Sorted by name.
  const std::vector<TensorRef>& tensors() const { return tensors_; }
  // nullptr when there is none. O(log n).
  const TensorRef* find(std::string_view name) const;
  // find(), and the dtype and shape must match; the error says what is there instead.
  base::Result<const TensorRef*> expect(std::string_view name, DType dtype, std::span<const std::int64_t> shape) const;

 private:
  Container() = default;

  std::unique_ptr<const std::string> bytes_;  // behind a pointer, so that its buffer stays put when the Container moves
  Metadata metadata_;
  std::vector<TensorRef> tensors_;
};

// "[2, 3]" for messages.
std::string shape_text(std::span<const std::int64_t> shape);

// Elements of a shape: 1 for a scalar. kInvalidArgument when a dimension is negative, there are more than kMaxRank of
// them or the product does not fit into 63 bits.
base::Result<std::int64_t> element_count(std::span<const std::int64_t> shape);

}  // namespace daybreak::tensor
