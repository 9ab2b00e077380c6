// The WebSocket that a connection has become.
#pragma once

#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <string>

#include "daybreak/net/internal/connection.h"

namespace daybreak::net {

class WebSocketBase : public WebSocket {
 public:
  virtual void start(boost::beast::http::request<boost::beast::http::string_body> request, Headers headers) = 0;
  // At once, without a word. On the loop.
  virtual void abort() = 0;
};

// `gone` is called on the loop when it is closed.
std::shared_ptr<WebSocketBase> make_websocket(const std::shared_ptr<Loop>& loop, tcp::socket stream, std::string remote,
                                              WebSocketHandlers handlers, std::function<void()> gone);
std::shared_ptr<WebSocketBase> make_websocket(const std::shared_ptr<Loop>& loop, asio::ssl::stream<tcp::socket> stream,
                                              std::string remote, WebSocketHandlers handlers,
                                              std::function<void()> gone);

}  // namespace daybreak::net
