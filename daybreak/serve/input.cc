#include "daybreak/serve/input.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "daybreak/base/json.h"
#include "daybreak/serve/gate.h"

namespace daybreak::serve {

using base::Code;
using base::fail;
namespace ondemand = simdjson::ondemand;

namespace {

struct Spelling {
  std::string_view name;
  InputType type;
};
constexpr Spelling kSpellings[] = {
    {"bytes", InputType::kBytes},       {"byte", InputType::kBytes},    {"b", InputType::kBytes},
    {"integers", InputType::kIntegers}, {"ints", InputType::kIntegers}, {"integer", InputType::kIntegers},
    {"int", InputType::kIntegers},      {"i", InputType::kIntegers},    {"floats", InputType::kFloats},
    {"float", InputType::kFloats},      {"f", InputType::kFloats},      {"doubles", InputType::kDoubles},
    {"double", InputType::kDoubles},    {"d", InputType::kDoubles},     {"strings", InputType::kStrings},
    {"string", InputType::kStrings},    {"str", InputType::kStrings},   {"strs", InputType::kStrings},
    {"s", InputType::kStrings},
};

std::string_view example_of(InputType type) {
  switch (type) {
    case InputType::kBytes: return R"("AAEC" (base64))";
    case InputType::kIntegers: return "[1, 2]";
    case InputType::kFloats: return "[1.5, 2]";
    case InputType::kDoubles: return "[1.5, 2]";
    case InputType::kStrings: return R"("text")";
  }
  return "";
}

std::unexpected<base::Error> expected_input(InputType type, std::string_view what) {
  return fail(Code::kInvalidArgument,
              "{}. Expected: {{\"input\": {}}} or {{\"input_batch\": [{}, ...]}}, and perhaps \"version\": \"...\"",
              what, example_of(type), example_of(type));
}

std::unexpected<base::Error> no_json(simdjson::error_code error) {
  return fail(Code::kInvalidArgument, "the body is no JSON: {}", simdjson::error_message(error));
}

// Reads over a value, so that what is accepted is JSON to its last byte.
base::Status skip(ondemand::value value, int depth) {
  if (depth > kMaxJsonDepth) return fail(Code::kInvalidArgument, "the body is nested more than {} deep", kMaxJsonDepth);
  ondemand::json_type type;
  if (const auto error = value.type().get(type)) return no_json(error);
  if (type == ondemand::json_type::array) {
    for (auto element : value.get_array()) {
      ondemand::value inner;
      if (const auto error = std::move(element).get(inner)) return no_json(error);
      DAYBREAK_TRY(skip(inner, depth + 1));
    }
  } else if (type == ondemand::json_type::object) {
    for (auto field : value.get_object()) {
      if (field.error()) return no_json(field.error());
      if (const auto error = field.unescaped_key().error()) return no_json(error);
      DAYBREAK_TRY(skip(field.value().value_unsafe(), depth + 1));
    }
  } else {
    simdjson::error_code error = simdjson::SUCCESS;
    if (type == ondemand::json_type::string) error = value.get_string().error();
    // As a double: get_number() has no place for integers of more than 64 bits, which are JSON all the same.
    if (type == ondemand::json_type::number) error = value.get_double().error();
    if (type == ondemand::json_type::boolean) error = value.get_bool().error();
    if (type == ondemand::json_type::null) error = value.is_null() ? simdjson::SUCCESS : simdjson::N_ATOM_ERROR;
    if (error) return no_json(error);
  }
  return {};
}

// One number of an array, as the element type T.
template <typename T>
base::Status read_number(simdjson::simdjson_result<ondemand::value> element, InputType type, T& out) {
  ondemand::value value;
  if (const auto error = std::move(element).get(value)) return no_json(error);
  if constexpr (std::is_same_v<T, std::int32_t>) {
    std::int64_t wide;
    if (value.get_int64().get(wide) || wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max())
      return expected_input(type, "an input of 'integers' holds what is no 32-bit integer");
    out = static_cast<T>(wide);
  } else {
    double wide;
    if (value.get_double().get(wide) || !std::isfinite(static_cast<T>(wide)))
      return expected_input(type,
                            fmt::format("an input of '{}' holds what is no finite number", input_type_name(type)));
    out = static_cast<T>(wide);
  }
  return {};
}

// The numbers of an array, written where `room(bytes)` says.
template <typename T, typename Room>
base::Status read_numbers(ondemand::value value, InputType type, Room&& room) {
  ondemand::array array;
  if (value.get_array().get(array))
    return expected_input(type, fmt::format("an input of '{}' is an array of numbers", input_type_name(type)));
  std::size_t count;
  if (const auto error = array.count_elements().get(count)) return no_json(error);
  DAYBREAK_ASSIGN(std::byte * out, room(count * sizeof(T)));
  for (auto element : array) {
    T number;
    DAYBREAK_TRY(read_number<T>(std::move(element), type, number));
    std::memcpy(out, &number, sizeof number);
    out += sizeof number;
  }
  return {};
}

// One input, written where `room(bytes)` says.
template <typename Room>
base::Status read_input(ondemand::value value, InputType type, Room&& room) {
  switch (type) {
    case InputType::kIntegers: return read_numbers<std::int32_t>(value, type, room);
    case InputType::kFloats: return read_numbers<float>(value, type, room);
    case InputType::kDoubles: return read_numbers<double>(value, type, room);
    default: break;
  }
  std::string_view text;
  if (const auto error = value.get_string().get(text)) {
    if (error != simdjson::INCORRECT_TYPE) return no_json(error);
    return expected_input(type, fmt::format("an input of '{}' is a string", input_type_name(type)));
  }
  if (type == InputType::kStrings) {
    DAYBREAK_ASSIGN(std::byte * out, room(text.size()));
    if (!text.empty()) std::memcpy(out, text.data(), text.size());
    return {};
  }
  std::string bytes;
  if (!decode_base64(text, bytes)) return expected_input(type, "an input of 'bytes' is not base64");
  DAYBREAK_ASSIGN(std::byte * out, room(bytes.size()));
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return {};
}

std::size_t aligned(std::size_t size_bytes) {
  return (size_bytes + kSlabAlign - 1) / kSlabAlign * kSlabAlign;
}

base::Status read_single(ondemand::value value, InputType type, Slab& slab, Parsed& parsed) {
  parsed.inputs.clear();
  return read_input(value, type, [&](std::size_t size_bytes) -> base::Result<std::byte*> {
    DAYBREAK_ASSIGN(parsed.block, slab.allocate(std::max<std::size_t>(size_bytes, 1)));
    parsed.inputs.push_back({0, static_cast<std::uint32_t>(size_bytes)});
    return parsed.block.data();
  });
}

// Rows may differ in length, so they are gathered first and copied once.
base::Status read_batch(ondemand::value value, InputType type, Slab& slab, Parsed& parsed) {
  ondemand::array rows;
  if (value.get_array().get(rows)) return expected_input(type, "\"input_batch\" is an array of inputs");
  thread_local std::vector<std::byte> gathered;
  gathered.clear();
  parsed.inputs.clear();
  for (auto row : rows) {
    ondemand::value inner;
    if (const auto error = std::move(row).get(inner)) return no_json(error);
    if (parsed.inputs.size() == kMaxInputsOfRequest)
      return fail(Code::kInvalidArgument, "\"input_batch\" holds more than {} inputs: send several requests",
                  kMaxInputsOfRequest);
    DAYBREAK_TRY(read_input(inner, type, [&](std::size_t size_bytes) -> base::Result<std::byte*> {
      const std::size_t offset = aligned(gathered.size());
      if (offset + size_bytes > slab.size_bytes())
        return fail(Code::kResourceExhausted, "the inputs take more than {} bytes", slab.size_bytes());
      gathered.resize(offset + size_bytes);
      parsed.inputs.push_back({static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(size_bytes)});
      return gathered.data() + offset;
    }));
  }
  DAYBREAK_ASSIGN(parsed.block, slab.allocate(std::max<std::size_t>(gathered.size(), 1)));
  if (!gathered.empty()) std::memcpy(parsed.block.data(), gathered.data(), gathered.size());
  if (gathered.capacity() > (4u << 20)) std::vector<std::byte>().swap(gathered);
  return {};
}

base::Result<std::string> read_id(ondemand::value value) {
  ondemand::json_type type;
  if (const auto error = value.type().get(type)) return no_json(error);
  if (type == ondemand::json_type::string) {
    std::string_view text;
    if (const auto error = value.get_string().get(text)) return no_json(error);
    if (text.size() <= 64) return json_string(text);
  } else if (type == ondemand::json_type::number) {
    std::int64_t number;
    if (!value.get_int64().get(number)) return fmt::to_string(number);
  }
  return fail(Code::kInvalidArgument, "\"id\" is an integer or a string of at most 64 bytes");
}

base::Result<Parsed> parse_object(ondemand::object object, InputType type, Slab& slab, bool ids) {
  Parsed parsed;
  bool single = false, batch = false;
  const auto again = [&](std::string_view key) {
    return expected_input(type, fmt::format("\"{}\" is there twice", key));
  };
  for (auto field : object) {
    if (field.error()) return no_json(field.error());
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return no_json(error);
    const bool input = key == "input", input_batch = key == "input_batch", version = key == "version",
               id = ids && key == "id";
    ondemand::value value = field.value().value_unsafe();
    if ((input && single) || (input_batch && batch) || (version && parsed.version) || (id && !parsed.id.empty()))
      return again(key);
    if (input) {
      DAYBREAK_TRY(read_single(value, type, slab, parsed));
      single = true;
    } else if (input_batch && !single) {
      DAYBREAK_TRY(read_batch(value, type, slab, parsed));
      batch = true;
    } else if (version) {
      std::string_view text;
      if (value.get_string().get(text)) return expected_input(type, "\"version\" is a string");
      parsed.version = std::string(text);
    } else if (id) {
      DAYBREAK_ASSIGN(parsed.id, read_id(value));
    } else {
      DAYBREAK_TRY(skip(value, 1));
    }
  }
  if (!single && !batch) return expected_input(type, "neither \"input\" nor \"input_batch\" is there");
  return parsed;
}

}  // namespace

base::Result<InputType> parse_input_type(std::string_view name) {
  for (const Spelling& spelling : kSpellings) {
    if (spelling.name == name) return spelling.type;
  }
  return fail(Code::kInvalidArgument, "no input type '{}': bytes, integers, floats, doubles or strings", name);
}

std::string_view input_type_name(InputType type) {
  constexpr std::string_view kNames[] = {"bytes", "integers", "floats", "doubles", "strings"};
  return kNames[static_cast<std::size_t>(type)];
}

std::size_t element_bytes(InputType type) {
  constexpr std::size_t kSizes[] = {1, sizeof(std::int32_t), sizeof(float), sizeof(double), 1};
  return kSizes[static_cast<std::size_t>(type)];
}

base::Result<Parsed> parse_request(std::string& body, InputType type, Slab& slab, bool ids) {
  thread_local ondemand::parser parser(64u << 20);
  if (body.capacity() < body.size() + simdjson::SIMDJSON_PADDING)
    body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  // Some clients begin with a mark of byte order, which RFC 8259 (8.1) lets a reader pass over.
  const std::size_t mark = body.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  ondemand::document document;
  if (const auto error = parser.iterate(body.data() + mark, body.size() - mark, body.capacity() - mark).get(document))
    return no_json(error);
  ondemand::object object;
  if (const auto error = document.get_object().get(object)) {
    if (error != simdjson::INCORRECT_TYPE) return no_json(error);
    return expected_input(type, "the body is no JSON object");
  }
  DAYBREAK_ASSIGN(Parsed parsed, parse_object(object, type, slab, ids));
  // At the end there is no location any more.
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) return no_json(simdjson::TRAILING_CONTENT);
  return parsed;
}

namespace {

// is_json() for what may hold an integer of more than 64 bits, which simdjson's DOM has no place for (and which error
// it gives differs between its versions): read over, not kept.
bool reads_over(std::string_view text) {
  thread_local ondemand::parser parser(1u << 20);
  const simdjson::padded_string padded(text);
  ondemand::document document;
  bool scalar;
  if (parser.iterate(padded).get(document) || document.is_scalar().get(scalar)) return false;
  if (scalar) {
    if (document.get_double().error()) return false;
  } else {
    ondemand::value value;
    if (document.get_value().get(value) || !skip(value, 1)) return false;
  }
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

}  // namespace

bool is_json(std::string_view text) {
  if (text.empty()) return false;
  if (text.size() > 1u << 20) return false;
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element element;
  if (parser.max_depth() != kMaxJsonDepth && parser.allocate(1u << 16, kMaxJsonDepth) != simdjson::SUCCESS)
    return false;
  return parser.parse(text.data(), text.size()).get(element) == simdjson::SUCCESS || reads_over(text);
}

std::string json_string(std::string_view text) {
  return base::Json(text).dump(-1, ' ', false, base::Json::error_handler_t::replace);
}

}  // namespace daybreak::serve
