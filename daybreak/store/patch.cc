#include "daybreak/store/patch.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace daybreak::store {

namespace {

constexpr std::size_t kKeyBytes = 16;      // looked up in the base
constexpr std::size_t kKeyStep = 4;        // of the base's positions every so manieth is known
constexpr std::size_t kLeastFound = 24;    // of a copy from anywhere: it must pay for its jump
constexpr std::size_t kLeastExpected = 8;  // of one that goes on where the last ended
constexpr int kTableBits = 20;

std::uint64_t load8(const std::byte* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::size_t slot_of(const std::byte* at) {
  const std::uint64_t mixed = (load8(at) ^ (load8(at + 8) * 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;
  return static_cast<std::size_t>(mixed >> (64 - kTableBits));
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

bool take_varint(std::string_view& in, std::uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    if (in.empty()) return false;
    const auto byte = static_cast<std::uint8_t>(in[0]);
    in.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

std::size_t common(const std::byte* a, const std::byte* b, std::size_t most) {
  std::size_t n = 0;
  while (n + 8 <= most && load8(a + n) == load8(b + n)) n += 8;
  while (n < most && a[n] == b[n]) ++n;
  return n;
}

class Matcher {
 public:
  Matcher(std::span<const std::byte> raw, std::span<const std::byte> base) : raw_(raw), base_(base) {
    table_.assign(std::size_t{1} << kTableBits, 0);
    for (std::size_t p = 0; p + kKeyBytes <= base.size(); p += kKeyStep) {
      table_[slot_of(&base[p])] = static_cast<std::uint32_t>(p + 1);
    }
  }

  Patch run() {
    std::size_t i = 0;
    while (i + kKeyBytes <= raw_.size()) {
      const std::size_t inserted = expected_, replaced = expected_ + (i - literals_from_);
      if (std::size_t n = match(i, inserted); n >= kLeastExpected) {
        i = emit(i, inserted, n);
      } else if (n = match(i, replaced); n >= kLeastExpected) {
        i = emit(i, replaced, n);
      } else if (const std::uint32_t found = table_[slot_of(&raw_[i])];
                 found != 0 && match(i, found - 1) >= kLeastFound) {
        i = emit(i, found - 1, match(i, found - 1));
      } else {
        ++i;
      }
    }
    patch_.literals.append(reinterpret_cast<const char*>(raw_.data()) + literals_from_, raw_.size() - literals_from_);
    return std::move(patch_);
  }

 private:
  std::size_t match(std::size_t i, std::size_t p) const {
    if (p + 8 > base_.size() || load8(&raw_[i]) != load8(&base_[p])) return 0;
    return common(&raw_[i], &base_[p], std::min(raw_.size() - i, base_.size() - p));
  }

  // The copy of n bytes from p, made longer to the front over literals; gives where to go on.
  std::size_t emit(std::size_t i, std::size_t p, std::size_t n) {
    while (i > literals_from_ && p > 0 && raw_[i - 1] == base_[p - 1]) {
      --i;
      --p;
      ++n;
    }
    append_varint(patch_.lengths, i - literals_from_);
    append_varint(patch_.lengths, n);
    const auto jump = static_cast<std::int64_t>(p) - static_cast<std::int64_t>(expected_);
    append_varint(patch_.jumps, static_cast<std::uint64_t>(jump) << 1 ^ static_cast<std::uint64_t>(jump >> 63));
    patch_.literals.append(reinterpret_cast<const char*>(raw_.data()) + literals_from_, i - literals_from_);
    expected_ = p + n;
    literals_from_ = i + n;
    return literals_from_;
  }

  std::span<const std::byte> raw_, base_;
  std::vector<std::uint32_t> table_;  // a position of the base + 1
  std::size_t expected_ = 0, literals_from_ = 0;
  Patch patch_;
};

}  // namespace

Patch make_patch(std::span<const std::byte> raw, std::span<const std::byte> base) {
  return Matcher(raw, base).run();
}

bool apply_patch(const Patch& patch, std::span<const std::byte> base, std::span<std::byte> out) {
  std::string_view lengths = patch.lengths, jumps = patch.jumps, literals = patch.literals;
  std::uint64_t expected = 0;
  const auto copy_literals = [&](std::uint64_t n) {
    if (n > literals.size() || n > out.size()) return false;
    if (n > 0) std::memcpy(out.data(), literals.data(), n);
    literals.remove_prefix(n);
    out = out.subspan(n);
    return true;
  };
  while (!lengths.empty()) {
    std::uint64_t fresh = 0, copied = 0, jump = 0;
    if (!take_varint(lengths, fresh) || !take_varint(lengths, copied) || !take_varint(jumps, jump)) return false;
    if (!copy_literals(fresh)) return false;
    const std::uint64_t from = expected + (jump >> 1 ^ (0 - (jump & 1)));  // modulo 2^64: checked below
    if (from > base.size() || copied > base.size() - from || copied > out.size()) return false;
    if (copied > 0) std::memcpy(out.data(), base.data() + from, copied);
    out = out.subspan(copied);
    expected = from + copied;
  }
  return jumps.empty() && copy_literals(literals.size()) && out.empty();
}

}  // namespace daybreak::store
