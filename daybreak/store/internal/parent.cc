#include "daybreak/store/internal/parent.h"

#include <algorithm>
#include <utility>

namespace daybreak::store {

namespace {

constexpr std::size_t kPrefixBefore = 256u << 10, kPrefixAfter = 512u << 10;  // around the same place

}  // namespace

ParentVersion::ParentVersion(ObjectEntry object, Layout layout, std::optional<std::uint64_t> size)
    : object_(std::move(object)), layout_(std::move(layout)), size_(size) {
  for (const StoredTensor& tensor : object_.tensors) tensors_.emplace(tensor.name, &tensor);
  for (const PlacedPiece& piece : layout_.pieces) piece_at_.try_emplace(piece.hash, piece.at);
}

const StoredTensor* ParentVersion::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

void ParentVersion::meet(std::uint64_t at, std::uint64_t parent_at) {
  at_ = at;
  parent_at_ = parent_at;
}

void ParentVersion::meet(const Hash& piece, std::uint64_t end, std::size_t size) {
  if (const auto met = piece_at_.find(piece); met != piece_at_.end()) meet(end, met->second + size);
}

// Behind the last piece that both have, and from there in the proportion of what is left of each.
std::uint64_t ParentVersion::guess(std::uint64_t at) const {
  double slope = 1;
  if (size_ && *size_ > at_) {
    slope = static_cast<double>(object_.size - parent_at_) / static_cast<double>(*size_ - at_);
  }
  // Near a common piece what follows was inserted, removed or changed in place; further on the proportion is better.
  const auto ahead = static_cast<double>(at - at_);
  return std::min(object_.size, parent_at_ + static_cast<std::uint64_t>(ahead * slope));
}

Bases ParentVersion::for_slice(const StoredTensor& tensor, std::uint64_t offset_in_tensor, std::size_t size) const {
  const StoredTensor* before = this->tensor(tensor.name);
  if (before == nullptr || before->dtype != tensor.dtype || before->shape != tensor.shape) return {};
  const std::uint64_t at = before->offset + offset_in_tensor;
  const std::size_t i = layout_.piece_at(at);
  if (i == layout_.pieces.size()) return {};
  const PlacedPiece& base = layout_.pieces[i];
  const LayoutBlock& block = layout_.blocks[base.block];
  if (base.at != at || base.size != size || block.pieces != 1 || block.depth >= kMaxDepth) return {};
  return {{block.id}, static_cast<std::uint8_t>(block.depth + 1)};
}

bool ParentVersion::in_tensor(std::uint64_t at) const {
  const auto after = std::ranges::upper_bound(object_.tensors, at, {}, &StoredTensor::offset);
  return after != object_.tensors.begin() && at < (after - 1)->offset + (after - 1)->size;
}

Bases ParentVersion::for_range(std::uint64_t at, std::uint64_t end, bool any) const {
  const std::uint64_t middle = guess(at);
  const std::uint64_t from = middle > kPrefixBefore ? middle - kPrefixBefore : 0;
  const std::uint64_t to = std::min(object_.size, guess(end) + kPrefixAfter);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> weights;  // bytes in the range, block
  std::vector<std::uint32_t> order;
  for (std::size_t i = layout_.piece_at(from); i < layout_.pieces.size(); ++i) {
    const PlacedPiece& piece = layout_.pieces[i];
    if (piece.at >= to) break;
    // Headers and small tensors are read often: they shall not need a megabyte of something else.
    if (!any && layout_.blocks[piece.block].pieces == 1 && in_tensor(piece.at)) continue;
    const auto known = std::ranges::find(order, piece.block);
    if (known == order.end()) {
      order.push_back(piece.block);
      weights.emplace_back(piece.size, piece.block);
    } else {
      weights[static_cast<std::size_t>(known - order.begin())].first += piece.size;
    }
  }
  std::erase_if(weights, [&](const auto& w) { return layout_.blocks[w.second].depth >= kMaxDepth; });
  std::ranges::stable_sort(weights, std::ranges::greater(), &std::pair<std::uint64_t, std::uint32_t>::first);
  if (weights.size() > kMaxBases) weights.resize(kMaxBases);
  Bases bases;
  for (const std::uint32_t number : order) {  // in the artifact's order: what is near is near
    if (std::ranges::none_of(weights, [&](const auto& w) { return w.second == number; })) continue;
    const LayoutBlock& base = layout_.blocks[number];
    bases.blocks.push_back(base.id);
    bases.depth = std::max(bases.depth, static_cast<std::uint8_t>(base.depth + 1));
  }
  return bases;
}

}  // namespace daybreak::store
