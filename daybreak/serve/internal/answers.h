// What the query port says when it has no prediction.
#pragma once

#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/net/http.h"

namespace daybreak::serve {

// {"error": code}
net::Response error_response(int status, std::string_view code);
// 415: a body that is packed, which would be read as JSON and refused for what it is not.
net::Response packed_body_response();
// 405, with what is allowed.
net::Response not_allowed_method(std::string_view allowed);
// Of a gate's decision: 401 or 403, and its word.
net::Response denied_response(int code);
// As Clipper says it: 400, whether the request could not be read or not be computed. Overload of the inputs' memory is
// not the caller's mistake: 503.
net::Response refused_response(const base::Error& error, bool parsing);

}  // namespace daybreak::serve
