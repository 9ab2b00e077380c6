#include "daybreak/net/client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <functional>
#include <variant>

namespace daybreak::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using error_code = boost::system::error_code;
using base::Code;
using base::fail;

namespace {

using Plain = tcp::socket;
using Tls = asio::ssl::stream<tcp::socket>;

base::Error transport_error(std::string_view what, const error_code& error, std::chrono::milliseconds timeout) {
  if (error == asio::error::timed_out)
    return {Code::kDeadlineExceeded, fmt::format("{}: no answer within {} ms", what, timeout.count())};
  return {Code::kUnavailable, fmt::format("{}: {}", what, error.message())};
}

// Connects, and waits for one operation at a time.
class Link {
 public:
  Link(std::string host, std::uint16_t port, ClientOptions options)
      : host_(std::move(host)), port_(port), options_(std::move(options)), tls_(asio::ssl::context::tls_client) {}

  base::Status connect() {
    const std::string what = fmt::format("{}:{}", host_, port_);
    error_code error;
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(host_, std::to_string(port_), error);
    if (error) return std::unexpected(transport_error(what, error, options_.timeout));
    socket_.emplace(io_);
    error = wait([&](const auto& done) {
      asio::async_connect(*socket_, found, [done](const error_code& result, const tcp::endpoint&) { done(result); });
    });
    if (error) return std::unexpected(transport_error(what, error, options_.timeout));
    socket_->set_option(tcp::no_delay(true), error);
    return {};
  }

  // The TLS stream over the socket, after its handshake.
  base::Result<Tls> secure() {
    error_code error;
    if (options_.ca_file.empty()) {
      tls_.set_default_verify_paths(error);
    } else {
      tls_.load_verify_file(options_.ca_file, error);
    }
    if (error)
      return fail(Code::kInvalidArgument, "cannot read the CA file '{}': {}", options_.ca_file, error.message());
    Tls stream(std::move(*socket_), tls_);
    socket_.reset();
    stream.set_verify_mode(asio::ssl::verify_peer, error);
    stream.set_verify_callback(asio::ssl::host_name_verification(host_), error);
    SSL_set_tlsext_host_name(stream.native_handle(), host_.c_str());
    error = wait(
        [&](const auto& done) {
          stream.async_handshake(asio::ssl::stream_base::client, [done](const error_code& result) { done(result); });
        },
        [&] { stream.next_layer().close(); });
    if (error) return std::unexpected(transport_error(fmt::format("TLS with {}", host_), error, options_.timeout));
    return stream;
  }

  // Starts the operation and runs until it is done; asio::error::timed_out when it takes too long.
  error_code wait(const std::function<void(std::function<void(const error_code&)>)>& begin,
                  const std::function<void()>& cancel = {}) {
    std::optional<error_code> result;
    begin([&result](const error_code& error) { result = error; });
    io_.restart();
    io_.run_for(options_.timeout);
    if (result) return *result;
    if (cancel) {
      cancel();
    } else if (socket_) {
      error_code ignored;
      socket_->close(ignored);
    }
    io_.restart();
    io_.run();
    return asio::error::timed_out;
  }

  tcp::socket take() { return std::move(*socket_); }
  const ClientOptions& options() const { return options_; }
  std::string host_header() const { return fmt::format("{}:{}", host_, port_); }

 private:
  const std::string host_;
  const std::uint16_t port_;
  const ClientOptions options_;
  asio::io_context io_{1};
  asio::ssl::context tls_;
  std::optional<tcp::socket> socket_;
};

void close_quietly(Plain& stream) {
  error_code ignored;
  stream.close(ignored);
}
void close_quietly(Tls& stream) {
  close_quietly(stream.next_layer());
}

template <typename Message>
void set_headers(Message& message, const Headers& headers, const std::string& host) {
  message.set(http::field::host, host);
  for (const Header header : headers) message.set(header.name, header.value);
}

}  // namespace

class Client::Impl {
 public:
  Impl(const std::string& host, std::uint16_t port, const ClientOptions& options) : link_(host, port, options) {}

  base::Status open() {
    DAYBREAK_TRY(link_.connect());
    if (!link_.options().tls) {
      stream_.emplace<Plain>(link_.take());
      return {};
    }
    DAYBREAK_ASSIGN(Tls stream, link_.secure());
    stream_.emplace<Tls>(std::move(stream));
    return {};
  }

  base::Result<Response> request(const Request& request) {
    if (auto* plain = std::get_if<Plain>(&stream_)) return exchange(*plain, request);
    if (auto* tls = std::get_if<Tls>(&stream_)) return exchange(*tls, request);
    return fail(Code::kUnavailable, "the connection has ended: connect again");
  }

 private:
  template <typename Stream>
  base::Result<Response> exchange(Stream& stream, const Request& request) {
    http::request<http::string_body> message;
    message.version(11);
    message.method_string(request.method);
    message.target(request.target);
    set_headers(message, request.headers, link_.host_header());
    message.body() = request.body;
    message.prepare_payload();
    http::response_parser<http::string_body> parser;
    parser.body_limit(link_.options().max_response_bytes);
    if (request.method == "HEAD") parser.skip(true);
    error_code error = link_.wait(
        [&](const auto& done) {
          http::async_write(stream, message, [done](const error_code& result, std::size_t) { done(result); });
        },
        [&] { close_quietly(stream); });
    // A server that refuses may answer before it has read all: its answer counts.
    const error_code sent = error;
    if (error != asio::error::timed_out) {
      error = link_.wait(
          [&](const auto& done) {
            http::async_read(stream, buffer_, parser, [done](const error_code& result, std::size_t) { done(result); });
          },
          [&] { close_quietly(stream); });
    }
    if (error) {
      stream_ = std::monostate();
      return std::unexpected(transport_error(fmt::format("{} {}", request.method, request.target), sent ? sent : error,
                                             link_.options().timeout));
    }
    const bool keep = parser.keep_alive();
    auto answer = parser.release();
    Response response;
    response.status = static_cast<int>(answer.result_int());
    response.content_type = std::string(answer[http::field::content_type]);
    for (const auto& field : answer.base()) response.headers.add(field.name_string(), field.value());
    response.body = std::move(answer.body());
    if (!keep) stream_ = std::monostate();
    return response;
  }

