// Bytes of a connection into requests. No socket in it: a fuzzer can feed it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/net/internal/origin.h"
#include "daybreak/net/server.h"

namespace daybreak::net {

// One thread at a time. After a refusal it reads nothing more.
class RequestReader {
 public:
  enum class Phase : unsigned char { kIdle, kHeaders, kBody };  // kIdle: no byte of the next request is here

  // All are borrowed. `hosts` and `origins`: as for check_names().
  RequestReader(const Limits& limits, std::span<const std::string> hosts, std::span<const std::string> origins,
                bool tls);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // Where the next bytes go; then committed(how many).
  std::span<char> prepare();
  void committed(std::size_t bytes) { end_ += bytes; }

  enum class Outcome : unsigned char { kMore, kRequest, kRefused };
  // kRequest: request() is the next one, to be moved away; keep_alive() says whether another may follow. kRefused:
  // refusal().
  Outcome next();

  Request& request() { return request_; }
  bool keep_alive() const { return keep_alive_; }
  // Of HTTP/1.0: who wants to go on must be told that he may.
  bool is_old() const { return old_; }
  const Refusal& refusal() const { return refusal_; }
  Phase phase() const;
  // Whether the client waits for "100 Continue" before it sends the body; once.
  bool take_continue() { return std::exchange(wants_continue_, false); }
  std::size_t buffered() const { return end_ - begin_; }

 private:
  class Parser;

  Outcome refuse(int status, std::string text);
  Outcome check_headers();
  // Of "http://name/path" the path; false when it names another server than Host does.
  bool take_absolute_target();
  void skip_empty_lines();

  const Limits& limits_;
  const std::span<const std::string> hosts_, origins_;
  const bool tls_;
  std::vector<char> buffer_;  // what has come and is not parsed: [begin_, end_)
  std::size_t begin_ = 0, end_ = 0;
  std::unique_ptr<Parser> parser_;  // of the request that is under way
  bool under_way_ = false;
  bool headers_done_ = false;
  bool keep_alive_ = false;
  bool old_ = false;
  bool wants_continue_ = false;
  Request request_;
  Refusal refusal_;
};

}  // namespace daybreak::net
