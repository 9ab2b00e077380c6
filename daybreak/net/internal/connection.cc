#include "daybreak/net/internal/connection.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <deque>

#include "daybreak/net/internal/bucket.h"
#include "daybreak/net/internal/origin.h"
#include "daybreak/net/internal/websocket_session.h"

namespace daybreak::net {

namespace beast = boost::beast;
namespace http = beast::http;
using error_code = boost::system::error_code;
using TlsStream = asio::ssl::stream<tcp::socket>;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
// After an error the client may still be sending: what it sends is read for so long, so that it gets to read our answer
// instead of a reset.
constexpr std::chrono::milliseconds kLinger{1000};
constexpr std::size_t kLingerBytes = 4u << 20;

tcp::socket& socket_of(tcp::socket& socket) {
  return socket;
}
tcp::socket& socket_of(TlsStream& stream) {
  return stream.next_layer();
}

std::string address_of(const tcp::socket& socket) {
  error_code error;
  const auto end = socket.remote_endpoint(error);
  if (error) return "?";
  return end.address().is_v6() ? fmt::format("[{}]:{}", end.address().to_string(), end.port())
                               : fmt::format("{}:{}", end.address().to_string(), end.port());
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

// The Date header, made once a second on each loop's thread.
const std::string& date_now() {
  thread_local std::string text;
  thread_local Clock::time_point until;
  const auto now = Clock::now();
  if (now >= until) {
    text = http_date();
    until = now + std::chrono::seconds(1);
  }
  return text;
}

template <typename Stream>
class Connection final : public ConnectionBase {
 public:
  Connection(const std::shared_ptr<Loop>& loop, Stream stream)
      : ConnectionBase(loop),
        stream_(std::move(stream)),
        remote_(address_of(socket_of(stream_))),
        limits_(loop->shared->options.limits),
        buffer_(limits_.header_bytes + kReadBytes),
        changed_(loop->io),
        requests_(limits_.requests_per_s) {}

  void start() override {
    asio::co_spawn(loop_->io, [self = self()]() -> asio::awaitable<void> { co_await self->run(); }, asio::detached);
  }

  void drain() override {
    if (websocket_) return websocket_->close(1001, "the server is going away");
    draining_ = true;
    if (idle_) cancel();
  }

  void abort() override {
    broken_ = true;
    cancel();
  }

  void cancel() override {
    if (websocket_) return websocket_->abort();
    error_code ignored;
    socket_of(stream_).cancel(ignored);
    changed_.cancel();
  }

 private:
  // An answer that is awaited, or that waits for those before it.
  struct Slot {
    std::uint64_t sequence;
    bool ready = false;
    bool close = false;
    bool head_request = false;
    std::string head;
    std::string body;
    // for the log
    std::string method, path;
    int status = 0;
    std::size_t request_bytes = 0;
    Clock::time_point began;
  };

  std::shared_ptr<Connection> self() { return std::static_pointer_cast<Connection>(shared_from_this()); }
  static auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }
  Clock::time_point after(milliseconds time) const { return Clock::now() + time; }

  asio::awaitable<void> run() {
    const auto held = self();
    error_code error;
    if (loop_->shared->connections.load() > limits_.connections) {
      refuse(503, "too many connections\n");
    } else if (co_await handshake()) {
      while (!closing_ && co_await read_one()) {
      }
    }
    read_deadline_ = Clock::time_point::max();
    while (!slots_.empty() && !broken_ && !websocket_) co_await wait();
    if (websocket_) co_return;
    co_await finish();
  }

  asio::awaitable<bool> handshake() {
    error_code error;
    socket_of(stream_).set_option(tcp::no_delay(true), error);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      read_deadline_ = after(limits_.header_time);
      co_await stream_.async_handshake(asio::ssl::stream_base::server, into(error));
      if (error) broken_ = true;
      co_return !error;
    }
    co_return true;
  }

