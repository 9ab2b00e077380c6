#include "daybreak/store/sniff.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "daybreak/base/json.h"
#include "daybreak/tensor/dtype.h"

namespace daybreak::store {

namespace {

using base::Json;

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr std::size_t kMaxNpyHeader = 65536;

template <typename T>
T read_le(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Length of the header, with what comes before it; 0 when it is not npy.
std::size_t npy_header_bytes(std::string_view head) {
  if (!head.starts_with(kNpyMagic) || head.size() < 12 || head[6] < 1 || head[6] > 3 || head[7] != 0) return 0;
  const std::size_t length = head[6] == 1 ? 10 + std::size_t{read_le<std::uint16_t>(head, 8)}
                                          : 12 + std::size_t{read_le<std::uint32_t>(head, 8)};
  return length <= kMaxNpyHeader ? length : 0;
}

std::size_t safetensors_header_bytes(std::string_view head) {
  if (head.size() < 10 || head[8] != '{') return 0;
  const auto length = read_le<std::uint64_t>(head, 0);
  return length >= 2 && length <= kMaxSniffBytes - 8 ? static_cast<std::size_t>(length) + 8 : 0;
}

// The value of 'key' in the literal that numpy writes: up to the next comma outside parentheses, or the closing brace.
std::optional<std::string_view> npy_value(std::string_view header, std::string_view key) {
  const std::size_t at = header.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = header.substr(at + key.size());
  const std::size_t begin = rest.find_first_not_of(": ");
  if (begin == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(begin);
  const std::size_t end = rest.starts_with('(') ? rest.find(')') : rest.find_first_of(",}");
  if (end == std::string_view::npos) return std::nullopt;
  return rest.substr(0, end);
}

std::optional<StoredTensor> npy_tensor(std::string_view header, std::size_t header_bytes) {
  const auto descr = npy_value(header, "'descr'");
  const auto shape = npy_value(header, "'shape'");
  const auto fortran = npy_value(header, "'fortran_order'");
  if (!fortran || (*fortran != "False" && *fortran != "True")) return std::nullopt;
  if (!descr || !shape || descr->size() < 5 || descr->size() > 8 || !shape->starts_with('(')) return std::nullopt;
  StoredTensor tensor;
  tensor.dtype = std::string(descr->substr(1, descr->size() - 2));  // without the quotes: "<f4"
  const char kind = tensor.dtype[1];
  const char size = tensor.dtype[2];
  if (tensor.dtype.size() != 3 || tensor.dtype[0] == '>' || std::strchr("fiub", kind) == nullptr) return std::nullopt;
  if (std::strchr("1248", size) == nullptr) return std::nullopt;
  tensor.element_bytes = static_cast<std::uint8_t>(size - '0');
  tensor.is_float = kind == 'f';
  tensor.offset = header_bytes;
  tensor.size = tensor.element_bytes;
  const char* at = shape->data() + 1;
  const char* const end = shape->data() + shape->size();
  while (at < end) {
    std::uint64_t n = 0;
    const auto [next, error] = std::from_chars(at, end, n);
    if (error != std::errc() || n > INT64_MAX || __builtin_mul_overflow(tensor.size, n, &tensor.size))
      return std::nullopt;
    tensor.shape.push_back(static_cast<std::int64_t>(n));
    if (tensor.shape.size() > 32) return std::nullopt;
    for (at = next; at < end && (*at == ',' || *at == ' '); ++at) {
    }
  }
  if (tensor.size > INT64_MAX) return std::nullopt;
  // Columns first: as rows its elements would be others. Of at most one long dimension there is one order.
  if (*fortran == "True" && std::ranges::count_if(tensor.shape, [](std::int64_t n) { return n > 1; }) > 1)
    return std::nullopt;
  return tensor;
}

// What a header claims is believed only where its parts agree: so many elements, so many bytes.
bool shape_fits(const StoredTensor& tensor) {
  std::uint64_t bytes = tensor.element_bytes;
  for (const std::int64_t n : tensor.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(n), &bytes)) return false;
  }
  return bytes == tensor.size;
}

std::optional<StoredTensor> safetensors_tensor(const std::string& name, const Json& value, std::uint64_t data_at) {
  const auto dtype_name = base::json_member<std::string>(value, "dtype");
  const auto offsets = base::json_member<Json>(value, "data_offsets");
  const auto shape = base::json_member<Json>(value, "shape");
  if (!dtype_name || !offsets || !shape || !offsets->is_array() || offsets->size() != 2 || !shape->is_array()) {
    return std::nullopt;
  }
  const auto dtype = tensor::dtype_of_safetensors_name(*dtype_name);
  if (!dtype || name.size() > kMaxNameBytesInObject || shape->size() > 32) return std::nullopt;
  const std::string_view kind = tensor::name_of(*dtype);
  StoredTensor tensor{name,
                      *dtype_name,
                      static_cast<std::uint8_t>(tensor::size_of(*dtype)),
                      kind.starts_with("f") || kind == "bf16",
                      {},
                      0,
                      0};
  for (const Json& n : *shape) {
    if (!n.is_number_unsigned() || n.get<std::uint64_t>() > INT64_MAX) return std::nullopt;
    tensor.shape.push_back(static_cast<std::int64_t>(n.get<std::uint64_t>()));
  }
  if (!(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) return std::nullopt;
  const auto begin = (*offsets)[0].get<std::uint64_t>(), end = (*offsets)[1].get<std::uint64_t>();
  if (begin > end || end > (std::uint64_t{1} << 62)) return std::nullopt;
  tensor.offset = data_at + begin;
  tensor.size = end - begin;
  if (!shape_fits(tensor)) return std::nullopt;
  return tensor;
}

std::optional<std::vector<StoredTensor>> safetensors_tensors(std::string_view header, std::uint64_t data_at) {
  const auto json = base::parse_json(header, {.max_bytes = kMaxSniffBytes, .max_depth = 4});
  if (!json || !json->is_object() || json->size() > kMaxTensorsInObject) return std::nullopt;
  std::vector<StoredTensor> tensors;
  for (const auto& [name, value] : json->items()) {
    if (name == "__metadata__") {
      const auto is_text = [](const Json& text) { return text.is_string(); };
      if (!value.is_null() && !(value.is_object() && std::ranges::all_of(value, is_text))) return std::nullopt;
      continue;
    }
    auto tensor = safetensors_tensor(name, value, data_at);
    if (!tensor) return std::nullopt;
    tensors.push_back(*std::move(tensor));
  }
  // An empty tensor sorts before the one that starts at the same place.
  std::ranges::stable_sort(tensors, {},
                           [](const StoredTensor& tensor) { return std::pair(tensor.offset, tensor.size); });
  std::uint64_t at = data_at;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.offset != at) return std::nullopt;  // the format has no gaps
    at += tensor.size;
  }
  return tensors;
}

// Text whose lines have the same number of the same separator, or JSON, or Parquet.
bool looks_like_table(std::string_view head) {
  if (head.starts_with("PAR1")) return true;
  head = head.substr(0, kSniffBytes);
  for (const char c : head) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') return false;
  }
  if (head.starts_with('{') || head.starts_with('[')) return true;
  const std::size_t first_end = head.find('\n');
  if (first_end == std::string_view::npos) return false;
  const std::string_view first = head.substr(0, first_end);
  const std::size_t second_end = head.find('\n', first_end + 1);
  const std::string_view second = head.substr(first_end + 1, second_end - first_end - 1);
  return std::ranges::any_of(std::string_view(",\t;|"), [&](char separator) {
    const auto n = std::ranges::count(first, separator);
    return n > 0 && n == std::ranges::count(second, separator);
  });
}

bool tensors_fit(const std::vector<StoredTensor>& tensors, std::uint64_t size) {
  std::uint64_t end = 0;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.offset < end) return false;
    end = tensor.offset + tensor.size;
  }
  return end == size;  // neither format has anything behind
}

}  // namespace

std::size_t bytes_to_sniff(std::string_view head) {
  return std::max({head.size(), npy_header_bytes(head), safetensors_header_bytes(head)});
}

Sniffed sniff(std::string_view head, std::optional<std::uint64_t> size) {
  std::vector<StoredTensor> tensors;
  if (const std::size_t npy = npy_header_bytes(head); npy > 0 && npy <= head.size()) {
    if (auto tensor = npy_tensor(head.substr(0, npy), npy)) tensors.push_back(*std::move(tensor));
  } else if (const std::size_t st = safetensors_header_bytes(head); st > 0 && st <= head.size()) {
    tensors = safetensors_tensors(head.substr(8, st - 8), st).value_or(std::vector<StoredTensor>{});
  }
  if (size && !tensors.empty() && tensors_fit(tensors, *size)) return {Content::kTensors, std::move(tensors)};
  return {looks_like_table(head) ? Content::kTable : Content::kOther, {}};
}

}  // namespace daybreak::store
