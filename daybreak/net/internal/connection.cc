#include "daybreak/net/internal/connection.h"

#include <algorithm>
#include <array>
#include <deque>

#include "daybreak/net/internal/bucket.h"
#include "daybreak/net/internal/origin.h"
#include "daybreak/net/internal/request_reader.h"
#include "daybreak/net/internal/websocket_session.h"

namespace daybreak::net {

namespace {

// After an error the client may still be sending: what it sends is read for so long, so that it gets to read our answer
// instead of a reset.
constexpr std::chrono::milliseconds kLinger{1000};
constexpr std::size_t kLingerBytes = 4u << 20;
// A body up to this size is copied behind its head, so that both are one piece.
constexpr std::size_t kCopiedBody = 16 * 1024;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string address_of(const Socket& socket) {
  error_code error;
  const auto end = socket.remote_endpoint(error);
  if (error) return "?";
  return end.address().is_v6() ? fmt::format("[{}]:{}", end.address().to_string(), end.port())
                               : fmt::format("{}:{}", end.address().to_string(), end.port());
}

// The loop calls it in turns; it never waits. Whatever happens ends in advance(), which does all that can be done now.
class Connection final : public ConnectionBase {
 public:
  Connection(const std::shared_ptr<Loop>& loop, std::unique_ptr<AnyStream> stream)
      : ConnectionBase(loop),
        limits_(loop->shared->options.limits),
        tls_(loop->shared->tls != nullptr),
        stream_(std::move(stream)),
        remote_(address_of(stream_->socket())),
        reader_(limits_, loop->shared->hosts, loop->shared->options.origins, tls_),
        requests_(limits_.requests_per_s, loop->env()) {}

  void start() override {
    error_code ignored;
    stream_->socket().set_option(tcp::no_delay(true), ignored);
    stream_->socket().non_blocking(true, ignored);
    const bool full = loop_->shared->connections.load() > limits_.connections;
    if (!tls_) {
      if (full) refuse(503, "too many connections\n");
      return advance();
    }
    if (full) return end();
    read_deadline_ = after(limits_.header_time);
    reading_ = handshaking_ = true;
    stream_->async_handshake([self = self()](const error_code& error) {
      self->reading_ = self->handshaking_ = false;
      self->broken_ = self->broken_ || static_cast<bool>(error);
      self->advance();
    });
  }

  void answered(std::uint64_t sequence, Response response) override {
    if (ended_ || slots_.empty() || sequence - slots_.front().sequence >= slots_.size()) return;
    Slot& slot = slots_[sequence - slots_.front().sequence];
    if (slot.ready) return;
    if (upgrade_ && sequence == slots_.back().sequence) upgrade_.reset();
    fill(slot, std::move(response));
  }

  void flush() override { advance(); }

  void expire(Nanos now) override {
    if (websocket_ || ended_) return;  // a WebSocket looks at its own
    if (now >= write_deadline_) return end();
    if (now < read_deadline_) return;
    read_deadline_ = kNever;
    if (goodbye_ || handshaking_) return end();
    if (reader_.phase() != RequestReader::Phase::kIdle) {
      refuse(408, "the request did not arrive in time\n");
    } else if (slots_.empty()) {
      closing_ = true;
    } else {
      read_deadline_ = now + nanos(limits_.idle_time);  // it is we who are slow
    }
    advance();
  }

  void drain() override {
    draining_ = true;
    if (websocket_) return websocket_->close(1001, "the server is going away");
    if (slots_.empty() && reader_.phase() == RequestReader::Phase::kIdle) closing_ = true;
    advance();
  }

  void abort() override {
    if (websocket_) return websocket_->abort();
    end();
  }

 private:
  // An answer that is awaited, or that waits for those before it.
  struct Slot {
    std::uint64_t sequence = 0;
    bool ready = false;
    bool close = false;
    bool head_request = false;
    bool options_request = false;
    bool old = false;    // of HTTP/1.0
    std::string origin;  // of a page from elsewhere, which may read the answer
    int status = 0;
    std::string bytes;  // the head, and the body when it is small
    std::string body;   // when it is not
    // for the log
    std::string method, path;
    std::size_t request_bytes = 0;
    Nanos began = 0;
  };

