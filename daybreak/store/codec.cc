#include "daybreak/store/codec.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "daybreak/store/patch.h"
#include "daybreak/store/planes.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::Status;

namespace {

constexpr std::size_t kSampleBytes = 32u << 10;
constexpr int kPlaneLevel = 1;
constexpr std::size_t kSurelyBetter = 5;     // times smaller with the base: without it it would not be
constexpr double kIncompressibleBits = 7.9;  // of a byte: zstd would gain nothing

enum class PlaneTag : std::uint8_t { kConstant = 0, kRaw = 1, kZstd = 2 };

struct FreeCCtx {
  void operator()(ZSTD_CCtx* ctx) const { ZSTD_freeCCtx(ctx); }
};
struct FreeDCtx {
  void operator()(ZSTD_DCtx* ctx) const { ZSTD_freeDCtx(ctx); }
};

ZSTD_CCtx* compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeCCtx> ctx(ZSTD_createCCtx());
  DAYBREAK_CHECK(ctx != nullptr);
  return ctx.get();
}

ZSTD_DCtx* decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeDCtx> ctx(ZSTD_createDCtx());
  DAYBREAK_CHECK(ctx != nullptr);
  return ctx.get();
}

// Appends the frame to `out`.
void compress(std::span<const std::byte> raw, int level, std::string& out) {
  const std::size_t at = out.size(), room = ZSTD_compressBound(raw.size());
  out.resize(at + room);
  const std::size_t size = ZSTD_compressCCtx(compressor(), out.data() + at, room, raw.data(), raw.size(), level);
  DAYBREAK_CHECK(!ZSTD_isError(size));
  out.resize(at + size);
}

bool decompress(std::string_view frame, std::span<std::byte> out) {
  const std::size_t size = ZSTD_decompressDCtx(decompressor(), out.data(), out.size(), frame.data(), frame.size());
  return !ZSTD_isError(size) && size == out.size();
}

// Bits a byte by its distribution alone.
double entropy_bits(std::span<const std::byte> bytes) {
  std::array<std::array<std::uint32_t, 256>, 4>
      counts{};  // four, so that equal bytes in a row do not wait on each other
  for (std::size_t i = 0; i < bytes.size(); ++i) ++counts[i & 3][std::to_integer<std::size_t>(bytes[i])];
  double bits = 0;
  for (std::size_t b = 0; b < 256; ++b) {
    const double n = counts[0][b] + counts[1][b] + counts[2][b] + counts[3][b];
    if (n > 0) bits -= n * std::log2(n / static_cast<double>(bytes.size()));
  }
  return bits / static_cast<double>(bytes.size());
}

void append_plane(std::span<const std::byte> plane, std::string& out) {
  const auto put = [&](PlaneTag tag, std::uint32_t size) {
    out.push_back(static_cast<char>(tag));
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
  };
  if (std::memcmp(plane.data(), plane.data() + 1, plane.size() - 1) == 0) {
    put(PlaneTag::kConstant, 1);
    out.push_back(static_cast<char>(plane[0]));
    return;
  }
  const std::size_t head = out.size();
  if (entropy_bits(plane) < kIncompressibleBits) {
    put(PlaneTag::kZstd, 0);
    compress(plane, kPlaneLevel, out);
    const std::size_t size = out.size() - head - 5;
    if (size < plane.size()) {
      const auto size32 = static_cast<std::uint32_t>(size);
      std::memcpy(out.data() + head + 1, &size32, sizeof size32);
      return;
    }
    out.resize(head);
  }
  put(PlaneTag::kRaw, static_cast<std::uint32_t>(plane.size()));
  out.append(reinterpret_cast<const char*>(plane.data()), plane.size());
}

// Planes, one after the other, then the bytes behind the last whole element.
std::string encode_planes(std::span<const std::byte> raw, std::span<const std::byte> base, ElementType type) {
  thread_local std::vector<std::byte> planes;
  const std::size_t count = raw.size() / type.bytes;
  planes.resize(std::max(planes.size(), count * type.bytes));
  plane_ops().split(raw.data(), base.empty() ? nullptr : base.data(), count, type.bytes, type.is_float, planes.data());
  std::string out;
  for (std::size_t p = 0; p < type.bytes; ++p) append_plane(std::span(planes).subspan(p * count, count), out);
  out.append(reinterpret_cast<const char*>(raw.data()) + count * type.bytes, raw.size() - count * type.bytes);
  return out;
}

bool decode_planes(ElementType type, std::string_view stored, const std::byte* base, std::span<std::byte> out) {
  thread_local std::vector<std::byte> planes;
  const std::size_t count = out.size() / type.bytes;
  planes.resize(std::max(planes.size(), count * type.bytes));
  for (std::size_t p = 0; p < type.bytes; ++p) {
    const std::span<std::byte> plane = std::span(planes).subspan(p * count, count);
    if (stored.size() < 5) return false;
    const auto tag = static_cast<PlaneTag>(stored[0]);
    std::uint32_t size;
    std::memcpy(&size, stored.data() + 1, sizeof size);
    stored.remove_prefix(5);
    if (size > stored.size()) return false;
    const std::string_view body = stored.substr(0, size);
    stored.remove_prefix(size);
    if (tag == PlaneTag::kConstant && size == 1) {
      std::memset(plane.data(), static_cast<unsigned char>(body[0]), plane.size());
    } else if (tag == PlaneTag::kRaw && size == plane.size()) {
      std::memcpy(plane.data(), body.data(), size);
    } else if (tag != PlaneTag::kZstd || !decompress(body, plane)) {
      return false;
    }
  }
  const std::size_t rest = out.size() - count * type.bytes;
  if (stored.size() != rest) return false;
  if (rest > 0) std::memcpy(out.data() + count * type.bytes, stored.data(), rest);
  plane_ops().merge(planes.data(), base, count, type.bytes, type.is_float, out.data());
  return true;
}

