#include "daybreak/net/internal/message_reader.h"

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

constexpr std::size_t kFirstBytes = 4 * 1024;  // of the buffer
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kLeastRead = 1024;
// A body's memory is taken as its bytes come, not as its sender announces them.
constexpr std::size_t kReserveBytes = 64 * 1024;
// Beast is some bytes off its limit when the headers come in pieces: it gets a larger one, and the headers are counted.
constexpr std::size_t kLimitSlack = 8;

std::string_view view_of(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

std::span<char> ReadBuffer::prepare(Use use) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ > 0 && bytes_.size() - end_ < kLeastRead) {
    std::copy(bytes_.data() + begin_, bytes_.data() + end_, bytes_.data());
    end_ -= begin_;
    begin_ = 0;
  }
  // A body is read in large pieces, and the memory for them goes with it.
  if (use == Use::kIdle && bytes_.size() > kFirstBytes) {
    bytes_.resize(kFirstBytes);
    bytes_.shrink_to_fit();
  }
  if (use == Use::kLargeBody && bytes_.size() < kReadBytes) {
    bytes_.resize(kReadBytes);
  } else if (bytes_.size() - end_ < kLeastRead) {
    bytes_.resize(std::max(kFirstBytes, bytes_.size() * 2));
  }
  return {bytes_.data() + end_, bytes_.size() - end_};
}

// Beast's parser, which writes straight into a message and counts what says how long the body is.
template <bool kIsRequest>
class MessageReader<kIsRequest>::Parser {
 public:
  explicit Parser(const Limits& limits) : limits_(limits) {}

  void begin(Message& message, bool bodiless) {
    machine_.emplace(limits_, message);
    machine_->header_limit(static_cast<std::uint32_t>(
        std::min<std::size_t>(limits_.header_bytes, UINT32_MAX - kLimitSlack) + kLimitSlack));
    machine_->body_limit(limits_.body_bytes);
    machine_->skip(bodiless);
    machine_->eager(false);  // stops behind the headers: they are looked at before the body is read
  }

  class Machine final : public http::basic_parser<kIsRequest> {
   public:
    Machine(const Limits& limits, Message& message) : limits_(limits), message_(message) {}

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
      if constexpr (kIsRequest) {
        message_.method.assign(method.data(), method.size());
        message_.target.assign(target.data(), target.size());
      }
    }
    void on_response_impl(int status, boost::beast::string_view, int http_version, error_code&) override {
      version = http_version;
      if constexpr (!kIsRequest) message_.status = status;
    }
    void on_field_impl(http::field field, boost::beast::string_view name, boost::beast::string_view value,
                       error_code&) override {
      // Two lengths, or one that another reader could take for another number, begin a smuggled message.
      if (field == http::field::content_length) {
        ++content_lengths;
        plain_length = plain_length && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
      } else if (field == http::field::transfer_encoding) {
        ++transfer_encodings;
        only_chunked = only_chunked && equal_ignoring_case(view_of(value), "chunked");
      } else if (field == http::field::expect) {
        expects_continue = equal_ignoring_case(view_of(value), "100-continue");
      }
      if (!this->is_header_done()) message_.headers.add(view_of(name), view_of(value));  // trailers are not kept
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
      if (length) message_.body.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(*length, kReserveBytes)));
    }
    std::size_t on_body_impl(boost::beast::string_view bytes, error_code&) override {
      message_.body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_chunk_header_impl(std::uint64_t, boost::beast::string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view bytes, error_code&) override {
      message_.body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_finish_impl(error_code&) override {}

    const Limits& limits_;
    Message& message_;
  };

  Machine& machine() { return *machine_; }

 private:
  const Limits& limits_;
  std::optional<Machine> machine_;
};

template <bool kIsRequest>
MessageReader<kIsRequest>::MessageReader(const Limits& limits)
    : limits_(limits), parser_(std::make_unique<Parser>(limits)) {}

template <bool kIsRequest>
MessageReader<kIsRequest>::~MessageReader() = default;

template <bool kIsRequest>
std::span<char> MessageReader<kIsRequest>::prepare() {
  using Use = ReadBuffer::Use;
  return buffer_.prepare(phase() == Phase::kIdle                                         ? Use::kIdle
                         : phase() == Phase::kBody && message_.body.size() > kFirstBytes ? Use::kLargeBody
                                                                                         : Use::kHeaders);
}

template <bool kIsRequest>
auto MessageReader<kIsRequest>::phase() const -> Phase {
  if (headers_done_) return Phase::kBody;
  return under_way_ || buffer_.size() > 0 ? Phase::kHeaders : Phase::kIdle;
}

template <bool kIsRequest>
auto MessageReader<kIsRequest>::fail(Fault fault) -> Outcome {
  fault_ = fault;
  buffer_.clear();
  return Outcome::kFault;
}

