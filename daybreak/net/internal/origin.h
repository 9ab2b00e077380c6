// Whether a request calls us by a name of ours, from a page that may.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "daybreak/net/http.h"

namespace daybreak::net {

struct Refusal {
  int status = 0;  // 0: none
  std::string_view text;
};

// `hosts`: allowed values of Host, lower case; empty: all. `origins`: allowed values of Origin beside our own (the
// scheme, and the name in Host); "*": all.
Refusal check_names(const Request& request, std::span<const std::string> hosts, std::span<const std::string> origins);

}  // namespace daybreak::net
