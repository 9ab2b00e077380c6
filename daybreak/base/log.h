// Structured log: a sentence and fields, one line each, on standard error.
//
//   log_warn("worker died", {{"pid", pid}, {"signal", 9}, {"took_ms", 12.5}});
//   2026-11-24T07:00:00.123456Z warn worker died pid=4711 signal=9 took_ms=12.5
//
// DAYBREAK_LOG=debug|info|warn|error|off chooses the lowest level that is written (default warn),
// DAYBREAK_LOG_FORMAT=text|json the form. A line is one write(2): lines of several processes do not mix while they are
// shorter than a pipe's 4 KB.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"

namespace daybreak::base {

enum class Level : unsigned char { kDebug, kInfo, kWarn, kError, kOff };

std::string_view level_name(Level level);
// kInvalidArgument naming the five.
Result<Level> level_of_name(std::string_view name);

// One key and its value, alive for the call only. A key that names a secret (password, secret, token, credential,
// authorization, cookie, private_key, api_key, as the whole key or its last words: db_password) is written with *** as
// its value.
struct Field {
  using Value = std::variant<std::int64_t, std::uint64_t, double, bool, std::string_view>;

  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, bool v) : key(k), value(v) {}
  template <std::integral T>
  Field(std::string_view k, T v) : key(k) {
    if constexpr (std::is_signed_v<T>)
      value = static_cast<std::int64_t>(v);
    else
      value = static_cast<std::uint64_t>(v);
  }
  template <std::floating_point T>
  Field(std::string_view k, T v) : key(k), value(static_cast<double>(v)) {}

  std::string_view key;
  Value value;
};

// Where lines go and which are written. Const after construction; any thread may log.
class Logger {
 public:
  enum class Format : unsigned char { kText, kJson };
  struct Options {
    Level level = Level::kWarn;
    Format format = Format::kText;
    // Takes one line with its newline; unset = one write to standard error. Called from the logging thread.
    std::function<void(std::string_view line)> sink;
    Env* env = &Env::real();  // borrowed
  };

  explicit Logger(Options options) : options_(std::move(options)) {}

  // The process's own, made from the environment variables at first use. A variable that is not understood is reported
  // once.
  static Logger& standard();

  bool writes(Level level) const { return level >= options_.level && level != Level::kOff; }
  void log(Level level, std::string_view message, std::initializer_list<Field> fields = {}) const;

 private:
  Options options_;
};

inline void log_debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  Logger::standard().log(Level::kDebug, message, fields);
}
inline void log_info(std::string_view message, std::initializer_list<Field> fields = {}) {
  Logger::standard().log(Level::kInfo, message, fields);
}
inline void log_warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  Logger::standard().log(Level::kWarn, message, fields);
}
inline void log_error(std::string_view message, std::initializer_list<Field> fields = {}) {
  Logger::standard().log(Level::kError, message, fields);
}

}  // namespace daybreak::base
