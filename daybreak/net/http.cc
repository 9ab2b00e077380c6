#include "daybreak/net/http.h"

#include <fmt/format.h>

#include <algorithm>

namespace daybreak::net {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; });
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

void Headers::add(std::string_view name, std::string_view value) {
  if (places_.empty()) {
    text_.reserve(256);
    places_.reserve(8);
  }
  places_.push_back({text_.size(), name.size(), value.size()});
  text_.append(name).append(value);
}

std::string_view Headers::get(std::string_view name) const {
  for (const Header header : *this) {
    if (equal_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

bool Headers::lists(std::string_view name, std::string_view word) const {
  for (const Header header : *this) {
    if (!equal_ignoring_case(header.name, name)) continue;
    for (std::string_view rest = header.value; !rest.empty();) {
      const std::size_t comma = rest.find(',');
      std::string_view part = rest.substr(0, comma);
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
      while (part.starts_with(' ') || part.starts_with('\t')) part.remove_prefix(1);
      while (part.ends_with(' ') || part.ends_with('\t')) part.remove_suffix(1);
      if (equal_ignoring_case(part, word)) return true;
    }
  }
  return false;
}

std::string_view Request::query() const {
  const std::size_t mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

bool Request::is_upgrade() const {
  return headers.lists("Connection", "upgrade") && headers.lists("Upgrade", "websocket");
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
  }
}

bool is_sendable(const Header& header) {
  return !header.name.empty() && plain(header.name) && header.name.find(':') == std::string_view::npos &&
         plain(header.value);
}

void encode_head(const Response& response, After after, std::string_view date, std::string& out) {
  const auto number = [&](std::size_t value) {
    const fmt::format_int digits(value);
    out.append(digits.data(), digits.size());
  };
  const auto line = [&](std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
  };
  out.append("HTTP/1.1 ");
  number(static_cast<std::size_t>(response.status));
  out.append(" ").append(reason_phrase(response.status)).append("\r\n");
  if (!date.empty()) line("Date", date);
  if (!response.content_type.empty() && plain(response.content_type)) line("Content-Type", response.content_type);
  for (const Header header : response.headers) {
    if (is_sendable(header)) line(header.name, header.value);
  }
  // HEAD says how long the body would be; 204 and 304 have none.
  if (response.status != 204 && response.status != 304) {
    out.append("Content-Length: ");
    number(response.body.size());
    out.append("\r\n");
  }
  if (after == After::kCloses) line("Connection", "close");
  if (after == After::kStaysAndSaysSo) line("Connection", "keep-alive");
  out.append("\r\n");
}

}  // namespace daybreak::net
