// Any bytes are items or damaged, as a value and as a call's arguments, and nothing that a reader finds lies beyond them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "daybreak/runtime/cpp/value.h"
#include "daybreak/runtime/native.h"
#include "daybreak/runtime/value_format.h"

namespace {

using daybreak::runtime::Ref;
using daybreak::runtime::Tag;
using daybreak::runtime::ValueReader;

// False: damaged.
struct Within {
  const std::vector<std::byte>& blob;
  ValueReader& reader;

  bool inside(const void* data, std::size_t size) const {
    const auto* at = static_cast<const std::byte*>(data);
    if (size > 0 && (at < blob.data() || at + size > blob.data() + blob.size())) std::abort();
    return true;
  }
  bool none() { return true; }
  bool boolean(bool) { return true; }
  bool integer(std::int64_t) { return true; }
  bool real(double) { return true; }
  bool text(std::string_view text) { return inside(text.data(), text.size()); }
  bool bytes(std::span<const std::byte> bytes) { return inside(bytes.data(), bytes.size()); }
  bool container(Tag kind, std::uint32_t count) {
    if (count > blob.size()) std::abort();
    for (std::uint32_t i = 0; i < (kind == Tag::kDict ? 2 * count : count); ++i)
      if (!reader.item(*this)) return false;
    return true;
  }
  bool references(Tag, std::span<const Ref> refs) {
    for (const Ref ref : refs)
      if (ref.index != 7) std::abort();
    return true;
  }
  bool tensor(char, std::span<const std::int64_t> shape, std::span<const std::byte> data) {
    if (shape.size() > daybreak::runtime::kMaxRank) std::abort();
    return inside(data.data(), data.size());
  }
  bool pickle(std::span<const std::byte> text, std::span<const std::span<const std::byte>> buffers,
              std::span<const Ref> refs) {
    for (const auto buffer : buffers) inside(buffer.data(), buffer.size());
    return references(Tag::kRefList, refs) && inside(text.data(), text.size());
  }
  bool damaged() { return false; }
};

// As C++ types: what does not fit is an error.
template <typename T>
void read_as(const std::vector<std::byte>& blob) {
  ValueReader reader(blob);
  daybreak::runtime::cpp::In in{reader, nullptr};
  (void)daybreak::runtime::cpp::read_value<T>(in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A heap copy of exactly this size, so that the address sanitizer sees a read behind the end.
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(data[i]);
  const std::vector<Ref> refs(4, Ref{7, 0});
  ValueReader value(bytes, refs, 2);
  value.item(Within{bytes, value});
  ValueReader call(bytes, refs, 2);
  if (const auto head = call.call())
    for (unsigned i = 0; i < unsigned{head->positional} + 2u * head->named; ++i)
      if (!call.dependency() && !call.item(Within{bytes, call})) break;
  (void)daybreak::runtime::parse_value(bytes);
  read_as<std::vector<std::vector<std::string>>>(bytes);
  read_as<std::map<std::string, std::tuple<int, std::optional<double>>>>(bytes);
  read_as<daybreak::runtime::cpp::Tensor<double>>(bytes);
  read_as<std::vector<std::int8_t>>(bytes);
  return 0;
}
