#include "daybreak/base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace daybreak::base {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kCancelled: return "cancelled";
    case Code::kUnknown: return "unknown";
    case Code::kInvalidArgument: return "invalid_argument";
    case Code::kDeadlineExceeded: return "deadline_exceeded";
    case Code::kNotFound: return "not_found";
    case Code::kAlreadyExists: return "already_exists";
    case Code::kPermissionDenied: return "permission_denied";
    case Code::kResourceExhausted: return "resource_exhausted";
    case Code::kFailedPrecondition: return "failed_precondition";
    case Code::kAborted: return "aborted";
    case Code::kOutOfRange: return "out_of_range";
    case Code::kUnimplemented: return "unimplemented";
    case Code::kInternal: return "internal";
    case Code::kUnavailable: return "unavailable";
    case Code::kDataLoss: return "data_loss";
    case Code::kUnauthenticated: return "unauthenticated";
  }
  return "unknown";
}

int http_status(Code code) {
  switch (code) {
    case Code::kCancelled: return 499;
    case Code::kInvalidArgument:
    case Code::kFailedPrecondition:
    case Code::kOutOfRange: return 400;
    case Code::kDeadlineExceeded: return 504;
    case Code::kNotFound: return 404;
    case Code::kAlreadyExists:
    case Code::kAborted: return 409;
    case Code::kPermissionDenied: return 403;
    case Code::kUnauthenticated: return 401;
    case Code::kResourceExhausted: return 429;
    case Code::kUnimplemented: return 501;
    case Code::kUnavailable: return 503;
    case Code::kUnknown:
    case Code::kInternal:
    case Code::kDataLoss: return 500;
  }
  return 500;
}

Error::Error(Code code, std::string message) : state_(new State{code, std::move(message), nullptr}) {}

Error::Error(const Error& other)
    : state_(new State{other.state_->code, other.state_->message,
                       other.state_->cause ? std::make_unique<Error>(*other.state_->cause) : nullptr}) {}

void Error::Free::operator()(State* state) const noexcept {
  delete state;
}

Error& Error::operator=(const Error& other) {
  if (this != &other) *this = Error(other);
  return *this;
}

Error Error::wrap(std::string_view what) && {
  Error outer(code(), std::string(what));
  outer.state_->cause = std::make_unique<Error>(std::move(*this));
  return outer;
}

std::string Error::to_string() const {
  std::string text = message();
  for (const Error* e = cause(); e != nullptr; e = e->cause()) text += ": " + e->message();
  return text;
}

static Code code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT: return Code::kNotFound;
    case EEXIST: return Code::kAlreadyExists;
    case EACCES:
    case EPERM: return Code::kPermissionDenied;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EDQUOT:
    case EFBIG: return Code::kResourceExhausted;
    case EINVAL: return Code::kInvalidArgument;
    case EAGAIN:
    case ECONNREFUSED: return Code::kUnavailable;
    case ETIMEDOUT: return Code::kDeadlineExceeded;
    case ENOSYS:
    case EOPNOTSUPP: return Code::kUnimplemented;
    default: return Code::kUnknown;
  }
}

std::unexpected<Error> fail_v(Code code, fmt::string_view format, fmt::format_args args) {
  return std::unexpected<Error>(Error(code, fmt::vformat(format, args)));
}

std::unexpected<Error> fail_errno(std::string_view what, int error_number) {
  return fail(code_of_errno(error_number), "{}: {}", what, std::strerror(error_number));
}

void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "daybreak: invariant broken at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace daybreak::base
