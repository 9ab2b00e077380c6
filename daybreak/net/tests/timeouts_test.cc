// What becomes of a client that takes its time, to the millisecond, on a clock that the test moves.
#include <gtest/gtest.h>

#include "daybreak/base/test_env.h"
#include "daybreak/net/internal/bucket.h"
#include "daybreak/net/tests/wire.h"

namespace daybreak::net {
namespace {

using namespace std::chrono_literals;

class Timeouts : public testing::Test {
 protected:
  // With it the loop looks at its deadlines.
  void pass(milliseconds time) {
    env_.advance_ns(nanos(time));
    wire_->expire();
  }
  void SetUp() override { connect(); }
  void connect() {
    ServerOptions options;
    options.env = &env_;
    options.limits = limits_;
    wire_ = std::make_unique<Wire>(options, [this](const std::shared_ptr<Exchange>& exchange) {
      if (exchange->request().path() == "/late") {
        late_ = exchange;
        return;
      }
      const std::size_t size = exchange->request().path() == "/large" ? 64u << 20 : 1;
      exchange->respond(Response::text(200, std::string(size, 'x')));
    });
  }
  std::string get(const std::string& path) {
    const std::size_t before = wire_->heard().size();
    EXPECT_TRUE(wire_->say("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"));
    return wire_->heard().substr(before);
  }
  std::string status() const { return wire_->heard().substr(0, 12); }

  base::TestEnv env_;
  Limits limits_;
  std::shared_ptr<Exchange> late_;
  std::unique_ptr<Wire> wire_;
};

TEST_F(Timeouts, headers_that_are_not_all_there_in_time_are_a_408) {
  wire_->say("GET / HT");
  // A byte now and then does not help.
  for (milliseconds passed = 1s; passed < limits_.header_time; passed += 1s) {
    pass(1s);
    wire_->say("y");
  }
  pass(999ms);
  EXPECT_EQ(wire_->heard(), "");
  pass(1ms);
  EXPECT_EQ(status(), "HTTP/1.1 408");
}

TEST_F(Timeouts, a_body_that_is_not_all_there_in_time_is_a_408) {
  for (const char* length : {"Content-Length: 100\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"}) {
    connect();
    wire_->say("POST / HTTP/1.1\r\nHost: a\r\n");
    pass(limits_.header_time - 1ms);
    wire_->say(length);  // the headers are here, and the body has its own time
    pass(limits_.body_time - 1ms);
    wire_->say("1\r\ny\r\n");
    EXPECT_EQ(wire_->heard(), "");
    pass(1ms);
    EXPECT_EQ(status(), "HTTP/1.1 408") << length;
  }
}

TEST_F(Timeouts, a_connection_is_kept_for_the_idle_time_after_each_answer_and_ends_without_a_word) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(get("/").substr(0, 12), "HTTP/1.1 200");
    pass(limits_.idle_time - 1ms);
    EXPECT_EQ(wire_->connections(), 1u);
  }
  const std::string heard = wire_->heard();
  pass(1ms);
  EXPECT_EQ(wire_->connections(), 0u);
  EXPECT_EQ(wire_->heard(), heard);
}

TEST_F(Timeouts, who_waits_for_an_answer_of_ours_is_not_idle) {
  get("/late");
  for (int i = 0; i < 10; ++i) pass(limits_.idle_time);
  ASSERT_EQ(wire_->connections(), 1u);
  late_->respond(Response::text(200, "at last"));
  late_ = nullptr;
  pass(0ms);
  EXPECT_TRUE(wire_->heard().ends_with("at last"));
}

TEST_F(Timeouts, an_answer_that_is_not_read_in_time_ends_the_connection) {
  wire_->go_deaf();
  get("/large");
  pass(limits_.write_time - 1ms);
  EXPECT_EQ(wire_->connections(), 1u);
  pass(1ms);
  EXPECT_EQ(wire_->connections(), 0u);
}

TEST_F(Timeouts, after_a_refusal_what_still_comes_is_read_for_a_second) {
  wire_->say("nonsense\r\n\r\n");
  EXPECT_EQ(status(), "HTTP/1.1 400");
  pass(999ms);
  EXPECT_TRUE(wire_->say("more nonsense"));
  EXPECT_EQ(wire_->connections(), 1u);
  pass(1ms);
  EXPECT_EQ(wire_->connections(), 0u);
}

TEST_F(Timeouts, the_date_is_of_the_servers_clock) {
  EXPECT_NE(get("/").find("Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"), std::string::npos);
  pass(999ms);
  EXPECT_NE(get("/").find("00:00:00 GMT\r\n"), std::string::npos);
  pass(1ms);
  EXPECT_NE(get("/").find("00:00:01 GMT\r\n"), std::string::npos);
}

TEST(Buckets, gives_so_many_a_second_and_twice_as_many_at_once) {
  base::TestEnv env;
  Bucket bucket(5, env);
  const auto taken = [&] {
    int count = 0;
    while (bucket.take()) ++count;
    return count;
  };
  EXPECT_EQ(taken(), 10);
  env.advance_ns(199'999'999);
  EXPECT_EQ(taken(), 0);
  env.advance_ns(2);
  EXPECT_EQ(taken(), 1);
  env.advance_ns(3'600'000'000'000);
  EXPECT_EQ(taken(), 10);
  Bucket unlimited(0, env);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(unlimited.take());
}

}  // namespace
}  // namespace daybreak::net
