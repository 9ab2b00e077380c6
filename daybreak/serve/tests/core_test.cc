#include "daybreak/serve/core.h"

#include <gtest/gtest.h>

#include <future>

#include "daybreak/base/json.h"
#include "daybreak/base/test_env.h"
#include "daybreak/net/client.h"
#include "daybreak/serve/tests/fakes.h"

namespace daybreak::serve {
namespace {

using base::Json;
using std::chrono::milliseconds;

constexpr const char* kToken = "0123456789abcdef0123456789abcdef";
const std::string kSession = "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M";  // 32 times "s"

class Serving : public testing::Test {
 protected:
  void SetUp() override {
    CoreOptions options;
    options.admin_token = kToken;
    options.threads = 1;
    options.env = &env_;
    options.body_bytes = 1u << 20;
    options.query.server_id = "the server";
    options.query.site = {{"/", {"text/html; charset=utf-8", "<p>hello"}}};
    options.query.site_headers = {{"Content-Security-Policy", "default-src 'self'"}};
    options.deploy_gate = *Gate::hold(&gate_.raw);
    auto core = Core::start(std::move(options));
    ASSERT_TRUE(core.has_value()) << core.error().message();
    core_ = std::move(*core);
    add_app("a", 10'000'000, "-1");
    add_model("m", "1", model_);
    ASSERT_TRUE(core_->apps().link("a", "m"));
  }

  void add_app(const std::string& name, std::int64_t slo_us, std::optional<std::string> standard, bool refuse = false,
               bool gated = false) {
    AppOptions options{name, "doubles", std::move(standard), slo_us, refuse, nullptr};
    if (gated) options.gate = *Gate::hold(&gate_.raw);
    ASSERT_TRUE(core_->apps().add(options));
  }
  void add_model(const std::string& model, const std::string& version, FakeModel& fake) {
    VersionConfig config;
    config.name = version;
    config.lineage = R"({"run":"r7"})";
    ASSERT_TRUE(core_->apps().add_version(model, std::move(config)));
    ASSERT_TRUE(core_->apps().set_current(model, version));
    ASSERT_TRUE(core_->replicas().add_native(model, version, &fake.raw));
  }

  net::Response send(const std::string& method, const std::string& target, const std::string& body = "",
                     net::Headers headers = {}, std::uint16_t port = 0) {
    auto client = net::Client::connect("127.0.0.1", port != 0 ? port : core_->query_port());
    EXPECT_TRUE(client.has_value());
    auto response =
        (*client)->request({.method = method, .target = target, .headers = std::move(headers), .body = body});
    EXPECT_TRUE(response.has_value()) << response.error().message();
    return response ? *response : net::Response{};
  }
  std::string predict(const std::string& app, const std::string& body, int status = 200) {
    const net::Response response = send("POST", "/" + app + "/predict", body);
    EXPECT_EQ(response.status, status) << response.body;
    return response.body;
  }

  // Its clock stands still: no deadline passes unless a test lets it. Then the server has to be told, whose timer is the
  // kernel's.
  void advance_ns(Nanos duration) {
    env_.advance_ns(duration);
    core_->replicas().wake(0);
  }
  // The answer to a request that the model has begun to compute.
  std::future<net::Response> begin(const std::string& app) {
    const int calls = model_.calls;
    auto answer = std::async(std::launch::async,
                             [this, app] { return send("POST", "/" + app + "/predict", R"({"input":[1,2]})"); });
    while (model_.calls == calls) std::this_thread::yield();
    return answer;
  }

