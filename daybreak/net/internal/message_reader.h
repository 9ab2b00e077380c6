// Bytes of a connection into HTTP/1.1 messages: requests for the server, responses for the client. What both have in
// common is here once: lines, headers, chunks, limits, and the rules by which a message has one end and no other. No
// socket in it: a fuzzer can feed it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "daybreak/net/http.h"
#include "daybreak/net/server.h"

namespace daybreak::net {

// Why no message is made of the bytes.
enum class Fault : unsigned char {
  kNone,
  kTarget,   // longer than Limits::target_bytes
  kHeaders,  // larger than Limits::header_bytes
  kBody,     // larger than Limits::body_bytes
  kVersion,  // neither HTTP/1.0 nor 1.1
  kLength,   // where the body ends could be read in two ways: the beginning of smuggling
  kCoding,   // a transfer coding other than chunked
  kSyntax,   // anything else that is no HTTP/1.1
  kInterim,  // more responses of 1xx than one waits for
  kTorn,     // the connection has ended in the middle
};

// What has come and is not parsed yet. Grows for large headers and for bodies, and shrinks when a message has gone.
class ReadBuffer {
 public:
  enum class Use : unsigned char { kIdle, kHeaders, kLargeBody };

  // Where the next bytes go; then committed(how many).
  std::span<char> prepare(Use use);
  void committed(std::size_t bytes) { end_ += bytes; }
  std::span<const char> bytes() const { return {bytes_.data() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  void consume(std::size_t bytes) { begin_ += bytes; }
  void clear() { begin_ = end_ = 0; }

 private:
  std::vector<char> bytes_;
  std::size_t begin_ = 0, end_ = 0;
};

// One thread at a time. After a fault it reads nothing more.
template <bool kIsRequest>
class MessageReader {
 public:
  using Message = std::conditional_t<kIsRequest, Request, Response>;
  enum class Phase : unsigned char { kIdle, kHeaders, kBody };  // kIdle: no byte of the next message is here

  explicit MessageReader(const Limits& limits);  // borrowed
  ~MessageReader();
  MessageReader(const MessageReader&) = delete;
  MessageReader& operator=(const MessageReader&) = delete;

  // Where the next bytes go; then committed(how many).
  std::span<char> prepare();
  void committed(std::size_t bytes) { buffer_.committed(bytes); }

  enum class Outcome : unsigned char { kMore, kHead, kMessage, kFault };
  // kHead: the first line and the headers of message() are here, and it is clear where the body ends; next() goes on.
  // kMessage: message() is whole, to be moved away. kFault: fault() says why.
  Outcome next();
  // The other side sends nothing more: the end of a response that has no other.
  Outcome finish();

  Message& message() { return message_; }
  Fault fault() const { return fault_; }
  // "the headers are larger than 32768 bytes"
  std::string fault_text() const;
  // Whether another message may follow on this connection. Of a message, once kMessage.
  bool keep_alive() const { return keep_alive_; }
  // Of HTTP/1.0; from kHead on.
  bool is_old() const { return old_; }
  // Whether the client waits for "100 Continue" before it sends the body. Of a head of a request, at kHead.
  bool expects_continue() const;
  // The next response answers HEAD: it has no body, whatever its headers say.
  void expect_no_body() { bodiless_ = true; }
  // No more is read, for this reason.
  Outcome fail(Fault fault);
  Phase phase() const;
  std::size_t buffered() const { return buffer_.size(); }
  // What has come is for nobody.
  void drop() { buffer_.clear(); }

 private:
  class Parser;

  Outcome take(bool keep_alive);
  void begin();
  void skip_empty_lines();
  // Of what is known when the headers are here.
  Fault framing_fault() const;

  const Limits& limits_;
  ReadBuffer buffer_;
  std::unique_ptr<Parser> parser_;  // of the message that is under way
  std::size_t header_bytes_ = 0;    // of it: the first line and the headers
  bool under_way_ = false;
  bool headers_done_ = false;
  bool bodiless_ = false;
  bool keep_alive_ = false;
  bool old_ = false;
  Message message_;
  Fault fault_ = Fault::kNone;
};

extern template class MessageReader<true>;
extern template class MessageReader<false>;

}  // namespace daybreak::net
