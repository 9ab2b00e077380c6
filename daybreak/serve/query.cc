#include "daybreak/serve/query.h"

#include <algorithm>

#include "daybreak/base/json.h"
#include "daybreak/base/log.h"
#include "daybreak/serve/report.h"

namespace daybreak::serve {

using base::Code;
using base::Json;
using net::Response;

namespace {

constexpr std::string_view kOwn = "/daybreak/v1/";
constexpr std::size_t kScratchBytes = 64u << 20;
constexpr std::size_t kMaxOfSocket = 256;   // messages of one WebSocket that are not answered yet
constexpr std::uint16_t kCloseGate = 4000;  // plus the HTTP status: 4401, 4403, 4404
constexpr std::string_view kProtocol = "daybreak.v1";

Response error_response(int status, std::string_view code) {
  return Response::json(status, base::dump_json({{"error", code}}));
}

Response not_allowed_method(std::string_view allowed) {
  Response response = error_response(405, "method_not_allowed");
  response.headers.add("Allow", std::string(allowed));
  return response;
}

Response denied_response(int code) {
  Response response = error_response(gate_status(code), gate_word(code));
  if (response.status == 401) response.headers.add("WWW-Authenticate", "Bearer");
  return response;
}

// As Clipper says it; overload of the inputs' memory is not the caller's mistake.
Response refused_response(const base::Error& error, bool parsing) {
  if (error.code() == Code::kResourceExhausted) {
    Response response = error_response(503, "overloaded");
    response.headers.add("Retry-After", "1");
    return response;
  }
  return Response::json(400,
                        fmt::format(R"({{"error":"{}","cause":{}}})", parsing ? "Json error" : "Query processing error",
                                    json_string(error.message())));
}

// The app's answer to an input that the model did not answer is its default, unless it has none or wants to refuse.
bool refuses(const AppConfig& app, Reason reason) {
  return reason != Reason::kAnswered && (!app.default_output || (app.refuse_with_503 && reason == Reason::kOverloaded));
}

// Why an input was not answered: the reason, and what the model's result had wrong with it.
std::string explanation(const Item& item) {
  const std::string reason(reason_text(item.reason));
  return item.reason != Reason::kModelError || item.output.empty() ? reason
                                                                   : fmt::format("{}: {}", reason, item.output);
}

std::string subject_text(const Decision& decision) {
  return encode_base64url({reinterpret_cast<const char*>(decision.subject.data()), 6});
}

}  // namespace

// A WebSocket that predicts.
struct Query::Socket {
  // Nobody once it is closed.
  std::shared_ptr<net::WebSocket> get() DAYBREAK_EXCLUDES(mutex) {
    const base::MutexLock lock(mutex);
    return opened;
  }
  void set(std::shared_ptr<net::WebSocket> to) DAYBREAK_EXCLUDES(mutex) {
    const base::MutexLock lock(mutex);
    opened = std::move(to);
  }