  base::TestEnv env_;
  FakeModel model_;
  FakeGate gate_;
  std::unique_ptr<Core> core_;
};

TEST_F(Serving, a_prediction_is_clippers_object) {
  EXPECT_EQ(predict("a", R"({"input":[1,2.5]})"), R"({"query_id":0,"output":3.5,"default":false})");
  EXPECT_EQ(send("POST", "/a/predict/", R"({"input":[1,2]})").body, R"({"query_id":1,"output":3,"default":false})");
  EXPECT_EQ(
      predict("a", R"({"input_batch":[[1,2],[3,4]]})"),
      R"({"batch_predictions":[{"query_id":2,"output":3,"default":false},{"query_id":3,"output":7,"default":false}]})");
  EXPECT_EQ(predict("a", R"({"input_batch":[[1,2]]})"), R"({"query_id":4,"output":3,"default":false})");
}

TEST_F(Serving, an_app_without_a_model_gives_its_default) {
  add_app("alone", 1000, "Setosa");
  EXPECT_EQ(
      predict("alone", R"({"input":[1],"version":"9"})"),
      R"({"query_id":0,"output":"Setosa","default":true,"default_explanation":"No connected models found for query"})");
}

TEST_F(Serving, at_its_deadline_a_request_gets_the_default_with_the_reason) {
  add_app("fast", 20'000, "0");
  ASSERT_TRUE(core_->apps().link("fast", "m"));
  model_.hold_up();
  auto response = begin("fast");
  advance_ns(19'999'999);
  EXPECT_EQ(core_->apps().models()[0]->outstanding(), 1u);
  advance_ns(1);
  const Json answer = *base::parse_json(response.get().body);
  model_.let_go();
  EXPECT_EQ(answer["default"], true);
  EXPECT_EQ(answer["default_explanation"], "Failed to retrieve a prediction response within the specified latency SLO");
}

TEST_F(Serving, an_app_without_a_default_refuses_with_503) {
  add_app("strict", 20'000, std::nullopt);
  ASSERT_TRUE(core_->apps().link("strict", "m"));
  model_.hold_up();
  auto answer = begin("strict");
  advance_ns(20'000'000);
  const net::Response response = answer.get();
  model_.let_go();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.get("Retry-After"), "1");
  EXPECT_EQ(response.body, R"({"error":"deadline"})");
}

TEST_F(Serving, model_errors_and_what_is_not_finite_become_defaults) {
  for (const char* body : {R"({"input":[-1,0]})", R"({"input":[-2,0]})"})
    EXPECT_EQ((*base::parse_json(predict("a", body)))["default_explanation"], "model_error");
  EXPECT_EQ((*base::parse_json(predict("a", R"({"input":[1,0]})")))["output"], 1);
}

TEST_F(Serving, bad_requests_are_told_what_is_wrong) {
  EXPECT_TRUE(predict("a", R"({"input":["x",1]})", 400).starts_with(R"({"error":"Json error","cause":")"));
  EXPECT_TRUE(predict("a", R"({"input":[1,2,3]})", 400).starts_with(R"({"error":"Query processing error","cause":)"));
  EXPECT_EQ((*base::parse_json(predict("a", R"({"input":[1,2],"version":"7"})", 400)))["cause"],
            "Requested version: 7 does not exist for model: m");
  EXPECT_EQ(send("POST", "/nobody/predict", "{}").status, 404);
  EXPECT_EQ(send("POST", "/a/other", "{}").status, 404);
  EXPECT_EQ(send("GET", "/a/predict").status, 405);
  EXPECT_EQ(send("GET", "/../../etc/passwd").status, 404);
  EXPECT_EQ(send("GET", "/%2e%2e/%2e%2e/etc/passwd").status, 404);
  EXPECT_EQ(send("POST", "/a/predict", std::string(2u << 20, ' ')).status, 413);
}

TEST_F(Serving, feedback_is_taken) {
  EXPECT_EQ(send("POST", "/a/update", R"({"uid":0,"input":[1,2],"label":1.0})").body, "Feedback received? 1");
  EXPECT_EQ(send("POST", "/a/update", R"({"uid":0,"input":[1,2]})").status, 400);
}

TEST_F(Serving, metrics_come_in_both_shapes_and_health_is_told) {
  predict("a", R"({"input":[1,2]})");
  const Json clipper = *base::parse_json(send("GET", "/metrics").body);
  EXPECT_EQ(clipper["counters"][0]["app:a:num_predictions"]["count"], "1");
  for (const std::uint16_t port : {core_->query_port(), core_->metrics_port()}) {
    const std::string text = send("GET", "/metrics", "", {{"Accept", "text/plain"}}, port).body;
    EXPECT_NE(text.find("daybreak_serve_inputs_total{app=\"a\",outcome=\"answered\"} 1"), std::string::npos) << text;
    EXPECT_NE(text.find("daybreak_serve_version_info{model=\"m\",version=\"1\",run=\"r7\",artifact=\"\"} 1"),
              std::string::npos)
        << text;
  }
  EXPECT_EQ(send("GET", "/healthz").status, 200);
  EXPECT_EQ(send("GET", "/a/ready").status, 200);
  add_app("alone", 1000, "0");
  EXPECT_EQ(send("GET", "/alone/ready").status, 503);
}

TEST_F(Serving, every_app_counts_for_itself_however_many_there_were_before_it) {
  // 200 apps have 1,000 series of outcomes, which was all there was room for.
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 150; ++i) add_app(fmt::format("app{}", i), 10'000'000, "0");
    for (int i = 0; i < 150; ++i) {
      if (round < 2) {
        ASSERT_TRUE(core_->apps().remove(fmt::format("app{}", i)));
      }
    }
  }
  for (int i = 0; i < 150; ++i) predict(fmt::format("app{}", i), R"({"input_batch":[[1,2],[3,4]]})");
  const std::string text = send("GET", "/metrics", "", {{"Accept", "text/plain"}}).body;
  const Json clipper = *base::parse_json(send("GET", "/metrics").body, {.max_bytes = 64u << 20});
  for (int i = 0; i < 150; ++i) {
    const std::string line = fmt::format("daybreak_serve_inputs_total{{app=\"app{}\",outcome=\"no_model\"}} 2\n", i);
    EXPECT_NE(text.find(line), std::string::npos) << line;
    const Json own = *base::parse_json(send("GET", fmt::format("/daybreak/v1/apps/app{}", i)).body);
    EXPECT_EQ(own["metrics"]["defaults"], 2);
    EXPECT_EQ(own["metrics"]["predictions"], 0);
  }
  for (const Json& counter : clipper["counters"]) {
    for (const auto& [name, value] : counter.items()) {
      if (name.starts_with("app:app")) {
        EXPECT_EQ(value["count"], "2") << name;
      }
    }
  }
  EXPECT_EQ(text.find("_other"), std::string::npos);
  EXPECT_EQ(text.find("overflowed"), std::string::npos);
}

TEST_F(Serving, what_is_deleted_is_counted_no_more_and_what_is_made_anew_begins_at_zero) {
  add_app("late", 10'000'000, "0");
  predict("late", R"({"input":[1,2]})");
  const auto text = [&] { return send("GET", "/metrics", "", {{"Accept", "text/plain"}}).body; };
  EXPECT_NE(text().find("app=\"late\""), std::string::npos);
  ASSERT_TRUE(core_->apps().remove("late"));
  EXPECT_EQ(text().find("app=\"late\""), std::string::npos);
  add_app("late", 10'000'000, "0");
  EXPECT_NE(text().find("daybreak_serve_inputs_total{app=\"late\",outcome=\"no_model\"} 0\n"), std::string::npos);
  // Versions, too; a model goes with its last one, so that 1,000 is a limit for models that there are.
  for (int i = 0; i < static_cast<int>(kMaxModels) + 10; ++i) {
    VersionConfig config;
    config.name = "1";
    ASSERT_TRUE(core_->apps().add_version(fmt::format("model{}", i), std::move(config))) << i;
    ASSERT_TRUE(core_->apps().delete_version(fmt::format("model{}", i), "1"));
  }
  EXPECT_EQ(core_->apps().models().size(), 1u);
  EXPECT_EQ(text().find("model=\"model"), std::string::npos);
}

TEST_F(Serving, a_model_without_versions_that_an_app_is_linked_to_stays) {
  VersionConfig config;
  config.name = "1";
  ASSERT_TRUE(core_->apps().add_version("n", config));
  add_app("b", 10'000'000, "0");
  ASSERT_TRUE(core_->apps().link("b", "n"));
  ASSERT_TRUE(core_->apps().delete_version("n", "1"));
  EXPECT_TRUE(core_->apps().model("n").has_value());
  EXPECT_NE(predict("b", R"({"input":[1,2]})").find("\"default\":true"), std::string::npos);
  ASSERT_TRUE(core_->apps().add_version("n", config));
  EXPECT_EQ(core_->apps().find("b")->model, *core_->apps().model("n"));
}

TEST_F(Serving, an_empty_batch_is_answered_with_an_empty_list_as_clipper_does) {
  add_app("alone", 10'000'000, std::nullopt);
  for (const char* app : {"a", "alone"}) {
    const net::Response answer = send("POST", fmt::format("/{}/predict", app), R"({"input_batch":[]})");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, R"({"batch_predictions":[]})");
  }
  EXPECT_EQ(send("POST", "/a/predict", R"({"input_batch":[],"version":"9"})").status, 400);
  EXPECT_EQ(send("POST", "/a/update", R"({"uid":0,"input_batch":[],"label":1.0})").status, 400);
  auto socket = *net::WebSocketClient::connect("127.0.0.1", core_->query_port(), "/a/predict");
  ASSERT_TRUE(socket->send({R"({"id":7,"input_batch":[]})"}));
  EXPECT_EQ((*base::parse_json(socket->receive()->bytes))["batch_predictions"], Json::array());
}

TEST_F(Serving, clippers_metrics_say_how_long_inputs_waited_for_a_batch) {
  const auto waited = [&]() -> std::string {
    const Json clipper = *base::parse_json(send("GET", "/metrics").body);
    for (const Json& one : clipper["histograms"]) {
      if (one.contains("internal:rpc_request_queueing_delay"))
        return one["internal:rpc_request_queueing_delay"]["size"].get<std::string>();
    }
    return "missing";
  };
  EXPECT_EQ(waited(), "0");
  predict("a", R"({"input":[1,2]})");
  EXPECT_EQ(waited(), "1");
}

TEST_F(Serving, numbers_beyond_64_bits_are_numbers_where_nobody_computes_with_them) {
  EXPECT_NE(predict("a", R"({"input":[1,2],"uid":12345678901234567890123})").find("\"output\":3,"), std::string::npos);
  add_app("big", 10'000'000, "12345678901234567890123");
  const std::string answer = predict("big", R"({"input":[1,2]})");
  EXPECT_NE(answer.find(R"("output":12345678901234567890123,)"), std::string::npos) << answer;
}

TEST_F(Serving, the_page_is_served_from_memory_with_its_headers) {
  const net::Response page = send("GET", "/");
  EXPECT_EQ(page.body, "<p>hello");
  EXPECT_EQ(page.headers.get("Content-Security-Policy"), "default-src 'self'");
  EXPECT_EQ(send("GET", "/index.html").status, 404);
}

TEST_F(Serving, a_websocket_predicts_and_says_which_version_answered) {
  auto socket = net::WebSocketClient::connect("127.0.0.1", core_->query_port(), "/a/predict");
  ASSERT_TRUE(socket.has_value()) << socket.error().message();
  ASSERT_TRUE((*socket)->send({R"({"id":7,"input":[1,2]})"}));
  Json answer = *base::parse_json((*socket)->receive()->bytes);
  EXPECT_EQ(answer["id"], 7);
  EXPECT_EQ(answer["output"], 3);
  EXPECT_EQ(answer["version"], "1");
  EXPECT_GE(answer["latency_us"].get<int>(), 0);
  ASSERT_TRUE((*socket)->send({R"({"id":8,"input":["x"]})"}));
  answer = *base::parse_json((*socket)->receive()->bytes);
  EXPECT_EQ(answer["error"], "Json error");
  ASSERT_TRUE((*socket)->send({"x", false}));
  EXPECT_FALSE((*socket)->receive().has_value());
  EXPECT_EQ((*socket)->close_code(), 1003);
}

TEST_F(Serving, versions_switch_under_load_without_a_lost_request) {
  FakeModel second;
  add_model("m", "2", second);
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0}, lost{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      auto client = *net::Client::connect("127.0.0.1", core_->query_port());
      while (!stop) {
        const auto response = client->post("/a/predict", R"({"input":[1,2]})");
        const bool right = response && response->body.find("\"output\":3,\"default\":false") != std::string::npos;
        ++(right ? answered : lost);
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(milliseconds(5));
    ASSERT_TRUE(core_->apps().set_current("m", i % 2 == 0 ? "1" : "2"));
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(lost.load(), 0);
  EXPECT_GT(answered.load(), 0);
  core_->stop();
}

class Gated : public Serving {
 protected:
  void SetUp() override {
    Serving::SetUp();
    add_app("g", 10'000'000, "0", false, true);
    ASSERT_TRUE(core_->apps().link("g", "m"));
  }
  net::Response ask(net::Headers headers, const std::string& target = "/g/predict") {
    return send("POST", target, R"({"input":[1,2]})", std::move(headers));
  }
  static net::Headers signed_headers(const std::string& nonce) {
    return {{"Daybreak-Proof", encode_base64url("good")},
            {"Daybreak-Issued-At", "1"},
            {"Daybreak-Nonce", nonce},
            {"Daybreak-Signature", "AAAA"}};
  }
};

TEST_F(Gated, nobody_passes_without_something_to_show) {
  const net::Response response = ask({});
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.body, R"({"error":"no_proof"})");
  EXPECT_EQ(send("GET", "/daybreak/v1/apps/g").status, 401);
  EXPECT_EQ(send("POST", "/g/update", "{}").status, 401);
  EXPECT_EQ(model_.calls.load(), 0);
  EXPECT_EQ(send("GET", "/daybreak/v1/apps/a").status, 200);
}

TEST_F(Gated, a_session_passes_and_the_codes_go_on_the_wire) {
  const net::Headers session = {{"Authorization", "Bearer " + kSession}, {"Origin", ""}};
  EXPECT_EQ(ask({{"Authorization", "Bearer " + kSession}}).status, 200);
  EXPECT_EQ(gate_.last, "predict apps/g g   ");
  const std::pair<int, const char*> codes[] = {{DAYBREAK_GATE_NOT_GRANTED, "not_granted"},
                                               {DAYBREAK_GATE_EXPIRED, "expired"},
                                               {DAYBREAK_GATE_REVOKED, "revoked"},
                                               {DAYBREAK_GATE_REVOCATION_STALE, "revocation_stale"}};
  for (const auto& [code, word] : codes) {
    gate_.code = code;
    const net::Response response = ask({{"Authorization", "Bearer " + kSession}});
    EXPECT_EQ(response.status, 403);
    EXPECT_EQ(response.body, fmt::format(R"({{"error":"{}"}})", word));
  }
  for (const char* token : {"Bearer x", "Bearer ", "Bearer !!!!", "Basic c3Nz"})
    EXPECT_NE(ask({{"Authorization", token}}).status, 200);
}

TEST_F(Gated, a_pages_own_get_has_the_pages_origin) {
  const auto origin_seen = [&](const char* site) {
    send("GET", "/daybreak/v1/apps/g", "", {{"Authorization", "Bearer " + kSession}, {"Sec-Fetch-Site", site}});
    return gate_.last;
  };
  EXPECT_EQ(origin_seen("same-origin"), fmt::format("predict apps/g g http://127.0.0.1:{}  ", core_->query_port()));
  EXPECT_EQ(origin_seen("cross-site"), "predict apps/g g   ");
  EXPECT_EQ(origin_seen("same-site"), "predict apps/g g   ");
}

TEST_F(Gated, a_signed_request_passes_once) {
  EXPECT_EQ(ask(signed_headers("AAAA")).status, 200);
  EXPECT_EQ(gate_.last, "predict apps/g g  POST /g/predict");
  EXPECT_EQ(ask(signed_headers("AAAA")).body, R"({"error":"replayed"})");
  EXPECT_EQ(ask(signed_headers("AAAB")).status, 200);
  net::Headers broken = {{"Daybreak-Proof", "good"}, {"Daybreak-Issued-At", "1x"}, {"Daybreak-Nonce", "AAAA"}};
  EXPECT_EQ(ask(broken).body, R"({"error":"malformed"})");
}

TEST_F(Gated, a_session_is_opened_by_its_challenge_and_closed) {
  const Json challenge = *base::parse_json(send("POST", "/daybreak/v1/challenge", R"({"app":"g"})").body);
  EXPECT_EQ(challenge["server"], "the server");
  const Json body = {
      {"app", "g"}, {"proof", encode_base64url("good")}, {"challenge", challenge["challenge"]}, {"signature", "AAAA"}};
  const net::Response opened = send("POST", "/daybreak/v1/session", body.dump());
  ASSERT_EQ(opened.status, 200) << opened.body;
  EXPECT_EQ((*base::parse_json(opened.body))["token"], kSession);
  EXPECT_EQ(opened.headers.get("Cache-Control"), "no-store");
  EXPECT_EQ(send("DELETE", "/daybreak/v1/session", "", {{"Authorization", "Bearer " + kSession}}).status, 204);
  EXPECT_EQ(ask({{"Authorization", "Bearer " + kSession}}).status, 401);
  EXPECT_EQ(send("POST", "/daybreak/v1/challenge", R"({"app":"a"})").body, R"({"error":"no_gate"})");
  EXPECT_EQ(send("POST", "/daybreak/v1/session", "{}").status, 400);
}

TEST_F(Gated, a_websocket_ends_with_the_reason_when_its_owner_is_revoked) {
  EXPECT_FALSE(net::WebSocketClient::connect("127.0.0.1", core_->query_port(), "/g/predict").has_value());
  const net::Headers headers = {{"Sec-WebSocket-Protocol", "daybreak.v1, daybreak.token." + kSession}};
  auto socket = net::WebSocketClient::connect("127.0.0.1", core_->query_port(), "/g/predict", headers);
  ASSERT_TRUE(socket.has_value()) << socket.error().message();
  ASSERT_TRUE((*socket)->send({R"({"id":1,"input":[1,2]})"}));
  ASSERT_TRUE((*socket)->receive().has_value());
  const auto began = std::chrono::steady_clock::now();
  gate_.code = DAYBREAK_GATE_REVOKED;
  EXPECT_FALSE((*socket)->receive().has_value());  // it says nothing: the server looks by itself
  EXPECT_EQ((*socket)->close_code(), 4403);
  EXPECT_EQ((*socket)->close_reason(), "revoked");
  EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(2000));
}

