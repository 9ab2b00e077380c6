#include "daybreak/serve/input.h"

#include <gtest/gtest.h>

#include <cstring>

namespace daybreak::serve {
namespace {

class RequestInput : public testing::Test {
 protected:
  void SetUp() override { slab_ = *Slab::create(1u << 20); }

  base::Result<Parsed> parse(std::string body, InputType type = InputType::kDoubles, bool ids = false) {
    return parse_request(body, type, *slab_, ids);
  }
  std::string error_of(std::string body, InputType type = InputType::kDoubles) {
    const auto parsed = parse(std::move(body), type);
    EXPECT_FALSE(parsed.has_value());
    return parsed ? "" : parsed.error().message();
  }
  template <typename T>
  static std::vector<T> numbers(const Parsed& parsed, std::size_t index = 0) {
    const Parsed::Place place = parsed.inputs.at(index);
    std::vector<T> values(place.size_bytes / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), parsed.block.data() + place.offset, place.size_bytes);
    return values;
  }
  static std::string text(const Parsed& parsed, std::size_t index = 0) {
    const Parsed::Place place = parsed.inputs.at(index);
    return {reinterpret_cast<const char*>(parsed.block.data()) + place.offset, place.size_bytes};
  }

  std::shared_ptr<Slab> slab_;
};

TEST_F(RequestInput, integers_are_legal_doubles_and_floats) {
  EXPECT_EQ(numbers<double>(*parse(R"({"input":[1, 2.5, -3e2]})")), (std::vector<double>{1, 2.5, -300}));
  EXPECT_EQ(numbers<float>(*parse(R"({"input":[1, 2.5]})", InputType::kFloats)), (std::vector<float>{1, 2.5}));
}

TEST_F(RequestInput, fractions_and_large_numbers_are_no_integers) {
  EXPECT_EQ(numbers<std::int32_t>(*parse(R"({"input":[1, -2147483648]})", InputType::kIntegers)),
            (std::vector<std::int32_t>{1, INT32_MIN}));
  EXPECT_NE(error_of(R"({"input":[1.5]})", InputType::kIntegers).find("32-bit"), std::string::npos);
  EXPECT_NE(error_of(R"({"input":[2147483648]})", InputType::kIntegers).find("32-bit"), std::string::npos);
}

TEST_F(RequestInput, what_is_not_finite_is_refused) {
  for (const char* number : {"1e999", "-1e999", "NaN", "Infinity", "null", "true", "\"1\"", "[1]"})
    error_of(fmt::format(R"({{"input":[{}]}})", number));
  error_of(R"({"input":[1e39]})", InputType::kFloats);
}

TEST_F(RequestInput, strings_and_base64_arrive_as_they_are) {
  EXPECT_EQ(text(*parse(R"({"input":"a\u00e9\n"})", InputType::kStrings)), "a\xc3\xa9\n");
  EXPECT_EQ(text(*parse(R"({"input":""})", InputType::kStrings)), "");
  EXPECT_EQ(text(*parse(R"({"input":"AAEC/w=="})", InputType::kBytes)), std::string("\0\1\2\xff", 4));
  EXPECT_EQ(text(*parse(R"({"input":"AAEC_w"})", InputType::kBytes)), std::string("\0\1\2\xff", 4));
  EXPECT_NE(error_of(R"({"input":"A"})", InputType::kBytes).find("base64"), std::string::npos);
  error_of(R"({"input":[1]})", InputType::kStrings);
  error_of("{\"input\":\"\xff\"}", InputType::kStrings);
}

TEST_F(RequestInput, rows_of_a_batch_may_differ_in_length_and_lie_apart_by_64_bytes) {
  const auto parsed = parse(R"({"input_batch":[[1],[2,3],[]]})");
  ASSERT_TRUE(parsed.has_value());
  ASSERT_EQ(parsed->inputs.size(), 3u);
  EXPECT_EQ(numbers<double>(*parsed, 0), (std::vector<double>{1}));
  EXPECT_EQ(numbers<double>(*parsed, 1), (std::vector<double>{2, 3}));
  EXPECT_TRUE(numbers<double>(*parsed, 2).empty());
  EXPECT_EQ(parsed->inputs[1].offset, kSlabAlign);
}

TEST_F(RequestInput, input_wins_over_input_batch_in_either_order) {
  for (const char* body : {R"({"input":[7],"input_batch":[[1],[2]]})", R"({"input_batch":[[1],[2]],"input":[7]})"}) {
    const auto parsed = parse(body);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
    ASSERT_EQ(parsed->inputs.size(), 1u);
    EXPECT_EQ(numbers<double>(*parsed), (std::vector<double>{7}));
  }
}

TEST_F(RequestInput, a_key_that_is_there_twice_is_refused_by_name) {
  EXPECT_NE(error_of(R"({"input":[1],"x":0,"input":[2]})").find("\"input\" is there twice"), std::string::npos);
  EXPECT_NE(error_of(R"({"input_batch":[[1]],"input_batch":[]})").find("\"input_batch\" is"), std::string::npos);
  EXPECT_NE(error_of(R"({"version":"1","input":[1],"version":"1"})").find("\"version\" is"), std::string::npos);
  EXPECT_TRUE(parse(R"({"x":1,"x":2,"input":[1]})").has_value()) << "what means nothing here may come twice";
}

TEST_F(RequestInput, a_mark_of_byte_order_is_passed_over_once) {
  const auto parsed = parse("\xEF\xBB\xBF{\"input\":[1,2]}");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_EQ(numbers<double>(*parsed), (std::vector<double>{1, 2}));
  error_of("\xEF\xBB\xBF\xEF\xBB\xBF{\"input\":[1]}");
  error_of("\xEF\xBB\xBF");
  error_of("\xEF\xBB{\"input\":[1]}");
  error_of("\xFE\xFF{\"input\":[1]}");
}

TEST_F(RequestInput, version_and_other_keys_are_read) {
  const auto parsed = parse(R"({"uid":3,"x":{"a":[null,true,"s",1.5]},"version":"v2","input":[1]})");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_EQ(parsed->version, "v2");
  error_of(R"({"version":2,"input":[1]})");
}

TEST_F(RequestInput, everything_that_is_no_json_is_refused_to_its_last_byte) {
  for (const char* body : {"", " ", "{", "[]", "1", "{\"input\":[1]", "{\"input\":[1]}}", "{\"input\":[1]} 2",
                           "{\"input\":[1],}", "{\"input\":[1,]}", "{input:[1]}", "{\"x\":tru,\"input\":[1]}",
                           "{\"x\":[1,,2],\"input\":[1]}", "{\"x\":\"\\q\",\"input\":[1]}", "{\"input\":[01]}"})
    error_of(body);
}

TEST_F(RequestInput, nesting_has_a_limit) {
  const auto nested = [](int depth) {
    return "{\"x\":" + std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']') + ",\"input\":[1]}";
  };
  EXPECT_TRUE(parse(nested(kMaxJsonDepth)).has_value());
  EXPECT_NE(error_of(nested(kMaxJsonDepth + 1)).find("64"), std::string::npos);
  error_of(nested(100'000));
}

TEST_F(RequestInput, a_batch_has_a_limit_that_its_error_names) {
  std::string body = R"({"input_batch":[[1])";
  for (std::size_t i = 0; i < kMaxInputsOfRequest; ++i) body += ",[1]";
  EXPECT_NE(error_of(body + "]}").find("16384"), std::string::npos);
  EXPECT_TRUE(parse(R"({"input_batch":[]})")->inputs.empty());
}

TEST_F(RequestInput, what_does_not_fit_the_slab_is_exhaustion_and_leaves_nothing_behind) {
  std::string body = R"({"input":")" + std::string(2u << 20, 'a') + "\"}";
  const auto parsed = parse_request(body, InputType::kStrings, *slab_);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code(), base::Code::kResourceExhausted);
  EXPECT_EQ(slab_->used_bytes(), 0u);
}