  std::shared_ptr<Connection> self() { return std::static_pointer_cast<Connection>(shared_from_this()); }
  Nanos after(milliseconds time) const { return loop_->now() + nanos(time); }
  bool takes_requests() const { return !closing_ && !broken_ && !upgrade_ && slots_.size() < limits_.pipelined; }

  void advance() {
    if (advancing_ || websocket_ || ended_) return;
    advancing_ = true;  // handlers may answer while we are here
    do {
      take_requests();
      write();
    } while (takes_requests() && reader_.buffered() > 0 && !waits_for_more_);
    advancing_ = false;
    if (broken_) return end();
    if (accepted_ && slots_.size() == 1 && !writing_) return open_websocket();
    if (closing_ && slots_.empty() && !writing_) return goodbye();
    read();
  }

  void take_requests() {
    waits_for_more_ = false;
    while (takes_requests() && !waits_for_more_) {
      switch (reader_.next()) {
        case RequestReader::Outcome::kMore: waits_for_more_ = true; break;
        case RequestReader::Outcome::kRefused: refuse(reader_.refusal().status, reader_.refusal().text); break;
        case RequestReader::Outcome::kRequest:
          take(std::move(reader_.request()), reader_.keep_alive(), reader_.is_old());
          break;
      }
    }
  }

  Slot& add_slot(const Request& request) {
    Slot& slot = slots_.emplace_back();
    slot.sequence = next_++;
    slot.head_request = request.method == "HEAD";
    slot.options_request = request.method == "OPTIONS";
    if (loop_->shared->logs) {
      slot.method = request.method;
      slot.path = request.path();
      slot.request_bytes = request.body.size();
      slot.began = loop_->env().monotonic_ns();
    }
    return slot;
  }

  void take(Request request, bool keep_alive, bool old) {
    phase_ = RequestReader::Phase::kIdle;
    request.remote = remote_;
    Slot& slot = add_slot(request);
    slot.close = !keep_alive;
    slot.old = old;
    if (is_cross_origin(request)) slot.origin = request.headers.get("Origin");
    if (!keep_alive) closing_ = true;
    if (!requests_.take()) {
      Response response = Response::text(429, "too many requests on this connection\n");
      response.headers.add("Retry-After", "1");
      return fill(slot, std::move(response));
    }
    if (is_preflight(request)) return fill(slot, preflight_answer(request));
    if (slot.options_request && (request.target == "*" || request.target == "/"))
      return fill(slot, allowed_answer("GET, HEAD, POST, DELETE"));
    if (request.is_upgrade()) upgrade_ = request;  // nothing is read until it is known what this connection becomes
    loop_->shared->handler(std::make_shared<Exchange>(self(), slot.sequence, std::move(request)));
  }

  // An answer of the server's own, behind those that are awaited; then the connection ends.
  void refuse(int status, std::string_view text) {
    closing_ = lingers_ = true;
    Slot& slot = add_slot(reader_.request());
    slot.close = true;
    fill(slot, Response::text(status, std::string(text)));
  }

  static Response allowed_answer(std::string_view methods) {
    Response response{204, "", "", {}};
    response.headers.add("Allow", fmt::format("{}{}OPTIONS", methods, methods.empty() ? "" : ", "));
    return response;
  }

  void fill(Slot& slot, Response response) {
    slot.close = slot.close || draining_ || loop_->shared->draining.load(std::memory_order_relaxed);
    // Who asks what is allowed is told, and not that asking is not.
    if (slot.options_request && response.status == 405) response = allowed_answer(response.headers.get("Allow"));
    if (!slot.origin.empty()) allow_origin(slot.origin, response);
    slot.status = response.status;
    slot.bytes.reserve(256 + (response.body.size() <= kCopiedBody ? response.body.size() : 0));
    encode_head(response,
                slot.close ? After::kCloses
                : slot.old ? After::kStaysAndSaysSo
                           : After::kStays,
                loop_->date(), slot.bytes);
    if (!slot.head_request && response.status != 204 && response.status != 304) {
      if (response.body.size() <= kCopiedBody) {
        slot.bytes += response.body;
      } else {
        slot.body = std::move(response.body);
      }
    }
    slot.ready = true;
  }

