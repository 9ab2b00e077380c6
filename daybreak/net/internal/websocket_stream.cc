#include "daybreak/net/internal/websocket_stream.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <utility>

#include "daybreak/net/internal/layer.h"

namespace daybreak::net {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;

namespace {

constexpr std::size_t kKeptBuffer = 256 * 1024;

}  // namespace

class WebSocketStream::Impl {
 public:
  explicit Impl(std::unique_ptr<AnyStream> stream) : beast(std::move(stream)) {}

  websocket::stream<Layer> beast;
  beast::flat_buffer buffer;
  websocket::response_type told;
  Response answer;
};

WebSocketStream::WebSocketStream(std::unique_ptr<AnyStream> stream, std::size_t message_bytes)
    : impl_(std::make_unique<Impl>(std::move(stream))) {
  impl_->beast.read_message_max(message_bytes);
}
WebSocketStream::~WebSocketStream() = default;

void WebSocketStream::limit_times(std::chrono::milliseconds handshake, std::chrono::milliseconds idle) {
  websocket::stream_base::timeout timeouts{};
  timeouts.handshake_timeout = handshake;
  timeouts.idle_timeout = idle;
  timeouts.keep_alive_pings = true;
  impl_->beast.set_option(timeouts);
}

void WebSocketStream::async_accept(const Request& asked, Headers headers, Done done) {
  http::request<http::empty_body> request(http::verb::get, asked.target, 11);
  request.method_string(asked.method);
  for (const Header header : asked.headers) request.insert(header.name, header.value);
  impl_->beast.set_option(
      websocket::stream_base::decorator([headers = std::move(headers)](websocket::response_type& response) {
        for (const Header header : headers) {
          if (is_sendable(header)) response.set(header.name, header.value);
        }
      }));
  impl_->beast.async_accept(request, std::move(done));
}

void WebSocketStream::async_handshake(const std::string& host, const std::string& target, Headers headers, Done done) {
  impl_->beast.set_option(
      websocket::stream_base::decorator([headers = std::move(headers)](websocket::request_type& request) {
        for (const Header header : headers) request.set(header.name, header.value);
      }));
  impl_->beast.async_handshake(impl_->told, host, target,
                               [this, done = std::move(done)](const error_code& error) mutable {
                                 Response& answer = impl_->answer;
                                 answer.status = static_cast<int>(impl_->told.result_int());
                                 for (const auto& field : impl_->told.base())
                                   answer.headers.add(field.name_string(), field.value());
                                 answer.body = impl_->told.body();
                                 done(error);
                               });
}

const Response& WebSocketStream::answer() const {
  return impl_->answer;
}

void WebSocketStream::async_read(Done done) {
  impl_->beast.async_read(impl_->buffer,
                          [done = std::move(done)](const error_code& error, std::size_t) mutable { done(error); });
}

std::string_view WebSocketStream::message() const {
  const auto bytes = impl_->buffer.cdata();
  return {static_cast<const char*>(bytes.data()), bytes.size()};
}

bool WebSocketStream::is_text() const {
  return impl_->beast.got_text();
}

void WebSocketStream::release() {
  impl_->buffer.clear();
  if (impl_->buffer.capacity() > kKeptBuffer) impl_->buffer.shrink_to_fit();
}

void WebSocketStream::async_write(std::string_view bytes, bool text, Done done) {
  impl_->beast.text(text);
  impl_->beast.async_write(asio::const_buffer(bytes.data(), bytes.size()),
                           [done = std::move(done)](const error_code& error, std::size_t) mutable { done(error); });
}

void WebSocketStream::async_close(std::uint16_t code, std::string_view reason, Done done) {
  impl_->beast.async_close({static_cast<websocket::close_code>(code), {reason.data(), reason.size()}}, std::move(done));
}

bool WebSocketStream::is_open() const {
  return impl_->beast.is_open();
}

void WebSocketStream::abort() {
  impl_->beast.next_layer().close();
}

std::uint16_t WebSocketStream::close_code() const {
  return impl_->beast.reason().code;
}

std::string WebSocketStream::close_reason() const {
  const auto& reason = impl_->beast.reason().reason;
  return {reason.data(), reason.size()};
}

bool WebSocketStream::is_closed(const error_code& error) {
  return error == websocket::error::closed;
}
bool WebSocketStream::is_too_big(const error_code& error) {
  return error == websocket::error::message_too_big || error == websocket::error::buffer_overflow;
}
bool WebSocketStream::is_declined(const error_code& error) {
  return error == websocket::error::upgrade_declined;
}

}  // namespace daybreak::net