template <bool kIsRequest>
bool MessageReader<kIsRequest>::expects_continue() const {
  const typename Parser::Machine& machine = parser_->machine();
  return machine.expects_continue && !old_ && !machine.is_done();
}

template <bool kIsRequest>
Fault MessageReader<kIsRequest>::framing_fault() const {
  const typename Parser::Machine& machine = parser_->machine();
  if (machine.content_lengths > 1 || !machine.plain_length || machine.transfer_encodings > 1) return Fault::kLength;
  if (machine.transfer_encodings == 1 && (machine.version < 11 || machine.content_lengths > 0)) return Fault::kLength;
  return machine.only_chunked ? Fault::kNone : Fault::kCoding;
}

// Before a message: some clients send one behind a body.
template <bool kIsRequest>
void MessageReader<kIsRequest>::skip_empty_lines() {
  while (buffer_.size() >= 2 && buffer_.bytes()[0] == '\r' && buffer_.bytes()[1] == '\n') buffer_.consume(2);
}

template <bool kIsRequest>
void MessageReader<kIsRequest>::begin() {
  message_ = {};
  if constexpr (!kIsRequest) message_.content_type.clear();
  parser_->begin(message_, bodiless_);
  header_bytes_ = 0;
  under_way_ = true;
}

template <bool kIsRequest>
auto MessageReader<kIsRequest>::next() -> Outcome {
  if (fault_ != Fault::kNone) return Outcome::kFault;
  if (!under_way_) skip_empty_lines();
  for (;;) {
    if (headers_done_ && parser_->machine().is_done()) return take(parser_->machine().keep_alive());
    if (buffer_.size() == 0) return Outcome::kMore;
    if (!under_way_) {
      if (buffer_.size() == 1 && buffer_.bytes()[0] == '\r') return Outcome::kMore;  // of an empty line, perhaps
      begin();
    }
    typename Parser::Machine& machine = parser_->machine();
    const std::span<const char> bytes = buffer_.bytes();
    error_code error;
    const std::size_t parsed = machine.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    buffer_.consume(parsed);
    if (!headers_done_) header_bytes_ += parsed;
    if (machine.target_too_long) return fail(Fault::kTarget);
    if (error == http::error::need_more) {
      // The end of a line is not here. No line is longer than the headers may be.
      return buffer_.size() > limits_.header_bytes + kLeastRead ? fail(Fault::kHeaders) : Outcome::kMore;
    }
    if (error == http::error::header_limit) return fail(Fault::kHeaders);
    if (error == http::error::body_limit) return fail(Fault::kBody);
    if (error == http::error::bad_version) return fail(Fault::kVersion);
    if (error) return fail(Fault::kSyntax);
    if (!headers_done_ && machine.is_header_done()) {
      if (header_bytes_ > limits_.header_bytes) return fail(Fault::kHeaders);
      if (const Fault fault = framing_fault(); fault != Fault::kNone) return fail(fault);
      headers_done_ = true;
      old_ = machine.version < 11;
      machine.eager(true);
      return Outcome::kHead;
    }
  }
}

template <bool kIsRequest>
auto MessageReader<kIsRequest>::take(bool keep_alive) -> Outcome {
  keep_alive_ = keep_alive;
  under_way_ = headers_done_ = bodiless_ = false;
  return Outcome::kMessage;
}

template <bool kIsRequest>
auto MessageReader<kIsRequest>::finish() -> Outcome {
  if (fault_ != Fault::kNone) return Outcome::kFault;
  if (!headers_done_ || !parser_->machine().need_eof()) return fail(Fault::kTorn);
  error_code error;
  parser_->machine().put_eof(error);
  return error ? fail(Fault::kTorn) : take(false);
}

template <bool kIsRequest>
std::string MessageReader<kIsRequest>::fault_text() const {
  switch (fault_) {
    case Fault::kNone: return {};
    case Fault::kTarget: return fmt::format("the target is longer than {} bytes", limits_.target_bytes);
    case Fault::kHeaders: return fmt::format("the headers are larger than {} bytes", limits_.header_bytes);
    case Fault::kBody: return fmt::format("the body is larger than {} bytes", limits_.body_bytes);
    case Fault::kVersion: return "HTTP/1.1 is spoken here";
    case Fault::kLength: return "the length of the body is not clear";
    case Fault::kCoding: return "of transfer encodings only 'chunked' is known";
    case Fault::kSyntax: return fmt::format("this is no HTTP/1.1 {}", kIsRequest ? "request" : "response");
    case Fault::kInterim: return "too many interim responses";
    case Fault::kTorn:
      return fmt::format("the connection ended before the {} was whole", kIsRequest ? "request" : "response");
  }
  return {};
}

template class MessageReader<true>;
template class MessageReader<false>;

}  // namespace daybreak::net