  // Writes all answers that are next, together.
  void write() {
    if (writing_ || broken_) return;
    std::size_t count = 0, bytes = 0;
    outgoing_.clear();
    for (const Slot& slot : slots_) {
      if (!slot.ready) break;
      outgoing_.emplace_back(slot.bytes.data(), slot.bytes.size());
      if (!slot.body.empty()) outgoing_.emplace_back(slot.body.data(), slot.body.size());
      bytes += slot.bytes.size() + slot.body.size();
      ++count;
      if (slot.close) break;
    }
    if (count > 0) {
      send(bytes, count);
    } else if (waits_for_more_ && slots_.empty() && reader_.take_continue()) {
      outgoing_.emplace_back(kContinue.data(), kContinue.size());
      send(kContinue.size(), 0);
    }
  }

  // Sends `outgoing_`, which holds the first `count` answers.
  void send(std::size_t bytes, std::size_t count) {
    error_code error;
    const std::size_t done = stream_->write_now(outgoing_, error);  // most answers fit into the socket at once
    if (error && error != asio::error::would_block && error != asio::error::try_again) broken_ = true;
    if (broken_ || done == bytes) return sent(count);
    unsent_ = outgoing_;
    skip(done);
    writing_ = true;
    write_deadline_ = after(limits_.write_time);
    send_rest(count);
  }

  // Takes so many bytes off the front of `unsent_`.
  void skip(std::size_t bytes) {
    std::size_t whole = 0;
    while (whole < unsent_.size() && bytes >= unsent_[whole].size()) bytes -= unsent_[whole++].size();
    unsent_ = unsent_.subspan(whole);
    if (bytes > 0) unsent_.front() += bytes;
  }

  void send_rest(std::size_t count) {
    stream_->async_write_some(unsent_, [self = self(), count](const error_code& error, std::size_t bytes) {
      self->skip(bytes);
      if (!error && !self->unsent_.empty()) return self->send_rest(count);
      self->writing_ = false;
      self->write_deadline_ = kNever;
      self->broken_ = self->broken_ || static_cast<bool>(error);
      self->sent(count);
      self->advance();
    });
  }

  void sent(std::size_t count) {
    for (; count > 0; --count) {
      const Slot& slot = slots_.front();
      if (loop_->shared->logs) log(slot);
      closing_ = closing_ || slot.close;
      slots_.pop_front();
    }
  }

  void log(const Slot& slot) const {
    loop_->shared->options.access_log({.remote = remote_,
                                       .method = slot.method,
                                       .path = slot.path,
                                       .status = broken_ ? 499 : slot.status,
                                       .request_bytes = slot.request_bytes,
                                       .response_bytes = slot.bytes.size() + slot.body.size(),
                                       .took_us = (loop_->env().monotonic_ns() - slot.began) / 1000});
  }

  void read() {
    if (reading_) return;
    if (!takes_requests()) {
      read_deadline_ = kNever;
      return;
    }
    if (const auto phase = reader_.phase(); phase != phase_ || phase == RequestReader::Phase::kIdle) {
      phase_ = phase;
      read_deadline_ = after(phase == RequestReader::Phase::kIdle      ? limits_.idle_time
                             : phase == RequestReader::Phase::kHeaders ? limits_.header_time
                                                                       : limits_.body_time);
    }
    reading_ = true;
    const std::span<char> to = reader_.prepare();
    stream_->async_read_some({to.data(), to.size()}, [self = self()](const error_code& error, std::size_t bytes) {
      self->reading_ = false;
      self->got(error, bytes);
    });
  }

  void got(const error_code& error, std::size_t bytes) {
    if (!closing_ && !broken_) {
      if (!error) {
        reader_.committed(bytes);
      } else if (error == asio::error::eof) {
        closing_ = true;  // it may still wait for answers
      } else {
        broken_ = true;
      }
    }
    advance();
  }

  void open_websocket() {
    slots_.clear();
    read_deadline_ = kNever;
    websocket_ = make_websocket(loop_, std::move(stream_), remote_, std::move(*accepted_), [self = self()] {
      self->websocket_ = nullptr;
      self->ended_ = true;
      self->leave();
    });
    websocket_->start(*upgrade_, std::move(accept_headers_));
    upgrade_.reset();
    if (draining_) websocket_->close(1001, "the server is going away");
  }

