// What clients may say, through the connection itself: parser, limits, refusals, pipelining. The first byte chooses
// where the bytes are cut into pieces, which must change nothing.
#include <cstdint>

#include "daybreak/net/tests/wire.h"

using namespace daybreak::net;

namespace {

void must(bool condition) {
  if (!condition) __builtin_trap();
}

void check(const Request& request, const Limits& limits) {
  must(request.target.starts_with('/') || (request.method == "OPTIONS" && request.target == "*"));
  must(request.target.size() <= limits.target_bytes && request.body.size() <= limits.body_bytes);
  std::size_t hosts = 0, lengths = 0, codings = 0, bytes = 0;
  for (const Header header : request.headers) {
    must(!header.name.empty() && header.name.find_first_of(": \r\n") == header.name.npos);
    must(header.value.find_first_of(std::string_view("\r\n\0", 3)) == header.value.npos);
    hosts += equal_ignoring_case(header.name, "Host");
    lengths += equal_ignoring_case(header.name, "Content-Length");
    codings += equal_ignoring_case(header.name, "Transfer-Encoding");
    bytes += header.name.size() + header.value.size();
  }
  must(hosts <= 1 && lengths + codings <= 1 && bytes <= limits.header_bytes);
  // Of HTTP/1.0 a request may go without.
  must(hosts == 0 || equal_ignoring_case(request.headers.get("Host"), "a") ||
       equal_ignoring_case(request.headers.get("Host"), "localhost:1"));
  const std::string_view origin = request.headers.get("Origin");
  must(origin.empty() || origin == "http://friend" || origin.size() > 7);
  if (lengths == 1) must(std::to_string(request.body.size()).size() <= request.headers.get("Content-Length").size());
}

// What the handler was asked and what the client heard.
std::string transcript(std::string_view input, std::size_t piece) {
  ServerOptions options;
  options.limits = {.target_bytes = 64, .header_bytes = 512, .body_bytes = 256, .pipelined = 3};
  options.origins = {"http://friend"};
  std::string asked;
  Wire wire(options, [&](const std::shared_ptr<Exchange>& exchange) {
    const Request& request = exchange->request();
    check(request, options.limits);
    asked += fmt::format("{} {} {}\n", request.method, request.target, request.body);
    exchange->respond(Response::text(200, request.body));
  });
  for (bool open = true; open && !input.empty();) {
    const std::string_view part = input.substr(0, piece);
    input.remove_prefix(part.size());
    open = wire.say(part);
  }
  wire.hang_up();
  must(wire.connections() == 0);
  // Statuses alone: dates and "100 Continue", which depends on what is here already, may differ. So may the reason why
  // something is refused, when there are several.
  std::string statuses;
  const std::string& heard = wire.heard();
  for (std::size_t at = 0; (at = heard.find("HTTP/1.1 ", at)) != std::string::npos; at += 9) {
    const std::string status = heard.substr(at + 9, 3);
    if (status[0] >= '4') return asked + statuses + "refused";
    if (status != "100") statuses += status + " ";
  }
  return asked + statuses;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 8192) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = transcript(input, input.size() + 1);
  const std::string pieces = transcript(input, std::size_t{1} + data[0] % 61);
  // The same requests, the same answers; but of what never ends, a head or a chunk's extension, one may refuse already
  // what the other still waits for: the parser looks at lines that are here at once, and else waits for their end.
  must(whole == pieces || whole == pieces + "refused" || pieces == whole + "refused");
  return 0;
}
