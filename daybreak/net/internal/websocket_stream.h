// Beast's WebSocket over any stream, for the server's sessions and for the client: its templates cost 20 s to compile,
// so that is done once, and callers see functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "daybreak/net/http.h"
#include "daybreak/net/internal/stream.h"

namespace daybreak::net {

// On the thread that runs the stream's io_context; at most one read, one write and one close at a time, and alive until
// they have ended.
class WebSocketStream {
 public:
  using Done = AnyStream::Done;

  // Larger messages end the connection with 1009.
  WebSocketStream(std::unique_ptr<AnyStream> stream, std::size_t message_bytes);
  ~WebSocketStream();

  // `handshake`: of what comes next, the opening or the closing one. `idle`: half of it without a word: a ping; all of
  // it: gone. Without this call nothing is limited.
  void limit_times(std::chrono::milliseconds handshake, std::chrono::milliseconds idle);
  // The server's side: `asked` is the request that wants to become a WebSocket; `headers` go into the answer.
  void async_accept(const Request& asked, Headers headers, Done done);
  // The client's side. The server's answer, once `done`: its status, headers and body.
  void async_handshake(const std::string& host, const std::string& target, Headers headers, Done done);
  const Response& answer() const;

  // The next message: message() and is_text(), until release().
  void async_read(Done done);
  std::string_view message() const;
  bool is_text() const;
  void release();
  // The bytes live until `done`.
  void async_write(std::string_view bytes, bool text, Done done);
  void async_close(std::uint16_t code, std::string_view reason, Done done);
  bool is_open() const;
  // At once, without a word.
  void abort();

  // What the other side said when it closed; 0: nothing.
  std::uint16_t close_code() const;
  std::string close_reason() const;

  // How an operation may end, besides an error of the transport.
  static bool is_closed(const error_code& error);
  static bool is_too_big(const error_code& error);
  static bool is_declined(const error_code& error);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace daybreak::net
