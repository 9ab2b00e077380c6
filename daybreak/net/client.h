// A client that waits for its answers: for commands, tests and other rooms' probes. Not for load.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/net/http.h"

namespace daybreak::net {

struct ClientOptions {
  std::chrono::milliseconds timeout{10'000};  // of connecting, and of each request
  bool tls = false;
  std::string ca_file;  // whom to trust with tls; empty: the system's
  std::size_t max_response_bytes = 64u << 20;
};

// One connection, kept between requests. One thread at a time.
class Client {
 public:
  // kUnavailable when nobody answers there.
  static base::Result<std::unique_ptr<Client>> connect(const std::string& host, std::uint16_t port,
                                                       const ClientOptions& options = {});
  ~Client();

  // method, target, headers and body of the request are sent, with Host and Content-Length. kDeadlineExceeded,
  // kUnavailable when the connection ends; both end the connection.
  base::Result<Response> request(const Request& request);
  base::Result<Response> get(std::string target) { return request({.method = "GET", .target = std::move(target)}); }
  base::Result<Response> post(std::string target, std::string body) {
    return request({.method = "POST",
                    .target = std::move(target),
                    .headers = {{"Content-Type", "application/json"}},
                    .body = std::move(body)});
  }

  class Impl;

 private:
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct WebSocketMessage {
  std::string bytes;
  bool text = true;
};

// The same for a WebSocket.
class WebSocketClient {
 public:
  // `headers` go with the request: Origin, Sec-WebSocket-Protocol... kPermissionDenied with the status and body of the
  // answer when the server does not open it, kFailedPrecondition when it chose a protocol that was not asked for.
  static base::Result<std::unique_ptr<WebSocketClient>> connect(const std::string& host, std::uint16_t port,
                                                                const std::string& target, const Headers& headers = {},
                                                                const ClientOptions& options = {});
  ~WebSocketClient();

  base::Status send(const WebSocketMessage& message);
  // The next message. kUnavailable when the connection is closed: close_code() and close_reason() say why.
  base::Result<WebSocketMessage> receive();
  // Says goodbye, 1000.
  void close();
  // The headers with which the server opened it, and the protocol that it chose; empty: none.
  const Headers& answer() const;
  std::string_view protocol() const { return answer().get("Sec-WebSocket-Protocol"); }
  std::uint16_t close_code() const;
  std::string close_reason() const;

  class Impl;

 private:
  explicit WebSocketClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daybreak::net
