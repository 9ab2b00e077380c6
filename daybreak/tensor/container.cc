#include "daybreak/tensor/container.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace daybreak::tensor {
namespace {

using base::Code;
using base::fail;
using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "the data of a container is little-endian and is not swapped");

constexpr std::size_t kLengthBytes = 8;      // the header's length, little-endian
constexpr std::size_t kChecksumDigits = 32;  // XXH3-128 in hexadecimal
constexpr std::string_view kMetadataName = "__metadata__";

// The 128 bits over length, header with the digits of the checksum as '0', and data.
std::string checksum_of(std::string_view bytes, std::size_t digits_at) {
  static constexpr std::string_view kZeros = "00000000000000000000000000000000";
  static_assert(kZeros.size() == kChecksumDigits);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  DAYBREAK_CHECK(state != nullptr);
  XXH3_128bits_reset(state.get());
  XXH3_128bits_update(state.get(), bytes.data(), digits_at);
  XXH3_128bits_update(state.get(), kZeros.data(), kZeros.size());
  const std::string_view rest = bytes.substr(digits_at + kChecksumDigits);
  XXH3_128bits_update(state.get(), rest.data(), rest.size());
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// Where the digits start. `"daybreak.checksum":"` cannot occur inside a JSON string, where its quotes would be escaped,
// and as a key it occurs once; but only if a writer of ours made the header, hence the optional.
std::optional<std::size_t> find_checksum(std::string_view header) {
  const std::string pattern = fmt::format("\"{}\":\"", kChecksumKey);
  const std::size_t at = header.find(pattern);
  if (at == std::string_view::npos) return std::nullopt;
  const std::size_t digits_at = at + pattern.size();
  if (header.size() - digits_at < kChecksumDigits + 1 || header[digits_at + kChecksumDigits] != '"')
    return std::nullopt;
  return digits_at;
}

base::Status check_name(std::string_view name) {
  if (name.empty()) return fail(Code::kInvalidArgument, "a tensor has an empty name: give it one");
  if (name.size() > kMaxNameBytes) {
    return fail(Code::kInvalidArgument, "tensor name '{}...' has {} bytes, the limit is {}: shorten it",
                name.substr(0, 40), name.size(), kMaxNameBytes);
  }
  if (name == kMetadataName) {
    return fail(Code::kInvalidArgument, "tensor name '{}' is taken by the format: choose another", kMetadataName);
  }
  return {};
}

// Bytes that a tensor of this shape has.
base::Result<std::size_t> size_in_bytes(std::string_view name, DType dtype, std::span<const std::int64_t> shape) {
  auto count = element_count(shape);
  if (!count) return std::unexpected(std::move(count).error().wrap(fmt::format("tensor '{}'", name)));
  std::int64_t size = 0;
  if (__builtin_mul_overflow(*count, static_cast<std::int64_t>(size_of(dtype)), &size)) {
    return fail(Code::kInvalidArgument, "tensor '{}' of shape {} has more bytes than 63 bits can count: split it", name,
                shape_text(shape));
  }
  return static_cast<std::size_t>(size);
}

// ---- writing

base::Result<std::vector<const TensorRef*>> sorted_and_checked(std::span<const TensorRef> tensors) {
  if (tensors.size() > kMaxTensors) {
    return fail(Code::kInvalidArgument, "{} tensors, the limit of one container is {}: write several", tensors.size(),
                kMaxTensors);
  }
  std::vector<const TensorRef*> sorted;
  sorted.reserve(tensors.size());
  for (const TensorRef& tensor : tensors) {
    DAYBREAK_TRY(check_name(tensor.name));
    DAYBREAK_ASSIGN(const std::size_t size, size_in_bytes(tensor.name, tensor.dtype, tensor.shape));
    if (size != tensor.data.size()) {
      return fail(Code::kInvalidArgument,
                  "tensor '{}': {} of shape {} takes {} bytes, {} given: pass dense row-major data", tensor.name,
                  name_of(tensor.dtype), shape_text(tensor.shape), size, tensor.data.size());
    }
    sorted.push_back(&tensor);
  }
  std::ranges::sort(sorted, {}, &TensorRef::name);
  const auto twice = std::ranges::adjacent_find(sorted, {}, &TensorRef::name);
  if (twice != sorted.end()) {
    return fail(Code::kInvalidArgument, "two tensors are named '{}': names in one container are unique",
                (*twice)->name);
  }
  return sorted;
}

base::Result<std::string> header_text(std::span<const TensorRef* const> by_name,
                                      std::span<const TensorRef* const> by_place, const Metadata& metadata) {
  Json meta = metadata;
  meta[kFormatKey] = kFormatVersion;
  meta[kChecksumKey] = std::string(kChecksumDigits, '0');
  std::map<std::string_view, std::size_t> begin_of;
  std::size_t offset = 0;
  for (const TensorRef* tensor : by_place) {
    begin_of[tensor->name] = offset;
    offset += tensor->data.size();
  }
  Json header = Json::object();
  header[kMetadataName] = std::move(meta);
  for (const TensorRef* tensor : by_name) {
    const std::size_t begin = begin_of[tensor->name];
    header[tensor->name] = {{"dtype", safetensors_name_of(tensor->dtype)},
                            {"shape", tensor->shape},
                            {"data_offsets", {begin, begin + tensor->data.size()}}};
  }
  std::string text;
  try {
    text = header.dump();  // throws on a string that is not UTF-8
  } catch (const Json::exception& e) {
    return fail(Code::kInvalidArgument, "a tensor name or metadata string is not UTF-8, encode it first: {}", e.what());
  }
  text.append((kDataAlignment - (kLengthBytes + text.size()) % kDataAlignment) % kDataAlignment, ' ');
  if (text.size() > kMaxHeaderBytes) {
    return fail(Code::kInvalidArgument,
                "header of {} bytes, the limit is {}: shorten the metadata or write several files", text.size(),
                kMaxHeaderBytes);
  }
  return text;
}

// ---- reading

// One tensor as the header tells it; `checked` makes a TensorRef of it.
struct Entry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::vector<std::int64_t>> offsets;
};

