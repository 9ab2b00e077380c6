#include "daybreak/net/internal/origin.h"

#include <fmt/format.h>

#include <algorithm>

namespace daybreak::net {

namespace {

constexpr std::string_view kMethods = "GET, HEAD, POST, DELETE";
constexpr std::string_view kPreflightSeconds = "600";
constexpr std::size_t kShownBytes = 200;

bool is_own(const Request& request, std::string_view origin) {
  const std::string_view scheme = request.tls ? "https://" : "http://";
  return origin.size() > scheme.size() && equal_ignoring_case(origin.substr(0, scheme.size()), scheme) &&
         equal_ignoring_case(origin.substr(scheme.size()), request.headers.get("Host"));
}

// Without ":PORT"; "[::1]" keeps its colons. What follows the colon must be a port, or all of it is the name.
std::string_view without_port(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  if (colon == std::string_view::npos || host.find(']', colon) != std::string_view::npos) return host;
  const std::string_view port = host.substr(colon + 1);
  const bool digits = std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  return port.size() >= 1 && port.size() <= 5 && digits ? host.substr(0, colon) : host;
}

}  // namespace

Refusal check_names(const Request& request, std::span<const std::string> hosts, std::span<const std::string> origins,
                    bool host_needed) {
  std::size_t named = 0;
  for (const Header header : request.headers) named += equal_ignoring_case(header.name, "Host");
  const std::string_view host = request.headers.get("Host");
  if (named != 1 && (host_needed || named > 1)) return {400, "one Host header is needed\n"};
  // A name without a port is answered on any: forwarded ports, proxies and clusters change it, and a page whose name was
  // bound to our address cannot take our name.
  const std::string_view name = without_port(host);
  const auto is_host = [&](const std::string& one) {
    return equal_ignoring_case(one, host) || equal_ignoring_case(one, name);
  };
  if (named == 1 && !hosts.empty() && std::ranges::none_of(hosts, is_host))
    return {421, fmt::format("this server is not called '{}': it answers to {}, and to further names that it was "
                             "started with (hosts)\n",
                             host.substr(0, kShownBytes), hosts.front())};
  const std::string_view origin = request.headers.get("Origin");
  if (origin.empty()) return {};
  if (is_own(request, origin)) return {};
  const auto is_origin = [&](const std::string& one) { return one == "*" || equal_ignoring_case(one, origin); };
  if (std::ranges::any_of(origins, is_origin)) return {};
  return {403, fmt::format("pages of '{}' may not ask here: the server must be started with this origin (origins)\n",
                           origin.substr(0, kShownBytes))};
}

bool is_cross_origin(const Request& request) {
  const std::string_view origin = request.headers.get("Origin");
  return !origin.empty() && !is_own(request, origin);
}

bool is_preflight(const Request& request) {
  return request.method == "OPTIONS" && is_cross_origin(request) &&
         !request.headers.get("Access-Control-Request-Method").empty();
}

Response preflight_answer(const Request& request) {
  Response response{204, "", "", {}};
  response.headers.add("Access-Control-Allow-Methods", kMethods);
  // What it may send is looked at when it comes: the token, the gate and the JSON decide.
  if (const auto asked = request.headers.get("Access-Control-Request-Headers"); !asked.empty())
    response.headers.add("Access-Control-Allow-Headers", asked);
  if (!request.headers.get("Access-Control-Request-Private-Network").empty())
    response.headers.add("Access-Control-Allow-Private-Network", "true");
  response.headers.add("Access-Control-Max-Age", kPreflightSeconds);
  return response;
}

void allow_origin(std::string_view origin, Response& response) {
  response.headers.add("Access-Control-Allow-Origin", origin);
  response.headers.add("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate");
  response.headers.add("Vary", "Origin");
}

}  // namespace daybreak::net
