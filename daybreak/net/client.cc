#include "daybreak/net/client.h"

#include <boost/beast/http.hpp>
#include <optional>
#include <utility>

#include "daybreak/net/internal/layer.h"
#include "daybreak/net/internal/link.h"
#include "daybreak/net/internal/response_reader.h"

namespace daybreak::net {

namespace http = boost::beast::http;
using base::Code;
using base::fail;

class Client::Impl {
 public:
  Impl(const std::string& host, std::uint16_t port, const ClientOptions& options)
      : link_(host, port, options), limits_{.body_bytes = options.max_response_bytes} {}

  base::Status open() {
    DAYBREAK_ASSIGN(auto stream, link_.connect());
    layer_.emplace(std::move(stream));
    return {};
  }

  base::Result<Response> request(const Request& request) {
    if (!layer_) return fail(Code::kUnavailable, "the connection has ended: connect again");
    const error_code sent = send(request);
    // A server that refuses may answer before it has read all: its answer counts.
    error_code error = sent;
    if (error != asio::error::timed_out) {
      reader_.expect(request.method);
      error = wait([&](const Link::Done& done) { read(done); });
    }
    const std::string what = request.method + " " + request.target;
    if (error) {
      layer_.reset();
      return std::unexpected(link_.transport_error(what, sent ? sent : error));
    }
    if (reader_.fault() != Fault::kNone) {
      layer_.reset();
      return fail(Code::kUnavailable, "{}: {}", what, reader_.fault_text());
    }
    if (!reader_.keep_alive()) layer_.reset();
    return std::move(reader_.response());
  }

 private:
  error_code wait(const std::function<void(Link::Done)>& begin) {
    return link_.wait(begin, [&] { layer_->close(); });
  }

  error_code send(const Request& request) {
    http::request<http::string_body> message;
    message.version(11);
    message.method_string(request.method);
    message.target(request.target);
    message.set(http::field::host, link_.host_header());
    for (const Header header : request.headers) message.set(header.name, header.value);
    message.body() = request.body;
    message.prepare_payload();
    return wait([&](const Link::Done& done) {
      http::async_write(*layer_, message, [done](const error_code& result, std::size_t) { done(result); });
    });
  }

  // Until the reader has a response, or has found a fault.
  void read(const Link::Done& done) {
    const std::span<char> to = reader_.prepare();
    layer_->async_read_some(asio::mutable_buffer(to.data(), to.size()),
                            [this, done](const error_code& error, std::size_t bytes) {
                              if (error && error != asio::error::eof) return done(error);
                              reader_.committed(bytes);
                              auto outcome = reader_.next();
                              if (error && outcome == ResponseReader::Outcome::kMore) outcome = reader_.finish();
                              if (outcome == ResponseReader::Outcome::kMore) return read(done);
                              done({});
                            });
  }

  Link link_;
  const Limits limits_;
  ResponseReader reader_{limits_};
  std::optional<Layer> layer_;  // until the connection has ended
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
