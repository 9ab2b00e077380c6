// What a request's JSON holds, read straight into the memory that replicas see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/serve/slab.h"

namespace daybreak::serve {

inline constexpr std::size_t kMaxInputsOfRequest = 16'384;
inline constexpr int kMaxJsonDepth = 64;

enum class InputType : std::uint8_t { kBytes = 0, kIntegers = 1, kFloats = 2, kDoubles = 3, kStrings = 4 };

// "doubles", and Clipper's other spellings of it ("double", "d"). kInvalidArgument lists them.
base::Result<InputType> parse_input_type(std::string_view name);
std::string_view input_type_name(InputType type);
// Bytes of one element: 1, 4, 4, 8, 1.
std::size_t element_bytes(InputType type);

// Of one request. Inputs lie in `block` at these places, numbers in the machine's order, each aligned to 64 bytes.
struct Parsed {
  struct Place {
    std::uint32_t offset;
    std::uint32_t size_bytes;
  };
  Slab::Block block;
  std::vector<Place> inputs;
  std::optional<std::string> version;
  std::string id;  // with `ids`: the value of "id" as it was written, or empty
};

// {"input": value} or {"input_batch": [value, ...]} (perhaps of none), with "version" perhaps ("input" wins over
// "input_batch", other keys are read over). A value is an array of numbers, a base64 string (bytes) or a string.
// Integers are legal floats and doubles; fractions are no integers. kInvalidArgument says what is wrong and what was
// expected; kResourceExhausted when the slab is full. `body` may be padded in place. O(bytes).
base::Result<Parsed> parse_request(std::string& body, InputType type, Slab& slab, bool ids = false);

// Whether a text is exactly one JSON value (of a bounded depth).
bool is_json(std::string_view text);
// A JSON string of it, quotes included; bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace daybreak::serve
