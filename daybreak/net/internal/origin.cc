#include "daybreak/net/internal/origin.h"

#include <algorithm>

namespace daybreak::net {

Refusal check_names(const Request& request, std::span<const std::string> hosts, std::span<const std::string> origins) {
  std::size_t named = 0;
  for (const Header header : request.headers) named += equal_ignoring_case(header.name, "Host");
  const std::string_view host = request.headers.get("Host");
  if (named != 1) return {400, "one Host header is needed\n"};
  const auto is_host = [&](const std::string& one) { return equal_ignoring_case(one, host); };
  if (!hosts.empty() && std::ranges::none_of(hosts, is_host)) return {421, "this server has another name\n"};
  const std::string_view origin = request.headers.get("Origin");
  if (origin.empty()) return {};
  const std::string_view scheme = request.tls ? "https://" : "http://";
  if (origin.size() > scheme.size() && equal_ignoring_case(origin.substr(0, scheme.size()), scheme) &&
      equal_ignoring_case(origin.substr(scheme.size()), host))
    return {};
  const auto is_origin = [&](const std::string& one) { return one == "*" || equal_ignoring_case(one, origin); };
  if (std::ranges::any_of(origins, is_origin)) return {};
  return {403, "pages from this origin may not ask here\n"};
}

}  // namespace daybreak::net
