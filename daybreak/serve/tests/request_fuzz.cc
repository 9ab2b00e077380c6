// A request's JSON into a slab: nothing is written outside of the places that are said, whatever the bytes are.
#include <cstdint>
#include <cstdlib>

#include "daybreak/serve/input.h"

using namespace daybreak::serve;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const auto slab = *Slab::create(4u << 20);
  const auto type = static_cast<InputType>(data[0] % 5);
  std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  {
    const auto parsed = parse_request(body, type, *slab, (data[0] & 8) != 0);
    if (parsed) {
      for (const Parsed::Place& place : parsed->inputs) {
        if (place.offset + place.size_bytes > parsed->block.size_bytes()) abort();
        if (place.size_bytes % element_bytes(type) != 0) abort();
      }
      if (!parsed->id.empty() && !is_json(parsed->id)) abort();
    }
  }
  if (slab->used_bytes() != 0) abort();
  if (!is_json(json_string(body))) {
    if (body.size() < (1u << 18)) abort();
  }
  return 0;
}
