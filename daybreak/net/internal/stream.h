// The bytes of one connection, over TCP or TLS: what reads and writes them is compiled once, for both.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace boost::asio::ssl {
class context;
}

namespace daybreak::net {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using error_code = boost::system::error_code;
// Its executor is the loop's own type: the erased one costs a request half a microsecond.
using Socket = asio::basic_stream_socket<tcp, asio::io_context::executor_type>;

enum class Side : unsigned char { kServer, kClient };

// On the thread that runs the socket's io_context, at most one read and one write at a time, and alive until they have
// ended. What is begun ends in one call of `done` from the io_context, never from inside the call that began it; a
// closed socket ends it with an error.
class AnyStream {
 public:
  using Done = std::move_only_function<void(const error_code&)>;
  using Moved = std::move_only_function<void(const error_code&, std::size_t bytes)>;
  using Pieces = std::span<const asio::const_buffer>;

  virtual ~AnyStream() = default;

  Socket& socket() { return socket_; }

  // Before all others.
  virtual void async_handshake(Done done) = 0;
  virtual void async_read_some(asio::mutable_buffer to, Moved done) = 0;
  // What the pieces point to lives until `done`; the span itself may go.
  virtual void async_write_some(Pieces from, Moved done) = 0;
  // As much as goes without waiting; would_block when nothing does.
  virtual std::size_t write_now(Pieces from, error_code& error) = 0;
  // Says that nothing more will be written, and waits until the other side knows.
  virtual void async_shutdown(Done done) = 0;
  // The end of a WebSocket: shuts down, reads what still comes and closes the socket.
  virtual void async_teardown(Done done) = 0;

 protected:
  explicit AnyStream(Socket socket) : socket_(std::move(socket)) {}

  Socket socket_;
};

std::unique_ptr<AnyStream> make_plain_stream(Socket socket, Side side);
// The context is borrowed. A client checks that the certificate is of `host`.
std::unique_ptr<AnyStream> make_tls_stream(Socket socket, Side side, asio::ssl::context& context,
                                           const std::string& host);

}  // namespace daybreak::net
