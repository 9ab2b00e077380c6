// What changed between two artifacts: tensor by tensor where both have tensors, else by ranges of bytes.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "daybreak/store/internal/impl.h"

namespace daybreak::store {

using base::Result;
using base::Status;

namespace {

constexpr std::size_t kDiffStepBytes = 1u << 20;
constexpr std::size_t kMaxRanges = 1u << 20;

double half_to_double(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

template <typename T>
T load_as(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

double element_value(const StoredTensor& tensor, const std::byte* at) {
  const std::string& dtype = tensor.dtype;
  const bool is_unsigned =
      dtype[0] == 'U' || dtype[0] == 'B' || (dtype.size() == 3 && (dtype[1] == 'u' || dtype[1] == 'b'));
  if (dtype == "BF16") return std::bit_cast<float>(std::uint32_t{load_as<std::uint16_t>(at)} << 16);
  if (tensor.is_float) {
    if (tensor.element_bytes == 2) return half_to_double(load_as<std::uint16_t>(at));
    return tensor.element_bytes == 4 ? load_as<float>(at) : load_as<double>(at);
  }
  switch (tensor.element_bytes) {
    case 1: return is_unsigned ? load_as<std::uint8_t>(at) : load_as<std::int8_t>(at);
    case 2: return is_unsigned ? load_as<std::uint16_t>(at) : load_as<std::int16_t>(at);
    case 4: return is_unsigned ? load_as<std::uint32_t>(at) : load_as<std::int32_t>(at);
    default:
      return is_unsigned ? static_cast<double>(load_as<std::uint64_t>(at))
                         : static_cast<double>(load_as<std::int64_t>(at));
  }
}

struct Side {
  const ObjectEntry& object;
  const Layout& layout;
};

// The same bytes, as far as pieces tell without reading: false says "perhaps not".
bool same_pieces(const Side& a, std::uint64_t a_at, const Side& b, std::uint64_t b_at, std::uint64_t size) {
  std::size_t i = a.layout.piece_at(a_at), j = b.layout.piece_at(b_at);
  for (std::uint64_t done = 0; done < size; ++i, ++j) {
    if (i >= a.layout.pieces.size() || j >= b.layout.pieces.size()) return false;
    const PlacedPiece &p = a.layout.pieces[i], &q = b.layout.pieces[j];
    if (p.at != a_at + done || q.at != b_at + done || p.hash != q.hash) return false;
    done += p.size;
  }
  return true;
}

Status compare_tensor(Store::Impl& store, const Side& a, const StoredTensor& x, const Side& b, const StoredTensor& y,
                      TensorDiff& diff) {
  std::vector<std::byte> left(std::min<std::uint64_t>(kDiffStepBytes, x.size)), right(left.size());
  for (std::uint64_t at = 0; at < x.size; at += left.size()) {
    const std::uint64_t size = std::min<std::uint64_t>(left.size(), x.size - at);
    if (same_pieces(a, x.offset + at, b, y.offset + at, size)) continue;
    DAYBREAK_TRY(store.read_pieces(a.layout, x.offset + at, std::span(left).first(size)));
    DAYBREAK_TRY(store.read_pieces(b.layout, y.offset + at, std::span(right).first(size)));
    for (std::size_t i = 0; i < size; i += x.element_bytes) {
      if (std::memcmp(&left[i], &right[i], x.element_bytes) == 0) continue;
      ++diff.elements;
      const double p = element_value(x, &left[i]), q = element_value(y, &right[i]);
      double distance = std::abs(p - q);
      if (std::isnan(distance)) {
        distance = std::isnan(p) && std::isnan(q) ? 0 : std::numeric_limits<double>::infinity();
      }
      diff.max_abs = std::max(diff.max_abs, distance);
    }
  }
  diff.change = diff.elements == 0 ? "equal" : "changed";
  return {};
}

Status compare_tensors(Store::Impl& store, const Side& a, const Side& b, ObjectDiff& diff) {
  std::map<std::string_view, std::pair<const StoredTensor*, const StoredTensor*>> by_name;
  for (const StoredTensor& tensor : a.object.tensors) by_name[tensor.name].first = &tensor;
  for (const StoredTensor& tensor : b.object.tensors) by_name[tensor.name].second = &tensor;
  for (const auto& [name, pair] : by_name) {
    TensorDiff& entry = diff.tensors.emplace_back();
    entry.name = std::string(name);
    if (pair.first == nullptr) {
      entry.change = "added";
    } else if (pair.second == nullptr) {
      entry.change = "removed";
    } else if (pair.first->dtype != pair.second->dtype || pair.first->shape != pair.second->shape ||
               pair.first->size != pair.second->size || pair.first->size % pair.first->element_bytes != 0) {
      // The last two only where the header of an older store was believed and lied.
      entry.change = "retyped";
    } else {
      DAYBREAK_TRY(compare_tensor(store, a, *pair.first, b, *pair.second, entry));
    }
  }
  return {};
}

// Takes equal bytes off both ends of a range.
Status trim_range(Store::Impl& store, const Side& a, const Side& b, RangeDiff& range) {
  std::vector<std::byte> left(kDiffStepBytes), right(kDiffStepBytes);
  while (true) {
    const std::uint64_t size =
        std::min({range.a_end - range.a_begin, range.b_end - range.b_begin, std::uint64_t{kDiffStepBytes}});
    if (size == 0) return {};
    DAYBREAK_TRY(store.read_pieces(a.layout, range.a_begin, std::span(left).first(size)));
    DAYBREAK_TRY(store.read_pieces(b.layout, range.b_begin, std::span(right).first(size)));
    const auto same = static_cast<std::uint64_t>(
        std::mismatch(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(size), right.begin()).first -
        left.begin());
    range.a_begin += same;
    range.b_begin += same;
    if (same < size) break;
  }
  while (true) {
    const std::uint64_t size =
        std::min({range.a_end - range.a_begin, range.b_end - range.b_begin, std::uint64_t{kDiffStepBytes}});
    if (size == 0) return {};
    DAYBREAK_TRY(store.read_pieces(a.layout, range.a_end - size, std::span(left).first(size)));
    DAYBREAK_TRY(store.read_pieces(b.layout, range.b_end - size, std::span(right).first(size)));
    std::uint64_t same = 0;
    while (same < size && left[size - 1 - same] == right[size - 1 - same]) ++same;
    range.a_end -= same;
    range.b_end -= same;
    if (same < size) return {};
  }
}

// Pieces that both have, taken in order, are the fixed points; what lies between two of them is a range.
Status compare_bytes(Store::Impl& store, const Side& a, const Side& b, ObjectDiff& diff) {
  std::unordered_map<Hash, std::vector<std::size_t>, FirstBytes> places;
  for (std::size_t i = 0; i < a.layout.pieces.size(); ++i) places[a.layout.pieces[i].hash].push_back(i);
  RangeDiff range;
  std::size_t next = 0;  // piece of a
  const auto close = [&]() -> Status {
    if (range.a_begin == range.a_end && range.b_begin == range.b_end) return {};
    DAYBREAK_TRY(trim_range(store, a, b, range));
    const bool differs = range.a_begin != range.a_end || range.b_begin != range.b_end;
    if (differs && diff.ranges.size() < kMaxRanges) diff.ranges.push_back(range);
    return {};
  };
  for (const PlacedPiece& piece : b.layout.pieces) {
    const auto found = places.find(piece.hash);
    if (found == places.end()) continue;
    const auto at = std::ranges::lower_bound(found->second, next);
    if (at == found->second.end()) continue;
    const PlacedPiece& other = a.layout.pieces[*at];
    range.a_end = other.at;
    range.b_end = piece.at;
    DAYBREAK_TRY(close());
    range = {other.at + other.size, other.at + other.size, piece.at + piece.size, piece.at + piece.size};
    next = *at + 1;
  }
  range.a_end = a.object.size;
  range.b_end = b.object.size;
  return close();
}

}  // namespace

Result<ObjectDiff> Store::Impl::diff(const Hash& a, const Hash& b) {
  DAYBREAK_ASSIGN(const ObjectEntry first, info(a));
  DAYBREAK_ASSIGN(const ObjectEntry second, info(b));
  ObjectDiff diff;
  diff.equal = a == b;
  DAYBREAK_ASSIGN(const Layout first_layout, layout_of(first));
  DAYBREAK_ASSIGN(const Layout second_layout, layout_of(second));
  const Side left{first, first_layout}, right{second, second_layout};
  if (!first.tensors.empty() && !second.tensors.empty()) {
    DAYBREAK_TRY(compare_tensors(*this, left, right, diff));
  } else if (!diff.equal) {
    DAYBREAK_TRY(compare_bytes(*this, left, right, diff));
  }
  return diff;
}

}  // namespace daybreak::store