// Takes the parser's events and knows exactly the two objects that the format has, so that nothing else is built,
// however large or deep, and a key used twice is seen. (nlohmann's DOM keeps the last of two equal keys, and its
// callback parser is quadratic in the number of tensors.) Every handler returns false to stop, with the reason in
// `problem`.
class HeaderReader {
 public:
  std::vector<Entry> entries;
  Metadata metadata;
  std::string problem;

  bool key(std::string& text) {
    if (at_ == At::kTop) {
      name_ = text;
      return true;
    }
    field_ = text;
    if (at_ == At::kMetadata)
      return !metadata.contains(text) || stop(fmt::format("metadata '{}' is there twice", text));
    if (text != "dtype" && text != "shape" && text != "data_offsets") {
      return stop(fmt::format("tensor '{}' has an unknown field '{}'", name_, text));
    }
    return true;
  }

  bool start_object(std::size_t /*elements*/) {
    switch (at_) {
      case At::kStart: at_ = At::kTop; return true;
      case At::kTop:
        if (name_ == kMetadataName) {
          at_ = At::kMetadata;
          return !std::exchange(seen_metadata_, true) || stop("the metadata is there twice");
        }
        if (entries.size() == kMaxTensors) return stop(fmt::format("more than {} tensors", kMaxTensors));
        entries.push_back({name_, {}, {}, {}});
        at_ = At::kTensor;
        return true;
      default: return stop(fmt::format("an object inside '{}'", name_));
    }
  }

  bool end_object() {
    at_ = at_ == At::kTop ? At::kEnd : At::kTop;
    return true;
  }

  bool start_array(std::size_t /*elements*/) {
    if (at_ != At::kTensor) return stop(fmt::format("an array where '{}' has none", name_));
    auto& numbers = field_ == "shape" ? entries.back().shape : entries.back().offsets;
    if (field_ == "dtype" || numbers)
      return stop(fmt::format("tensor '{}': '{}' is no array or there twice", name_, field_));
    numbers.emplace();
    at_ = At::kArray;
    return true;
  }

  bool end_array() {
    at_ = At::kTensor;
    return true;
  }

  bool number_unsigned(std::uint64_t number) {
    if (at_ != At::kArray || number > static_cast<std::uint64_t>(INT64_MAX)) return unexpected("a number");
    auto& numbers = field_ == "shape" ? *entries.back().shape : *entries.back().offsets;
    if (numbers.size() == kMaxRank)
      return stop(fmt::format("tensor '{}': '{}' beyond {} numbers", name_, field_, kMaxRank));
    numbers.push_back(static_cast<std::int64_t>(number));
    return true;
  }

  bool string(std::string& text) {
    if (at_ == At::kMetadata) {
      metadata[field_] = text;
      return true;
    }
    if (at_ != At::kTensor || field_ != "dtype" || entries.back().dtype) return unexpected("a string");
    entries.back().dtype = text;
    return true;
  }

  bool null() { return unexpected("null"); }
  bool boolean(bool /*value*/) { return unexpected("a boolean"); }
  bool number_integer(std::int64_t /*number*/) { return unexpected("a negative number"); }
  bool number_float(double /*number*/, const std::string& /*text*/) { return unexpected("a fraction"); }
  bool binary(Json::binary_t& /*bytes*/) { return unexpected("binary"); }
  bool parse_error(std::size_t position, const std::string& /*token*/, const Json::exception& /*error*/) {
    return stop(fmt::format("no JSON at byte {}", position));
  }

