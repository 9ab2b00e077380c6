#include "daybreak/serve/core.h"

#include "daybreak/base/json.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

namespace {

constexpr std::size_t kAdminConnections = 32;  // a body is whole in memory before the token is looked at
constexpr double kMessagesPerS = 2000;         // of one WebSocket
constexpr std::size_t kMessageBytes = 1u << 20;

// What all three ports share.
net::ServerOptions port_options(const CoreOptions& options, std::uint16_t port) {
  net::ServerOptions server;
  server.address = options.host;
  server.port = port;
  server.hosts = options.hosts;
  server.access_log = [](const net::Access&) {};
  server.env = options.env;
  return server;
}

void answer_metrics(Apps& apps, const std::shared_ptr<net::Exchange>& exchange) {
  const net::Request& request = exchange->request();
  const std::string_view path = request.path();
  if (request.method != "GET" && request.method != "HEAD")
    return exchange->respond(net::Response::json(405, R"({"error":"method_not_allowed"})"));
  if (path == "/healthz") return exchange->respond(net::Response::json(200, R"({"status":"ok"})"));
  if (path != "/metrics") return exchange->respond(net::Response::json(404, R"({"error":"not_found"})"));
  exchange->respond({200, "text/plain; version=0.0.4; charset=utf-8", apps.registry().expose(), {}});
}

}  // namespace

base::Result<std::unique_ptr<Core>> Core::start(CoreOptions options) {
  if (options.admin_token.size() < 16)
    return fail(Code::kInvalidArgument, "an admin token of {} bytes: at least 16", options.admin_token.size());
  if (!net::is_loopback(options.host) && !options.tls)
    return fail(Code::kFailedPrecondition, "'{}' is not loopback: give tls=(certificate, key), or stay on 127.0.0.1",
                options.host);
  std::unique_ptr<Core> core(new Core);
  Core* self = core.get();
  core->apps_ = std::make_unique<Apps>(Hooks{
      [self](Nanos deadline) { self->replicas_->wake(deadline); },
      [self](int loop, std::function<void()> what) { self->query_server_->post(loop, std::move(what)); }, options.env});
  DAYBREAK_ASSIGN(core->replicas_, Replicas::start(*core->apps_));
  DAYBREAK_ASSIGN(core->query_, Query::create(*core->apps_, options.query));
  core->admin_ = std::make_unique<Admin>(options.admin_token, options.deploy_gate, core->query_->gate_worker());
  DAYBREAK_TRY(core->listen(options));
  return core;
}

base::Status Core::listen(const CoreOptions& options) {
  net::ServerOptions query = port_options(options, options.query_port);
  query.threads = options.threads;
  query.tls = options.tls;
  query.origins = options.origins;
  query.limits.body_bytes = options.body_bytes;
  query.limits.messages_per_s = kMessagesPerS;
  query.limits.message_bytes = std::min(kMessageBytes, options.body_bytes);
  if (options.access_log) query.access_log = nullptr;
  DAYBREAK_ASSIGN(query_server_,
                  net::Server::start(query, [query = query_](const auto& exchange) { query->handle(exchange); }));
  net::ServerOptions admin = port_options(options, options.admin_port);
  admin.threads = 1;
  admin.tls = options.tls;
  admin.limits.body_bytes = options.admin_body_bytes;
  admin.limits.connections = kAdminConnections;
  DAYBREAK_ASSIGN(admin_server_,
                  net::Server::start(admin, [admin = admin_.get()](const auto& exchange) { admin->handle(exchange); }));
  // Counters are not for the net: this port stays here.
  net::ServerOptions metrics = port_options(options, options.metrics_port);
  if (!net::is_loopback(options.host)) metrics.address = "127.0.0.1";
  metrics.threads = 1;
  metrics.limits.body_bytes = 4096;
  metrics.limits.connections = kAdminConnections;
  DAYBREAK_ASSIGN(metrics_server_, net::Server::start(metrics, [apps = apps_.get()](const auto& exchange) {
                    answer_metrics(*apps, exchange);
                  }));
  return {};
}

Core::~Core() {
  stop();
}

bool Core::drain(std::chrono::milliseconds limit) {
  return query_server_->drain(limit);
}

void Core::stop() {
  if (stopped_) return;
  stopped_ = true;
  // Whoever waits is answered before the doors close.
  if (apps_ && query_server_) {
    for (const auto& model : apps_->models()) model->fail_all(Reason::kNoModel);
    (void)query_server_->drain(std::chrono::milliseconds(200));
  }
  if (admin_) admin_->stop();
  if (query_) query_->stop();
  for (auto* server : {&admin_server_, &query_server_, &metrics_server_}) {
    if (*server) (*server)->stop();
  }
  if (replicas_) replicas_->stop();
}

}  // namespace daybreak::serve
