// What a server may say to our client, and what is no response.
#include <gtest/gtest.h>

#include <thread>

#include "daybreak/net/client.h"
#include "daybreak/net/internal/response_reader.h"
#include "daybreak/net/tests/raw.h"

namespace daybreak::net {
namespace {

struct Read {
  Fault fault = Fault::kNone;
  Response response;
  bool whole = false, keep_alive = false;
};

// Byte by byte, as far as the reader wants them; `closed`: then the server closes.
Read read(std::string_view bytes, std::string_view method = "GET", bool closed = false, const Limits& limits = {}) {
  ResponseReader reader(limits);
  reader.expect(method);
  auto outcome = ResponseReader::Outcome::kMore;
  for (; !bytes.empty() && outcome == ResponseReader::Outcome::kMore; bytes.remove_prefix(1)) {
    reader.prepare()[0] = bytes[0];
    reader.committed(1);
    outcome = reader.next();
  }
  if (closed && outcome == ResponseReader::Outcome::kMore) outcome = reader.finish();
  EXPECT_EQ(outcome == ResponseReader::Outcome::kRefused, reader.fault() != Fault::kNone);
  return {reader.fault(), reader.response(), outcome == ResponseReader::Outcome::kResponse,
          outcome == ResponseReader::Outcome::kResponse && reader.keep_alive()};
}

Fault fault_of(const std::string& headers, std::string_view body = "", const char* version = "1.1") {
  return read(fmt::format("HTTP/{} 200 OK\r\n{}\r\n{}", version, headers, body), "GET", true).fault;
}

TEST(Responses, are_as_they_were_sent) {
  const Read got =
      read("HTTP/1.1 404 Nothing Here\r\nContent-Type: text/plain\r\nX: a\r\nX: b\r\nContent-Length: 3\r\n\r\nabc");
  ASSERT_TRUE(got.whole);
  EXPECT_EQ(got.response.status, 404);
  EXPECT_EQ(got.response.content_type, "text/plain");
  EXPECT_EQ(got.response.headers.size(), 4u);
  EXPECT_EQ(got.response.body, "abc");
  EXPECT_TRUE(got.keep_alive);
  const Read chunks =
      read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n");
  ASSERT_TRUE(chunks.whole);
  EXPECT_EQ(chunks.response.body, "abcd");
  EXPECT_EQ(chunks.response.content_type, "");
  EXPECT_EQ(chunks.response.headers.get("T"), "") << "a trailer is no header";
}

TEST(Responses, what_the_server_encodes_the_client_reads) {
  for (const int status : {200, 204, 304, 404, 503}) {
    for (const char* method : {"GET", "HEAD"}) {
      Response sent{status, "text/plain", std::string(100, 'x'), {{"X-Y", "z"}}};
      std::string bytes;
      encode_head(sent, After::kStays, "Thu, 01 Jan 2026 00:00:00 GMT", bytes);
      const bool body = std::string_view(method) == "GET" && status != 204 && status != 304;
      if (body) bytes += sent.body;
      const Read got = read(bytes, method);
      ASSERT_TRUE(got.whole) << status << method;
      EXPECT_EQ(got.response.status, status);
      EXPECT_EQ(got.response.headers.get("X-Y"), "z");
      EXPECT_EQ(got.response.body, body ? sent.body : "");
      EXPECT_TRUE(got.keep_alive);
    }
  }
}

TEST(Responses, two_ways_to_read_where_a_body_ends_are_refused_as_those_of_requests_are) {
  EXPECT_EQ(fault_of("Content-Length: 3\r\n", "abc"), Fault::kNone);
  for (const char* headers :
       {"Content-Length: 3\r\nContent-Length: 4\r\n", "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n", "Content-Length: +3\r\n", "Content-Length: -1\r\n", "Content-Length: 0x3\r\n",
        "Content-Length: 18446744073709551617\r\n", "Content-Length : 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"})
    EXPECT_TRUE(fault_of(headers, "abcd") == Fault::kLength || fault_of(headers, "abcd") == Fault::kSyntax) << headers;
  for (const char* coding : {"xchunked", "gzip, chunked", "chunked, identity", "gzip"})
    EXPECT_EQ(fault_of(fmt::format("Transfer-Encoding: {}\r\n", coding), "0\r\n\r\n"), Fault::kCoding) << coding;
  EXPECT_EQ(fault_of("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "1.0"), Fault::kLength);
}

TEST(Responses, what_is_none_is_refused) {
  for (const char* text :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"})
    EXPECT_EQ(read(text, "GET", true).fault, Fault::kSyntax) << text;
  for (const char* text : {"hello\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n"})
    EXPECT_EQ(read(text, "GET", true).fault, Fault::kVersion) << text;
}

TEST(Responses, limits_are_those_of_requests_and_are_named) {
  Limits limits;
  limits.header_bytes = 1000;
  limits.body_bytes = 10;
  const auto fault = [&](const std::string& text, bool closed = false) {
    return read(text, "GET", closed, limits).fault;
  };
  EXPECT_EQ(fault("HTTP/1.1 200 OK\r\nX: " + std::string(2000, 'x') + "\r\n\r\n"), Fault::kHeaders);
  EXPECT_EQ(fault("HTTP/1.1 200 " + std::string(5000, 'x')), Fault::kHeaders) << "a line without an end";
  const auto head = [](std::size_t size) {
    return "HTTP/1.1 204 Nothing\r\nX: " + std::string(size - 29, 'x') + "\r\n\r\n";
  };
  ASSERT_EQ(head(1000).size(), 1000u);
  EXPECT_EQ(fault(head(1000)), Fault::kNone);
  EXPECT_EQ(fault(head(1001)), Fault::kHeaders);
  EXPECT_EQ(fault("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"), Fault::kNone);
  EXPECT_EQ(fault("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"), Fault::kBody);
  EXPECT_EQ(fault("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"), Fault::kBody);
  EXPECT_EQ(fault("HTTP/1.1 200 OK\r\n\r\n0123456789a", true), Fault::kBody) << "until the server closes, too";
  EXPECT_EQ(fault("HTTP/1.1 200 OK\r\n\r\n0123456789", true), Fault::kNone);
}

TEST(Responses, without_a_length_end_where_the_server_closes_and_others_do_not) {
  const Read open = read("HTTP/1.1 200 OK\r\n\r\nabc");
  EXPECT_FALSE(open.whole);
  const Read closed = read("HTTP/1.1 200 OK\r\n\r\nabc", "GET", true);
  ASSERT_TRUE(closed.whole);
  EXPECT_EQ(closed.response.body, "abc");
  EXPECT_FALSE(closed.keep_alive);
  for (const char* torn : {"", "HTTP/1.1 200 OK\r\nX: y", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"})
    EXPECT_EQ(read(torn, "GET", true).fault, Fault::kTorn) << torn;
}

TEST(Responses, to_head_have_no_body_whatever_they_say) {
  const Read got = read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "HEAD");
  ASSERT_TRUE(got.whole);
  EXPECT_TRUE(got.keep_alive);
  EXPECT_FALSE(read("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").whole);
}

TEST(Responses, that_are_interim_are_read_over_but_not_for_ever) {
  const auto behind = [](int count) {
    std::string bytes;
    for (int i = 0; i < count; ++i) bytes += "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    return read(bytes + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
  };
  ASSERT_TRUE(behind(kMaxInterim).whole);
  EXPECT_EQ(behind(kMaxInterim).response.headers.get("Link"), "");
  EXPECT_EQ(behind(kMaxInterim + 1).fault, Fault::kInterim);
}

TEST(Responses, that_nobody_asked_for_end_the_connection) {
  const Limits limits;
  ResponseReader reader(limits);
  reader.expect("GET");
  const std::string_view bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n";
  std::ranges::copy(bytes, reader.prepare().begin());
  reader.committed(bytes.size());
  ASSERT_EQ(reader.next(), ResponseReader::Outcome::kResponse);
  EXPECT_FALSE(reader.keep_alive());
}

// Says this to whoever connects, once, and closes.
class Teller {
 public:
  explicit Teller(std::string text) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&any), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&any), &size), 0);
    port_ = ntohs(any.sin_port);
    thread_ = std::thread([this, text = std::move(text)] {
      const int fd = ::accept(listener_, nullptr, nullptr);
      char request[4096];
      EXPECT_GT(::recv(fd, request, sizeof request, 0), 0);
      EXPECT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
      ::close(fd);
    });
  }
  ~Teller() {
    thread_.join();
    ::close(listener_);
  }
  base::Result<Response> get(std::size_t max_response_bytes = 1000) const {
    auto client = Client::connect("127.0.0.1", port_, {.max_response_bytes = max_response_bytes});
    EXPECT_TRUE(client.has_value());
    return (*client)->get("/x");
  }

 private:
  const int listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST(Responses, over_a_connection_are_read_or_are_errors_that_say_why) {
  EXPECT_EQ(Teller("HTTP/1.0 200 OK\r\n\r\nuntil the end").get()->body, "until the end");
  const auto error = [](const std::string& text) {
    const auto got = Teller(text).get();
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(got.error().code(), base::Code::kUnavailable);
    return std::string(got.error().message());
  };
  EXPECT_EQ(error("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), "GET /x: the body is larger than 1000 bytes");
  EXPECT_EQ(error("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "GET /x: the length of the body is not clear");
  EXPECT_EQ(error("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
            "GET /x: the connection ended before the response was whole");
}

}  // namespace
}  // namespace daybreak::net
