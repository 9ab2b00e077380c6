#include "daybreak/net/internal/stream.h"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <boost/beast/websocket/teardown.hpp>

namespace daybreak::net {

namespace beast = boost::beast;

namespace {

beast::role_type role_of(Side side) {
  return side == Side::kServer ? beast::role_type::server : beast::role_type::client;
}

// A copy of the first pieces, which Asio keeps for as long as the operation takes.
class SomePieces {
 public:
  explicit SomePieces(AnyStream::Pieces from) : count_(std::min(from.size(), pieces_.size())) {
    std::copy_n(from.begin(), count_, pieces_.begin());
  }
  const asio::const_buffer* begin() const { return pieces_.data(); }
  const asio::const_buffer* end() const { return pieces_.data() + count_; }

 private:
  std::array<asio::const_buffer, 16> pieces_;
  std::size_t count_;
};

class PlainStream final : public AnyStream {
 public:
  PlainStream(Socket socket, Side side) : AnyStream(std::move(socket)), side_(side) {}

  void async_handshake(Done done) override { at_once(std::move(done)); }
  void async_read_some(asio::mutable_buffer to, Moved done) override { socket_.async_read_some(to, std::move(done)); }
  void async_write_some(Pieces from, Moved done) override {
    socket_.async_write_some(SomePieces(from), std::move(done));
  }
  std::size_t write_now(Pieces from, error_code& error) override { return socket_.write_some(from, error); }
  void async_shutdown(Done done) override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    at_once(std::move(done));
  }
  void async_teardown(Done done) override {
    beast::websocket::async_teardown(role_of(side_), socket_, std::move(done));
  }

 private:
  void at_once(Done done) {
    asio::post(socket_.get_executor(), [done = std::move(done)]() mutable { done({}); });
  }

  const Side side_;
};

class TlsStream final : public AnyStream {
 public:
  TlsStream(Socket socket, Side side, asio::ssl::context& context, const std::string& host)
      : AnyStream(std::move(socket)), side_(side), tls_(socket_, context) {
    if (side == Side::kServer) return;
    tls_.set_verify_mode(asio::ssl::verify_peer);
    tls_.set_verify_callback(asio::ssl::host_name_verification(host));
    SSL_set_tlsext_host_name(tls_.native_handle(), host.c_str());
  }

  void async_handshake(Done done) override {
    using Type = asio::ssl::stream_base::handshake_type;
    tls_.async_handshake(side_ == Side::kServer ? Type::server : Type::client, std::move(done));
  }
  void async_read_some(asio::mutable_buffer to, Moved done) override { tls_.async_read_some(to, std::move(done)); }
  void async_write_some(Pieces from, Moved done) override { tls_.async_write_some(SomePieces(from), std::move(done)); }
  std::size_t write_now(Pieces, error_code& error) override {
    error = asio::error::would_block;
    return 0;
  }
  void async_shutdown(Done done) override { tls_.async_shutdown(std::move(done)); }
  void async_teardown(Done done) override { beast::async_teardown(role_of(side_), tls_, std::move(done)); }

 private:
  const Side side_;
  asio::ssl::stream<Socket&> tls_;
};

}  // namespace

std::unique_ptr<AnyStream> make_plain_stream(Socket socket, Side side) {
  return std::make_unique<PlainStream>(std::move(socket), side);
}

std::unique_ptr<AnyStream> make_tls_stream(Socket socket, Side side, asio::ssl::context& context,
                                           const std::string& host) {
  return std::make_unique<TlsStream>(std::move(socket), side, context, host);
}

}  // namespace daybreak::net
