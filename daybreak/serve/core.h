// The server: apps, models and replicas behind the query, admin and metrics ports. What has no Python in it.
//
//   DAYBREAK_ASSIGN(auto core, Core::start({.admin_token = token}));
//   core->apps().add({.name = "pong", .input_type = "doubles", .default_output = "0"});
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daybreak/net/server.h"
#include "daybreak/serve/admin.h"
#include "daybreak/serve/apps.h"
#include "daybreak/serve/query.h"
#include "daybreak/serve/replicas.h"

namespace daybreak::serve {

struct CoreOptions {
  std::string host = "127.0.0.1";
  std::uint16_t query_port = 0, admin_port = 0, metrics_port = 0;  // 0: any
  std::string admin_token;
  std::optional<net::TlsOptions> tls;       // of the query and admin ports
  std::vector<std::string> hosts, origins;  // further values of Host and Origin that are answered
  QueryOptions query;
  int threads = 0;  // event loops of the query port; 0: one a core
  std::size_t body_bytes = 16u << 20;
  std::size_t admin_body_bytes = 65u << 20;  // a model of 64 MiB
  std::shared_ptr<Gate> deploy_gate;
  bool access_log = false;              // a line of JSON for each answer of the query port
  base::Env* env = &base::Env::real();  // the clock of deadlines and of the ports' limits
};

// Any thread may call any function.
class Core {
 public:
  // Listens when it returns. kUnavailable when a port is taken; kFailedPrecondition for an address that is not loopback
  // without TLS; kInvalidArgument without an admin token.
  static base::Result<std::unique_ptr<Core>> start(CoreOptions options);
  // stop().
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  std::uint16_t query_port() const { return query_server_->port(); }
  std::uint16_t admin_port() const { return admin_server_->port(); }
  std::uint16_t metrics_port() const { return metrics_server_->port(); }
  Apps& apps() { return *apps_; }
  Replicas& replicas() { return *replicas_; }
  Admin& admin() { return *admin_; }

  // Nothing new is taken; what is here is answered. False when it was not all done within the limit.
  bool drain(std::chrono::milliseconds limit);
  void stop();

 private:
  Core() = default;
  base::Status listen(const CoreOptions& options);

  std::unique_ptr<Apps> apps_;
  std::unique_ptr<Replicas> replicas_;
  std::shared_ptr<Query> query_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<net::Server> query_server_, admin_server_, metrics_server_;
  bool stopped_ = false;
};

}  // namespace daybreak::serve