 private:
  enum class At { kStart, kTop, kMetadata, kTensor, kArray, kEnd };

  bool stop(std::string why) {
    problem = std::move(why);
    return false;
  }
  bool unexpected(std::string_view what) { return stop(fmt::format("{} where '{}' has none", what, name_)); }

  At at_ = At::kStart;
  bool seen_metadata_ = false;
  std::string name_;
  std::string field_;
};

base::Result<TensorRef> checked(Entry& entry, std::span<const std::byte> data) {
  DAYBREAK_TRY(check_name(entry.name));
  if (!entry.dtype || !entry.shape || !entry.offsets || entry.offsets->size() != 2) {
    return fail(Code::kDataLoss, "tensor '{}' lacks dtype, shape or two data_offsets", entry.name);
  }
  const auto dtype = dtype_of_safetensors_name(*entry.dtype);
  if (!dtype) {
    return fail(Code::kInvalidArgument, "tensor '{}' has dtype '{}', which this version does not know: convert it",
                entry.name, *entry.dtype);
  }
  DAYBREAK_ASSIGN(const std::size_t size, size_in_bytes(entry.name, *dtype, *entry.shape));
  const auto begin = static_cast<std::size_t>((*entry.offsets)[0]);
  const auto end = static_cast<std::size_t>((*entry.offsets)[1]);
  if (begin > end || end > data.size() || end - begin != size || begin % size_of(*dtype) != 0) {
    return fail(Code::kDataLoss, "tensor '{}' of {} bytes claims [{}, {}) of {} bytes of data", entry.name, size, begin,
                end, data.size());
  }
  return TensorRef{std::move(entry.name), *dtype, std::move(*entry.shape), data.subspan(begin, size)};
}

base::Status check_cover(std::span<const TensorRef> tensors, std::span<const std::byte> data) {
  std::vector<std::span<const std::byte>> parts;
  parts.reserve(tensors.size());
  for (const TensorRef& tensor : tensors) parts.push_back(tensor.data);
  // An empty tensor sorts before the one that starts at the same place.
  std::ranges::sort(parts, {}, [](const auto& part) { return std::pair(part.data(), part.size()); });
  const std::byte* at = data.data();
  for (const auto& part : parts) {
    if (part.data() != at) return fail(Code::kDataLoss, "tensors overlap or leave a gap at byte {}", at - data.data());
    at += part.size();
  }
  if (at != data.data() + data.size()) {
    return fail(Code::kDataLoss, "{} bytes of data belong to no tensor", data.data() + data.size() - at);
  }
  return {};
}

// The header's text, once the length before it is plausible.
base::Result<std::string_view> header_of(std::string_view bytes) {
  if (bytes.size() < kLengthBytes) {
    return fail(Code::kDataLoss, "{} bytes are too few for a container: the file is truncated", bytes.size());
  }
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) {
    return fail(Code::kInvalidArgument, "header of {} bytes, the limit is {}: not a Daybreak container", length,
                kMaxHeaderBytes);
  }
  if (length > bytes.size() - kLengthBytes) {
    return fail(Code::kDataLoss, "the header takes {} bytes, {} are there: the file is truncated", length,
                bytes.size() - kLengthBytes);
  }
  return bytes.substr(kLengthBytes, length);
}

base::Status verify_checksum(std::string_view bytes, std::string_view header) {
  const auto in_header = find_checksum(header);
  if (!in_header) {
    return fail(Code::kInvalidArgument, "no {} in the metadata: not written by Daybreak, open it with safetensors",
                kChecksumKey);
  }
  const std::size_t digits_at = kLengthBytes + *in_header;
  const std::string_view stored = bytes.substr(digits_at, kChecksumDigits);
  const std::string actual = checksum_of(bytes, digits_at);
  if (stored != actual) {
    return fail(Code::kDataLoss, "checksum is {}, the file says {}: it is truncated or altered, take another copy",
                actual, stored);
  }
  return {};
}

}  // namespace

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

base::Result<std::int64_t> element_count(std::span<const std::int64_t> shape) {
  if (shape.size() > kMaxRank) {
    return fail(Code::kInvalidArgument, "shape {} has {} dimensions, the limit is {}: reshape it", shape_text(shape),
                shape.size(), kMaxRank);
  }
  // A zero makes the product zero, whatever stands beside it, so that [0, huge, huge] is no overflow in any order.
  bool empty = false;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0) {
      return fail(Code::kInvalidArgument, "shape {} has a negative dimension: sizes are counts", shape_text(shape));
    }
    empty = empty || dimension == 0;
  }
  if (empty) return 0;
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) {
    if (__builtin_mul_overflow(count, dimension, &count)) {
      return fail(Code::kInvalidArgument, "shape {} has more elements than 63 bits can count: split it",
                  shape_text(shape));
    }
  }
  return count;
}

