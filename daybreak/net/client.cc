#include "daybreak/net/client.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <utility>

#include "daybreak/net/internal/layer.h"
#include "daybreak/net/internal/link.h"

namespace daybreak::net {

namespace beast = boost::beast;
namespace http = beast::http;
using base::Code;
using base::fail;

class Client::Impl {
 public:
  Impl(const std::string& host, std::uint16_t port, const ClientOptions& options) : link_(host, port, options) {}

  base::Status open() {
    DAYBREAK_ASSIGN(auto stream, link_.connect());
    layer_.emplace(std::move(stream));
    return {};
  }

  base::Result<Response> request(const Request& request) {
    if (!layer_) return fail(Code::kUnavailable, "the connection has ended: connect again");
    http::request<http::string_body> message;
    message.version(11);
    message.method_string(request.method);
    message.target(request.target);
    message.set(http::field::host, link_.host_header());
    for (const Header header : request.headers) message.set(header.name, header.value);
    message.body() = request.body;
    message.prepare_payload();
    http::response_parser<http::string_body> parser;
    parser.body_limit(link_.options().max_response_bytes);
    if (request.method == "HEAD") parser.skip(true);
    const auto close = [&] { layer_->close(); };
    error_code error = link_.wait(
        [&](const Link::Done& done) {
          http::async_write(*layer_, message, [done](const error_code& result, std::size_t) { done(result); });
        },
        close);
    // A server that refuses may answer before it has read all: its answer counts.
    const error_code sent = error;
    if (error != asio::error::timed_out) {
      error = link_.wait(
          [&](const Link::Done& done) {
            http::async_read(*layer_, buffer_, parser, [done](const error_code& result, std::size_t) { done(result); });
          },
          close);
    }
    if (error) {
      layer_.reset();
      return std::unexpected(link_.transport_error(request.method + " " + request.target, sent ? sent : error));
    }
    if (!parser.keep_alive()) layer_.reset();
    auto answer = parser.release();
    Response response;
    response.status = static_cast<int>(answer.result_int());
    response.content_type = std::string(answer[http::field::content_type]);
    for (const auto& field : answer.base()) response.headers.add(field.name_string(), field.value());
    response.body = std::move(answer.body());
    return response;
  }

 private:
  Link link_;
  std::optional<Layer> layer_;  // until the connection has ended
  beast::flat_buffer buffer_;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

base::Result<std::unique_ptr<Client>> Client::connect(const std::string& host, std::uint16_t port,
                                                      const ClientOptions& options) {
  auto impl = std::make_unique<Impl>(host, port, options);
  DAYBREAK_TRY(impl->open());
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

base::Result<Response> Client::request(const Request& request) {
  return impl_->request(request);
}

}  // namespace daybreak::net
