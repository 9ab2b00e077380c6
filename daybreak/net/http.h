// Requests and responses, as a server gets and gives them. Values; no thread owns them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::net {

struct Header {
  std::string name;
  std::string value;
  bool operator==(const Header&) const = default;
};

class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Header> headers) : headers_(headers) {}

  // The first of that name, whose case does not matter; empty when there is none.
  std::string_view get(std::string_view name) const;
  // Whether the comma-separated values of that name hold this word, in any case.
  bool lists(std::string_view name, std::string_view word) const;
  void add(std::string name, std::string value) { headers_.push_back({std::move(name), std::move(value)}); }
  auto begin() const { return headers_.begin(); }
  auto end() const { return headers_.end(); }
  std::size_t size() const { return headers_.size(); }

 private:
  std::vector<Header> headers_;
};

struct Request {
  std::string method;  // "POST"
  std::string target;  // "/pong/predict?v=1", as it came: never longer than Limits::target_bytes
  Headers headers;
  std::string body;
  std::string remote;  // "127.0.0.1:40000"
  bool tls = false;

  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
  std::string_view query() const;
  bool is_upgrade() const;  // to a WebSocket
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";  // empty: without one
  std::string body;
  Headers headers;  // more; Content-Length, Connection and Date are set by the server

  static Response json(int status, std::string body) { return {status, "application/json", std::move(body), {}}; }
  static Response text(int status, std::string body) {
    return {status, "text/plain; charset=utf-8", std::move(body), {}};
  }
};

// "Not Found"; "Unknown" for a status that HTTP does not know.
std::string_view reason_phrase(int status);

bool equal_ignoring_case(std::string_view a, std::string_view b);

// The bytes up to the body. A header whose name or value holds a control character is left out: nobody writes headers
// of his own into somebody else's response. `date`: of the Date header, or empty.
std::string encode_head(const Response& response, bool close, std::string_view date);

}  // namespace daybreak::net
