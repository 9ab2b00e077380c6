// What an artifact is, by its first bytes: a tensor file (npy, safetensors, our container), a table, or anything else.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "daybreak/store/format.h"

namespace daybreak::store {

inline constexpr std::size_t kSniffBytes = 4096;                // enough to name the format
inline constexpr std::size_t kMaxSniffBytes = (16u << 20) + 8;  // the longest header of a safetensors file

enum class Content : std::uint8_t { kOther, kTable, kTensors };

struct Sniffed {
  Content content = Content::kOther;
  std::vector<StoredTensor> tensors;  // by offset, not overlapping; offsets are in the file
};

// How many bytes from the start sniff() needs to see, given the first kSniffBytes (or all, when there are fewer).
std::size_t bytes_to_sniff(std::string_view head);

// Never fails: what looks like a tensor file and is none is "other", and so is one whose header does not agree with
// itself and with `size`, the artifact's: shape, element type and bytes of each tensor, no gap, nothing behind. Without
// a size nothing is believed.
Sniffed sniff(std::string_view head, std::optional<std::uint64_t> size);

}  // namespace daybreak::store
