#include "daybreak/base/json.h"

#include <gtest/gtest.h>

namespace daybreak::base {
namespace {

TEST(Json, what_is_dumped_is_parsed) {
  const Json value = parse_json(R"({"b":[1,-2,2.5,null,true],"a":{"k":"é"}})").value();
  EXPECT_EQ(dump_json(value), R"({"a":{"k":"é"},"b":[1,-2,2.5,null,true]})");
}

TEST(Json, broken_text_names_the_byte) {
  const auto broken = parse_json("[1,}");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message(), "no JSON at byte 4");
  for (const char* text : {"", "[1", "{\"a\"}", "[1] 2", "\"\xff\"", "nul", "01", "[1e999]"})
    EXPECT_FALSE(parse_json(text)) << text;
}

TEST(Json, depth_and_length_stop_at_their_limits) {
  EXPECT_TRUE(parse_json("[[1]]", {.max_bytes = 5, .max_depth = 2}));
  EXPECT_FALSE(parse_json("[[1]]", {.max_bytes = 4, .max_depth = 2}));
  EXPECT_FALSE(parse_json("[[1]]", {.max_bytes = 5, .max_depth = 1}));
  EXPECT_TRUE(parse_json("[[1],[2],[3]]", {.max_depth = 2}));
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')));
}

TEST(Json, a_key_used_twice_is_refused) {
  EXPECT_EQ(parse_json(R"({"a":1,"a":2})").error().message(), "the key 'a' is twice in one object: keep one");
  EXPECT_TRUE(parse_json(R"({"a":{"a":1},"b":{"a":2}})"));
}

TEST(Json, members_are_typed) {
  const Json object = parse_json(R"({"n":3,"x":1.5,"s":"t","b":true,"big":18446744073709551615})").value();
  EXPECT_EQ(json_member<std::int64_t>(object, "n").value(), 3);
  EXPECT_EQ(json_member<double>(object, "n").value(), 3.0);
  EXPECT_EQ(json_member<double>(object, "x").value(), 1.5);
  EXPECT_EQ(json_member<std::string>(object, "s").value(), "t");
  EXPECT_TRUE(json_member<bool>(object, "b").value());
  EXPECT_EQ(json_member<Json>(object, "s").value(), "t");
  EXPECT_EQ(json_member<std::int64_t>(object, "x").error().message(), "'x' is number, an integer is needed");
  EXPECT_EQ(json_member<std::string>(object, "gone").error().message(), "'gone' is missing: give it");
  EXPECT_FALSE(json_member<std::int64_t>(object, "big"));
  EXPECT_FALSE(json_member<bool>(Json::array(), "b"));
}

TEST(Json, bytes_that_are_not_utf8_are_replaced_not_thrown) {
  EXPECT_EQ(dump_json(Json("a\xff")), "\"a\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace daybreak::base
