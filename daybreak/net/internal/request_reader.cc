#include "daybreak/net/internal/request_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

namespace daybreak::net {

namespace http = boost::beast::http;
using error_code = boost::system::error_code;

namespace {

constexpr std::size_t kFirstBytes = 4 * 1024;  // of the buffer; it grows for large headers and for bodies
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kLeastRead = 1024;
// A body's memory is taken as its bytes come, not as its client announces them.
constexpr std::size_t kReserveBytes = 64 * 1024;

std::string_view view_of(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

// Beast's parser, which writes straight into a Request.
class RequestReader::Parser {
 public:
  explicit Parser(const Limits& limits) : limits_(limits) {}

  void begin(Request& request) {
    machine_.emplace(limits_, request);
    machine_->header_limit(static_cast<std::uint32_t>(std::min<std::size_t>(limits_.header_bytes, UINT32_MAX)));
    machine_->body_limit(limits_.body_bytes);
    machine_->eager(false);  // stops behind the headers: they are looked at before the body is read
  }

  class Machine final : public http::basic_parser<true> {
   public:
    Machine(const Limits& limits, Request& request) : limits_(limits), request_(request) {}

    int version = 0;
    bool target_too_long = false;
    std::size_t content_lengths = 0, transfer_encodings = 0;
    bool plain_length = true, only_chunked = true, expects_continue = false;

   private:
    void on_request_impl(http::verb, boost::beast::string_view method, boost::beast::string_view target,
                         int http_version, error_code& error) override {
      version = http_version;
      target_too_long = target.size() > limits_.target_bytes;
      if (target_too_long) {
        error = http::error::bad_target;
        return;
      }
      request_.method.assign(method.data(), method.size());
      request_.target.assign(target.data(), target.size());
    }
    void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}
    void on_field_impl(http::field field, boost::beast::string_view name, boost::beast::string_view value,
                       error_code&) override {
      // Two lengths, or one that another reader could take for another number, begin a smuggled request.
      if (field == http::field::content_length) {
        ++content_lengths;
        plain_length = plain_length && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
      } else if (field == http::field::transfer_encoding) {
        ++transfer_encodings;
        only_chunked = only_chunked && equal_ignoring_case(view_of(value), "chunked");
      } else if (field == http::field::expect) {
        expects_continue = equal_ignoring_case(view_of(value), "100-continue");
      }
      if (!is_header_done()) request_.headers.add(view_of(name), view_of(value));  // trailers are not kept
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
      if (length) request_.body.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(*length, kReserveBytes)));
    }
    std::size_t on_body_impl(boost::beast::string_view bytes, error_code&) override {
      request_.body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_chunk_header_impl(std::uint64_t, boost::beast::string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view bytes, error_code&) override {
      request_.body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_finish_impl(error_code&) override {}

    const Limits& limits_;
    Request& request_;
  };

  Machine& machine() { return *machine_; }

 private:
  const Limits& limits_;
  std::optional<Machine> machine_;
};

RequestReader::RequestReader(const Limits& limits, std::span<const std::string> hosts,
                             std::span<const std::string> origins, bool tls)
    : limits_(limits), hosts_(hosts), origins_(origins), tls_(tls), parser_(std::make_unique<Parser>(limits)) {}

RequestReader::~RequestReader() = default;

std::span<char> RequestReader::prepare() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ > 0 && buffer_.size() - end_ < kLeastRead) {
    std::copy(buffer_.data() + begin_, buffer_.data() + end_, buffer_.data());
    end_ -= begin_;
    begin_ = 0;
  }
  // A body is read in large pieces, and the memory for them goes with it.
  if (phase() == Phase::kIdle && buffer_.size() > kFirstBytes) {
    buffer_.resize(kFirstBytes);
    buffer_.shrink_to_fit();
  }
  if (phase() == Phase::kBody && buffer_.size() < kReadBytes && request_.body.size() > kFirstBytes) {
    buffer_.resize(kReadBytes);
  } else if (buffer_.size() - end_ < kLeastRead) {
    buffer_.resize(std::max(kFirstBytes, buffer_.size() * 2));
  }
  return {buffer_.data() + end_, buffer_.size() - end_};
}

RequestReader::Phase RequestReader::phase() const {
  if (headers_done_) return Phase::kBody;
  return under_way_ || buffered() > 0 ? Phase::kHeaders : Phase::kIdle;
}