  base::Mutex mutex;
  std::shared_ptr<net::WebSocket> opened DAYBREAK_GUARDED_BY(mutex);
  std::string app;
  int loop = -1;  // its connection's
  std::shared_ptr<Gate> gate;
  Claim claim;
  std::atomic<std::size_t> unanswered{0};
};

Query::Query(Apps& apps, QueryOptions options)
    : apps_(apps), options_(std::move(options)), scratch_(Slab::create(kScratchBytes).value_or(nullptr)) {
  checker_ = std::thread([this] { check_sockets(); });
}

Query::~Query() {
  stop();
}

void Query::stop() {
  {
    const base::MutexLock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (checker_.joinable()) checker_.join();
  gate_worker_.stop();
}

// ---- routes

void Query::handle(const ExchangePtr& exchange) {
  const net::Request& request = exchange->request();
  std::string_view path = request.path();
  if (path.starts_with(kOwn)) return handle_own(exchange, path.substr(kOwn.size()));
  if (path == "/healthz") {
    if (request.method != "GET" && request.method != "HEAD") return exchange->respond(not_allowed_method("GET, HEAD"));
    return exchange->respond(Response::json(200, R"({"status":"ok"})"));
  }
  if (path == "/metrics") {
    if (request.method != "GET" && request.method != "HEAD") return exchange->respond(not_allowed_method("GET, HEAD"));
    const std::string_view accept = request.headers.get("Accept");
    if (accept.find("text/plain") != std::string_view::npos || accept.find("openmetrics") != std::string_view::npos)
      return exchange->respond({200, "text/plain; version=0.0.4; charset=utf-8", apps_.registry().expose(), {}});
    const double uptime_s = static_cast<double>(now() - began_ns_) * 1e-9;
    return exchange->respond(Response::json(200, clipper_metrics(apps_, uptime_s)));
  }
  if (handle_site(exchange, path)) return;
  // /APP/VERB, with a slash behind it perhaps
  std::string_view rest = path.substr(std::min<std::size_t>(1, path.size()));
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return exchange->respond(error_response(404, "not_found"));
  handle_app(exchange, rest.substr(0, slash), rest.substr(slash + 1));
}

void Query::handle_app(const ExchangePtr& exchange, std::string_view name, std::string_view verb) {
  const net::Request& request = exchange->request();
  const bool known = verb == "predict" || verb == "update" || verb == "ready";
  const AppPtr app = known ? apps_.find(name) : nullptr;
  if (!app) return exchange->respond(error_response(404, known ? "no_such_app" : "not_found"));
  if (verb == "ready") {
    if (request.method != "GET" && request.method != "HEAD") return exchange->respond(not_allowed_method("GET, HEAD"));
    const bool ready = app->model && app->model->ready();
    return exchange->respond(Response::json(ready ? 200 : 503, ready ? R"({"ready":true})" : R"({"ready":false})"));
  }
  if (verb == "predict" && request.is_upgrade()) return open_socket(exchange, app);
  if (request.method != "POST") return exchange->respond(not_allowed_method("POST"));
  guarded(exchange, app, [self = shared_from_this(), exchange, app, predicts = verb == "predict"] {
    predicts ? self->predict(exchange, app) : self->feedback(exchange, app);
  });
}

void Query::handle_own(const ExchangePtr& exchange, std::string_view path) {
  const net::Request& request = exchange->request();
  if (path == "challenge") {
    return request.method == "POST" ? challenge(exchange) : exchange->respond(not_allowed_method("POST"));
  }
  if (path == "session") {
    if (request.method == "POST") return open_session(exchange);
    if (request.method == "DELETE") return close_session(exchange);
    return exchange->respond(not_allowed_method("POST, DELETE"));
  }
  if (path.starts_with("apps/")) {
    const AppPtr app = apps_.find(path.substr(5));
    if (!app) return exchange->respond(error_response(404, "no_such_app"));
    if (request.method != "GET") return exchange->respond(not_allowed_method("GET"));
    return guarded(exchange, app, [self = shared_from_this(), exchange, app] { self->describe(exchange, app); });
  }
  exchange->respond(error_response(404, "not_found"));
}

bool Query::handle_site(const ExchangePtr& exchange, std::string_view path) {
  const net::Request& request = exchange->request();
  if (request.method != "GET" && request.method != "HEAD") return false;
  const auto file = options_.site.find(std::string(path));
  if (file == options_.site.end()) return false;
  Response response{200, file->second.content_type, file->second.body, {}};
  for (const auto& [name, value] : options_.site_headers) response.headers.add(name, value);
  exchange->respond(std::move(response));
  return true;
}

// ---- the gate

void Query::guarded(const ExchangePtr& exchange, const AppPtr& app, std::function<void()> then) {
  if (!app->gate) return then();
  const std::string& name = app->config->name;
  Claim claim = claim_of(exchange->request(), "predict", "apps/" + name, name);
  const auto decide = [exchange, app](const Decision& decision) {
    app->metrics->count_gate(gate_word(decision.code));
    if (decision.allowed()) return true;
    base::log_info(
        "refused",
        {{"app", app->config->name}, {"code", gate_word(decision.code)}, {"subject", subject_text(decision)}});
    exchange->respond(denied_response(decision.code));
    return false;
  };
  if (!claim.has_proof() || claim.malformed) {  // a session is looked up; nothing at all needs no thought
    if (decide(ask(*app->gate, claim))) then();
    return;
  }
  auto check = [app, claim = std::move(claim), decide, then = std::move(then)] {
    if (decide(ask(*app->gate, claim))) then();
  };
  if (!gate_worker_.post(exchange->request().remote, std::move(check))) {
    app->metrics->count_gate("busy");
    Response response = error_response(429, "too_many_proofs");
    response.headers.add("Retry-After", "1");
    exchange->respond(std::move(response));
  }
}

void Query::challenge(const ExchangePtr& exchange) {
  const auto body = base::parse_json(exchange->request().body, {.max_bytes = 4096, .max_depth = 4});
  const auto name = body ? base::json_member<std::string>(*body, "app") : std::unexpected(body.error());
  if (!name) return exchange->respond(refused_response(name.error(), true));
  const AppPtr app = apps_.find(*name);
  if (!app || !app->gate) return exchange->respond(error_response(404, app ? "no_gate" : "no_such_app"));
  const std::string origin(exchange->request().headers.get("Origin"));
  std::uint8_t bytes[32];
  const daybreak_gate_v1& gate = app->gate->raw();
  const int failed = gate.challenge(gate.context, {origin.data(), origin.size()}, {name->data(), name->size()}, bytes);
  if (failed != 0) return exchange->respond(error_response(503, "overloaded"));
  exchange->respond(Response::json(
      200, base::dump_json({{"challenge", encode_base64url({reinterpret_cast<const char*>(bytes), sizeof bytes})},
                            {"server", options_.server_id},
                            {"expires_in_s", 30}})));
}

void Query::open_session(const ExchangePtr& exchange) {
  const auto body = base::parse_json(exchange->request().body, {.max_bytes = 512u << 10, .max_depth = 4});
  const auto member = [&](const char* key) {
    return body ? base::json_member<std::string>(*body, key) : std::unexpected(body.error());
  };
  const auto name = member("app"), proof = member("proof"), challenge = member("challenge"),
             signature = member("signature");
  for (const auto* part : {&name, &proof, &challenge, &signature}) {
    if (!*part) return exchange->respond(refused_response(part->error(), true));
  }
  const AppPtr app = apps_.find(*name);
  if (!app || !app->gate) return exchange->respond(error_response(404, app ? "no_gate" : "no_such_app"));
  Claim claim;
  claim.permission = "predict";
  claim.resource = "apps/" + *name;
  claim.app = *name;
  claim.origin = std::string(exchange->request().headers.get("Origin"));
  if (!decode_base64url(*proof, claim.proof) || !decode_base64url(*challenge, claim.nonce) ||
      !decode_base64url(*signature, claim.signature)) {
    app->metrics->count_gate("malformed");
    return exchange->respond(denied_response(DAYBREAK_GATE_MALFORMED));
  }
  auto open = [app, exchange, claim = std::move(claim), &env = apps_.env()] {
    const daybreak_gate_v1& gate = app->gate->raw();
    const daybreak_gate_request_v1 request = claim.view();
    daybreak_gate_decision_v1 decision{};
    decision.code = DAYBREAK_GATE_NOT_GRANTED;
    std::uint8_t token[32] = {};
    gate.open_session(gate.context, &request, token, &decision);
    app->metrics->count_gate(gate_word(decision.code));
    if (decision.code != DAYBREAK_GATE_ALLOWED) return exchange->respond(denied_response(decision.code));
    const std::int64_t left_s = std::max<std::int64_t>(0, (decision.expires_at_ns - env.unix_ns()) / 1'000'000'000);
    Response response = Response::json(
        200, base::dump_json({{"token", encode_base64url({reinterpret_cast<const char*>(token), sizeof token})},
                              {"expires_in_s", left_s}}));
    response.headers.add("Cache-Control", "no-store");
    exchange->respond(std::move(response));
  };
  if (!gate_worker_.post(exchange->request().remote, std::move(open)))
    exchange->respond(error_response(429, "too_many_proofs"));
}

void Query::close_session(const ExchangePtr& exchange) {
  const Claim claim = claim_of(exchange->request(), "", "", "");
  if (!claim.has_session() || claim.malformed) return exchange->respond(denied_response(DAYBREAK_GATE_NO_PROOF));
  for (const AppPtr& app : apps_.all()) {
    if (app->gate)
      app->gate->raw().close_session(app->gate->raw().context, {claim.session.data(), claim.session.size()});
  }
  exchange->respond({204, "", "", {}});
}

void Query::describe(const ExchangePtr& exchange, const AppPtr& app) {
  exchange->respond(Response::json(200, base::dump_json(describe_app(*app))));
}

// ---- predicting

std::shared_ptr<Call> Query::make_call(const App& app, Parsed parsed) const {
  auto call = std::make_shared<Call>();
  call->app = app.config;
  call->metrics = app.metrics;
  call->parsed = std::move(parsed);
  call->items.resize(call->parsed.inputs.size());
  call->admitted_ns = now();
  call->deadline_ns = call->admitted_ns + app.config->slo_ns;
  return call;
}

base::Status Query::submit(const App& app, const std::shared_ptr<Call>& call) {
  if (app.model) return app.model->submit(call, call->parsed.version);
  for (Item& item : call->items) item.reason = Reason::kNoModel;
  app.metrics->outcomes[static_cast<std::size_t>(Reason::kNoModel)]->add(call->items.size());
  call->answer(*call);
  call->answer = nullptr;
  return {};
}

// Clipper's result object.
std::string Query::render(const Call& call, std::uint32_t index) {
  const Item& item = call.items[index];
  const std::int64_t id = next_query_.fetch_add(1, std::memory_order_relaxed);
  if (item.reason == Reason::kAnswered) {
    const bool json = is_json(item.output);
    return fmt::format(R"({{"query_id":{},"output":{},"default":false}})", id,
                       json ? item.output : json_string(item.output));
  }
  return fmt::format(R"({{"query_id":{},"output":{},"default":true,"default_explanation":{}}})", id,
                     call.app->default_output.value_or("null"), json_string(explanation(item)));
}

void Query::predict(const ExchangePtr& exchange, const AppPtr& app) {
  const auto& slab = app->model ? app->model->slab() : scratch_;
  auto parsed = parse_request(exchange->request().body, app->config->input_type, *slab);
  if (!parsed) {
    if (parsed.error().code() == Code::kResourceExhausted)
      app->metrics->outcomes[static_cast<std::size_t>(Reason::kOverloaded)]->add();
    return exchange->respond(refused_response(parsed.error(), true));
  }
  const auto call = make_call(*app, std::move(*parsed));
  call->loop = exchange->loop();
  call->answer = [self = shared_from_this(), exchange](Call& done) {
    const AppConfig& config = *done.app;
    if (!done.items.empty() &&
        std::ranges::all_of(done.items, [&](const Item& item) { return refuses(config, item.reason); })) {
      const Item& first = done.items[0];
      base::Json body{{"error", reason_name(first.reason)}};
      if (first.reason == Reason::kModelError && !first.output.empty()) body["cause"] = first.output;
      Response response = Response::json(503, base::dump_json(body));
      response.headers.add("Retry-After", "1");
      return exchange->respond(std::move(response));
    }
    if (done.items.size() == 1) return exchange->respond(Response::json(200, self->render(done, 0)));
    std::string body = R"({"batch_predictions":[)";
    for (std::uint32_t i = 0; i < done.items.size(); ++i) {
      if (i > 0) body += ',';
      body += self->render(done, i);
    }
    exchange->respond(Response::json(200, body + "]}"));
  };
  if (const auto submitted = submit(*app, call); !submitted)
    exchange->respond(refused_response(submitted.error(), false));
}

// Every release of Clipper takes feedback and does nothing with it; so does this one.
void Query::feedback(const ExchangePtr& exchange, const AppPtr& app) {
  const auto bad = [&](std::string_view text) { exchange->respond({400, "application/json", std::string(text), {}}); };
  auto body = base::parse_json(exchange->request().body);
  if (!body || !body->is_object()) return bad(body ? "the body is no JSON object" : body.error().message());
  const auto uid = base::json_member<std::int64_t>(*body, "uid");
  const auto label = base::json_member<double>(*body, "label");
  if (!uid || !label) return bad(uid ? label.error().message() : uid.error().message());
  const auto parsed = parse_request(exchange->request().body, app->config->input_type, *scratch_);
  if (!parsed) return bad(parsed.error().message());
  if (parsed->inputs.empty()) return bad("feedback on no input: \"input\" is missing");
  exchange->respond(Response::json(200, "Feedback received? 1"));
}

// ---- WebSockets

void Query::open_socket(const ExchangePtr& exchange, const AppPtr& app) {
  auto socket = std::make_shared<Socket>();
  socket->app = app->config->name;
  socket->gate = app->gate;
  socket->loop = exchange->loop();
  if (app->gate) {
    socket->claim = claim_of(exchange->request(), "predict", "apps/" + socket->app, socket->app);
    // A signed request is good once and could not be checked again.
    if (!socket->claim.has_session()) socket->claim.proof.clear();
    const Decision decision = ask(*app->gate, socket->claim);
    app->metrics->count_gate(gate_word(decision.code));
    if (!decision.allowed()) return exchange->respond(denied_response(decision.code));
  }
  net::WebSocketHandlers handlers;
  handlers.on_open = [self = shared_from_this(), socket](const std::shared_ptr<net::WebSocket>& opened) {
    socket->set(opened);
    if (!socket->gate) return;
    const base::MutexLock lock(self->mutex_);
    self->sockets_.push_back(socket);
    self->changed_.notify_all();
  };
  handlers.on_message = [self = shared_from_this(), socket](const auto& opened, std::string_view text, bool is_text) {
    if (!is_text) return opened->close(1003, "text messages only");
    self->message(socket, text);
  };
  handlers.on_close = [socket](std::uint16_t, std::string_view) { socket->set(nullptr); };
  net::Headers headers;
  if (exchange->request().headers.lists("Sec-WebSocket-Protocol", kProtocol))
    headers.add("Sec-WebSocket-Protocol", std::string(kProtocol));
  exchange->accept(std::move(handlers), std::move(headers));
}

bool Query::still_allowed(Socket& socket) {
  if (!socket.gate) return true;
  const Decision decision = ask(*socket.gate, socket.claim);
  if (decision.allowed()) return true;
  if (const AppPtr app = apps_.find(socket.app)) app->metrics->count_gate(gate_word(decision.code));
  if (const auto opened = socket.get())
    opened->close(static_cast<std::uint16_t>(kCloseGate + gate_status(decision.code)), gate_word(decision.code));
  return false;
}

void Query::message(const std::shared_ptr<Socket>& socket, std::string_view text) {
  const std::shared_ptr<net::WebSocket> opened = socket->get();
  if (!opened) return;
  if (!still_allowed(*socket)) return;
  const AppPtr app = apps_.find(socket->app);
  if (!app) return opened->close(kCloseGate + 404, "no_such_app");
  if (socket->unanswered.load() >= kMaxOfSocket) return opened->close(1008, "too many messages wait for answers");
  std::string body(text);
  const auto& slab = app->model ? app->model->slab() : scratch_;
  auto parsed = parse_request(body, app->config->input_type, *slab, true);
  std::string id = parsed && !parsed->id.empty() ? parsed->id : "null";
  const auto refuse = [&](const base::Error& error, bool parsing) {
    opened->send_text(fmt::format(R"({{"id":{},"error":{},"cause":{}}})", id,
                                  json_string(error.code() == Code::kResourceExhausted ? "overloaded"
                                              : parsing                                ? "Json error"
                                                                                       : "Query processing error"),
                                  json_string(error.message())));
  };
  if (!parsed) return refuse(parsed.error(), true);
  const auto call = make_call(*app, std::move(*parsed));
  call->loop = socket->loop;
  socket->unanswered.fetch_add(1);
  call->answer = [self = shared_from_this(), socket, opened, id](Call& done) {
    socket->unanswered.fetch_sub(1);
    const std::int64_t latency_us = (self->now() - done.admitted_ns) / 1000;
    std::string out =
        fmt::format(R"({{"id":{},"version":{},"latency_us":{},)", id, json_string(done.version), latency_us);
    if (done.items.size() == 1) {
      out += self->render(done, 0).substr(1);
    } else {
      out += R"("batch_predictions":[)";
      for (std::uint32_t i = 0; i < done.items.size(); ++i) {
        if (i > 0) out += ',';
        out += self->render(done, i);
      }
      out += "]}";
    }
    opened->send_text(std::move(out));
  };
  if (const auto submitted = submit(*app, call); !submitted) {
    socket->unanswered.fetch_sub(1);
    refuse(submitted.error(), false);
  }
}

// An idle WebSocket, too, ends within the gate's bound when its owner may no longer be here.
void Query::check_sockets() {
  for (;;) {
    std::vector<std::shared_ptr<Socket>> live;
    {
      const base::MutexLock lock(mutex_);
      while (sockets_.empty() && !stopped_) changed_.wait(mutex_);
      std::int64_t pause_ns = 1'000'000'000;
      for (const auto& weak : sockets_) {
        if (const auto socket = weak.lock()) pause_ns = std::min(pause_ns, socket->gate->staleness_bound_ns() / 4);
      }
      if (!stopped_) changed_.wait_for(mutex_, std::max<std::int64_t>(pause_ns, 20'000'000));
      if (stopped_) return;
      std::erase_if(sockets_, [](const auto& weak) { return weak.expired(); });
      for (const auto& weak : sockets_) {
        if (auto socket = weak.lock()) live.push_back(std::move(socket));
      }
    }
    for (const auto& socket : live) {
      if (socket->get()) (void)still_allowed(*socket);
    }
  }
}

}  // namespace daybreak::serve
