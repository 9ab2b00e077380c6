// JSON in and out without exceptions. The values are nlohmann's; parsing is bounded and every accessor says where it
// failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::base {

using Json = nlohmann::json;

struct JsonLimits {
  std::size_t max_bytes = 64u << 20;
  std::size_t max_depth = 64;  // arrays and objects inside each other
};

// Parses UTF-8 text. kInvalidArgument for text that is no JSON (with the byte where it stops being it), is deeper or
// longer than the limits, or has a key twice in one object (which most parsers settle silently, each in its own way).
// O(bytes log keys).
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// Compact text, keys sorted. A string that is not UTF-8 has its bad bytes replaced by U+FFFD; NaN and infinity become
// null.
std::string dump_json(const Json& value);

// The member `key` of an object as T: std::string, bool, std::int64_t, double (integers count) or Json.
// kInvalidArgument naming the key, what is there and what is needed.
template <typename T>
Result<T> json_member(const Json& object, std::string_view key);

template <>
Result<Json> json_member<Json>(const Json& object, std::string_view key);
template <>
Result<std::string> json_member<std::string>(const Json& object, std::string_view key);
template <>
Result<bool> json_member<bool>(const Json& object, std::string_view key);
template <>
Result<std::int64_t> json_member<std::int64_t>(const Json& object, std::string_view key);
template <>
Result<double> json_member<double>(const Json& object, std::string_view key);

}  // namespace daybreak::base