  void upgraded(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers) override {
    if (!upgrade_ || accepted_ || ended_ || broken_ || slots_.empty() || slots_.back().sequence != sequence) {
      if (handlers.on_close) handlers.on_close(1006, "the connection was lost");
      return;
    }
    if (reader_.buffered() > 0) {  // of whom would these bytes be?
      if (handlers.on_close) handlers.on_close(1006, "bytes followed before the WebSocket was open");
      upgrade_.reset();
      closing_ = lingers_ = slots_.back().close = true;
      fill(slots_.back(), Response::text(400, "nothing may follow before the WebSocket is open\n"));
      return advance();
    }
    accepted_ = std::move(handlers);
    accept_headers_ = std::move(headers);
    advance();
  }

  void goodbye() {
    if (goodbye_) return;
    error_code ignored;
    if (reading_) {  // its end brings us here again
      stream_->socket().cancel(ignored);
      return;
    }
    goodbye_ = true;
    read_deadline_ = after(kLinger);
    if (!tls_) return linger();
    stream_->async_shutdown([self = self()](const error_code&) { self->linger(); });
  }

  void linger() {
    error_code ignored;
    stream_->socket().shutdown(tcp::socket::shutdown_send, ignored);
    if (!lingers_ || ended_ || lingered_ >= kLingerBytes) return end();
    thread_local std::array<char, 16 * 1024> nowhere;  // what comes is not decrypted any more
    stream_->socket().async_read_some(asio::mutable_buffer(nowhere.data(), nowhere.size()),
                                      AnyStream::Moved([self = self()](const error_code& error, std::size_t bytes) {
                                        self->lingered_ += bytes;
                                        if (error) return self->end();
                                        self->linger();
                                      }));
  }

  void end() {
    if (ended_) return;
    ended_ = broken_ = true;
    read_deadline_ = write_deadline_ = kNever;
    error_code ignored;
    if (stream_) stream_->socket().close(ignored);
    if (accepted_ && accepted_->on_close) accepted_->on_close(1006, "the connection was lost");
    accepted_.reset();
    upgrade_.reset();
    leave();
  }

  const Limits& limits_;
  const bool tls_;
  std::unique_ptr<AnyStream> stream_;  // until it is a WebSocket's
  const std::string remote_;
  RequestReader reader_;
  Bucket requests_;
  std::deque<Slot> slots_;  // in the order of the requests
  std::vector<asio::const_buffer> outgoing_;
  std::span<asio::const_buffer> unsent_;  // of outgoing_
  std::uint64_t next_ = 0;
  Nanos read_deadline_ = kNever;
  Nanos write_deadline_ = kNever;
  RequestReader::Phase phase_ = RequestReader::Phase::kIdle;  // the one that read_deadline_ is for
  bool advancing_ = false;
  bool waits_for_more_ = false;  // the reader has no whole request
  bool reading_ = false;
  bool writing_ = false;
  bool handshaking_ = false;
  bool closing_ = false;  // no more requests are taken
  bool lingers_ = false;  // the client may still be sending
  bool goodbye_ = false;  // the last answer is written
  bool broken_ = false;   // nothing can be written any more
  bool draining_ = false;
  bool ended_ = false;  // the socket is closed, or a WebSocket's
  std::size_t lingered_ = 0;
  std::optional<Request> upgrade_;  // waits for its answer, or to become a WebSocket
  std::optional<WebSocketHandlers> accepted_;
  Headers accept_headers_;
  std::shared_ptr<WebSocketBase> websocket_;
};

}  // namespace

std::shared_ptr<ConnectionBase> make_connection(const std::shared_ptr<Loop>& loop, Socket socket) {
  asio::ssl::context* tls = loop->shared->tls.get();
  return std::make_shared<Connection>(loop, tls ? make_tls_stream(std::move(socket), Side::kServer, *tls, {})
                                                : make_plain_stream(std::move(socket), Side::kServer));
}

}  // namespace daybreak::net
