// Bytes of a connection into requests that a server may answer. No socket in it: a fuzzer can feed it.
#pragma once

#include <span>
#include <string>
#include <utility>

#include "daybreak/net/internal/message_reader.h"
#include "daybreak/net/internal/origin.h"

namespace daybreak::net {

// One thread at a time. After a refusal it reads nothing more.
class RequestReader {
 public:
  using Phase = MessageReader<true>::Phase;

  // All are borrowed. `hosts` and `origins`: as for check_names().
  RequestReader(const Limits& limits, std::span<const std::string> hosts, std::span<const std::string> origins,
                bool tls)
      : hosts_(hosts), origins_(origins), tls_(tls), reader_(limits) {}

  // Where the next bytes go; then committed(how many).
  std::span<char> prepare() { return reader_.prepare(); }
  void committed(std::size_t bytes) { reader_.committed(bytes); }

  enum class Outcome : unsigned char { kMore, kRequest, kRefused };
  // kRequest: request() is the next one, to be moved away; keep_alive() says whether another may follow. kRefused:
  // refusal().
  Outcome next();

  Request& request() { return reader_.message(); }
  bool keep_alive() const { return reader_.keep_alive(); }
  // Of HTTP/1.0: who wants to go on must be told that he may.
  bool is_old() const { return reader_.is_old(); }
  const Refusal& refusal() const { return refusal_; }
  Phase phase() const { return reader_.phase(); }
  // Whether the client waits for "100 Continue" before it sends the body; once.
  bool take_continue() { return std::exchange(wants_continue_, false); }
  std::size_t buffered() const { return reader_.buffered(); }

 private:
  Outcome refuse(int status, std::string text);
  Refusal check_headers();
  // Of "http://name/path" the path; false when it names another server than Host does.
  bool take_absolute_target();

  const std::span<const std::string> hosts_, origins_;
  const bool tls_;
  MessageReader<true> reader_;
  bool wants_continue_ = false;
  Refusal refusal_;
};

}  // namespace daybreak::net
