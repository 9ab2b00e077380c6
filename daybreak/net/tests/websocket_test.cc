#include "daybreak/net/websocket.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>

#include "daybreak/base/temp_dir.h"
#include "daybreak/base/test_env.h"
#include "daybreak/net/client.h"
#include "daybreak/net/server.h"
#include "daybreak/net/tests/certificate.h"
#include "daybreak/net/tests/raw.h"

namespace daybreak::net {
namespace {

using namespace std::chrono_literals;

struct Closed {
  std::uint16_t code;
  std::string reason;
};

// Sends back what it gets; /refused is refused.
class Echo {
 public:
  explicit Echo(ServerOptions options = {}) {
    options.threads = 2;
    options.access_log = [](const Access&) {};
    auto started = Server::start(options, [this](const std::shared_ptr<Exchange>& exchange) { handle(exchange); });
    EXPECT_TRUE(started.has_value()) << started.error().message();
    server = std::move(*started);
  }
  void handle(const std::shared_ptr<Exchange>& exchange) {
    if (!exchange->request().is_upgrade()) return exchange->respond(Response::text(200, "plain"));
    if (exchange->request().path() == "/refused") return exchange->respond(Response::text(403, "not_granted"));
    WebSocketHandlers handlers;
    Headers answer{{"X-Version", "1"}, {"X-Bad", "a\r\nSet-Cookie: evil"}};
    if (exchange->request().headers.lists("Sec-WebSocket-Protocol", "daybreak.v1"))
      answer.add("Sec-WebSocket-Protocol", "daybreak.v1");
    if (exchange->request().path() == "/presumptuous") answer.add("Sec-WebSocket-Protocol", "not.asked.for");
    handlers.on_open = [this](const std::shared_ptr<WebSocket>& socket) { opened.set_value(socket); };
    handlers.on_message = [](const std::shared_ptr<WebSocket>& socket, std::string_view message, bool text) {
      text ? socket->send_text(std::string(message)) : socket->send_binary(std::string(message));
    };
    handlers.on_close = [this](std::uint16_t code, std::string_view reason) {
      closed.set_value({code, std::string(reason)});
    };
    exchange->accept(std::move(handlers), std::move(answer));
  }

  std::promise<std::shared_ptr<WebSocket>> opened;
  std::promise<Closed> closed;
  std::unique_ptr<Server> server;
};

std::unique_ptr<WebSocketClient> open(const Echo& echo, const Headers& headers = {},
                                      const ClientOptions& options = {}) {
  auto client = WebSocketClient::connect("127.0.0.1", echo.server->port(), "/play", headers, options);
  EXPECT_TRUE(client.has_value()) << client.error().message();
  return std::move(*client);
}

TEST(WebSockets, messages_of_both_kinds_and_many_sizes_come_back) {
  Echo echo;
  const auto client = open(echo);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{125}, std::size_t{126},
                                 std::size_t{65'535}, std::size_t{65'536}, std::size_t{1} << 20}) {
    for (const bool text : {true, false}) {
      ASSERT_TRUE(client->send({std::string(size, 'x'), text}).has_value());
      const auto back = client->receive();
      ASSERT_TRUE(back.has_value()) << back.error().message();
      EXPECT_EQ(back->bytes.size(), size);
      EXPECT_EQ(back->text, text);
    }
  }
  client->close();
  EXPECT_EQ(echo.closed.get_future().get().code, 1000);
}

TEST(WebSockets, refused_upgrade_is_an_ordinary_answer) {
  Echo echo;
  const auto refused = WebSocketClient::connect("127.0.0.1", echo.server->port(), "/refused");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), base::Code::kPermissionDenied);
  EXPECT_NE(refused.error().message().find("403"), std::string::npos);
  EXPECT_NE(refused.error().message().find("not_granted"), std::string::npos);
}

