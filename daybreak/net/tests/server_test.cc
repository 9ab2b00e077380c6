#include "daybreak/net/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#include "daybreak/base/test_env.h"
#include "daybreak/net/client.h"
#include "daybreak/net/tests/raw.h"

namespace daybreak::net {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<Server> serve(Handler handler, ServerOptions options = {}) {
  if (options.threads == 0) options.threads = 2;
  if (!options.access_log) options.access_log = [](const Access&) {};
  auto server = Server::start(options, std::move(handler));
  EXPECT_TRUE(server.has_value()) << server.error().message();
  return std::move(*server);
}

void echo(const std::shared_ptr<Exchange>& exchange) {
  const Request& request = exchange->request();
  exchange->respond(Response::text(200, fmt::format("{} {} {}", request.method, request.target, request.body)));
}

TEST(Server, answers_one_request_after_the_other_on_one_connection) {
  const auto server = serve(echo);
  auto client = Client::connect("127.0.0.1", server->port());
  ASSERT_TRUE(client.has_value()) << client.error().message();
  for (int i = 0; i < 100; ++i) {
    const auto response = (*client)->post(fmt::format("/p?{}", i), std::string(static_cast<std::size_t>(i) * 100, 'x'));
    ASSERT_TRUE(response.has_value()) << response.error().message();
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, fmt::format("POST /p?{} {}", i, std::string(static_cast<std::size_t>(i) * 100, 'x')));
    EXPECT_EQ(response->headers.get("content-type"), "text/plain; charset=utf-8");
    EXPECT_FALSE(response->headers.get("Date").empty());
  }
  EXPECT_EQ(server->connections(), 1u);
}

