#include "daybreak/base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <tuple>

#include "daybreak/base/json.h"

namespace daybreak::base {
namespace {

constexpr std::array kLevelNames = {std::string_view("debug"), std::string_view("info"), std::string_view("warn"),
                                    std::string_view("error"), std::string_view("off")};
constexpr std::array kSecretKeys = {std::string_view("password"),      std::string_view("secret"),
                                    std::string_view("token"),         std::string_view("credential"),
                                    std::string_view("authorization"), std::string_view("cookie"),
                                    std::string_view("private_key"),   std::string_view("api_key")};

bool is_secret(std::string_view key) {
  return std::ranges::any_of(kSecretKeys, [key](std::string_view secret) {
    return key == secret ||
           (key.size() > secret.size() && key.ends_with(secret) && key[key.size() - secret.size() - 1] == '_');
  });
}

// 2026-11-24T07:00:00.123456Z
std::string timestamp(std::int64_t unix_ns) {
  const std::time_t seconds = unix_ns / 1'000'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, unix_ns % 1'000'000'000 / 1000);
}

// Bare when it reads as one word, else a JSON string, so that a value cannot forge a field or a line.
std::string word(std::string_view text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '=' && c != '\\';
  });
  return plain ? std::string(text) : dump_json(Json(text));
}

std::string text_value(const Field& field) {
  if (is_secret(field.key)) return "***";
  return std::visit(
      [](const auto& value) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string_view>)
          return word(value);
        else
          return fmt::format("{}", value);
      },
      field.value);
}

Json json_value(const Field& field) {
  if (is_secret(field.key)) return "***";
  return std::visit([](const auto& value) { return Json(value); }, field.value);
}

// A message has spaces and stays readable; what could break the line is escaped.
std::string one_line(std::string_view message) {
  std::string quoted = dump_json(Json(message));
  const bool plain = quoted.size() == message.size() + 2;
  return plain ? std::string(message) : quoted;
}

void write_to_stderr(std::string_view line) {
  std::ignore = ::write(STDERR_FILENO, line.data(), line.size());
}

Logger::Options options_from_environment() {
  Logger::Options options;
  if (const char* level = std::getenv("DAYBREAK_LOG")) {
    if (const auto known = level_of_name(level)) {
      options.level = *known;
    } else {
      write_to_stderr(fmt::format("daybreak: DAYBREAK_LOG: {}\n", known.error().message()));
    }
  }
  const char* format = std::getenv("DAYBREAK_LOG_FORMAT");
  if (format != nullptr && std::string_view(format) == "json") options.format = Logger::Format::kJson;
  return options;
}

}  // namespace

std::string_view level_name(Level level) {
  return kLevelNames.at(static_cast<std::size_t>(level));
}

Result<Level> level_of_name(std::string_view name) {
  const auto it = std::ranges::find(kLevelNames, name);
  if (it == kLevelNames.end()) {
    return fail(Code::kInvalidArgument, "no level '{}': {}", name, fmt::join(kLevelNames, ", "));
  }
  return static_cast<Level>(it - kLevelNames.begin());
}

Logger& Logger::standard() {
  static Logger* const logger = new Logger(options_from_environment());  // never destroyed: see Env::real()
  return *logger;
}

void Logger::log(Level level, std::string_view message, std::initializer_list<Field> fields) const {
  if (!writes(level)) return;
  const std::string time = timestamp(options_.env->unix_ns());
  std::string line;
  if (options_.format == Format::kJson) {
    Json object = {{"time", time}, {"level", level_name(level)}, {"message", message}};
    for (const Field& field : fields) object[std::string(field.key)] = json_value(field);
    line = dump_json(object);
  } else {
    line = fmt::format("{} {} {}", time, level_name(level), one_line(message));
    for (const Field& field : fields) line += fmt::format(" {}={}", field.key, text_value(field));
  }
  line += '\n';
  if (options_.sink) {
    options_.sink(line);
  } else {
    write_to_stderr(line);
  }
}

}  // namespace daybreak::base