TEST_F(Gated, a_signed_request_opens_no_websocket) {
  EXPECT_FALSE(net::WebSocketClient::connect("127.0.0.1", core_->query_port(), "/g/predict", signed_headers("AAAC"))
                   .has_value());
}

TEST_F(Serving, the_admin_port_asks_for_the_token) {
  const auto admin = [&](net::Headers headers) {
    return send("GET", "/admin/ping", "", std::move(headers), core_->admin_port());
  };
  for (const char* wrong : {"", "Bearer ", "Bearer 0123456789abcdef0123456789abcdeg", "Basic eDp5", "Basic !"})
    EXPECT_EQ(admin({{"Authorization", wrong}}).status, 401) << wrong;
  std::thread answers([&] {
    for (int i = 0; i < 2; ++i) {
      const auto exchange = core_->admin().next(milliseconds(5000));
      ASSERT_TRUE(exchange);
      EXPECT_EQ(exchange->request().headers.get(kGrantedHeader), "");
      exchange->respond(net::Response::text(200, "PONG"));
    }
  });
  EXPECT_EQ(
      admin({{"Authorization", std::string("Bearer ") + kToken}, {std::string(kGrantedHeader), "deploy apps/x"}}).body,
      "PONG");
  EXPECT_EQ(admin({{"Authorization", "Basic dG9rZW46MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}}).body, "PONG");
  answers.join();
}

TEST_F(Serving, a_proof_of_deploy_opens_the_deploy_path_of_its_app_alone) {
  const net::Headers proof = {{"Daybreak-Proof", encode_base64url("good")},
                              {"Daybreak-Issued-At", "1"},
                              {"Daybreak-Nonce", "AAAA"},
                              {"Daybreak-Signature", "AAAA"}};
  EXPECT_EQ(send("POST", "/admin/add_app", "{}", proof, core_->admin_port()).status, 401);
  std::thread answers([&] {
    const auto exchange = core_->admin().next(milliseconds(5000));
    ASSERT_TRUE(exchange);
    EXPECT_EQ(exchange->request().headers.get(kGrantedHeader), "deploy apps/pong");
    exchange->respond(net::Response::text(200, "done"));
  });
  EXPECT_EQ(send("POST", "/daybreak/v1/deploy/pong", "{}", proof, core_->admin_port()).body, "done");
  answers.join();
  EXPECT_EQ(gate_.last, "deploy apps/pong pong  POST /daybreak/v1/deploy/pong");
  EXPECT_EQ(send("POST", "/daybreak/v1/deploy/pong", "{}", proof, core_->admin_port()).body, R"({"error":"replayed"})");
}

TEST(ServerStart, is_closed_by_default) {
  CoreOptions options;
  options.admin_token = kToken;
  options.host = "0.0.0.0";
  EXPECT_EQ(Core::start(options).error().code(), base::Code::kFailedPrecondition);
  options.host = "127.0.0.1";
  options.admin_token = "short";
  EXPECT_EQ(Core::start(options).error().code(), base::Code::kInvalidArgument);
}

TEST_F(Serving, another_server_cannot_take_the_port) {
  CoreOptions options;
  options.admin_token = kToken;
  options.query_port = core_->query_port();
  EXPECT_EQ(Core::start(options).error().code(), base::Code::kUnavailable);
}

TEST_F(Serving, names_and_links_are_checked) {
  Apps& apps = core_->apps();
  for (const char* name : {"", "a/b", "a,b", "a:b", "ä", "a b"})
    EXPECT_FALSE(apps.add({name, "doubles", "0", 1000, false, nullptr}).has_value()) << name;
  EXPECT_EQ(apps.add({"a", "doubles", "0", 1000, false, nullptr}).error().code(), base::Code::kAlreadyExists);
  EXPECT_FALSE(apps.add({"z", "decimals", "0", 1000, false, nullptr}).has_value());
  EXPECT_FALSE(apps.add({"z", "doubles", "0", 0, false, nullptr}).has_value());
  ASSERT_TRUE(apps.add({"text", "strings", "0", 1000, false, nullptr}));
  EXPECT_FALSE(apps.link("text", "m").has_value());
  EXPECT_EQ(apps.link("a", "m").error().code(), base::Code::kAlreadyExists);
  EXPECT_EQ(apps.link("text", "n").error().code(), base::Code::kNotFound);
}

TEST_F(Serving, the_model_is_let_go_with_the_server) {
  EXPECT_EQ(model_.held.load(), 2);
  core_ = nullptr;
  EXPECT_EQ(model_.held.load(), 1);
}

}  // namespace
}  // namespace daybreak::serve