  Link link_;
  std::variant<std::monostate, Plain, Tls> stream_;
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

class WebSocketClient::Impl {
  template <typename Stream>
  error_code wait(Stream& stream, const std::function<void(std::function<void(const error_code&)>)>& begin) {
    return link_.wait(begin, [&] { beast::get_lowest_layer(stream).close(); });
  }
  template <typename F>
  auto with(F&& what) {
    return plain_ ? what(*plain_) : what(*tls_);
  }

 public:
  Impl(const std::string& host, std::uint16_t port, const ClientOptions& options) : link_(host, port, options) {}

  base::Status open(const std::string& target, const Headers& headers) {
    DAYBREAK_TRY(link_.connect());
    if (!link_.options().tls) return handshake(plain_.emplace(link_.take()), target, headers);
    DAYBREAK_ASSIGN(Tls stream, link_.secure());
    return handshake(tls_.emplace(std::move(stream)), target, headers);
  }

  base::Status send(const WebSocketMessage& message) {
    return with([&](auto& stream) -> base::Status {
      stream.text(message.text);
      const error_code error = wait(stream, [&](const auto& done) {
        stream.async_write(asio::buffer(message.bytes),
                           [done](const error_code& result, std::size_t) { done(result); });
      });
      if (error) return std::unexpected(transport_error("the WebSocket", error, link_.options().timeout));
      return {};
    });
  }

  base::Result<WebSocketMessage> receive() {
    return with([&](auto& stream) -> base::Result<WebSocketMessage> {
      beast::flat_buffer buffer;
      const error_code error = wait(stream, [&](const auto& done) {
        stream.async_read(buffer, [done](const error_code& result, std::size_t) { done(result); });
      });
      if (error) {
        code_ = static_cast<std::uint16_t>(stream.reason().code);
        reason_ = std::string(stream.reason().reason.c_str(), stream.reason().reason.size());
        if (error == websocket::error::closed)
          return fail(Code::kUnavailable, "the WebSocket was closed: {} {}", code_, reason_);
        return std::unexpected(transport_error("the WebSocket", error, link_.options().timeout));
      }
      const auto bytes = buffer.cdata();
      return WebSocketMessage{{static_cast<const char*>(bytes.data()), bytes.size()}, stream.got_text()};
    });
  }

  void close() {
    std::ignore = with([&](auto& stream) -> base::Status {
      if (stream.is_open()) {
        wait(stream, [&](const auto& done) {
          stream.async_close(websocket::close_code::normal, [done](const error_code& result) { done(result); });
        });
      }
      return {};
    });
  }

  const Headers& answer() const { return answer_; }
  std::uint16_t code() const { return code_; }
  const std::string& reason() const { return reason_; }

 private:
  template <typename Stream>
  base::Status handshake(Stream& stream, const std::string& target, const Headers& headers) {
    stream.set_option(websocket::stream_base::decorator([headers](websocket::request_type& request) {
      for (const Header header : headers) request.set(header.name, header.value);
    }));
    stream.read_message_max(link_.options().max_response_bytes);
    websocket::response_type answer;
    const error_code error = wait(stream, [&](const auto& done) {
      stream.async_handshake(answer, link_.host_header(), target, [done](const error_code& result) { done(result); });
    });
    if (error == websocket::error::upgrade_declined) {
      return fail(Code::kPermissionDenied, "the server answered {} instead of a WebSocket: {}", answer.result_int(),
                  answer.body());
    }
    if (error) return std::unexpected(transport_error(target, error, link_.options().timeout));
    for (const auto& field : answer.base()) answer_.add(field.name_string(), field.value());
    const std::string_view chosen = answer_.get("Sec-WebSocket-Protocol");
    if (!chosen.empty() && !headers.lists("Sec-WebSocket-Protocol", chosen)) {
      return fail(Code::kFailedPrecondition, "the server chose the WebSocket protocol '{}', which was not asked for",
                  chosen);
    }
    return {};
  }

  Link link_;
  Headers answer_;
  std::optional<websocket::stream<Plain>> plain_;
  std::optional<websocket::stream<Tls>> tls_;
  std::uint16_t code_ = 0;
  std::string reason_;
};

WebSocketClient::WebSocketClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WebSocketClient::~WebSocketClient() = default;

base::Result<std::unique_ptr<WebSocketClient>> WebSocketClient::connect(const std::string& host, std::uint16_t port,
                                                                        const std::string& target,
                                                                        const Headers& headers,
                                                                        const ClientOptions& options) {
  auto impl = std::make_unique<Impl>(host, port, options);
  DAYBREAK_TRY(impl->open(target, headers));
  return std::unique_ptr<WebSocketClient>(new WebSocketClient(std::move(impl)));
}

base::Status WebSocketClient::send(const WebSocketMessage& message) {
  return impl_->send(message);
}
base::Result<WebSocketMessage> WebSocketClient::receive() {
  return impl_->receive();
}
void WebSocketClient::close() {
  impl_->close();
}
const Headers& WebSocketClient::answer() const {
  return impl_->answer();
}
std::uint16_t WebSocketClient::close_code() const {
  return impl_->code();
}
std::string WebSocketClient::close_reason() const {
  return impl_->reason();
}

}  // namespace daybreak::net
