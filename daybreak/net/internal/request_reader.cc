#include "daybreak/net/internal/request_reader.h"

#include <algorithm>

namespace daybreak::net {

namespace {

int status_of(Fault fault) {
  switch (fault) {
    case Fault::kTarget: return 414;
    case Fault::kHeaders: return 431;
    case Fault::kBody: return 413;
    case Fault::kVersion: return 505;
    case Fault::kCoding: return 501;
    default: return 400;
  }
}

}  // namespace

RequestReader::Outcome RequestReader::refuse(int status, std::string text) {
  refusal_ = {status, std::move(text)};
  reader_.drop();
  return Outcome::kRefused;
}

// What is known when the headers are here.
Refusal RequestReader::check_headers() {
  Request& request = reader_.message();
  request.tls = tls_;
  if (!take_absolute_target()) return {400, "the target names another server than Host\n"};
  if (!request.target.starts_with('/') && !(request.method == "OPTIONS" && request.target == "*"))
    return {400, "the target must begin with '/'\n"};
  return check_names(request, hosts_, origins_, !reader_.is_old());
}

bool RequestReader::take_absolute_target() {
  Request& request = reader_.message();
  const std::string_view scheme = tls_ ? "https://" : "http://";
  const std::string_view target = request.target;
  if (target.size() <= scheme.size() || !equal_ignoring_case(target.substr(0, scheme.size()), scheme)) return true;
  const std::size_t end = std::min(target.find_first_of("/?", scheme.size()), target.size());
  const std::string_view name = target.substr(scheme.size(), end - scheme.size());
  std::string path(target.substr(end));
  const std::string_view host = request.headers.get("Host");
  if (host.empty() && reader_.is_old()) {
    request.headers.add("Host", std::string(name));  // which is checked as any other
  } else if (!equal_ignoring_case(name, host)) {
    return false;
  }
  if (!path.starts_with('/')) path.insert(0, path.empty() && request.method == "OPTIONS" ? "*" : "/");
  request.target = std::move(path);
  return true;
}

RequestReader::Outcome RequestReader::next() {
  if (refusal_.status != 0) return Outcome::kRefused;
  for (;;) {
    switch (reader_.next()) {
      case MessageReader<true>::Outcome::kMore: return Outcome::kMore;
      case MessageReader<true>::Outcome::kHead:
        if (Refusal refusal = check_headers(); refusal.status != 0)
          return refuse(refusal.status, std::move(refusal.text));
        wants_continue_ = reader_.expects_continue() && reader_.buffered() == 0;
        break;
      case MessageReader<true>::Outcome::kMessage: wants_continue_ = false; return Outcome::kRequest;
      case MessageReader<true>::Outcome::kFault: return refuse(status_of(reader_.fault()), reader_.fault_text() + "\n");
    }
  }
}

}  // namespace daybreak::net
