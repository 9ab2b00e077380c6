#include "daybreak/base/json.h"

#include <set>
#include <vector>

namespace daybreak::base {
namespace {

// Builds the value as nlohmann's own builder does and looks at depth and keys on the way.
class Builder : public nlohmann::detail::json_sax_dom_parser<Json> {
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;

 public:
  Builder(Json& root, std::size_t max_depth) : Base(root, /*allow_exceptions_=*/false), max_depth_(max_depth) {}

  std::string problem;

  bool start_object(std::size_t elements) {
    keys_.emplace_back();
    return enter() && Base::start_object(elements);
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return Base::end_object();
  }
  bool start_array(std::size_t elements) { return enter() && Base::start_array(elements); }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(std::string& text) {
    if (!keys_.back().insert(text).second) {
      problem = fmt::format("the key '{}' is twice in one object: keep one", text);
      return false;
    }
    return Base::key(text);
  }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string& /*token*/, const Exception& /*error*/) {
    problem = fmt::format("no JSON at byte {}", position);
    return false;
  }

 private:
  bool enter() {
    if (++depth_ <= max_depth_) return true;
    problem = fmt::format("nested deeper than the limit of {}", max_depth_);
    return false;
  }

  std::size_t max_depth_;
  std::size_t depth_ = 0;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

Result<const Json*> member(const Json& object, std::string_view key) {
  if (!object.is_object()) {
    return fail(Code::kInvalidArgument, "'{}' is looked for in {}, not in an object", key, object.type_name());
  }
  const auto it = object.find(key);
  if (it == object.end()) return fail(Code::kInvalidArgument, "'{}' is missing: give it", key);
  return &*it;
}

std::unexpected<Error> wrong_type(std::string_view key, const Json& value, std::string_view needed) {
  return fail(Code::kInvalidArgument, "'{}' is {}, {} is needed", key, value.type_name(), needed);
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail(Code::kInvalidArgument, "{} bytes of JSON, the limit is {}: send less", text.size(), limits.max_bytes);
  }
  Json value;
  Builder builder(value, limits.max_depth);
  if (!Json::sax_parse(text, &builder)) return fail(Code::kInvalidArgument, "{}", builder.problem);
  return value;
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <>
Result<Json> json_member<Json>(const Json& object, std::string_view key) {
  DAYBREAK_ASSIGN(const Json* value, member(object, key));
  return *value;
}

template <>
Result<std::string> json_member<std::string>(const Json& object, std::string_view key) {
  DAYBREAK_ASSIGN(const Json* value, member(object, key));
  if (!value->is_string()) return wrong_type(key, *value, "a string");
  return value->get<std::string>();
}

template <>
Result<bool> json_member<bool>(const Json& object, std::string_view key) {
  DAYBREAK_ASSIGN(const Json* value, member(object, key));
  if (!value->is_boolean()) return wrong_type(key, *value, "true or false");
  return value->get<bool>();
}

template <>
Result<std::int64_t> json_member<std::int64_t>(const Json& object, std::string_view key) {
  DAYBREAK_ASSIGN(const Json* value, member(object, key));
  if (!value->is_number_integer()) return wrong_type(key, *value, "an integer");
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    return fail(Code::kInvalidArgument, "'{}' is {}, beyond 63 bits", key, value->get<std::uint64_t>());
  }
  return value->get<std::int64_t>();
}

template <>
Result<double> json_member<double>(const Json& object, std::string_view key) {
  DAYBREAK_ASSIGN(const Json* value, member(object, key));
  if (!value->is_number()) return wrong_type(key, *value, "a number");
  return value->get<double>();
}

}  // namespace daybreak::base