// One stream of a patch: its size, the size of what follows (0: it follows as it is), and that.
void append_stream(const std::string& stream, int level, std::string& out) {
  std::string packed;
  if (!stream.empty()) compress(std::as_bytes(std::span(stream)), level, packed);
  if (packed.size() >= stream.size()) packed.clear();
  const std::uint32_t sizes[] = {static_cast<std::uint32_t>(stream.size()), static_cast<std::uint32_t>(packed.size())};
  out.append(reinterpret_cast<const char*>(sizes), sizeof sizes).append(packed.empty() ? stream : packed);
}

bool take_stream(std::string_view& stored, std::string& stream) {
  std::uint32_t sizes[2];
  if (stored.size() < sizeof sizes) return false;
  std::memcpy(sizes, stored.data(), sizeof sizes);
  stored.remove_prefix(sizeof sizes);
  const std::size_t size = sizes[1] == 0 ? sizes[0] : sizes[1];
  // A copy takes at least two bytes of lengths, and makes eight bytes.
  if (size > stored.size() || sizes[0] > 2 * kMaxBlockBytes) return false;
  const std::string_view body = stored.substr(0, size);
  stored.remove_prefix(size);
  stream.assign(body);
  if (sizes[1] == 0) return true;
  stream.resize(sizes[0]);
  return decompress(body, std::as_writable_bytes(std::span(stream)));
}

std::string encode_patch(std::span<const std::byte> raw, std::string_view base, int level) {
  const Patch patch = make_patch(raw, std::as_bytes(std::span(base)));
  std::string out;
  append_stream(patch.lengths, level, out);
  append_stream(patch.jumps, level, out);
  append_stream(patch.literals, level, out);
  return out;
}

bool decode_patch(std::string_view stored, std::string_view base, std::span<std::byte> out) {
  Patch patch;
  return take_stream(stored, patch.lengths) && take_stream(stored, patch.jumps) &&
         take_stream(stored, patch.literals) && stored.empty() &&
         apply_patch(patch, std::as_bytes(std::span(base)), out);
}

Encoded raw_of(std::span<const std::byte> raw) {
  return {Codec::kRaw, std::string(reinterpret_cast<const char*>(raw.data()), raw.size())};
}

bool gains(std::size_t stored, std::size_t raw) {
  return static_cast<double>(stored) < (1 - kLeastGain) * static_cast<double>(raw);
}

Encoded encode_as(Codec codec, std::span<const std::byte> raw, std::span<const std::byte> base, ElementType type) {
  Encoded encoded{codec, {}};
  if (codec == Codec::kZstd) compress(raw, kPlaneLevel, encoded.stored);
  if (codec == Codec::kPlanes) encoded.stored = encode_planes(raw, {}, type);
  if (codec == Codec::kDelta) encoded.stored = encode_planes(raw, base, type);
  return encoded;
}

}  // namespace

Encoded encode_elements(std::span<const std::byte> raw, std::span<const std::byte> base, ElementType type) {
  if (raw.size() < 2 * std::size_t{type.bytes}) return raw_of(raw);
  const bool has_base = base.size() == raw.size();
  const std::size_t sample = std::min(kSampleBytes, raw.size());
  const std::size_t at = (raw.size() - sample) / 2 / 8 * 8;
  Codec best = Codec::kRaw;
  std::size_t best_size = sample;
  for (const Codec codec : {Codec::kDelta, Codec::kPlanes, Codec::kZstd}) {
    if (codec == Codec::kDelta && !has_base) continue;
    const std::size_t size =
        encode_as(codec, raw.subspan(at, sample), has_base ? base.subspan(at, sample) : base, type).stored.size();
    if (size < best_size) {
      best = codec;
      best_size = size;
    }
  }
  if (!gains(best_size, sample)) return raw_of(raw);
  Encoded encoded = encode_as(best, raw, base, type);
  return gains(encoded.stored.size(), raw.size()) ? std::move(encoded) : raw_of(raw);
}

Encoded encode_bytes(std::span<const std::byte> raw, std::string_view base, int level) {
  Encoded with{Codec::kPatch, {}};
  if (!base.empty()) {
    with.stored = encode_patch(raw, base, level);
    if (with.stored.size() < raw.size() / kSurelyBetter) return with;
  }
  Encoded alone{Codec::kZstd, {}};
  compress(raw, level, alone.stored);
  if (!base.empty() && gains(with.stored.size(), alone.stored.size()) && gains(with.stored.size(), raw.size())) {
    return with;
  }
  return gains(alone.stored.size(), raw.size()) ? std::move(alone) : raw_of(raw);
}

Status decode(Codec codec, ElementType type, std::string_view stored, std::string_view base, std::span<std::byte> out) {
  bool good = false;
  switch (codec) {
    case Codec::kRaw:
      good = stored.size() == out.size();
      if (good) std::memcpy(out.data(), stored.data(), stored.size());
      break;
    case Codec::kZstd: good = decompress(stored, out); break;
    case Codec::kPlanes: good = decode_planes(type, stored, nullptr, out); break;
    case Codec::kDelta:
      good = base.size() == out.size() &&
             decode_planes(type, stored, reinterpret_cast<const std::byte*>(base.data()), out);
      break;
    case Codec::kPatch: good = !base.empty() && decode_patch(stored, base, out); break;
  }
  if (!good) return fail(Code::kDataLoss, "does not unpack ({})", name_of(codec));
  return {};
}

}  // namespace daybreak::store
