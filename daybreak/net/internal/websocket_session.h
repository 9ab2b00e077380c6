// The WebSocket that a connection has become.
#pragma once

#include <memory>
#include <string>

#include "daybreak/net/internal/connection.h"

namespace daybreak::net {

class WebSocketBase : public WebSocket {
 public:
  // `request` asked for it; `headers` go into the answer.
  virtual void start(const Request& request, Headers headers) = 0;
  // At once, without a word. On the loop.
  virtual void abort() = 0;
};

// `gone` is called on the loop when it is closed.
std::shared_ptr<WebSocketBase> make_websocket(const std::shared_ptr<Loop>& loop, std::unique_ptr<AnyStream> stream,
                                              std::string remote, WebSocketHandlers handlers,
                                              std::function<void()> gone);

}  // namespace daybreak::net
