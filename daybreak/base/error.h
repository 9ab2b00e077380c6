// Errors as values: Error, Result<T>, the TRY macros, and DAYBREAK_CHECK for invariants.
#pragma once

#include <fmt/core.h>

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace daybreak::base {

// The canonical codes of absl and gRPC. One vocabulary: `http_status` gives the HTTP status, bind.cc the Python class.
enum class Code : unsigned char {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

std::string_view code_name(Code code);
int http_status(Code code);

// A code, a sentence that names the value, the limit and the way out, and perhaps a cause. One pointer wide, so that a
// Result<int> stays in two registers; moved, not copied. Any thread may read one that nobody moves.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message);
  Error(Error&&) noexcept = default;
  Error& operator=(Error&&) noexcept = default;
  Error(const Error& other);
  Error& operator=(const Error& other);
  ~Error() = default;

  Code code() const { return state_->code; }
  const std::string& message() const { return state_->message; }
  const Error* cause() const { return state_->cause.get(); }

  // "what: this" with this error as the cause; the code stays.
  Error wrap(std::string_view what) &&;
  // The whole chain in one line.
  std::string to_string() const;

 private:
  struct State {
    Code code;
    std::string message;
    std::unique_ptr<Error> cause;
  };
  // Out of line: an error is rare, and gcc 12 takes what it sees inline for a delete of a Result's value.
  struct Free {
    void operator()(State* state) const noexcept;
  };
  std::unique_ptr<State, Free> state_;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[gnu::cold]] std::unexpected<Error> fail_v(Code code, fmt::string_view format, fmt::format_args args);

// return fail(Code::kNotFound, "no metric '{}'", name);
template <typename... Args>
std::unexpected<Error> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return fail_v(code, format, fmt::make_format_args(args...));
}

// fail() with the text of errno behind the sentence; the code follows errno (ENOSPC is kResourceExhausted, ...).
std::unexpected<Error> fail_errno(std::string_view what, int error_number);

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace daybreak::base

// Invariants of our own code: on in release builds, never on outside input.
#define DAYBREAK_CHECK(condition) \
  (__builtin_expect(!!(condition), 1) ? (void)0 : ::daybreak::base::check_failed(__FILE__, __LINE__, #condition))

#define DAYBREAK_CONCAT_INNER(a, b) a##b
#define DAYBREAK_CONCAT(a, b) DAYBREAK_CONCAT_INNER(a, b)

// DAYBREAK_TRY(expression): returns its error from this function.
#define DAYBREAK_TRY(expression)                                                           \
  do {                                                                                     \
    if (auto daybreak_result = (expression); !daybreak_result)                             \
      return std::unexpected<::daybreak::base::Error>(std::move(daybreak_result).error()); \
  } while (false)

// DAYBREAK_ASSIGN(auto x, expression): x is the value, or the error is returned from this function.
#define DAYBREAK_ASSIGN(declaration, expression) \
  DAYBREAK_ASSIGN_INNER(declaration, expression, DAYBREAK_CONCAT(daybreak_result_, __LINE__))
#define DAYBREAK_ASSIGN_INNER(declaration, expression, result)                             \
  auto result = (expression);                                                              \
  if (!result) return std::unexpected<::daybreak::base::Error>(std::move(result).error()); \
  declaration = std::move(*result)
