// WebSockets that predict, and the thread that ends those whose owner may no longer be here.
#include <algorithm>

#include "daybreak/serve/internal/answers.h"
#include "daybreak/serve/query.h"

namespace daybreak::serve {

using base::Code;

namespace {

constexpr std::size_t kMaxOfSocket = 256;   // messages of one WebSocket that are not answered yet
constexpr std::uint16_t kCloseGate = 4000;  // plus the HTTP status: 4401, 4403, 4404
constexpr std::string_view kProtocol = "daybreak.v1";

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
