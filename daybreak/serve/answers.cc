#include "daybreak/serve/internal/answers.h"

#include <string>

#include "daybreak/base/json.h"
#include "daybreak/serve/gate.h"
#include "daybreak/serve/input.h"

namespace daybreak::serve {

using base::Code;
using net::Response;

Response error_response(int status, std::string_view code) {
  return Response::json(status, base::dump_json({{"error", code}}));
}

Response packed_body_response() {
  Response response =
      Response::json(415, base::dump_json({{"error", "content_encoding"},
                                           {"cause", "a body is read as it is: send it without Content-Encoding"}}));
  response.headers.add("Accept-Encoding", "identity");
  return response;
}

Response not_allowed_method(std::string_view allowed) {
  Response response = error_response(405, "method_not_allowed");
  response.headers.add("Allow", std::string(allowed));
  return response;
}

Response denied_response(int code) {
  Response response = error_response(gate_status(code), gate_word(code));
  if (response.status == 401) response.headers.add("WWW-Authenticate", "Bearer");
  return response;
}

Response refused_response(const base::Error& error, bool parsing) {
  if (error.code() == Code::kResourceExhausted) {
    Response response = error_response(503, "overloaded");
    response.headers.add("Retry-After", "1");
    return response;
  }
  return Response::json(400,
                        fmt::format(R"({{"error":"{}","cause":{}}})", parsing ? "Json error" : "Query processing error",
                                    json_string(error.message())));
}

}  // namespace daybreak::serve
