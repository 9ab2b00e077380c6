// Whether a request calls us by a name of ours, from a page that may.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "daybreak/net/http.h"

namespace daybreak::net {

struct Refusal {
  int status = 0;  // 0: none
  std::string text;
};

// `hosts`: allowed values of Host, lower case; empty: all. `origins`: allowed values of Origin beside our own (the
// scheme, and the name in Host); "*": all. `host_needed`: HTTP/1.1; a request of 1.0, which no page of a browser sends,
// may go without.
Refusal check_names(const Request& request, std::span<const std::string> hosts, std::span<const std::string> origins,
                    bool host_needed = true);

// Whether the request comes from a page of another origin (one that may, or it would have been refused).
bool is_cross_origin(const Request& request);

// Whether a browser asks what such a page may send.
bool is_preflight(const Request& request);

// The answer to that, and the headers without which a browser keeps an answer from the page.
Response preflight_answer(const Request& request);
void allow_origin(std::string_view origin, Response& response);

}  // namespace daybreak::net