TEST(WebSockets, nothing_may_follow_before_it_is_open) {
  Echo echo;
  Raw raw(echo.server->port());
  raw.say(
      "GET /play HTTP/1.1\r\n@Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /hidden HTTP/1.1\r\n@\r\n");
  EXPECT_EQ(raw.hear().substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(echo.closed.get_future().get().code, 1006);
}

TEST(WebSockets, page_of_another_origin_is_refused) {
  Echo echo;
  const auto refused =
      WebSocketClient::connect("127.0.0.1", echo.server->port(), "/play", {{"Origin", "http://evil.example"}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("403"), std::string::npos);
}

TEST(WebSockets, page_of_an_allowed_origin_may_ask) {
  ServerOptions options;
  options.origins = {"http://friend.example"};
  Echo echo(options);
  EXPECT_NE(open(echo, {{"Origin", "http://friend.example"}}), nullptr);
}

TEST(WebSockets, protocol_that_the_server_chooses_must_be_one_of_the_clients) {
  Echo echo;
  {
    const auto client = open(echo, {{"Sec-WebSocket-Protocol", "daybreak.v1, daybreak.token.SECRET"}});
    EXPECT_EQ(client->protocol(), "daybreak.v1");
    EXPECT_EQ(client->answer().get("X-Version"), "1");
    EXPECT_EQ(client->answer().get("X-Bad"), "") << "a header cannot end its line";
    EXPECT_EQ(client->answer().get("Set-Cookie"), "");
    for (const Header header : client->answer()) EXPECT_EQ(header.value.find("SECRET"), std::string_view::npos);
  }
  Echo other;
  const auto refused = WebSocketClient::connect("127.0.0.1", other.server->port(), "/presumptuous",
                                                {{"Sec-WebSocket-Protocol", "something.else"}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("not.asked.for"), std::string::npos) << refused.error().message();
}

TEST(WebSockets, server_closes_with_its_reason) {
  Echo echo;
  const auto client = open(echo);
  const auto socket = echo.opened.get_future().get();
  EXPECT_TRUE(socket->send_text("last words"));
  socket->close(4003, "revoked");
  EXPECT_EQ(client->receive()->bytes, "last words");
  EXPECT_FALSE(client->receive().has_value());
  EXPECT_EQ(client->close_code(), 4003);
  EXPECT_EQ(client->close_reason(), "revoked");
  EXPECT_EQ(echo.closed.get_future().get().reason, "revoked");
  EXPECT_FALSE(socket->send_text("after the end"));
}

TEST(WebSockets, message_that_is_too_big_closes_with_1009) {
  ServerOptions options;
  options.limits.message_bytes = 1000;
  Echo echo(options);
  const auto client = open(echo);
  ASSERT_TRUE(client->send({std::string(1000, 'x'), true}).has_value());
  EXPECT_TRUE(client->receive().has_value());
  ASSERT_TRUE(client->send({std::string(1001, 'x'), true}).has_value());
  EXPECT_FALSE(client->receive().has_value());
  EXPECT_EQ(echo.closed.get_future().get().code, 1009);
}

TEST(WebSockets, flood_of_messages_closes_with_1008) {
  base::TestEnv env;
  ServerOptions options;
  options.limits.messages_per_s = 20;
  options.env = &env;
  Echo echo(options);
  const auto client = open(echo);
  const auto echoes = [&] { return client->send({"x", true}).has_value() && client->receive().has_value(); };
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(echoes()) << i << ": twice as many at once";
  env.advance_ns(100'000'000);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(echoes()) << i;
  EXPECT_FALSE(echoes());
  EXPECT_EQ(client->close_code(), 1008);
  EXPECT_EQ(echo.closed.get_future().get().code, 1008);
}

TEST(WebSockets, client_that_does_not_read_is_closed) {
  ServerOptions options;
  options.limits.queued_bytes = 1 << 20;
  Echo echo(options);
  const auto client = open(echo);
  const auto socket = echo.opened.get_future().get();
  bool sent = true;
  for (int i = 0; i < 1000 && sent; ++i) sent = socket->send_binary(std::string(100'000, 'x'));
  EXPECT_FALSE(sent);
}

TEST(WebSockets, draining_server_says_goodbye) {
  Echo echo;
  const auto client = open(echo);
  echo.opened.get_future().wait();
  auto drained = std::async(std::launch::async, [&] { return echo.server->drain(5s); });
  EXPECT_FALSE(client->receive().has_value());
  EXPECT_EQ(client->close_code(), 1001);
  EXPECT_TRUE(drained.get());
}

TEST(WebSockets, connection_that_breaks_is_noticed) {
  Echo echo;
  open(echo).reset();  // without a goodbye
  EXPECT_NE(echo.closed.get_future().get().code, 1000);
}

class TlsFiles {
 public:
  TlsFiles() {
    std::ofstream(certificate()) << kTestCertificate;
    std::ofstream(key()) << kTestKey;
  }
  std::string certificate() const { return folder_ / "certificate.pem"; }
  std::string key() const { return folder_ / "key.pem"; }

 private:
  const base::TempDir folder_ = base::TempDir::create().value();
};

TEST(WebSockets, everything_works_over_tls_for_who_trusts_the_certificate) {
  const TlsFiles files;
  ServerOptions options;
  options.tls = {files.certificate(), files.key()};
  Echo echo(options);
  ClientOptions trusting;
  trusting.tls = true;
  trusting.ca_file = files.certificate();
  auto client = Client::connect("localhost", echo.server->port(), trusting);
  ASSERT_TRUE(client.has_value()) << client.error().message();
  for (int i = 0; i < 3; ++i) EXPECT_EQ((*client)->get("/")->body, "plain");
  auto socket = WebSocketClient::connect("localhost", echo.server->port(), "/play", {}, trusting);
  ASSERT_TRUE(socket.has_value()) << socket.error().message();
  ASSERT_TRUE((*socket)->send({std::string(300'000, 'x'), false}).has_value());
  EXPECT_EQ((*socket)->receive()->bytes.size(), 300'000u);

  ClientOptions wary;
  wary.tls = true;
  EXPECT_FALSE(Client::connect("localhost", echo.server->port(), wary).has_value()) << "the system does not know it";
  auto plain = Client::connect("127.0.0.1", echo.server->port());
  EXPECT_FALSE((*plain)->get("/").has_value());
}

TEST(WebSockets, certificate_that_cannot_be_read_is_named) {
  ServerOptions options;
  options.tls = {"/nowhere/certificate.pem", "/nowhere/key.pem"};
  const auto refused = Server::start(options, [](const std::shared_ptr<Exchange>&) {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("/nowhere/certificate.pem"), std::string::npos);
}

}  // namespace
}  // namespace daybreak::net
