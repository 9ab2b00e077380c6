// A client's own event loop and the connection on it, for one operation at a time.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "daybreak/net/client.h"
#include "daybreak/net/internal/stream.h"

namespace daybreak::net {

// One thread at a time.
class Link {
 public:
  using Done = std::function<void(const error_code&)>;

  Link(std::string host, std::uint16_t port, ClientOptions options);

  // Connected, after the handshake when there is TLS. The link outlives the stream.
  base::Result<std::unique_ptr<AnyStream>> connect();
  // Starts the operation and runs until it is done; when it takes too long, `cancel` ends it: asio::error::timed_out.
  error_code wait(const std::function<void(Done)>& begin, const std::function<void()>& cancel);
  // What `error` of an operation means to the caller.
  base::Error transport_error(std::string_view what, const error_code& error) const;

  const ClientOptions& options() const { return options_; }
  std::string host_header() const;

 private:
  base::Status load_authorities();

  const std::string host_;
  const std::uint16_t port_;
  const ClientOptions options_;
  asio::io_context io_{1};
  asio::ssl::context tls_;
};

}  // namespace daybreak::net
