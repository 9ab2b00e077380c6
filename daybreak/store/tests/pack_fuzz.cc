// Whatever bytes come: a block is refused or lies within its bounds, and unpacking it touches nothing outside.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "daybreak/store/codec.h"
#include "daybreak/store/format.h"
#include "daybreak/store/sniff.h"

namespace ds = daybreak::store;

namespace {

void read_block(std::string_view bytes) {
  const auto view = ds::parse_block(bytes);
  if (!view) return;
  const auto meta = ds::parse_block_meta(view->head, view->meta);
  if (!meta) return;
  if (ds::write_block(view->head, view->meta, view->stored) != bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  read_block(input);
  if (size >= 4) {  // codec, element, size of the output; the rest is the stored bytes
    ds::BlockHead head;
    head.codec = static_cast<ds::Codec>(data[0] % 5);
    const ds::ElementType type{static_cast<std::uint8_t>(1 << data[1] % 4), (data[1] & 128) != 0};
    head.raw_size = 1 + data[2] * 16u;
    const std::string_view stored = input.substr(3);
    read_block(ds::write_block(head, ds::write_block_meta({{}, {head.raw_size}}), stored));
    std::vector<std::byte> out(head.raw_size);
    const std::string base(head.codec == ds::Codec::kDelta ? head.raw_size : 1000, 'b');
    (void)ds::decode(head.codec, type, stored, base, out);
  }
  const auto sniffed = ds::sniff(input, size);
  for (const ds::StoredTensor& tensor : sniffed.tensors) {
    if (tensor.offset + tensor.size > size) std::abort();
  }
  return 0;
}
