// The admin port: who may call it is settled here, what is to be done elsewhere (Python takes the requests one by one).
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "daybreak/base/mutex.h"
#include "daybreak/net/server.h"
#include "daybreak/serve/gate.h"

namespace daybreak::serve {

inline constexpr std::size_t kMaxAdminWaiting = 64;
// The header that says what a request may do whose caller had no token but a proof. Never taken from the wire.
inline constexpr std::string_view kGrantedHeader = "x-daybreak-granted";

// Any thread may call any function.
class Admin {
 public:
  // `deploy_gate`: may be empty; with it a caller without the token may POST to /daybreak/v1/deploy/NAME when a proof
  // of `deploy` on apps/NAME is presented.
  Admin(std::string token, std::shared_ptr<Gate> deploy_gate, GateWorker& worker)
      : token_(std::move(token)), deploy_gate_(std::move(deploy_gate)), worker_(worker) {}

  // Called on the loops.
  void handle(const std::shared_ptr<net::Exchange>& exchange) DAYBREAK_EXCLUDES(mutex_);
  // The next request whose caller may ask; empty at the timeout and after stop(). Who takes it answers it.
  std::shared_ptr<net::Exchange> next(std::chrono::milliseconds limit) DAYBREAK_EXCLUDES(mutex_);
  void stop() DAYBREAK_EXCLUDES(mutex_);

 private:
  bool has_token(const net::Request& request) const;
  void push(const std::shared_ptr<net::Exchange>& exchange) DAYBREAK_EXCLUDES(mutex_);

  const std::string token_;
  const std::shared_ptr<Gate> deploy_gate_;
  GateWorker& worker_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<std::shared_ptr<net::Exchange>> waiting_ DAYBREAK_GUARDED_BY(mutex_);
  bool stopped_ DAYBREAK_GUARDED_BY(mutex_) = false;
};

}  // namespace daybreak::serve
