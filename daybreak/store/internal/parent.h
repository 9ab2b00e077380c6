// The version before the one that is being put: what the new one can be a difference to.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "daybreak/store/internal/impl.h"

namespace daybreak::store {

// Blocks that a block can be a difference to; without bases there is none.
struct Bases {
  std::vector<BlockId> blocks;
  std::uint8_t depth = 0;  // of the block that uses them
};

class ParentVersion {
 public:
  // `size`: of the new version, when it is known.
  ParentVersion(ObjectEntry object, Layout layout, std::optional<std::uint64_t> size);
  ParentVersion(const ParentVersion&) = delete;  // names point into it
  ParentVersion& operator=(const ParentVersion&) = delete;

  const StoredTensor* tensor(const std::string& name) const;
  // The same slice of the tensor of that name, dtype and shape, when it is a block of its own.
  Bases for_slice(const StoredTensor& tensor, std::uint64_t offset_in_tensor, std::size_t size) const;
  // The blocks around the place that [at, end) of the new version probably comes from. `any`: also slices of tensors.
  Bases for_range(std::uint64_t at, std::uint64_t end, bool any) const;

  // While the new version goes by: where it meets what is known to be at the same place ...
  void meet(std::uint64_t at, std::uint64_t parent_at);
  // ... and which pieces it has in common.
  void meet(const Hash& piece, std::uint64_t end, std::size_t size);

 private:
  std::uint64_t guess(std::uint64_t at) const;
  bool in_tensor(std::uint64_t at) const;

  const ObjectEntry object_;
  const Layout layout_;
  const std::optional<std::uint64_t> size_;
  std::map<std::string, const StoredTensor*, std::less<>> tensors_;
  std::unordered_map<Hash, std::uint64_t, FirstBytes> piece_at_;
  std::uint64_t at_ = 0, parent_at_ = 0;  // where they met last
};

}  // namespace daybreak::store
