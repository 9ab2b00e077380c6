#include "daybreak/base/log.h"

#include <gtest/gtest.h>

#include "daybreak/base/json.h"
#include "daybreak/base/test_env.h"

namespace daybreak::base {
namespace {

class LogTest : public testing::Test {
 protected:
  Logger logger(Level level, Logger::Format format = Logger::Format::kText) {
    return Logger({level, format, [this](std::string_view line) { out_ += line; }, &env_});
  }

  TestEnv env_;
  std::string out_;
};

TEST_F(LogTest, a_line_has_time_level_message_and_fields) {
  env_.advance_ns(1'234'567);
  logger(Level::kInfo)
      .log(Level::kWarn, "worker died", {{"pid", 12}, {"cpu", 1.5}, {"ok", false}, {"why", "two words"}});
  EXPECT_EQ(out_, "2026-01-01T00:00:00.001234Z warn worker died pid=12 cpu=1.5 ok=false why=\"two words\"\n");
}

TEST_F(LogTest, lower_levels_are_not_written) {
  const Logger log = logger(Level::kWarn);
  log.log(Level::kInfo, "quiet");
  EXPECT_EQ(out_, "");
  EXPECT_FALSE(log.writes(Level::kInfo));
  EXPECT_TRUE(log.writes(Level::kError));
  logger(Level::kOff).log(Level::kError, "quiet");
  EXPECT_EQ(out_, "");
}

TEST_F(LogTest, json_lines_parse) {
  logger(Level::kDebug, Logger::Format::kJson)
      .log(Level::kDebug, "hello \"you\"", {{"n", 3u}, {"name", std::string("x\ny")}});
  const Json line = parse_json(out_).value();
  EXPECT_EQ(line["message"], "hello \"you\"");
  EXPECT_EQ(line["level"], "debug");
  EXPECT_EQ(line["n"], 3);
  EXPECT_EQ(line["name"], "x\ny");
  EXPECT_EQ(std::ranges::count(out_, '\n'), 1);
}

TEST_F(LogTest, a_value_cannot_forge_a_field_or_a_line) {
  logger(Level::kDebug).log(Level::kInfo, "a\nb", {{"who", "x admin=true\n2026 error forged"}});
  EXPECT_EQ(std::ranges::count(out_, '\n'), 1);
  EXPECT_NE(out_.find(R"("a\nb" who="x admin=true\n2026 error forged")"), std::string::npos) << out_;
}

TEST_F(LogTest, secrets_are_not_written) {
  for (const auto format : {Logger::Format::kText, Logger::Format::kJson}) {
    logger(Level::kDebug, format)
        .log(Level::kInfo, "login", {{"password", "hunter2"}, {"session_token", "hunter2"}, {"api_key", "hunter2"}});
  }
  EXPECT_EQ(out_.find("hunter2"), std::string::npos) << out_;
  EXPECT_NE(out_.find("session_token=***"), std::string::npos) << out_;
  out_.clear();
  logger(Level::kDebug).log(Level::kInfo, "batch", {{"tokens", 7}, {"broken", 8}});
  EXPECT_NE(out_.find("tokens=7 broken=8"), std::string::npos) << out_;
}

TEST_F(LogTest, level_names_come_back) {
  EXPECT_EQ(level_of_name("error").value(), Level::kError);
  EXPECT_EQ(level_of_name("loud").error().message(), "no level 'loud': debug, info, warn, error, off");
}

}  // namespace
}  // namespace daybreak::base