TEST(Server, pipelined_requests_are_answered_in_their_order_whoever_answers_first) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> waiting;
  std::vector<std::thread> threads;
  const auto server = serve([&](const std::shared_ptr<Exchange>& exchange) {
    const std::lock_guard lock(mutex);
    waiting.push_back(exchange);
    if (waiting.size() < 20) return;
    threads.emplace_back([all = std::exchange(waiting, {})] {
      for (auto it = all.rbegin(); it != all.rend(); ++it)
        (*it)->respond(Response::text(200, std::string((*it)->request().path())));
    });
  });
  Raw raw(server->port());
  std::string all, wanted;
  for (int i = 0; i < 20; ++i)
    all += fmt::format("GET /{}. HTTP/1.1\r\n@{}\r\n", i, i == 19 ? "Connection: close\r\n" : "");
  const std::string heard = raw.say(all).hear();
  std::size_t at = 0;
  for (int i = 0; i < 20; ++i) {
    at = heard.find(fmt::format("\r\n\r\n/{}.", i), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  for (auto& thread : threads) thread.join();
}

TEST(Server, more_pipelined_requests_than_the_limit_wait_in_the_socket) {
  std::atomic<int> open{0}, most{0};
  ServerOptions options;
  options.limits.pipelined = 4;
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> waiting;
  const auto server = serve(
      [&](const std::shared_ptr<Exchange>& exchange) {
        most = std::max<int>(most, ++open);
        const std::lock_guard lock(mutex);
        waiting.push_back(exchange);
      },
      options);
  Raw raw(server->port());
  std::string all;
  for (int i = 0; i < 50; ++i) all += "GET / HTTP/1.1\r\n@\r\n";
  raw.say(all);
  for (int answered = 0; answered < 50;) {
    std::vector<std::shared_ptr<Exchange>> now;
    {
      const std::lock_guard lock(mutex);
      now.swap(waiting);
    }
    for (const auto& exchange : now) {
      --open;
      exchange->respond(Response::text(200, "x"));
    }
    answered += static_cast<int>(now.size());
    std::this_thread::yield();
  }
  EXPECT_LE(most, 4);
}

TEST(Server, exchange_that_nobody_answers_is_a_500) {
  const auto server = serve([](const std::shared_ptr<Exchange>&) {});
  EXPECT_EQ((*Client::connect("127.0.0.1", server->port()))->get("/")->status, 500);
}

TEST(Server, only_the_first_answer_counts) {
  const auto server = serve([](const std::shared_ptr<Exchange>& exchange) {
    exchange->respond(Response::text(200, "first"));
    exchange->respond(Response::text(500, "second"));
  });
  auto client = Client::connect("127.0.0.1", server->port());
  EXPECT_EQ((*client)->get("/")->body, "first");
  EXPECT_EQ((*client)->get("/")->body, "first");
}

TEST(Server, head_and_204_have_no_body) {
  const auto server = serve([](const std::shared_ptr<Exchange>& exchange) {
    exchange->respond(exchange->request().path() == "/none" ? Response{204, "", "", {}} : Response::text(200, "body"));
  });
  Raw raw(server->port());
  const std::string heard = raw.say("HEAD / HTTP/1.1\r\n@\r\nGET /none HTTP/1.1\r\n@Connection: close\r\n\r\n").hear();
  EXPECT_NE(heard.find("Content-Length: 4\r\n\r\nHTTP/1.1 204"), std::string::npos) << heard;
  EXPECT_EQ(heard.substr(heard.size() - 4), "\r\n\r\n");
}

TEST(Server, header_of_an_answer_cannot_end_its_line) {
  const auto server = serve([](const std::shared_ptr<Exchange>& exchange) {
    Response response = Response::text(200, "x");
    response.headers.add("X-Good", "yes");
    response.headers.add("X-Bad", "a\r\nSet-Cookie: evil");
    response.headers.add("X:Bad\n", "b");
    exchange->respond(std::move(response));
  });
  const std::string heard = Raw(server->port()).say("GET / HTTP/1.1\r\n@Connection: close\r\n\r\n").hear();
  EXPECT_NE(heard.find("X-Good: yes"), std::string::npos);
  EXPECT_EQ(heard.find("evil"), std::string::npos);
  EXPECT_EQ(heard.find("Bad"), std::string::npos);
}

TEST(Server, what_is_beyond_a_limit_gets_its_status_and_the_connection_ends) {
  ServerOptions options;
  options.limits.target_bytes = 100;
  options.limits.header_bytes = 1000;
  options.limits.body_bytes = 1000;
  const auto server = serve(echo, options);
  const auto answer = [&](const std::string& text) {
    Raw raw(server->port());
    const std::string heard = raw.say(text).hear();
    return heard.substr(0, 12) + (heard.ends_with("[silence]") ? " open" : "");
  };
  EXPECT_EQ(answer("GET /" + std::string(99, 'x') + " HTTP/1.1\r\n@Connection: close\r\n\r\n"), "HTTP/1.1 200");
  EXPECT_EQ(answer("GET /" + std::string(100, 'x') + " HTTP/1.1\r\n@\r\n"), "HTTP/1.1 414");
  EXPECT_EQ(answer("GET / HTTP/1.1\r\n@X: " + std::string(1000, 'x') + "\r\n\r\n"), "HTTP/1.1 431");
  EXPECT_EQ(answer("GET / HTTP/1.1\r\n@X: " + std::string(200'000, 'x')), "HTTP/1.1 431");
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@Content-Length: 1001\r\n\r\n" + std::string(1001, 'x')), "HTTP/1.1 413");
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@Content-Length: 99999999999999\r\n\r\n"), "HTTP/1.1 413");
  // The limit is named.
  EXPECT_NE(Raw(server->port()).say("POST / HTTP/1.1\r\n@Content-Length: 1001\r\n\r\n").hear().find("than 1000 bytes"),
            std::string::npos);
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n400\r\n" + std::string(1024, 'x') +
                   "\r\n0\r\n\r\n"),
            "HTTP/1.1 413");
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            "HTTP/1.1 200");
}

TEST(Server, what_is_no_request_is_refused) {
  const auto server = serve(echo);
  const auto answer = [&](const std::string& text) { return Raw(server->port()).say(text).hear().substr(0, 12); };
  EXPECT_EQ(answer("hello\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(answer(std::string(100, '\0')), "HTTP/1.1 400");
  EXPECT_EQ(answer("GET / HTTP/2.0\r\n@\r\n"), "HTTP/1.1 505");
  EXPECT_EQ(answer("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400") << "no Host";
  EXPECT_EQ(answer("GET / HTTP/1.1\r\n@@\r\n"), "HTTP/1.1 400") << "two of them";
  EXPECT_EQ(answer("GET / HTTP/1.1\r\n@Bad Header: x\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@Content-Length: x\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "HTTP/1.1 400")
      << "two lengths: the beginning of request smuggling";
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "HTTP/1.1 400");
}

TEST(Server, looks_at_the_deadlines_of_its_connections_by_itself) {
  base::TestEnv env;
  ServerOptions options;
  options.env = &env;
  const auto server = serve(echo, options);
  Raw idle(server->port());
  idle.say("GET / HTTP/1.1\r\n@\r\n");
  ASSERT_EQ(idle.status(), "HTTP/1.1 200");
  // What a deadline is set from may be read after the clock was moved: once more, then.
  while (server->connections() > 0) {
    env.advance_ns(std::chrono::nanoseconds(options.limits.idle_time).count());
    std::this_thread::yield();
  }
  EXPECT_TRUE(idle.hear().ends_with("GET / "));
}

TEST(Server, connections_and_requests_beyond_their_limits_are_told_to_come_later) {
  base::TestEnv env;
  ServerOptions options;
  options.env = &env;
  options.limits.connections = 3;
  options.limits.requests_per_s = 5;
  options.threads = 1;
  const auto server = serve(echo, options);
  std::vector<std::unique_ptr<Raw>> few;
  for (int i = 0; i < 3; ++i) {
    few.push_back(std::make_unique<Raw>(server->port()));
    EXPECT_EQ(few.back()->say("GET / HTTP/1.1\r\n@\r\n").status(), "HTTP/1.1 200");
  }
  EXPECT_EQ(Raw(server->port()).hear().substr(0, 12), "HTTP/1.1 503");
  few.pop_back();
  while (server->connections() > 2) std::this_thread::yield();
  auto client = Client::connect("127.0.0.1", server->port());
  int refused = 0;
  for (int i = 0; i < 30; ++i) {
    const auto response = (*client)->get("/");
    if (response->status == 429 && response->headers.get("Retry-After") == "1") ++refused;
  }
  EXPECT_EQ(refused, 20);  // 5 a second, and twice as many at once
  env.advance_ns(1'000'000'000);
  for (int i = 0; i < 5; ++i) EXPECT_EQ((*client)->get("/")->status, 200);
  EXPECT_EQ((*client)->get("/")->status, 429);
}

TEST(Server, other_names_and_other_pages_are_refused) {
  ServerOptions options;
  options.hosts = {"models.example:8443", "service.cluster.local", "[fd00::1]"};
  options.origins = {"https://friend.example"};
  const auto server = serve(echo, options);
  const auto answer = [&](const std::string& headers) {
    return Raw(server->port()).say("GET / HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n").hear().substr(9, 3);
  };
  const std::string own = fmt::format("127.0.0.1:{}", server->port());
  EXPECT_EQ(answer("@"), "200");
  EXPECT_EQ(answer(fmt::format("Host: LocalHost:{}\r\n", server->port())), "200");
  EXPECT_EQ(answer("Host: models.example:8443\r\n"), "200");
  EXPECT_EQ(answer("Host: evil.example\r\n"), "421");
  EXPECT_EQ(answer("Host: models.example\r\n"), "421") << "it was given with a port";
  EXPECT_EQ(answer("Host: models.example:8444\r\n"), "421");
  // What proxies, forwarded ports and clusters make of a name (mlflow 22095).
  for (const char* host : {"127.0.0.1", "127.0.0.1:9999", "localhost", "localhost:1", "[::1]", "[::1]:80",
                           "service.cluster.local", "Service.Cluster.Local:5000", "[fd00::1]:65535"})
    EXPECT_EQ(answer(fmt::format("Host: {}\r\n", host)), "200") << host;
  for (const char* host :
       {"localhost:", "localhost:x", "localhost:80:80", "localhost:123456", "::1", "[::1", "[::1]x", "[::1]:"})
    EXPECT_NE(answer(fmt::format("Host: {}\r\n", host)), "200") << host;
  EXPECT_EQ(answer("Host: 127.0.0.1:1@evil.example\r\n").substr(0, 1), "4");
  EXPECT_EQ(answer("@Origin: http://" + own + "\r\n"), "200");
  EXPECT_EQ(answer("@Origin: https://friend.example\r\n"), "200");
  EXPECT_EQ(answer("@Origin: https://" + own + "\r\n"), "403") << "another scheme is another origin";
  EXPECT_EQ(answer("@Origin: http://evil.example\r\n"), "403");
  EXPECT_EQ(answer("@Origin: null\r\n"), "403");
}

TEST(Server, a_name_that_stands_for_loopback_is_listened_on_and_answered) {
  for (const char* name : {"localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"})
    EXPECT_TRUE(is_loopback(name)) << name;
  for (const char* name : {"", "0.0.0.0", "::", "8.8.8.8", "no.such.name.invalid", "127.0.0.1.example", "127.0.0.1:80"})
    EXPECT_FALSE(is_loopback(name)) << name;
  EXPECT_EQ(resolve("127.0.0.1").value(), std::vector<std::string>{"127.0.0.1"});
  EXPECT_NE(resolve("no.such.name.invalid").error().message().find("'no.such.name.invalid'"), std::string::npos);
  ServerOptions options;
  options.address = "localhost";
  const auto server = serve(echo, options);
  const auto answer = [&](const std::string& host) {
    return Raw(server->port())
        .say(fmt::format("GET / HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\n\r\n", host, server->port()))
        .hear()
        .substr(9, 3);
  };
  for (const char* host : {"localhost", "LocalHost", "127.0.0.1", "[::1]"}) EXPECT_EQ(answer(host), "200") << host;
  EXPECT_EQ(answer("localhost.evil.example"), "421");
}

TEST(Server, old_clients_need_no_host_and_may_keep_their_connection) {
  const auto server = serve(echo);
  const auto answer = [&](const std::string& text) { return Raw(server->port()).say(text).hear(); };
  // What health checks send.
  const std::string bare = answer("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_EQ(bare.substr(0, 15), "HTTP/1.1 200 OK");
  EXPECT_NE(bare.find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_EQ(answer("OPTIONS / HTTP/1.0\r\n\r\n").substr(9, 3), "204");
  EXPECT_EQ(answer("HEAD / HTTP/1.0\r\n\r\n").substr(9, 3), "200");
  EXPECT_EQ(answer("GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n").substr(9, 3), "421");
  EXPECT_EQ(answer("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n").substr(9, 3), "400");
  EXPECT_EQ(answer("GET / HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n").substr(9, 3), "403");
  Raw raw(server->port());  // as ab -k
  for (int i = 0; i < 3; ++i) {
    raw.say(fmt::format("POST /{} HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nab", i));
    const std::string heard = raw.hear(fmt::format("POST /{} ab", i));
    EXPECT_NE(heard.find("\r\nConnection: keep-alive\r\n"), std::string::npos) << heard;
  }
}

TEST(Server, absolute_targets_are_those_of_their_host_alone) {
  const auto server = serve(echo);
  const std::string own = fmt::format("127.0.0.1:{}", server->port());
  const auto answer = [&](const std::string& target, const std::string& headers = "@", const char* version = "1.1") {
    const std::string heard =
        Raw(server->port())
            .say(fmt::format("GET {} HTTP/{}\r\n{}Connection: close\r\n\r\n", target, version, headers))
            .hear();
    return heard.substr(9, 3) + heard.substr(std::min(heard.size(), heard.find("\r\n\r\n") + 4));
  };
  EXPECT_EQ(answer("http://" + own + "/a/b?c=http://x"), "200GET /a/b?c=http://x ");
  EXPECT_EQ(answer("HTTP://" + own), "200GET / ");
  EXPECT_EQ(answer("http://" + own + "?q"), "200GET /?q ");
  EXPECT_EQ(answer("http://" + own + "/x", "", "1.0"), "200GET /x ");
  EXPECT_EQ(answer("http://evil.example/", "", "1.0").substr(0, 3), "421");
  EXPECT_EQ(answer("http://" + own + "/x", "").substr(0, 3), "400") << "HTTP/1.1 needs a Host";
  EXPECT_EQ(answer("http://evil.example/").substr(0, 3), "400") << "Host says another";
  EXPECT_EQ(answer("http://evil.example/", "Host: evil.example\r\n").substr(0, 3), "421");
  EXPECT_EQ(answer("https://" + own + "/").substr(0, 3), "400") << "another scheme";
  EXPECT_EQ(answer("http://").substr(0, 3), "400");
  EXPECT_EQ(answer("http:/x").substr(0, 3), "400");
}

TEST(Server, an_accepted_page_may_ask_what_it_may_send_and_read_the_answer) {
  ServerOptions options;
  options.origins = {"https://friend.example"};
  const auto server = serve(
      [](const std::shared_ptr<Exchange>& exchange) {
        if (exchange->request().method == "POST") return exchange->respond(Response::text(200, "done"));
        Response response = Response::text(405, "no");
        response.headers.add("Allow", "POST");
        exchange->respond(std::move(response));
      },
      options);
  const auto answer = [&](const std::string& text) {
    return Raw(server->port()).say(text + "Connection: close\r\n\r\n").hear();
  };
  const std::string asked = answer(
      "OPTIONS /m/predict HTTP/1.1\r\n@Origin: https://friend.example\r\nAccess-Control-Request-Method: POST\r\n"
      "Access-Control-Request-Headers: content-type,authorization\r\n");
  EXPECT_EQ(asked.substr(9, 3), "204") << asked;
  for (const char* header : {"Access-Control-Allow-Origin: https://friend.example\r\n",
                             "Access-Control-Allow-Methods: GET, HEAD, POST, DELETE\r\n",
                             "Access-Control-Allow-Headers: content-type,authorization\r\n", "Vary: Origin\r\n"})
    EXPECT_NE(asked.find(header), std::string::npos) << header << asked;
  const std::string sent =
      answer("POST /m/predict HTTP/1.1\r\n@Origin: https://friend.example\r\nContent-Length: 0\r\n");
  EXPECT_EQ(sent.substr(9, 3), "200");
  EXPECT_NE(sent.find("Access-Control-Allow-Origin: https://friend.example\r\n"), std::string::npos) << sent;
  const std::string own = fmt::format("Origin: http://127.0.0.1:{}\r\n", server->port());
  EXPECT_EQ(answer("POST / HTTP/1.1\r\n@" + own + "Content-Length: 0\r\n").find("Access-Control"), std::string::npos);
  const std::string evil =
      answer("OPTIONS / HTTP/1.1\r\n@Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n");
  EXPECT_EQ(evil.substr(9, 3), "403");
  EXPECT_EQ(evil.find("Access-Control"), std::string::npos);
  // Without a page: what is allowed, not that asking is not.
  const std::string plain = answer("OPTIONS /m/predict HTTP/1.1\r\n@");
  EXPECT_EQ(plain.substr(9, 3), "204");
  EXPECT_NE(plain.find("\r\nAllow: POST, OPTIONS\r\n"), std::string::npos) << plain;
}

TEST(Server, empty_lines_before_a_request_are_read_over) {
  const auto server = serve(echo);
  Raw raw(server->port());
  raw.say("\r\n\r\nPOST /1 HTTP/1.1\r\n@Content-Length: 1\r\n\r\na\r\n").hear("POST /1 a");
  raw.say("GET /2 HTTP/1.1\r\n@\r\n").hear("GET /2 ");
  raw.say("\r").say("\nGET /3 HTTP/1.1\r\n@\r\n");
  EXPECT_EQ(raw.hear("GET /3 ").find("[closed]"), std::string::npos);
}

TEST(Server, continue_is_said_to_who_waits_for_it) {
  const auto server = serve(echo);
  Raw raw(server->port());
  raw.say("POST /x HTTP/1.1\r\n@Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
  EXPECT_NE(raw.hear("100 Continue\r\n\r\n").find("HTTP/1.1 100"), std::string::npos);
  EXPECT_NE(raw.say("abc").hear().find("POST /x abc"), std::string::npos);
}

TEST(Server, log_has_the_path_and_not_the_query) {
  std::promise<std::string> logged;
  ServerOptions options;
  options.access_log = [&](const Access& access) {
    logged.set_value(fmt::format("{} {} {} {}", access.method, access.path, access.status, access.request_bytes));
  };
  const auto server = serve(echo, options);
  ASSERT_TRUE((*Client::connect("127.0.0.1", server->port()))->post("/a/b?token=secret", "12345").has_value());
  EXPECT_EQ(logged.get_future().get(), "POST /a/b 200 5");
}

TEST(Server, draining_answers_what_is_here_and_takes_nothing_more) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> waiting;
  std::promise<void> arrived;
  const auto server = serve([&](const std::shared_ptr<Exchange>& exchange) {
    const std::lock_guard lock(mutex);
    waiting.push_back(exchange);
    arrived.set_value();
  });
  Raw busy(server->port()), idle(server->port());
  busy.say("GET / HTTP/1.1\r\n@\r\n");
  arrived.get_future().wait();
  auto drained = std::async(std::launch::async, [&] { return server->drain(5s); });
  EXPECT_EQ(idle.hear(), "");
  {
    const std::lock_guard lock(mutex);
    waiting[0]->respond(Response::text(200, "done"));
  }
  const std::string heard = busy.hear();
  EXPECT_NE(heard.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(heard.ends_with("done"));
  EXPECT_TRUE(drained.get());
  EXPECT_FALSE(Client::connect("127.0.0.1", server->port()).has_value());
}

TEST(Server, drain_that_takes_too_long_says_so_and_stop_ends_it) {
  std::shared_ptr<Exchange> held;
  std::promise<void> arrived;
  const auto server = serve([&](const std::shared_ptr<Exchange>& exchange) {
    held = exchange;
    arrived.set_value();
  });
  Raw raw(server->port());
  raw.say("GET / HTTP/1.1\r\n@\r\n");
  arrived.get_future().wait();
  EXPECT_FALSE(server->drain(50ms));
  server->stop();
  EXPECT_EQ(raw.hear(), "");
  held->respond(Response::text(200, "too late"));  // nobody hears it, and nothing breaks
}

TEST(Server, address_that_is_taken_or_none_is_an_error_that_names_it) {
  const auto server = serve(echo);
  ServerOptions same;
  same.port = server->port();
  const auto taken = Server::start(same, echo);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().code(), base::Code::kUnavailable);
  EXPECT_NE(taken.error().message().find(std::to_string(same.port)), std::string::npos);
  ServerOptions nowhere;
  nowhere.address = "not an address";
  EXPECT_EQ(Server::start(nowhere, echo).error().code(), base::Code::kInvalidArgument);
}

TEST(Server, many_connections_at_once_are_all_answered) {
  const auto server = serve(echo);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int c = 0; c < 10; ++c) {
        auto client = Client::connect("127.0.0.1", server->port());
        for (int i = 0; i < 20; ++i) {
          const auto response = (*client)->post("/", fmt::format("{}-{}-{}", t, c, i));
          right += response.has_value() && response->body == fmt::format("POST / {}-{}-{}", t, c, i);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 4 * 10 * 20);
}

}  // namespace
}  // namespace daybreak::net