  // One request, until it is with its handler. False when the connection is to end.
  asio::awaitable<bool> read_one() {
    error_code error;
    if (buffer_.size() == 0) {
      read_deadline_ = after(limits_.idle_time);
      idle_ = true;
      if (draining_ && slots_.empty()) co_return false;
      const std::size_t got = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), into(error));
      idle_ = false;
      buffer_.commit(got);
      if (error) {
        if (error != asio::error::eof && !timed_out_ && !draining_) broken_ = true;
        co_return false;
      }
    }
    http::request_parser<http::string_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
    parser.body_limit(limits_.body_bytes);
    read_deadline_ = after(limits_.header_time);
    co_await http::async_read_header(stream_, buffer_, parser, into(error));
    if (error) co_return read_failed(error);
    if (parser.get().target().size() > limits_.target_bytes) co_return refuse(414, "the target is too long\n");
    if (beast::iequals(parser.get()[http::field::expect], "100-continue") && slots_.empty() && !parser.is_done()) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(stream_, asio::buffer(kContinue), into(error));
    }
    read_deadline_ = after(limits_.body_time);
    if (!error && !parser.is_done()) co_await http::async_read(stream_, buffer_, parser, into(error));
    if (error) co_return read_failed(error);
    read_deadline_ = Clock::time_point::max();
    const bool keep_alive = parser.keep_alive() && parser.get().version() >= 11;
    if (!co_await take(parser.release(), keep_alive)) co_return false;
    while (slots_.size() >= limits_.pipelined && !broken_) co_await wait();
    co_return keep_alive && !broken_ && !(draining_ || loop_->shared->draining.load());
  }

  bool read_failed(const error_code& error) {
    if (timed_out_) {
      timed_out_ = false;
      return refuse(408, "the request did not arrive in time\n");
    }
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return refuse(431, "the headers are too large\n");
    if (error == http::error::body_limit) return refuse(413, "the body is too large\n");
    if (error == http::error::bad_version) return refuse(505, "HTTP/1.1 is spoken here\n");
    if (error.category() == make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message)
      return refuse(400, "this is no HTTP/1.1 request\n");
    broken_ = true;
    return false;
  }

  // An answer of the server's own, behind those that are awaited; then the connection ends.
  bool refuse(int status, std::string_view text) {
    Slot& slot = slots_.emplace_back(Slot{.sequence = next_++, .close = true, .began = Clock::now()});
    closing_ = lingers_ = true;
    fill(slot, Response::text(status, std::string(text)));
    return false;
  }

  asio::awaitable<bool> take(http::request<http::string_body> message, bool keep_alive) {
    Request request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message.base())
      request.headers.add(std::string(field.name_string()), std::string(field.value()));
    request.body = std::move(message.body());
    request.remote = remote_;
    request.tls = std::is_same_v<Stream, TlsStream>;
    const bool upgrade = request.is_upgrade();
    const Shared& shared = *loop_->shared;

    Slot& slot = slots_.emplace_back(Slot{.sequence = next_++,
                                          .close = !keep_alive,
                                          .head_request = request.method == "HEAD",
                                          .method = request.method,
                                          .path = std::string(request.path()),
                                          .request_bytes = request.body.size(),
                                          .began = Clock::now()});
    const std::uint64_t sequence = slot.sequence;
    if (const Refusal refusal = check_names(request, shared.hosts, shared.options.origins); refusal.status != 0) {
      slot.close = closing_ = lingers_ = true;
      fill(slot, Response::text(refusal.status, std::string(refusal.text)));
      co_return false;
    }
    if (!requests_.take()) {
      Response response = Response::text(429, "too many requests on this connection\n");
      response.headers.add("Retry-After", "1");
      fill(slot, std::move(response));
      co_return true;
    }
    if (upgrade && buffer_.size() > 0) co_return refuse(400, "nothing may follow before the WebSocket is open\n");
    const auto exchange = std::make_shared<Exchange>(self(), sequence, std::move(request));
    shared.handler(exchange);
    if (!upgrade) co_return true;
    // Nothing is read until it is known what this connection becomes.
    while (!slots_.empty() && slots_.back().sequence == sequence && !slots_.back().ready && !broken_ && !accepted_)
      co_await wait();
    if (!accepted_) co_return true;
    while (slots_.size() > 1 && !broken_) co_await wait();
    slots_.clear();
    if (!broken_) open_websocket(std::move(message));
    co_return false;
  }

  void open_websocket(http::request<http::string_body> message) {
    websocket_ = make_websocket(loop_, std::move(stream_), remote_, std::move(*accepted_), [self = self()] {
      self->websocket_ = nullptr;
      self->broken_ = true;
      self->leave();
    });
    websocket_->start(std::move(message), std::move(accept_headers_));
  }

  void answered(std::uint64_t sequence, Response response) override {
    const auto slot = std::ranges::find(slots_, sequence, &Slot::sequence);
    if (slot != slots_.end() && !slot->ready) fill(*slot, std::move(response));
  }

  void upgraded(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers) override {
    if (slots_.empty() || slots_.back().sequence != sequence || broken_) {
      if (handlers.on_close) handlers.on_close(1006, "the connection was lost");
      return;
    }
    accepted_ = std::move(handlers);
    accept_headers_ = std::move(headers);
    changed_.cancel();
  }

  void fill(Slot& slot, Response response) {
    slot.close = slot.close || draining_ || loop_->shared->draining.load();
    slot.status = response.status;
    slot.head = encode_head(response, slot.close, date_now());
    if (!slot.head_request && response.status != 204 && response.status != 304) slot.body = std::move(response.body);
    slot.ready = true;
    changed_.cancel();
    flush();
  }

  // Writes all answers that are next, together.
  void flush() {
    if (writing_ > 0 || broken_) return;
    std::vector<asio::const_buffer> buffers;
    for (const Slot& slot : slots_) {
      if (!slot.ready) break;
      buffers.emplace_back(slot.head.data(), slot.head.size());
      if (!slot.body.empty()) buffers.emplace_back(slot.body.data(), slot.body.size());
      ++writing_;
      if (slot.close) break;
    }
    if (writing_ == 0) return;
    write_deadline_ = after(limits_.write_time);
    asio::async_write(stream_, buffers,
                      [self = self()](const error_code& error, std::size_t) { self->written(error); });
  }

  void written(const error_code& error) {
    write_deadline_ = Clock::time_point::max();
    broken_ = broken_ || static_cast<bool>(error);
    const auto now = Clock::now();
    for (; writing_ > 0; --writing_) {
      const Slot& slot = slots_.front();
      const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - slot.began).count();
      loop_->shared->options.access_log({.remote = remote_,
                                         .method = slot.method,
                                         .path = slot.path,
                                         .status = broken_ ? 499 : slot.status,
                                         .request_bytes = slot.request_bytes,
                                         .response_bytes = slot.head.size() + slot.body.size(),
                                         .took_us = took});
      if (slot.close) {
        closing_ = true;
        if (idle_) cancel();
      }
      slots_.pop_front();
    }
    changed_.cancel();
    if (broken_) return cancel();
    flush();
  }

  // Until something of this connection has changed.
  asio::awaitable<void> wait() {
    error_code ignored;
    changed_.expires_at(Clock::time_point::max());
    co_await changed_.async_wait(into(ignored));
  }

  asio::awaitable<void> finish() {
    error_code ignored;
    if (!broken_) {
      read_deadline_ = after(kLinger);
      if constexpr (std::is_same_v<Stream, TlsStream>) {
        co_await stream_.async_shutdown(into(ignored));
      }
      socket_of(stream_).shutdown(tcp::socket::shutdown_send, ignored);
      buffer_.clear();
      std::size_t read = 0;
      for (error_code error; lingers_ && !error && read < kLingerBytes;)
        read += co_await socket_of(stream_).async_read_some(buffer_.prepare(kReadBytes), into(error));
    }
    read_deadline_ = Clock::time_point::max();
    broken_ = true;
    socket_of(stream_).close(ignored);
    leave();
  }

  Stream stream_;
  const std::string remote_;
  const Limits limits_;
  beast::flat_buffer buffer_;
  asio::steady_timer changed_;  // cancelled when something has: wakes wait()
  Bucket requests_;
  std::deque<Slot> slots_;   // in the order of the requests
  std::size_t writing_ = 0;  // so many of the first are being written
  std::uint64_t next_ = 0;
  bool idle_ = false;     // waits for the first byte of a request
  bool closing_ = false;  // no more requests are read
  bool lingers_ = false;  // the client may still be sending
  bool broken_ = false;   // nothing can be written any more
  bool draining_ = false;
  std::optional<WebSocketHandlers> accepted_;
  Headers accept_headers_;
  std::shared_ptr<WebSocketBase> websocket_;
};

}  // namespace

std::shared_ptr<ConnectionBase> make_connection(const std::shared_ptr<Loop>& loop, tcp::socket socket) {
  if (loop->shared->tls)
    return std::make_shared<Connection<TlsStream>>(loop, TlsStream(std::move(socket), *loop->shared->tls));
  return std::make_shared<Connection<tcp::socket>>(loop, std::move(socket));
}

}  // namespace daybreak::net
