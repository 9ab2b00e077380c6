#include "daybreak/net/internal/connection.h"

#include <algorithm>
#include <array>

#include "daybreak/net/internal/answers.h"
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
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string address_of(const Socket& socket) {
  error_code error;
  const auto end = socket.remote_endpoint(error);
  if (error) return "?";
  return end.address().is_v6() ? fmt::format("[{}]:{}", end.address().to_string(), end.port())
                               : fmt::format("{}:{}", end.address().to_string(), end.port());
}

// What a connection is doing, in the order in which it may: it goes forward alone, and never back (may_follow).
enum class Stage : unsigned char {
  kHandshake,  // TLS is being set up
  kOpen,       // requests are taken, unless one waits to become a WebSocket
  kClosing,    // no more are taken; those that are here are answered
  kGoodbye,    // the last answer is written: the client is told, and what it is still sending is read over
  kWebSocket,  // the stream is a WebSocket's
  kBroken,     // nothing can be read or written any more; it ends when the turn does
  kEnded,      // the socket is closed, and what came late is for nobody
};

bool may_follow(Stage next, Stage before) {
  switch (next) {
    case Stage::kHandshake: return false;
    case Stage::kOpen: return before == Stage::kHandshake;
    case Stage::kClosing: return before < Stage::kClosing;  // a handshake, too, may be overtaken by the server's end
    case Stage::kGoodbye: return before == Stage::kClosing;
    case Stage::kWebSocket: return before == Stage::kOpen || before == Stage::kClosing;  // "Connection: upgrade, close"
    case Stage::kBroken: return before < Stage::kGoodbye;
    case Stage::kEnded: return before < Stage::kEnded;
  }
  return false;
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
        requests_(limits_.requests_per_s, loop->env()),
        stage_(tls_ ? Stage::kHandshake : Stage::kOpen) {}

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
    reading_ = true;
    stream_->async_handshake([self = self()](const error_code& error) {
      self->reading_ = false;
      if (error) {
        self->break_off();
      } else if (self->stage_ == Stage::kHandshake) {
        self->move_to(Stage::kOpen);
      }
      self->advance();
    });
  }

  void answered(std::uint64_t sequence, Response response) override {
    if (stage_ == Stage::kEnded) return;
    Answer* const answer = answers_.awaited(sequence);
    if (answer == nullptr) return;
    if (upgrade_ && sequence == answers_.back().sequence) upgrade_.reset();
    fill(*answer, std::move(response));
  }

  void flush() override { advance(); }

  void expire(Nanos now) override {
    if (stage_ == Stage::kWebSocket || stage_ == Stage::kEnded) return;  // a WebSocket looks at its own
    if (now >= write_deadline_) return end();
    if (now < read_deadline_) return;
    read_deadline_ = kNever;
    if (stage_ == Stage::kGoodbye || stage_ == Stage::kHandshake) return end();
    if (reader_.phase() != RequestReader::Phase::kIdle) {
      refuse(408, "the request did not arrive in time\n");
    } else if (answers_.empty()) {
      close();
    } else {
      read_deadline_ = now + nanos(limits_.idle_time);  // it is we who are slow
    }
    advance();
  }

  void drain() override {
    if (stage_ == Stage::kWebSocket) return websocket_->close(1001, "the server is going away");
    if (answers_.empty() && reader_.phase() == RequestReader::Phase::kIdle) close();
    advance();
  }

  void abort() override {
    if (stage_ == Stage::kWebSocket) return websocket_->abort();
    end();
  }

 private:
  std::shared_ptr<Connection> self() { return std::static_pointer_cast<Connection>(shared_from_this()); }
  Nanos after(milliseconds time) const { return loop_->now() + nanos(time); }
  bool takes_requests() const { return stage_ == Stage::kOpen && !upgrade_ && answers_.size() < limits_.pipelined; }
  // The server as a whole is going away.
  bool draining() const { return loop_->shared->draining.load(std::memory_order_relaxed); }

  void move_to(Stage next) {
    DAYBREAK_CHECK(may_follow(next, stage_));
    stage_ = next;
  }
  // No more requests, whatever the stage.
  void close() {
    if (stage_ < Stage::kClosing) move_to(Stage::kClosing);
  }
  // The transport has failed, which nobody but advance() ends.
  void break_off() {
    if (stage_ < Stage::kGoodbye) move_to(Stage::kBroken);
  }

  void advance() {
    if (advancing_ || stage_ == Stage::kWebSocket || stage_ == Stage::kEnded) return;
    advancing_ = true;  // handlers may answer while we are here
    do {
      take_requests();
      write();
    } while (takes_requests() && reader_.buffered() > 0 && !waits_for_more_);
    advancing_ = false;
    if (stage_ == Stage::kBroken) return end();
    if (accepted_ && answers_.size() == 1 && !writing_) return open_websocket();
    if (stage_ >= Stage::kClosing && answers_.empty() && !writing_) return goodbye();
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

  Answer& add_answer(const Request& request) {
    Answer& answer = answers_.add(request.method);
    if (loop_->shared->logs) {
      answer.method = request.method;
      answer.path = request.path();
      answer.request_bytes = request.body.size();
      answer.began_ns = loop_->env().monotonic_ns();
    }
    return answer;
  }

  void take(Request request, bool keep_alive, bool old) {
    phase_ = RequestReader::Phase::kIdle;
    request.remote = remote_;
    Answer& answer = add_answer(request);
    answer.close = !keep_alive;
    answer.old = old;
    if (is_cross_origin(request)) answer.origin = request.headers.get("Origin");
    if (!keep_alive) close();
    if (!requests_.take()) {
      Response response = Response::text(429, "too many requests on this connection\n");
      response.headers.add("Retry-After", "1");
      return fill(answer, std::move(response));
    }
    if (is_preflight(request)) return fill(answer, preflight_answer(request));
    if (answer.options_request && (request.target == "*" || request.target == "/"))
      return fill(answer, allowed_answer("GET, HEAD, POST, DELETE"));
    if (request.is_upgrade()) upgrade_ = request;  // nothing is read until it is known what this connection becomes
    loop_->shared->handler(std::make_shared<Exchange>(self(), answer.sequence, std::move(request)));
  }

  // An answer of the server's own, behind those that are awaited; then the connection ends.
  void refuse(int status, std::string_view text) {
    close();
    lingers_ = true;
    Answer& answer = add_answer(reader_.request());
    answer.close = true;
    fill(answer, Response::text(status, std::string(text)));
  }

  void fill(Answer& answer, Response response) {
    answer.close = answer.close || draining();
    answer.fill(std::move(response), loop_->date());
  }

  // Writes all answers that are next, together.
  void write() {
    if (writing_ || stage_ >= Stage::kBroken) return;
    outgoing_.clear();
    const auto [count, bytes] = answers_.gather(outgoing_);
    if (count > 0) {
      send(bytes, count);
    } else if (waits_for_more_ && answers_.empty() && reader_.take_continue()) {
      outgoing_.emplace_back(kContinue.data(), kContinue.size());
      send(kContinue.size(), 0);
    }
  }

  // Sends `outgoing_`, which holds the first `count` answers.
  void send(std::size_t bytes, std::size_t count) {
    error_code error;
    const std::size_t done = stream_->write_now(outgoing_, error);  // most answers fit into the socket at once
    if (error && error != asio::error::would_block && error != asio::error::try_again) break_off();
    if (stage_ == Stage::kBroken || done == bytes) return sent(count);
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
      if (error) self->break_off();
      self->sent(count);
      self->advance();
    });
  }

  void sent(std::size_t count) {
    for (; count > 0; --count) {
      const Answer& answer = answers_.front();
      if (loop_->shared->logs) log(answer);
      if (answer.close) close();
      answers_.pop_front();
    }
  }

  void log(const Answer& answer) const {
    loop_->shared->options.access_log({.remote = remote_,
                                       .method = answer.method,
                                       .path = answer.path,
                                       .status = stage_ >= Stage::kBroken ? 499 : answer.status,
                                       .request_bytes = answer.request_bytes,
                                       .response_bytes = answer.bytes.size() + answer.body.size(),
                                       .took_us = (loop_->env().monotonic_ns() - answer.began_ns) / 1000});
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
    if (stage_ == Stage::kOpen) {
      if (!error) {
        reader_.committed(bytes);
      } else if (error == asio::error::eof) {
        close();  // it may still wait for answers
      } else {
        break_off();
      }
    }
    advance();
  }

  void open_websocket() {
    move_to(Stage::kWebSocket);
    answers_.clear();
    read_deadline_ = kNever;
    websocket_ = make_websocket(loop_, std::move(stream_), remote_, std::move(*accepted_), [self = self()] {
      self->websocket_ = nullptr;
      self->move_to(Stage::kEnded);
      self->leave();
    });
    websocket_->start(*upgrade_, std::move(accept_headers_));
    upgrade_.reset();
    if (draining()) websocket_->close(1001, "the server is going away");
  }

  void upgraded(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers) override {
    if (!upgrade_ || accepted_ || stage_ >= Stage::kBroken || answers_.empty() ||
        answers_.back().sequence != sequence) {
      if (handlers.on_close) handlers.on_close(1006, "the connection was lost");
      return;
    }
    if (reader_.buffered() > 0) {  // of whom would these bytes be?
      if (handlers.on_close) handlers.on_close(1006, "bytes followed before the WebSocket was open");
      upgrade_.reset();
      close();
      lingers_ = answers_.back().close = true;
      fill(answers_.back(), Response::text(400, "nothing may follow before the WebSocket is open\n"));
      return advance();
    }
    accepted_ = std::move(handlers);
    accept_headers_ = std::move(headers);
    advance();
  }

  void goodbye() {
    if (stage_ == Stage::kGoodbye) return;
    error_code ignored;
    if (reading_) {  // its end brings us here again
      stream_->socket().cancel(ignored);
      return;
    }
    move_to(Stage::kGoodbye);
    read_deadline_ = after(kLinger);
    if (!tls_) return linger();
    stream_->async_shutdown([self = self()](const error_code&) { self->linger(); });
  }

  void linger() {
    error_code ignored;
    stream_->socket().shutdown(tcp::socket::shutdown_send, ignored);
    if (!lingers_ || stage_ == Stage::kEnded || lingered_ >= kLingerBytes) return end();
    thread_local std::array<char, 16 * 1024> nowhere;  // what comes is not decrypted any more
    stream_->socket().async_read_some(asio::mutable_buffer(nowhere.data(), nowhere.size()),
                                      AnyStream::Moved([self = self()](const error_code& error, std::size_t bytes) {
                                        self->lingered_ += bytes;
                                        if (error) return self->end();
                                        self->linger();
                                      }));
  }

  void end() {
    if (stage_ == Stage::kEnded) return;
    move_to(Stage::kEnded);
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
  Answers answers_;
  std::vector<asio::const_buffer> outgoing_;
  std::span<asio::const_buffer> unsent_;  // of outgoing_
  Nanos read_deadline_ = kNever;
  Nanos write_deadline_ = kNever;
  RequestReader::Phase phase_ = RequestReader::Phase::kIdle;  // the one that read_deadline_ is for
  Stage stage_;
  // Beside the stage, since each may be so or not in several of them:
  bool advancing_ = false;       // a handler that answers at once must not begin a turn inside of the turn
  bool waits_for_more_ = false;  // the reader has no whole request: until bytes come there is nothing to take
  bool reading_ = false;         // the stream has a read of ours, or the handshake: it takes one at a time
  bool writing_ = false;         // the same for a write
  bool lingers_ = false;         // it was we who broke off: the client may be sending, and would lose the answer
  std::size_t lingered_ = 0;
  std::optional<Request> upgrade_;  // waits for its answer, or to become a WebSocket; nothing is read meanwhile
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
