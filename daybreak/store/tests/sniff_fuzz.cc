// Whatever a tensor file's header claims: what sniff() believes agrees with itself and with the file, and a header that
// is whole is believed. The input is a structure: how many tensors, then for each an element type, a shape and what is
// wrong with its entry; so mutations get behind the JSON.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/store/sniff.h"

namespace ds = daybreak::store;

namespace {

class Choices {
 public:
  Choices(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  unsigned below(unsigned n) {
    if (left_ == 0) return 0;
    --left_;
    return *data_++ % n;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

struct Kind {
  const char* name;
  unsigned bytes;
};
constexpr Kind kKinds[] = {{"F32", 4}, {"U8", 1}, {"BF16", 2}, {"I64", 8}, {"BOOL", 1}, {"F16", 2}, {"F64", 8}};
constexpr const char* kHuge[] = {
    "4611686018427387904", "18446744073709551615", "9223372036854775808", "-1", "1.0", "99999"};

void check(std::string_view file, std::uint64_t size) {
  const ds::Sniffed sniffed = ds::sniff(file, size);
  std::uint64_t end = 0;
  for (const ds::StoredTensor& tensor : sniffed.tensors) {
    unsigned __int128 bytes = tensor.element_bytes;
    for (const std::int64_t n : tensor.shape) {
      if (n < 0) std::abort();
      bytes *= static_cast<std::uint64_t>(n);
      if (bytes > UINT64_MAX) std::abort();
    }
    if (bytes != tensor.size || tensor.element_bytes == 0 || tensor.offset < end) std::abort();
    end = tensor.offset + tensor.size;
  }
  if (!sniffed.tensors.empty() && end != size) std::abort();
}

// A safetensors file, and whether every claim in it is true.
std::pair<std::string, bool> made(Choices& choose) {
  bool good = true;
  std::string entries;
  std::uint64_t at = 0;
  const unsigned count = 1 + choose.below(4);
  for (unsigned i = 0; i < count; ++i) {
    const Kind kind = kKinds[choose.below(7)];
    std::uint64_t bytes = kind.bytes;
    std::string shape;
    for (unsigned rank = choose.below(4); rank > 0; --rank) {
      const unsigned n = choose.below(5);
      bytes *= n;
      shape += fmt::format("{}{}", shape.empty() ? "" : ",", n);
    }
    std::string begin = std::to_string(at), end = std::to_string(at + bytes), name = kind.name;
    const unsigned wrong = choose.below(12);
    good = good && wrong > 6;
    if (wrong == 0) end = kHuge[choose.below(6)];
    if (wrong == 1) begin = kHuge[choose.below(6)];
    if (wrong == 2) shape += (shape.empty() ? "" : ",") + std::string(kHuge[choose.below(6)]);
    if (wrong == 3) shape += shape.empty() ? "2" : ",2";
    if (wrong == 4) end = std::to_string(at + bytes + 1);
    if (wrong == 5) name = "F128";
    if (wrong == 6) at += 1, end = std::to_string(at + bytes), begin = std::to_string(at);
    if ((wrong == 2 || wrong == 3) && bytes == 0) good = false;
    entries += fmt::format(R"({}"t{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", i == 0 ? "" : ",", i,
                           name, shape, begin, end);
    at += bytes;
  }
  const unsigned more = choose.below(4);
  if (more == 0) at += 1;
  const std::string header = "{" + entries + "}";
  std::string file(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return {file + header + std::string(at, 'd'), good && more != 0};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check({reinterpret_cast<const char*>(data), size}, size);
  Choices choose(data, size);
  const auto [file, good] = made(choose);
  check(file, file.size());
  check(file, file.size() - 1);
  check(file, UINT64_MAX);
  if (good && ds::sniff(file, file.size()).tensors.empty()) std::abort();
  std::string npy = "\x93NUMPY\x01";
  const std::string text = fmt::format("{{'descr': '<f4', 'fortran_order': {}, 'shape': ({}, {}), }}\n",
                                       choose.below(2) == 0 ? "False" : "True", choose.below(5),
                                       choose.below(3) == 0 ? kHuge[choose.below(6)] : "2");
  npy += std::string(1, '\0') + static_cast<char>(text.size()) + std::string(1, '\0') + text + std::string(40, 'd');
  check(npy, npy.size());
  return 0;
}
