// The answers that one connection owes, in the order of its requests, whoever answers first.
#pragma once

#include <boost/asio/buffer.hpp>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "daybreak/net/http.h"

namespace daybreak::net {

// An answer that is awaited, or that waits for those before it.
struct Answer {
  std::uint64_t sequence = 0;
  bool ready = false;
  bool close = false;  // the connection ends behind it
  bool head_request = false;
  bool options_request = false;
  bool old = false;    // of HTTP/1.0
  std::string origin;  // of a page from elsewhere, which may read the answer
  int status = 0;
  std::string bytes;  // the head, and the body when it is small
  std::string body;   // when it is not
  // for the log
  std::string method, path;
  std::size_t request_bytes = 0;
  std::int64_t began_ns = 0;

  // Once: makes the bytes of the response. `date`: of the Date header.
  void fill(Response&& response, std::string_view date);
};

// 204, with an Allow header of these methods and OPTIONS.
Response allowed_answer(std::string_view methods);

// One thread at a time.
class Answers {
 public:
  // The next one, of a request of this method.
  Answer& add(std::string_view method);
  // The one that is still awaited; nullptr when there is none.
  Answer* awaited(std::uint64_t sequence);
  bool empty() const { return all_.empty(); }
  std::size_t size() const { return all_.size(); }
  Answer& front() { return all_.front(); }
  Answer& back() { return all_.back(); }
  void pop_front() { all_.pop_front(); }
  void clear() { all_.clear(); }

  // The bytes of all that are next and ready, up to one that closes.
  struct Next {
    std::size_t count = 0, bytes = 0;
  };
  Next gather(std::vector<boost::asio::const_buffer>& pieces) const;

 private:
  std::deque<Answer> all_;
  std::uint64_t next_ = 0;
};

}  // namespace daybreak::net
