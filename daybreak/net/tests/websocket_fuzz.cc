// Frames of a client, after a good handshake. The first byte chooses where they are cut into pieces.
#include <cstdint>

#include "daybreak/net/tests/wire.h"

using namespace daybreak::net;

namespace {

constexpr std::string_view kHandshake =
    "GET /play HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

void must(bool condition) {
  if (!condition) __builtin_trap();
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : 9;
    if (i + more >= text.size()) return false;
    std::uint32_t point = more == 0 ? lead : lead & (0x3fu >> more);
    for (std::size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if (next >> 6 != 2) return false;
      point = point << 6 | (next & 0x3fu);
    }
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (point < kLeast[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    i += more + 1;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 8192) return 0;
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  ServerOptions options;
  options.limits.message_bytes = 1000;
  options.limits.queued_bytes = 4000;
  int opened = 0, closed = 0;
  {
    Wire wire(options, [&](const std::shared_ptr<Exchange>& exchange) {
      WebSocketHandlers handlers;
      handlers.on_open = [&](const auto&) { ++opened; };
      handlers.on_message = [&](const std::shared_ptr<WebSocket>& socket, std::string_view message, bool text) {
        must(closed == 0 && message.size() <= 1000 && (!text || is_utf8(message)));
        text ? socket->send_text(std::string(message)) : socket->send_binary(std::string(message));
      };
      handlers.on_close = [&](std::uint16_t code, std::string_view reason) {
        must(code >= 1000 && reason.size() <= 123);
        ++closed;
      };
      exchange->accept(std::move(handlers));
    });
    must(wire.say(kHandshake) && opened == 1 && wire.heard().starts_with("HTTP/1.1 101"));
    const std::size_t piece = std::size_t{1} + data[0];
    for (bool open = true; open && !input.empty();) {
      const std::string_view part = input.substr(0, piece);
      input.remove_prefix(part.size());
      open = wire.say(part);
    }
  }
  must(opened == 1 && closed == 1);
  return 0;
}