RequestReader::Outcome RequestReader::refuse(int status, std::string text) {
  refusal_ = {status, std::move(text)};
  begin_ = end_ = 0;
  return Outcome::kRefused;
}

// What is known when the headers are here.
RequestReader::Outcome RequestReader::check_headers() {
  const Parser::Machine& machine = parser_->machine();
  if (machine.content_lengths > 1 || !machine.plain_length || machine.transfer_encodings > 1)
    return refuse(400, "the length of the body is not clear\n");
  if (machine.transfer_encodings == 1 && (machine.version < 11 || machine.content_lengths > 0))
    return refuse(400, "the length of the body is not clear\n");
  if (!machine.only_chunked) return refuse(501, "of transfer encodings only 'chunked' is known\n");
  if (!take_absolute_target()) return refuse(400, "the target names another server than Host\n");
  if (!request_.target.starts_with('/') && !(request_.method == "OPTIONS" && request_.target == "*"))
    return refuse(400, "the target must begin with '/'\n");
  if (const Refusal refusal = check_names(request_, hosts_, origins_, machine.version >= 11); refusal.status != 0)
    return refuse(refusal.status, refusal.text);
  return Outcome::kMore;
}

bool RequestReader::take_absolute_target() {
  const std::string_view scheme = tls_ ? "https://" : "http://";
  const std::string_view target = request_.target;
  if (target.size() <= scheme.size() || !equal_ignoring_case(target.substr(0, scheme.size()), scheme)) return true;
  const std::size_t end = std::min(target.find_first_of("/?", scheme.size()), target.size());
  const std::string_view name = target.substr(scheme.size(), end - scheme.size());
  std::string path(target.substr(end));
  const std::string_view host = request_.headers.get("Host");
  if (host.empty() && parser_->machine().version < 11) {
    request_.headers.add("Host", std::string(name));  // which is checked as any other
  } else if (!equal_ignoring_case(name, host)) {
    return false;
  }
  if (!path.starts_with('/')) path.insert(0, path.empty() && request_.method == "OPTIONS" ? "*" : "/");
  request_.target = std::move(path);
  return true;
}

// Before a request: some clients send one behind a body.
void RequestReader::skip_empty_lines() {
  while (end_ - begin_ >= 2 && buffer_[begin_] == '\r' && buffer_[begin_ + 1] == '\n') begin_ += 2;
}

RequestReader::Outcome RequestReader::next() {
  if (refusal_.status != 0) return Outcome::kRefused;
  if (!under_way_) skip_empty_lines();
  while (begin_ < end_ || headers_done_) {
    if (!under_way_) {
      if (buffered() == 1 && buffer_[begin_] == '\r') return Outcome::kMore;  // of an empty line, perhaps
      request_ = {};
      request_.tls = tls_;
      parser_->begin(request_);
      under_way_ = true;
    }
    Parser::Machine& machine = parser_->machine();
    error_code error;
    if (begin_ < end_) begin_ += machine.put(boost::asio::buffer(buffer_.data() + begin_, end_ - begin_), error);
    if (machine.target_too_long)
      return refuse(414, fmt::format("the target is longer than {} bytes\n", limits_.target_bytes));
    if (error == http::error::need_more) {
      // The end of a line is not here. No line is longer than the headers may be.
      if (buffered() > limits_.header_bytes + kLeastRead)
        return refuse(431, fmt::format("the headers are larger than {} bytes\n", limits_.header_bytes));
      return Outcome::kMore;
    }
    if (error == http::error::header_limit)
      return refuse(431, fmt::format("the headers are larger than {} bytes\n", limits_.header_bytes));
    if (error == http::error::body_limit)
      return refuse(413, fmt::format("the body is larger than {} bytes\n", limits_.body_bytes));
    if (error == http::error::bad_version) return refuse(505, "HTTP/1.1 is spoken here\n");
    if (error) return refuse(400, "this is no HTTP/1.1 request\n");
    if (machine.is_header_done() && !headers_done_) {
      if (check_headers() == Outcome::kRefused) return Outcome::kRefused;
      headers_done_ = true;
      machine.eager(true);
      wants_continue_ = machine.expects_continue && machine.version >= 11 && !machine.is_done() && buffered() == 0;
    }
    if (machine.is_done()) {
      keep_alive_ = machine.keep_alive();
      old_ = machine.version < 11;
      under_way_ = headers_done_ = wants_continue_ = false;
      return Outcome::kRequest;
    }
    if (begin_ == end_) break;
  }
  return Outcome::kMore;
}

}  // namespace daybreak::net
