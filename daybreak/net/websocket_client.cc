#include <optional>
#include <tuple>
#include <utility>

#include "daybreak/net/client.h"
#include "daybreak/net/internal/link.h"
#include "daybreak/net/internal/websocket_stream.h"

namespace daybreak::net {

using base::Code;
using base::fail;

class WebSocketClient::Impl {
 public:
  Impl(const std::string& host, std::uint16_t port, const ClientOptions& options) : link_(host, port, options) {}

  base::Status open(const std::string& target, const Headers& headers) {
    DAYBREAK_ASSIGN(auto connected, link_.connect());
    stream_.emplace(std::move(connected), link_.options().max_response_bytes);
    const error_code error =
        wait([&](const Link::Done& done) { stream_->async_handshake(link_.host_header(), target, headers, done); });
    if (WebSocketStream::is_declined(error)) {
      return fail(Code::kPermissionDenied, "the server answered {} instead of a WebSocket: {}",
                  stream_->answer().status, stream_->answer().body);
    }
    if (error) return std::unexpected(link_.transport_error(target, error));
    const std::string_view chosen = answer().get("Sec-WebSocket-Protocol");
    if (!chosen.empty() && !headers.lists("Sec-WebSocket-Protocol", chosen)) {
      return fail(Code::kFailedPrecondition, "the server chose the WebSocket protocol '{}', which was not asked for",
                  chosen);
    }
    return {};
  }

  base::Status send(const WebSocketMessage& message) {
    const error_code error =
        wait([&](const Link::Done& done) { stream_->async_write(message.bytes, message.text, done); });
    if (error) return std::unexpected(link_.transport_error("the WebSocket", error));
    return {};
  }

  base::Result<WebSocketMessage> receive() {
    stream_->release();
    const error_code error = wait([&](const Link::Done& done) { stream_->async_read(done); });
    if (!error) return WebSocketMessage{std::string(stream_->message()), stream_->is_text()};
    code_ = stream_->close_code();
    reason_ = stream_->close_reason();
    if (WebSocketStream::is_closed(error))
      return fail(Code::kUnavailable, "the WebSocket was closed: {} {}", code_, reason_);
    return std::unexpected(link_.transport_error("the WebSocket", error));
  }

  void close() {
    if (!stream_->is_open()) return;
    std::ignore = wait([&](const Link::Done& done) { stream_->async_close(kNormal, {}, done); });
  }

  const Headers& answer() const { return stream_->answer().headers; }
  std::uint16_t code() const { return code_; }
  const std::string& reason() const { return reason_; }

 private:
  static constexpr std::uint16_t kNormal = 1000;

  error_code wait(const std::function<void(Link::Done)>& begin) {
    return link_.wait(begin, [&] { stream_->abort(); });
  }

  Link link_;
  std::optional<WebSocketStream> stream_;  // over the link's loop: goes before it
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
