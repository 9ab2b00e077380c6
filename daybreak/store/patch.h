// A block as copies from its bases and what is new. Text whose lines grow or move makes copies that begin where the
// last one ended, which costs nothing to say: a column added to a CSV is kept as little more than the column.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace daybreak::store {

// Three streams, to be compressed each by itself. `lengths`: for each copy the number of new bytes before it and its
// own length; `jumps`: where it begins, less where the last one ended, zigzag; both as varints. `literals`: the new
// bytes.
struct Patch {
  std::string lengths, jumps, literals;
};

// O(raw + base) for text; needs 4 MiB. Any thread.
Patch make_patch(std::span<const std::byte> raw, std::span<const std::byte> base);

// False when the streams do not make exactly out.size() bytes.
bool apply_patch(const Patch& patch, std::span<const std::byte> base, std::span<std::byte> out);

}  // namespace daybreak::store