base::Result<std::string> write_container(std::span<const TensorRef> tensors, const Metadata& metadata) {
  for (const std::string_view key : {kFormatKey, kChecksumKey}) {
    if (metadata.contains(std::string(key))) {
      return fail(Code::kInvalidArgument, "metadata key '{}' is set by the writer: leave it out", key);
    }
  }
  DAYBREAK_ASSIGN(const auto by_name, sorted_and_checked(tensors));
  std::vector<const TensorRef*> by_place = by_name;
  std::ranges::sort(by_place, [](const TensorRef* a, const TensorRef* b) {
    return std::pair(size_of(b->dtype), std::string_view(a->name)) <
           std::pair(size_of(a->dtype), std::string_view(b->name));
  });
  DAYBREAK_ASSIGN(const std::string header, header_text(by_name, by_place, metadata));

  std::size_t total = kLengthBytes + header.size();
  for (const TensorRef* tensor : by_place) total += tensor->data.size();
  std::string bytes;
  bytes.reserve(total);
  const std::uint64_t length = header.size();
  bytes.append(std::bit_cast<std::array<char, kLengthBytes>>(length).data(), kLengthBytes);
  bytes.append(header);
  for (const TensorRef* tensor : by_place) {
    bytes.append(reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size());
  }
  const auto in_header = find_checksum(header);
  DAYBREAK_CHECK(in_header.has_value());
  const std::size_t digits_at = kLengthBytes + *in_header;
  bytes.replace(digits_at, kChecksumDigits, checksum_of(bytes, digits_at));
  return bytes;
}

base::Result<Container> Container::parse(std::string bytes) {
  Container container;
  container.bytes_ = std::make_unique<const std::string>(std::move(bytes));
  const std::string_view all = *container.bytes_;
  DAYBREAK_ASSIGN(const std::string_view header_bytes, header_of(all));
  DAYBREAK_TRY(verify_checksum(all, header_bytes));
  HeaderReader header;
  if (!Json::sax_parse(header_bytes, &header)) {
    return fail(Code::kDataLoss, "container header: {}: the file is damaged", header.problem);
  }
  const auto version = header.metadata.find(std::string(kFormatKey));
  if (version == header.metadata.end() || version->second != kFormatVersion) {
    return fail(Code::kInvalidArgument,
                "container format '{}', this version reads '{}': use the Daybreak that wrote it",
                version == header.metadata.end() ? "none" : version->second, kFormatVersion);
  }
  const std::size_t data_at = kLengthBytes + header_bytes.size();
  const std::span<const std::byte> data(reinterpret_cast<const std::byte*>(all.data()) + data_at, all.size() - data_at);
  container.metadata_ = std::move(header.metadata);
  container.tensors_.reserve(header.entries.size());
  for (Entry& entry : header.entries) {
    DAYBREAK_ASSIGN(auto tensor, checked(entry, data));
    container.tensors_.push_back(std::move(tensor));
  }
  std::ranges::sort(container.tensors_, {}, &TensorRef::name);
  const auto twice = std::ranges::adjacent_find(container.tensors_, {}, &TensorRef::name);
  if (twice != container.tensors_.end()) {
    return fail(Code::kDataLoss, "container header: two tensors are named '{}': the file is damaged", twice->name);
  }
  DAYBREAK_TRY(check_cover(container.tensors_, data));
  return container;
}

const TensorRef* Container::find(std::string_view name) const {
  const auto it =
      std::ranges::lower_bound(tensors_, name, {}, [](const TensorRef& t) -> std::string_view { return t.name; });
  return it != tensors_.end() && it->name == name ? &*it : nullptr;
}

base::Result<const TensorRef*> Container::expect(std::string_view name, DType dtype,
                                                 std::span<const std::int64_t> shape) const {
  const TensorRef* tensor = find(name);
  if (tensor == nullptr)
    return fail(Code::kNotFound, "no tensor '{}' among {} in the container", name, tensors_.size());
  if (tensor->dtype != dtype || !std::ranges::equal(tensor->shape, shape)) {
    return fail(Code::kInvalidArgument, "tensor '{}' is {} of shape {}, {} of shape {} is needed", name,
                name_of(tensor->dtype), shape_text(tensor->shape), name_of(dtype), shape_text(shape));
  }
  return tensor;
}

}  // namespace daybreak::tensor
