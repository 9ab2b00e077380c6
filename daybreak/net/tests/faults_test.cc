// What a bad client may try, each ending in a refusal and none of them in harm to the others.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "daybreak/net/client.h"
#include "daybreak/net/server.h"
#include "daybreak/net/tests/raw.h"

namespace daybreak::net {
namespace {

std::unique_ptr<Server> mirror(ServerOptions options = {}) {
  options.threads = 2;
  if (!options.access_log) options.access_log = [](const Access&) {};
  auto server = Server::start(options, [](const std::shared_ptr<Exchange>& exchange) {
    const Request& request = exchange->request();
    exchange->respond(Response::text(200, fmt::format("<{} {} {}>", request.method, request.target, request.body)));
  });
  EXPECT_TRUE(server.has_value()) << server.error().message();
  return std::move(*server);
}

TEST(Faults, two_ways_to_read_where_a_body_ends_are_a_400) {
  const auto server = mirror();
  const auto answer = [&](const std::string& headers, const std::string& body) {
    // A second request hides in the body of the first: nobody may answer it.
    const std::string heard =
        Raw(server->port())
            .say("POST /first HTTP/1.1\r\n@" + headers + "\r\n" + body + "GET /hidden HTTP/1.1\r\n@\r\n")
            .hear();
    EXPECT_EQ(heard.find("/hidden"), std::string::npos) << headers;
    return heard.substr(9, 3);
  };
  EXPECT_EQ(answer("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), "400");
  EXPECT_EQ(answer("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), "400");
  EXPECT_EQ(answer("Content-Length: 3, 3\r\n", "abc"), "400");
  EXPECT_EQ(answer("Content-Length: +3\r\n", "abc"), "400");
  EXPECT_EQ(answer("Content-Length: -1\r\n", ""), "400");
  EXPECT_EQ(answer("Content-Length: 0x3\r\n", "abc"), "400");
  EXPECT_EQ(answer("Content-Length: 18446744073709551617\r\n", "a"), "400");
  EXPECT_EQ(answer("Content-Length : 3\r\n", "abc"), "400");
  EXPECT_EQ(answer("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400");
  EXPECT_EQ(answer("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), "400");
  EXPECT_EQ(answer("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400");
  EXPECT_EQ(answer("Content-Length: 3\r\nTransfer-Encoding: identity\r\n", "abc"), "400");
  EXPECT_EQ(answer("Transfer-Encoding: xchunked\r\n", ""), "501");
  EXPECT_EQ(answer("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "501");
  EXPECT_EQ(answer("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), "501");
  EXPECT_EQ(
      Raw(server->port()).say("POST / HTTP/1.0\r\n@Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").hear().substr(9, 3),
      "400");
}

TEST(Faults, bad_and_oversized_chunks_are_refused_and_extensions_are_not_the_body) {
  ServerOptions options;
  options.limits.body_bytes = 1000;
  options.limits.header_bytes = 4000;
  const auto server = mirror(options);
  const auto answer = [&](const std::string& chunks) {
    return Raw(server->port())
        .say("POST / HTTP/1.1\r\n@Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks)
        .hear();
  };
  EXPECT_NE(answer("3;name=\"v\"\r\nabc\r\n0\r\nTrailer: x\r\n\r\n").find("<POST / abc>"), std::string::npos);
  EXPECT_EQ(answer("ffffffffffffffff\r\nabc").substr(9, 3), "413");
  EXPECT_EQ(answer("fffffffffffffffff\r\nabc").substr(9, 3), "400") << "more than 64 bits";
  EXPECT_EQ(answer("-1\r\nabc").substr(9, 3), "400");
  EXPECT_EQ(answer("3\r\nabcd\r\n0\r\n\r\n").substr(9, 3), "400");
  EXPECT_EQ(answer("1;" + std::string(100'000, 'x')).substr(9, 3), "431") << "an extension without an end";
  std::string drops;
  for (int i = 0; i < 1001; ++i) drops += "1\r\nx\r\n";
  EXPECT_EQ(answer(drops + "0\r\n\r\n").substr(9, 3), "413") << "in pieces, too";
  EXPECT_EQ(answer("0\r\nT: " + std::string(100'000, 'x')).substr(9, 3), "431") << "a trailer without an end";
}

TEST(Faults, names_that_are_not_ours_are_refused_wherever_they_stand) {
  const auto server = mirror();
  const std::uint16_t port = server->port();
  const auto answer = [&](const std::string& target, const std::string& headers) {
    const std::string heard =
        Raw(port).say("GET " + target + " HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n").hear();
    return heard.substr(9, 3);
  };
  EXPECT_EQ(answer("/", "@"), "200");
  EXPECT_EQ(answer("/", fmt::format("Host: localhost.evil:{}\r\n", port)), "421");
  EXPECT_EQ(answer("/", fmt::format("Host: evil.localhost:{}\r\n", port)), "421");
  EXPECT_EQ(answer("/", fmt::format("Host: 127.0.0.1.evil:{}\r\n", port)), "421");
  EXPECT_EQ(answer("/", fmt::format("Host: localhost:{}.evil\r\n", port)), "421");
  EXPECT_EQ(answer("/", "Host: evil\r\n"), "421");
  EXPECT_EQ(answer("/", "Host:\r\n"), "421");
  EXPECT_EQ(answer("/", ""), "400");
  EXPECT_EQ(answer("/", "@@"), "400");
  EXPECT_EQ(answer("/", "@Host: evil\r\n"), "400");
  EXPECT_EQ(answer("http://evil/", "@"), "400");
  EXPECT_EQ(answer(fmt::format("http://localhost:{}/", port), "@"), "400");
  EXPECT_EQ(answer("evil:80", "@"), "400");
  EXPECT_EQ(answer("*", "@"), "400");
  EXPECT_EQ(answer("//evil/", "@"), "200") << "a path: it names nobody";
}

TEST(Faults, paths_arrive_as_they_were_sent) {
  const auto server = mirror();
  for (const char* path : {"/../../etc/passwd", "/a/%2e%2e/%2f", "/a//b/./c", "/%00", "/a;b?c=../d#e"}) {
    const std::string heard =
        Raw(server->port()).say(fmt::format("GET {} HTTP/1.1\r\n@Connection: close\r\n\r\n", path)).hear();
    EXPECT_NE(heard.find(fmt::format("<GET {} >", path)), std::string::npos) << heard;
  }
}

TEST(Faults, log_holds_no_query_no_header_and_no_body) {
  std::mutex mutex;
  std::string logged;
  ServerOptions options;
  options.limits.body_bytes = 100;
  options.access_log = [&](const Access& access) {
    const std::lock_guard lock(mutex);
    logged += fmt::format("{} {} {} {}\n", access.remote, access.method, access.path, access.status);
  };
  {
    const auto server = mirror(options);
    const std::string secret = "Authorization: Bearer SECRET\r\n";
    const auto say = [&](const std::string& text) { Raw(server->port()).say(text).hear(); };
    say("POST /good?SECRET HTTP/1.1\r\n@" + secret + "Content-Length: 6\r\nConnection: close\r\n\r\nSECRET");
    say("POST /big?SECRET HTTP/1.1\r\n@" + secret + "Content-Length: 600\r\n\r\nSECRET");
    say("POST /foreign?SECRET HTTP/1.1\r\nHost: SECRET\r\n" + secret + "\r\n");
    say("POST http://SECRET@host/?SECRET HTTP/1.1\r\n@" + secret + "\r\n");
    say("SECRET\r\n\r\n");
  }
  const std::lock_guard lock(mutex);
  EXPECT_EQ(logged.find("SECRET"), std::string::npos) << logged;
  for (const char* seen : {" POST /good 200\n", " /big 413\n", " /foreign 421\n", " 400\n"})
    EXPECT_NE(logged.find(seen), std::string::npos) << seen << logged;
}

TEST(Faults, answers_of_another_thread_come_to_a_loop_many_at_a_time) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> waiting;
  ServerOptions options;
  options.threads = 1;
  options.access_log = [](const Access&) {};
  const auto server = Server::start(options, [&](const std::shared_ptr<Exchange>& exchange) {
    EXPECT_EQ(exchange->loop(), 0);
    const std::lock_guard lock(mutex);
    waiting.push_back(exchange);
  });
  std::vector<std::unique_ptr<Raw>> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(std::make_unique<Raw>((*server)->port()));
    clients.back()->say(fmt::format("GET /{} HTTP/1.1\r\n@Connection: close\r\n\r\n", i));
  }
  std::vector<std::shared_ptr<Exchange>> all;
  while (all.size() < clients.size()) {
    std::this_thread::yield();
    const std::lock_guard lock(mutex);
    for (auto& one : waiting) all.push_back(std::move(one));
    waiting.clear();
  }
  std::atomic<bool> posted{false};
  (*server)->post(0, [&] { posted = true; });
  for (const auto& exchange : all) exchange->respond(Response::text(200, "<" + exchange->request().target + ">"));
  for (std::size_t i = 0; i < clients.size(); ++i)
    EXPECT_NE(clients[i]->hear().find(fmt::format("</{}>", i)), std::string::npos);
  EXPECT_TRUE(posted);
}

constexpr int kCrowd = 10'000;

// Connects so often, asks once on each, and keeps all open until all are answered. How many were.
int crowd(std::uint16_t port) {
  std::vector<int> sockets;
  int answered = 0;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string request = fmt::format("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", port);
  for (int i = 0; i < kCrowd; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return -i;
    sockets.push_back(fd);
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return -i;
  }
  for (const int fd : sockets) {
    pollfd waiting{fd, POLLIN, 0};
    char bytes[12]{};
    if (::poll(&waiting, 1, 30'000) == 1 && ::recv(fd, bytes, sizeof bytes, MSG_PEEK) == sizeof bytes)
      answered += std::string_view(bytes, sizeof bytes) == "HTTP/1.1 200";
  }
  return answered;
}

TEST(Faults, ten_thousand_connections_at_once_are_all_answered) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  if (before.rlim_max < kCrowd + 200)
    GTEST_SKIP() << "the hard limit on open files is " << before.rlim_max << ": ulimit -Hn " << kCrowd + 200;
  const rlimit raised{before.rlim_max, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &raised), 0);
  int port_pipe[2], result_pipe[2];
  ASSERT_EQ(::pipe(port_pipe) + ::pipe(result_pipe), 0);
  const pid_t client = ::fork();  // before the server has its threads
  if (client == 0) {
    std::uint16_t port = 0;
    int answered = -1;
    if (::read(port_pipe[0], &port, sizeof port) == sizeof port) answered = crowd(port);
    std::ignore = ::write(result_pipe[1], &answered, sizeof answered);
    ::_exit(0);
  }
  {
    ServerOptions options;
    options.limits.connections = kCrowd + 1;
    const auto server = mirror(options);
    const std::uint16_t port = server->port();
    ASSERT_EQ(::write(port_pipe[1], &port, sizeof port), static_cast<ssize_t>(sizeof port));
    int answered = 0;
    ASSERT_EQ(::read(result_pipe[0], &answered, sizeof answered), static_cast<ssize_t>(sizeof answered));
    EXPECT_EQ(answered, kCrowd);
    EXPECT_EQ((*Client::connect("127.0.0.1", port))->get("/still")->body, "<GET /still >");
  }
  ::waitpid(client, nullptr, 0);
  for (const int fd : {port_pipe[0], port_pipe[1], result_pipe[0], result_pipe[1]}) ::close(fd);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace daybreak::net
