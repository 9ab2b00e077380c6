// Bytes of a connection into the responses that a client waits for. No socket in it: a fuzzer can feed it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "daybreak/net/internal/message_reader.h"

namespace daybreak::net {

// Responses of 1xx ("go on", "wait") that are read over before the one that counts.
inline constexpr int kMaxInterim = 16;

// One thread at a time, one request at a time: expect(), then what comes until a response is there. After a refusal it
// reads nothing more.
class ResponseReader {
 public:
  // Borrowed: header_bytes and body_bytes are of responses, too.
  explicit ResponseReader(const Limits& limits) : reader_(limits) {}

  // A request was sent. The answer to HEAD has no body, whatever its headers say.
  void expect(std::string_view method);

  // Where the next bytes go; then committed(how many).
  std::span<char> prepare() { return reader_.prepare(); }
  void committed(std::size_t bytes) { reader_.committed(bytes); }

  enum class Outcome : unsigned char { kMore, kResponse, kRefused };
  // kResponse: response(), to be moved away; keep_alive() says whether another request may be sent. kRefused: fault().
  Outcome next();
  // The server has closed: where a response without a length ends.
  Outcome finish() { return outcome_of(reader_.finish()); }

  Response& response() { return reader_.message(); }
  // Not when more has come than was asked for: whose answer would it be?
  bool keep_alive() const { return reader_.keep_alive() && reader_.buffered() == 0; }
  Fault fault() const { return reader_.fault(); }
  std::string fault_text() const { return reader_.fault_text(); }

 private:
  Outcome outcome_of(MessageReader<false>::Outcome outcome);

  MessageReader<false> reader_;
  bool head_ = false;
  int interim_ = 0;
};

}  // namespace daybreak::net
