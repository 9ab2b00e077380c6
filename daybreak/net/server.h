// An HTTP/1.1 and WebSocket server: keep-alive, pipelining, TLS, limits on everything, one event loop a thread.
//
//   ServerOptions options;
//   auto server = Server::start(options, [](const std::shared_ptr<Exchange>& exchange) {
//     exchange->respond(Response::text(200, "hello"));
//   });
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/net/http.h"
#include "daybreak/net/websocket.h"

namespace daybreak::net {

using std::chrono::milliseconds;

// What is beyond a limit is answered with its status, and the connection ends.
struct Limits {
  std::size_t target_bytes = 8 * 1024;   // 414
  std::size_t header_bytes = 32 * 1024;  // 431: the first line and all headers
  std::size_t body_bytes = 16u << 20;    // 413
  std::size_t connections = 10'000;      // 503, before a request is read
  std::size_t pipelined = 64;            // requests of one connection that wait for answers: then nothing more is read
  double requests_per_s = 0;             // of one connection, twice as many at once: 429; 0 = no limit
  milliseconds header_time{10'000};      // from a request's first byte to its last header: 408
  milliseconds body_time{60'000};        // 408
  milliseconds idle_time{75'000};        // without a request: closed without a word
  milliseconds write_time{30'000};       // of a response that the client does not read: closed
  std::size_t message_bytes = 1u << 20;  // of a WebSocket: closed with 1009
  double messages_per_s = 0;             // of one WebSocket, twice as many at once: closed with 1008; 0 = no limit
  milliseconds close_time{5'000};        // of a WebSocket, for its client's goodbye: then it is closed without
  std::size_t queued_bytes = 8u << 20;   // of messages that a WebSocket's client does not read: closed with 1008
};

struct TlsOptions {
  std::string certificate_file;  // PEM, the chain
  std::string key_file;          // PEM
};

// The addresses of a name as this machine knows it, IPv4 first, each once; of an address itself. kInvalidArgument for
// what is neither. Asks the system, which may ask the network.
base::Result<std::vector<std::string>> resolve(const std::string& name);

// Whether every address that the name stands for is this machine alone: 127.0.0.0/8 and ::1.
bool is_loopback(const std::string& name);

// One finished answer, for the log. The path is without the query, which may hold what is not for a log.
struct Access {
  std::string_view remote, method, path;
  int status = 0;
  std::size_t request_bytes = 0, response_bytes = 0;
  std::int64_t took_us = 0;  // from the last byte of the request to the last byte of the response
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // or a name of this machine: the first address that it stands for
  std::uint16_t port = 0;             // 0: any; Server::port() says which
  int threads = 0;                    // event loops; 0: one a core
  Limits limits;
  std::optional<TlsOptions> tls;
  // Values of the Host header that are answered, beside the server's own address and, on loopback, localhost; a name
  // without a port is answered with any; "*" for all. Others get 421: a page whose name was bound to our address shall not talk to us (DNS rebinding).
  std::vector<std::string> hosts;
  // Values of the Origin header that are answered, beside those of the server itself; "*" for all. Others get 403.
  std::vector<std::string> origins;
  std::function<void(const Access&)> access_log;  // on the loops; unset: base::log_info
  base::Env* env = &base::Env::real();            // the clock of all limits but those of an open WebSocket
};

class ConnectionBase;

// One request that waits for its answer. Held by whoever answers; respond() or accept() once, from any thread. When it
// goes without an answer the client gets 500. Answers leave in the order of the requests.
class Exchange {
 public:
  Exchange(std::shared_ptr<ConnectionBase> connection, std::uint64_t sequence, Request request);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const Request& request() const { return request_; }
  Request& request() { return request_; }
  void respond(Response response);
  // Makes a WebSocket of the connection (request().is_upgrade()), which then calls these handlers on its loop. The
  // client gets 101, with these headers too: Sec-WebSocket-Protocol names the one of the client's that was chosen.
  void accept(WebSocketHandlers handlers, Headers headers = {});
  // The number of the loop on which the request came: answers from Server::post() to it wake nobody.
  int loop() const { return loop_; }

 private:
  std::shared_ptr<ConnectionBase> connection_;
  const int loop_;
  const std::uint64_t sequence_;
  Request request_;
};

// Called on a loop of the server, for each request; it must not wait. Ask somebody else and let him answer.
using Handler = std::function<void(const std::shared_ptr<Exchange>&)>;

// Any thread may call any function.
class Server {
 public:
  // Listens when it returns. kUnavailable when the address is taken, kInvalidArgument when it is none,
  // kPermissionDenied for a port that this user may not have.
  static base::Result<std::unique_ptr<Server>> start(const ServerOptions& options, Handler handler);
  // stop().
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const;
  std::size_t connections() const;
  int loops() const;
  // Calls `what` on that loop: at once when this is its thread. Dropped when the server has stopped.
  void post(int loop, std::function<void()> what);
  // Takes no connection any more, lets the requests that are here be answered, closes idle connections and tells
  // WebSockets 1001. Waits until all are gone, at most `limit`; returns whether they are.
  bool drain(milliseconds limit);
  // Closes everything at once.
  void stop();

  class Impl;

 private:
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daybreak::net
