// What each path of the query port is for, the gate before it, and predictions over plain HTTP.
#include <algorithm>

#include "daybreak/base/json.h"
#include "daybreak/base/log.h"
#include "daybreak/serve/internal/answers.h"
#include "daybreak/serve/query.h"
#include "daybreak/serve/report.h"

namespace daybreak::serve {

using base::Code;
using net::Response;

namespace {

constexpr std::string_view kOwn = "/daybreak/v1/";
constexpr std::size_t kScratchBytes = 64u << 20;

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

base::Result<std::shared_ptr<Query>> Query::create(Apps& apps, QueryOptions options) {
  DAYBREAK_ASSIGN(auto scratch, Slab::create(kScratchBytes));
  return std::shared_ptr<Query>(new Query(apps, std::move(options), std::move(scratch)));
}

Query::Query(Apps& apps, QueryOptions options, std::shared_ptr<Slab> scratch)
    : apps_(apps), options_(std::move(options)), scratch_(std::move(scratch)) {
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
  if (const auto coding = request.headers.get("Content-Encoding");
      !coding.empty() && !net::equal_ignoring_case(coding, "identity"))
    return exchange->respond(packed_body_response());
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

}  // namespace daybreak::serve
