// Requests and responses, as a server gets and gives them. Values; no thread owns them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::net {

// A view of a name and its value.
struct Header {
  std::string_view name;
  std::string_view value;
  bool operator==(const Header&) const = default;
};

// In the order in which they were added, all in one piece of memory. Views of them hold until the next add().
class Headers {
 public:
  class Iterator;

  Headers() = default;
  Headers(std::initializer_list<Header> headers) {
    for (const Header& header : headers) add(header.name, header.value);
  }

  // The first of that name, whose case does not matter; empty when there is none.
  std::string_view get(std::string_view name) const;
  // Whether the comma-separated values of that name hold this word, in any case.
  bool lists(std::string_view name, std::string_view word) const;
  void add(std::string_view name, std::string_view value);
  Iterator begin() const;
  Iterator end() const;
  std::size_t size() const { return places_.size(); }
  Header operator[](std::size_t i) const {
    const Place& place = places_[i];
    const std::string_view all = text_;
    return {all.substr(place.at, place.name_bytes), all.substr(place.at + place.name_bytes, place.value_bytes)};
  }

 private:
  struct Place {
    std::size_t at, name_bytes, value_bytes;
  };
  std::string text_;
  std::vector<Place> places_;
};

class Headers::Iterator {
 public:
  using value_type = Header;
  using difference_type = std::ptrdiff_t;

  Iterator() = default;
  Iterator(const Headers* headers, std::size_t i) : headers_(headers), i_(i) {}
  Header operator*() const { return (*headers_)[i_]; }
  Iterator& operator++() {
    ++i_;
    return *this;
  }
  Iterator operator++(int) { return {headers_, i_++}; }
  bool operator==(const Iterator&) const = default;

 private:
  const Headers* headers_ = nullptr;
  std::size_t i_ = 0;
};

inline Headers::Iterator Headers::begin() const {
  return {this, 0};
}
inline Headers::Iterator Headers::end() const {
  return {this, places_.size()};
}

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

// Whether it may be sent: a name without a colon, and no control character in either. Nobody writes headers of his own
// into somebody else's response.
bool is_sendable(const Header& header);

// What becomes of the connection behind an answer. An HTTP/1.0 client is told that it stays.
enum class After : unsigned char { kStays, kStaysAndSaysSo, kCloses };

// The bytes up to the body, at the end of `out`. Headers that are not sendable are left out. `date`: of the Date
// header, or empty.
void encode_head(const Response& response, After after, std::string_view date, std::string& out);

}  // namespace daybreak::net