TEST_F(RequestInput, ids_are_echoed_as_json) {
  EXPECT_EQ(parse(R"({"id":7,"input":[1]})", InputType::kDoubles, true)->id, "7");
  EXPECT_EQ(parse(R"({"id":"a\"b","input":[1]})", InputType::kDoubles, true)->id, "\"a\\\"b\"");
  EXPECT_FALSE(parse(R"({"id":[1],"input":[1]})", InputType::kDoubles, true).has_value());
}

TEST(InputType, clippers_spellings_are_known) {
  for (const char* name : {"doubles", "double", "d"}) EXPECT_EQ(*parse_input_type(name), InputType::kDoubles);
  for (const char* name : {"strings", "string", "str", "strs", "s"})
    EXPECT_EQ(*parse_input_type(name), InputType::kStrings);
  EXPECT_FALSE(parse_input_type("decimal").has_value());
}

TEST(OutputText, only_whole_json_is_json) {
  for (const char* text : {"1", "-0.5", "\"a\"", "null", "[1, 2]", "{\"a\":1}", " 1 "})
    EXPECT_TRUE(is_json(text)) << text;
  // Integers of more than 64 bits are JSON, whatever has room for them.
  for (const char* text : {"12345678901234567890123", "-12345678901234567890123", "18446744073709551616",
                           " [1, 12345678901234567890123] ", "{\"a\":{\"b\":[12345678901234567890123,\"x\"]}}"})
    EXPECT_TRUE(is_json(text)) << text;
  for (const char* text : {"012345678901234567890123", "12345678901234567890123 1", "12345678901234567890123x",
                           "[12345678901234567890123", "{12345678901234567890123:1}", "1e999", "- 1", "+1",
                           "[12345678901234567890123,]", "[12345678901234567890123,\"\xff\"]"})
    EXPECT_FALSE(is_json(text)) << text;
  EXPECT_FALSE(is_json("[12345678901234567890123," + std::string(1000, '[') + std::string(1000, ']') + "]"));
  for (const char* text : {"", "nan", "Setosa", "1 2", "[1", "{'a': 1}", "True", "01"})
    EXPECT_FALSE(is_json(text)) << text;
  EXPECT_FALSE(is_json(std::string(1000, '[')));
  EXPECT_EQ(json_string("a\"\xff"), "\"a\\\"\xef\xbf\xbd\"");
}

TEST(SlabMemory, is_used_again_first_in_first_out_and_given_back) {
  const auto slab = *Slab::create(1u << 20);
  auto a = *slab->allocate(10);
  auto b = *slab->allocate(64);
  EXPECT_EQ(b.offset(), a.offset() + kSlabAlign);
  const auto first = a.offset(), second = b.offset();
  a.reset();
  b.reset();
  EXPECT_EQ(slab->used_bytes(), 0u);
  EXPECT_EQ(slab->allocate(1)->offset(), first);  // given back at once
  auto c = *slab->allocate(1);
  EXPECT_EQ(c.offset(), second);
  EXPECT_FALSE(slab->allocate(2u << 20).has_value());
  std::vector<Slab::Block> all;
  for (auto block = slab->allocate(1u << 16); block; block = slab->allocate(1u << 16)) all.push_back(std::move(*block));
  EXPECT_EQ(all.size(), 15u);
  EXPECT_EQ(slab->allocate(1u << 16).error().code(), base::Code::kResourceExhausted);
}

}  // namespace
}  // namespace daybreak::serve
