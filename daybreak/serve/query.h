// The query port: Clipper's predict, its WebSocket form, sessions, what an app's page asks, and the page itself.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daybreak/base/mutex.h"
#include "daybreak/net/server.h"
#include "daybreak/serve/apps.h"
#include "daybreak/serve/gate.h"

namespace daybreak::serve {

struct SiteFile {
  std::string content_type;
  std::string body;
};

struct QueryOptions {
  std::string server_id;                 // what clients sign as the audience
  std::map<std::string, SiteFile> site;  // by exact path
  std::map<std::string, std::string> site_headers;
};

// Answers requests; lives as long as the server that calls it, and longer than all exchanges. Its functions are in
// query_routes.cc, query_sessions.cc (challenge, open and close) and query_sockets.cc.
class Query : public std::enable_shared_from_this<Query> {
 public:
  // kResourceExhausted when there is no memory for the inputs of apps without a model.
  static base::Result<std::shared_ptr<Query>> create(Apps& apps, QueryOptions options);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // Called on the loops.
  void handle(const std::shared_ptr<net::Exchange>& exchange);
  // No session is checked and no proof looked at any more.
  void stop();
  GateWorker& gate_worker() { return gate_worker_; }

 private:
  using ExchangePtr = std::shared_ptr<net::Exchange>;
  using AppPtr = std::shared_ptr<const App>;
  struct Socket;

  Query(Apps& apps, QueryOptions options, std::shared_ptr<Slab> scratch);
  void handle_app(const ExchangePtr& exchange, std::string_view name, std::string_view verb);
  void handle_own(const ExchangePtr& exchange, std::string_view path);
  bool handle_site(const ExchangePtr& exchange, std::string_view path);
  // Calls `then` when the gate lets the request pass, else answers.
  void guarded(const ExchangePtr& exchange, const AppPtr& app, std::function<void()> then);
  void predict(const ExchangePtr& exchange, const AppPtr& app);
  void feedback(const ExchangePtr& exchange, const AppPtr& app);
  void open_socket(const ExchangePtr& exchange, const AppPtr& app);
  void message(const std::shared_ptr<Socket>& socket, std::string_view text);
  void check_sockets() DAYBREAK_EXCLUDES(mutex_);
  // Whether the gate still lets it; closes it if not.
  bool still_allowed(Socket& socket);
  void challenge(const ExchangePtr& exchange);
  void open_session(const ExchangePtr& exchange);
  void close_session(const ExchangePtr& exchange);
  void describe(const ExchangePtr& exchange, const AppPtr& app);
  // A call of the parsed request for the app, and where it goes.
  std::shared_ptr<Call> make_call(const App& app, Parsed parsed) const;
  base::Status submit(const App& app, const std::shared_ptr<Call>& call);
  std::string render(const Call& call, std::uint32_t index);
  Nanos now() const { return apps_.env().monotonic_ns(); }

  Apps& apps_;
  const QueryOptions options_;
  const std::shared_ptr<Slab> scratch_;  // for requests of apps without a model
  std::atomic<std::int64_t> next_query_{0};
  const Nanos began_ns_ = now();
  GateWorker gate_worker_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<std::weak_ptr<Socket>> sockets_ DAYBREAK_GUARDED_BY(mutex_);  // those of gated apps
  bool stopped_ DAYBREAK_GUARDED_BY(mutex_) = false;
  std::thread checker_;
};

}  // namespace daybreak::serve
