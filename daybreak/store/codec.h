// How the bytes of one block are kept: raw, zstd, byte planes, differences to a base, or copies from a base.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/store/format.h"

namespace daybreak::store {

inline constexpr double kLeastGain = 0.03;  // below it bytes are kept raw: reading them is then free

// What the bytes are made of. Elements of 1 byte are plain bytes.
struct ElementType {
  std::uint8_t bytes = 1;
  bool is_float = false;
};

struct Encoded {
  Codec codec = Codec::kRaw;
  std::string stored;
};

// Elements: the best of raw, zstd and planes, and, when there is a `base` of the same size, of the differences to it
// (judged by a sample of 32 KiB from the middle). Never larger than raw + 64 bytes. Any thread.
Encoded encode_elements(std::span<const std::byte> raw, std::span<const std::byte> base, ElementType type);

// Bytes: raw or zstd of that level; with a base, also kPatch when that is smaller by kLeastGain. Any thread.
Encoded encode_bytes(std::span<const std::byte> raw, std::string_view base, int level);

// The raw bytes, exactly out.size() of them, or kDataLoss. `base` is that of kDelta, or those of kPatch one after the
// other.
base::Status decode(Codec codec, ElementType type, std::string_view stored, std::string_view base,
                    std::span<std::byte> out);

}  // namespace daybreak::store
