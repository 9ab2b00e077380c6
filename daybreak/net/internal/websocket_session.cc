#include "daybreak/net/internal/websocket_session.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>

#include "daybreak/net/internal/bucket.h"
#include "daybreak/net/internal/websocket_stream.h"

namespace daybreak::net {

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

class WebSocketSession final : public WebSocketBase, public std::enable_shared_from_this<WebSocketSession> {
 public:
  WebSocketSession(const std::shared_ptr<Loop>& loop, std::unique_ptr<AnyStream> stream, std::string remote,
                   WebSocketHandlers handlers, std::function<void()> gone)
      : loop_(loop),
        gone_(std::move(gone)),
        limits_(loop->shared->options.limits),
        stream_(std::move(stream), limits_.message_bytes),
        remote_(std::move(remote)),
        handlers_(std::move(handlers)),
        messages_(limits_.messages_per_s, loop->env()) {}

  void start(const Request& asked, Headers headers) override {
    stream_.limit_times(limits_.header_time, limits_.idle_time);
    stream_.async_accept(asked, std::move(headers),
                         [self = shared_from_this()](const error_code& error) { self->opened(error); });
  }

  bool send_text(std::string message) override { return send({std::move(message), true}); }
  bool send_binary(std::string message) override { return send({std::move(message), false}); }

  void close(std::uint16_t code, std::string_view reason) override {
    loop_->run([self = shared_from_this(), code, reason = std::string(reason)] { self->begin_close(code, reason); });
  }

  void abort() override { stream_.abort(); }

  const std::string& remote() const override { return remote_; }

 private:
  struct Message {
    std::string bytes;
    bool text;
  };

  void opened(const error_code& error) {
    if (error) return ended(error);
    stream_.limit_times(limits_.close_time, limits_.idle_time);
    open_ = true;
    if (handlers_.on_open) handlers_.on_open(shared_from_this());
    flush();
    read();
  }

  void read() {
    stream_.async_read([self = shared_from_this()](const error_code& error) { self->got(error); });
  }

  void got(const error_code& error) {
    if (error) return ended(error);
    const std::string_view message = stream_.message();
    if (!messages_.take()) {
      begin_close(1008, "too many messages");
    } else if (stream_.is_text() && ends_inside_character(message)) {
      begin_close(1007, "the text is not UTF-8");
    } else if (handlers_.on_message && !closing_) {
      handlers_.on_message(shared_from_this(), message, stream_.is_text());
    }
    stream_.release();
    read();
  }

  void ended(const error_code& error) {
    closed_.store(true);
    std::uint16_t code = closing_ ? close_code_ : stream_.close_code();
    std::string text = closing_ ? close_reason_ : stream_.close_reason();
    if (WebSocketStream::is_too_big(error)) {
      code = 1009;
      text = "the message is too big";
    }
    if (code == 0) code = 1006;
    if (handlers_.on_close) handlers_.on_close(code, text);
    handlers_ = {};  // what they hold goes now
    stream_.abort();
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
    loop_->run([self = shared_from_this(), message = std::move(message)]() mutable {
      self->queue_.push_back(std::move(message));
      self->flush();
    });
    return true;
  }

  void flush() {
    if (writing_ || !open_ || closing_ || queue_.empty() || closed_.load()) return;
    writing_ = true;
    const Message& next = queue_.front();
    stream_.async_write(next.bytes, next.text, [self = shared_from_this()](const error_code& error) {
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
    stream_.async_close(close_code_, close_reason_, [self = shared_from_this()](const error_code&) {});
  }

  const std::shared_ptr<Loop> loop_;  // goes last
  std::function<void()> gone_;
  const Limits limits_;
  WebSocketStream stream_;
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

std::shared_ptr<WebSocketBase> make_websocket(const std::shared_ptr<Loop>& loop, std::unique_ptr<AnyStream> stream,
                                              std::string remote, WebSocketHandlers handlers,
                                              std::function<void()> gone) {
  return std::make_shared<WebSocketSession>(loop, std::move(stream), std::move(remote), std::move(handlers),
                                            std::move(gone));
}

}  // namespace daybreak::net
