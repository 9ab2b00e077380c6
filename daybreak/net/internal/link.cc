#include "daybreak/net/internal/link.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <optional>
#include <utility>

namespace daybreak::net {

using base::Code;
using base::fail;

Link::Link(std::string host, std::uint16_t port, ClientOptions options)
    : host_(std::move(host)), port_(port), options_(std::move(options)), tls_(asio::ssl::context::tls_client) {}

base::Result<std::unique_ptr<AnyStream>> Link::connect() {
  error_code error;
  asio::ip::basic_resolver<tcp, Socket::executor_type> resolver(io_);
  const auto found = resolver.resolve(host_, std::to_string(port_), error);
  if (error) return std::unexpected(transport_error(host_header(), error));
  Socket socket(io_);
  const auto close = [&] {
    error_code ignored;
    socket.close(ignored);
  };
  error = wait(
      [&](const Done& done) {
        asio::async_connect(socket, found, [done](const error_code& result, const tcp::endpoint&) { done(result); });
      },
      close);
  if (error) return std::unexpected(transport_error(host_header(), error));
  socket.set_option(tcp::no_delay(true), error);
  if (!options_.tls) return make_plain_stream(std::move(socket), Side::kClient);

  DAYBREAK_TRY(load_authorities());
  auto stream = make_tls_stream(std::move(socket), Side::kClient, tls_, host_);
  error = wait([&](const Done& done) { stream->async_handshake(done); }, [&] { stream->socket().close(); });
  if (error) return std::unexpected(transport_error(fmt::format("TLS with {}", host_), error));
  return stream;
}

base::Status Link::load_authorities() {
  error_code error;
  if (options_.ca_file.empty()) {
    tls_.set_default_verify_paths(error);
  } else {
    tls_.load_verify_file(options_.ca_file, error);
  }
  if (error) return fail(Code::kInvalidArgument, "cannot read the CA file '{}': {}", options_.ca_file, error.message());
  return {};
}

error_code Link::wait(const std::function<void(Done)>& begin, const std::function<void()>& cancel) {
  std::optional<error_code> result;
  begin([&result](const error_code& error) { result = error; });
  io_.restart();
  io_.run_for(options_.timeout);
  if (result) return *result;
  cancel();
  io_.restart();
  io_.run();
  return asio::error::timed_out;
}

base::Error Link::transport_error(std::string_view what, const error_code& error) const {
  if (error == asio::error::timed_out)
    return {Code::kDeadlineExceeded, fmt::format("{}: no answer within {} ms", what, options_.timeout.count())};
  return {Code::kUnavailable, fmt::format("{}: {}", what, error.message())};
}

std::string Link::host_header() const {
  return fmt::format("{}:{}", host_, port_);
}

}  // namespace daybreak::net
