#include "daybreak/serve/admin.h"

#include "daybreak/base/atomic.h"
#include "daybreak/base/json.h"
#include "daybreak/base/log.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::serve {

namespace {

constexpr std::string_view kDeployPath = "/daybreak/v1/deploy/";

std::span<const std::uint8_t> octets(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

net::Response admin_error(int status, std::string_view code) {
  net::Response response = net::Response::json(status, base::dump_json({{"error", code}}));
  if (status == 401) response.headers.add("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace

bool Admin::has_token(const net::Request& request) const {
  std::string_view value = request.headers.get("Authorization");
  std::string decoded;
  if (value.size() > 7 && net::equal_ignoring_case(value.substr(0, 7), "Bearer ")) {
    value.remove_prefix(7);
  } else if (value.size() > 6 && net::equal_ignoring_case(value.substr(0, 6), "Basic ")) {
    if (!decode_base64(value.substr(6), decoded)) return false;
    const std::size_t colon = decoded.find(':');
    if (colon == std::string::npos) return false;
    value = std::string_view(decoded).substr(colon + 1);
  } else {
    return false;
  }
  return crypto::constant_time_equal(octets(value), octets(token_));
}

void Admin::handle(const std::shared_ptr<net::Exchange>& exchange) {
  net::Request& request = exchange->request();
  net::Headers clean;
  for (const net::Header& header : request.headers) {
    if (!net::equal_ignoring_case(header.name, kGrantedHeader)) clean.add(header.name, header.value);
  }
  request.headers = std::move(clean);
  if (has_token(request)) return push(exchange);
  const std::string_view path = request.path();
  if (!deploy_gate_ || request.method != "POST" || !path.starts_with(kDeployPath) ||
      request.headers.get("Daybreak-Proof").empty()) {
    base::log_warn("the admin port refused a request without its token", {{"remote", request.remote}});
    return exchange->respond(admin_error(401, "no_token"));
  }
  const std::string app(path.substr(kDeployPath.size()));
  Claim claim = claim_of(request, "deploy", "apps/" + app, app);
  auto check = [this, exchange, app, claim = std::move(claim)] {
    const Decision decision = ask(*deploy_gate_, claim);
    if (!decision.allowed()) {
      base::log_info("refused to deploy", {{"app", app}, {"code", gate_word(decision.code)}});
      return exchange->respond(admin_error(gate_status(decision.code), gate_word(decision.code)));
    }
    exchange->request().headers.add(std::string(kGrantedHeader), "deploy apps/" + app);
    push(exchange);
  };
  if (!worker_.post(request.remote, std::move(check))) exchange->respond(admin_error(429, "too_many_proofs"));
}

void Admin::push(const std::shared_ptr<net::Exchange>& exchange) {
  {
    const base::MutexLock lock(mutex_);
    if (!stopped_ && waiting_.size() < kMaxAdminWaiting) {
      waiting_.push_back(exchange);
      changed_.notify_one();
      return;
    }
  }
  exchange->respond(admin_error(503, "overloaded"));
}

std::shared_ptr<net::Exchange> Admin::next(std::chrono::milliseconds limit) {
  const base::MutexLock lock(mutex_);
  const std::int64_t end_ns = base::monotonic_ns() + std::chrono::nanoseconds(limit).count();
  while (waiting_.empty() && !stopped_) {
    const std::int64_t left_ns = end_ns - base::monotonic_ns();
    if (left_ns <= 0) return nullptr;
    changed_.wait_for(mutex_, left_ns);
  }
  if (waiting_.empty()) return nullptr;
  std::shared_ptr<net::Exchange> next = std::move(waiting_.front());
  waiting_.pop_front();
  return next;
}

void Admin::stop() {
  std::deque<std::shared_ptr<net::Exchange>> dropped;
  const base::MutexLock lock(mutex_);
  stopped_ = true;
  dropped.swap(waiting_);
  changed_.notify_all();
}

}  // namespace daybreak::serve
