// A WebSocket, as its server sees it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace daybreak::net {

// Any thread may call any function; nothing happens on one that is closed.
class WebSocket {
 public:
  virtual ~WebSocket() = default;
  // Queued; false when the connection is closed, or was closed now because its client reads too slowly.
  virtual bool send_text(std::string message) = 0;
  virtual bool send_binary(std::string message) = 0;
  // RFC 6455 7.4: 1000 normal, 1001 going away, 1008 policy, 1011 error, 4000 to 4999 one's own. The reason is cut at
  // 123 bytes.
  virtual void close(std::uint16_t code, std::string_view reason) = 0;
  virtual const std::string& remote() const = 0;
};

// Called on the connection's loop, never two at once for one WebSocket. on_close is the last call.
struct WebSocketHandlers {
  std::function<void(const std::shared_ptr<WebSocket>&)> on_open;
  std::function<void(const std::shared_ptr<WebSocket>&, std::string_view message, bool text)> on_message;
  std::function<void(std::uint16_t code, std::string_view reason)> on_close;
};

}  // namespace daybreak::net
