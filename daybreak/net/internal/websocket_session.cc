#include "daybreak/net/internal/websocket_session.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <deque>

#include "daybreak/net/internal/bucket.h"

namespace daybreak::net {

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using error_code = boost::system::error_code;

namespace {

constexpr std::size_t kMaxReasonBytes = 123;

// Whether a text, UTF-8 as far as it goes, ends inside a character. Beast does not see it when the last frame is empty.
bool ends_inside_character(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte >> 6 == 2) continue;
    const std::size_t length = byte >> 7 == 0 ? 1 : byte >> 5 == 6 ? 2 : byte >> 4 == 14 ? 3 : 4;
    return length > back;
  }
  return false;
}

template <typename Stream>
class WebSocketSession final : public WebSocketBase, public std::enable_shared_from_this<WebSocketSession<Stream>> {
 public:
  WebSocketSession(const std::shared_ptr<Loop>& loop, Stream stream, std::string remote, WebSocketHandlers handlers,
                   std::function<void()> gone)
      : loop_(loop),
        gone_(std::move(gone)),
        limits_(loop->shared->options.limits),
        stream_(std::move(stream)),
        remote_(std::move(remote)),
        handlers_(std::move(handlers)),
        messages_(limits_.messages_per_s) {}

  void start(const Request& asked, Headers headers) override {
    beast::http::request<beast::http::empty_body> request(beast::http::verb::get, asked.target, 11);
    request.method_string(asked.method);
    for (const Header header : asked.headers) request.insert(header.name, header.value);
    limit_times(limits_.header_time);
    stream_.read_message_max(limits_.message_bytes);
    stream_.set_option(websocket::stream_base::decorator([headers = std::move(headers)](auto& response) {
      for (const Header header : headers) {
        if (is_sendable(header)) response.set(header.name, header.value);
      }
    }));
    asio::co_spawn(
        loop_->io,
        [self = this->shared_from_this(), request = std::move(request)]() mutable -> asio::awaitable<void> {
          co_await self->run(std::move(request));
        },
        asio::detached);
  }

  bool send_text(std::string message) override { return send({std::move(message), true}); }
  bool send_binary(std::string message) override { return send({std::move(message), false}); }

  void close(std::uint16_t code, std::string_view reason) override {
    loop_->run(
        [self = this->shared_from_this(), code, reason = std::string(reason)] { self->begin_close(code, reason); });
  }

  void abort() override {
    error_code ignored;
    beast::get_lowest_layer(stream_).close(ignored);
  }

  const std::string& remote() const override { return remote_; }

 private:
  struct Message {
    std::string bytes;
    bool text;
  };

  static auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

  // `handshake`: of what comes next, the opening or the closing one.
  void limit_times(milliseconds handshake) {
    websocket::stream_base::timeout timeouts{};
    timeouts.handshake_timeout = handshake;
    timeouts.idle_timeout = limits_.idle_time;  // half of it without a word: a ping; all of it: gone
    timeouts.keep_alive_pings = true;
    stream_.set_option(timeouts);
  }

  asio::awaitable<void> run(beast::http::request<beast::http::empty_body> request) {
    const auto self = this->shared_from_this();
    error_code error;
    co_await stream_.async_accept(request, into(error));
    if (!error) {
      limit_times(limits_.close_time);
      open_ = true;
      if (handlers_.on_open) handlers_.on_open(self);
      flush();
    }
    beast::flat_buffer buffer;
    while (!error) {
      co_await stream_.async_read(buffer, into(error));
      if (error) break;
      const std::string_view message(static_cast<const char*>(buffer.cdata().data()), buffer.size());
      if (!messages_.take()) {
        begin_close(1008, "too many messages");
      } else if (stream_.got_text() && ends_inside_character(message)) {
        begin_close(1007, "the text is not UTF-8");
      } else if (handlers_.on_message && !closing_) {
        handlers_.on_message(self, message, stream_.got_text());
      }
      buffer.consume(buffer.size());
      if (buffer.capacity() > 256 * 1024) buffer.shrink_to_fit();
    }
    closed_.store(true);
    const auto& reason = stream_.reason();
    std::uint16_t code = closing_ ? close_code_ : static_cast<std::uint16_t>(reason.code);
    std::string text = closing_ ? close_reason_ : std::string(reason.reason.c_str(), reason.reason.size());
    if (error == websocket::error::message_too_big || error == websocket::error::buffer_overflow) {
      code = 1009;
      text = "the message is too big";
    }
    if (code == 0) code = 1006;
    if (handlers_.on_close) handlers_.on_close(code, text);
    handlers_ = {};  // what they hold goes now
    error_code ignored;
    beast::get_lowest_layer(stream_).close(ignored);
    std::exchange(gone_, nullptr)();
  }

  bool send(Message message) {
    if (closed_.load()) return false;
    const std::size_t size = message.bytes.size();
    if (queued_bytes_.fetch_add(size) + size > limits_.queued_bytes) {
      close(1008, "the client reads too slowly");
      queued_bytes_.fetch_sub(size);
      return false;
    }
    loop_->run([self = this->shared_from_this(), message = std::move(message)]() mutable {
      self->queue_.push_back(std::move(message));
      self->flush();
    });
    return true;
  }

  void flush() {
    if (writing_ || !open_ || closing_ || queue_.empty() || closed_.load()) return;
    writing_ = true;
    stream_.text(queue_.front().text);
    stream_.async_write(asio::buffer(queue_.front().bytes),
                        [self = this->shared_from_this()](const error_code& error, std::size_t) {
                          self->writing_ = false;
                          self->queued_bytes_.fetch_sub(self->queue_.front().bytes.size());
                          self->queue_.pop_front();
                          if (self->closing_ && !self->close_sent_) return self->send_close();
                          if (!error) self->flush();
                        });
  }

  void begin_close(std::uint16_t code, const std::string& reason) {
    if (closing_ || closed_.load()) return;
    closing_ = true;
    close_code_ = code;
    close_reason_ = reason.substr(0, kMaxReasonBytes);
    if (!open_) return abort();
    if (!writing_) send_close();
  }

  void send_close() {
    close_sent_ = true;
    const websocket::close_reason reason(static_cast<websocket::close_code>(close_code_), close_reason_);
    stream_.async_close(reason, [self = this->shared_from_this()](const error_code&) {});
  }

  const std::shared_ptr<Loop> loop_;  // goes last
  std::function<void()> gone_;
  const Limits limits_;
  websocket::stream<Stream> stream_;
  const std::string remote_;
  WebSocketHandlers handlers_;
  Bucket messages_;
  std::deque<Message> queue_;
  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> closed_{false};
  bool open_ = false;
  bool writing_ = false;
  bool closing_ = false;
  bool close_sent_ = false;
  std::uint16_t close_code_ = 0;
  std::string close_reason_;
};

}  // namespace

std::shared_ptr<WebSocketBase> make_websocket(const std::shared_ptr<Loop>& loop, Socket stream, std::string remote,
                                              WebSocketHandlers handlers, std::function<void()> gone) {
  return std::make_shared<WebSocketSession<Socket>>(loop, std::move(stream), std::move(remote), std::move(handlers),
                                                    std::move(gone));
}

std::shared_ptr<WebSocketBase> make_websocket(const std::shared_ptr<Loop>& loop, TlsStream stream, std::string remote,
                                              WebSocketHandlers handlers, std::function<void()> gone) {
  return std::make_shared<WebSocketSession<TlsStream>>(loop, std::move(stream), std::move(remote), std::move(handlers),
                                                       std::move(gone));
}

}  // namespace daybreak::net
