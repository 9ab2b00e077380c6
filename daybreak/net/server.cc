#include "daybreak/net/server.h"

#include <netdb.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <ctime>

#include "daybreak/base/log.h"
#include "daybreak/base/machine.h"
#include "daybreak/base/mutex.h"
#include "daybreak/net/internal/connection.h"

namespace daybreak::net {

using base::Code;
using base::fail;
using error_code = boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kSweepInterval{250};
constexpr std::chrono::milliseconds kStopPatience{1000};
constexpr int kMaxLoops = 256;
constexpr std::size_t kKeptAnswers = 256;

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return text;
}

base::Error listen_error(const ServerOptions& options, const error_code& error) {
  const Code code = error == asio::error::address_in_use  ? Code::kUnavailable
                    : error == asio::error::access_denied ? Code::kPermissionDenied
                                                          : Code::kInvalidArgument;
  return base::Error(code, fmt::format("cannot listen on {}:{}: {}", options.address, options.port, error.message()));
}

// What a client may call this server.
std::vector<std::string> own_hosts(const ServerOptions& options, const std::string& listened) {
  std::vector<std::string> hosts;
  const auto address = asio::ip::make_address(listened);
  if (options.address != listened) hosts.push_back(lower_case(options.address));
  hosts.push_back(address.is_v6() ? fmt::format("[{}]", address.to_string()) : address.to_string());
  if (address.is_loopback() || address.is_unspecified()) hosts.insert(hosts.end(), {"localhost", "127.0.0.1", "[::1]"});
  for (const std::string& host : options.hosts) {
    if (host == "*") return {};
    hosts.push_back(lower_case(host));
  }
  return hosts;
}

}  // namespace

base::Result<std::vector<std::string>> resolve(const std::string& name) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = name.empty() ? EAI_NONAME : getaddrinfo(name.c_str(), nullptr, &wanted, &found);
  if (error != 0)
    return fail(Code::kInvalidArgument, "'{}' is no address of this machine and no name that it knows ({})", name,
                gai_strerror(error));
  std::vector<std::string> addresses;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
      char text[NI_MAXHOST];
      if (each->ai_family != family ||
          getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0)
        continue;
      if (std::ranges::find(addresses, text) == addresses.end()) addresses.emplace_back(text);
    }
  }
  freeaddrinfo(found);
  if (addresses.empty()) return fail(Code::kInvalidArgument, "'{}' has no IP address", name);
  return addresses;
}

bool is_loopback(const std::string& name) {
  const auto addresses = resolve(name);
  return addresses && std::ranges::all_of(*addresses, [](const std::string& text) {
           error_code error;
           const auto address = asio::ip::make_address(text, error);
           if (error) return false;
           if (address.is_v6() && address.to_v6().is_v4_mapped())
             return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
           return address.is_loopback();
         });
}

void Loop::watch() {
  if (sweeping || connections.empty()) return;
  sweeping = true;
  sweep.expires_after(kSweepInterval);
  sweep.async_wait([this](const error_code& error) {  // while it is under way the loop runs, so it is there
    sweeping = false;
    if (error) return;
    const Nanos at = now();
    // A connection that ends while it is looked at takes itself out of the set.
    std::vector<std::shared_ptr<ConnectionBase>> all;
    for (ConnectionBase* connection : connections) {
      if (auto held = connection->weak_from_this().lock()) all.push_back(std::move(held));
    }
    for (const auto& connection : all) connection->expire(at);
    all.clear();
    watch();
  });
}

const std::string& Loop::date() {
  if (const Nanos at = now(); at >= date_until_) {
    const std::time_t unix_s = env().unix_ns() / 1'000'000'000;
    std::tm parts{};
    gmtime_r(&unix_s, &parts);
    char text[40];
    date_.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
    date_until_ = at + 1'000'000'000;
  }
  return date_;
}

ConnectionBase::ConnectionBase(std::shared_ptr<Loop> loop) : loop_(std::move(loop)) {
  loop_->shared->connections.fetch_add(1);
  loop_->connections.insert(this);
  loop_->watch();
}

void ConnectionBase::leave() {
  if (loop_->connections.erase(this) > 0) loop_->shared->connections.fetch_sub(1);
}

void Loop::deliver(std::shared_ptr<ConnectionBase> to, std::uint64_t sequence, Response response) {
  if (io.get_executor().running_in_this_thread()) {
    to->answered(sequence, std::move(response));
    return to->flush();
  }
  const base::MutexLock lock(mutex);
  if (stopped) return;
  answers.push_back({std::move(to), sequence, std::move(response)});
  if (answers.size() > 1) return;  // the one that was first has woken the loop
  asio::post(io, [self = shared_from_this()] {
    std::vector<Answer> all;
    {
      const base::MutexLock held(self->mutex);
      all.swap(self->answers);
      self->answers.reserve(std::min(all.size(), kKeptAnswers));
    }
    for (Answer& one : all) one.to->answered(one.sequence, std::move(one.response));
    for (const Answer& one : all) one.to->flush();
  });
}

void ConnectionBase::answer(std::uint64_t sequence, Response response) {
  loop_->deliver(shared_from_this(), sequence, std::move(response));
}

void ConnectionBase::upgrade(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers) {
  loop_->run(
      [self = shared_from_this(), sequence, handlers = std::move(handlers), headers = std::move(headers)]() mutable {
        self->upgraded(sequence, std::move(handlers), std::move(headers));
      });
}

Exchange::Exchange(std::shared_ptr<ConnectionBase> connection, std::uint64_t sequence, Request request)
    : connection_(std::move(connection)),
      loop_(connection_->loop_index()),
      sequence_(sequence),
      request_(std::move(request)) {}

Exchange::~Exchange() {
  if (connection_) respond(Response::text(500, "no answer was given\n"));
}

void Exchange::respond(Response response) {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->answer(sequence_, std::move(response));
}

void Exchange::accept(WebSocketHandlers handlers, Headers headers) {
  if (const auto connection = std::exchange(connection_, nullptr))
    connection->upgrade(sequence_, std::move(handlers), std::move(headers));
}

class Server::Impl {
 public:
  Impl(const ServerOptions& options, Handler handler) {
    shared_->options = options;
    shared_->handler = std::move(handler);
    if (!shared_->options.access_log) {
      shared_->logs = base::Logger::standard().writes(base::Level::kInfo);
      shared_->options.access_log = [](const Access& access) {
        base::log_info("access", {{"remote", access.remote},
                                  {"method", access.method},
                                  {"path", access.path},
                                  {"status", access.status},
                                  {"request_bytes", access.request_bytes},
                                  {"response_bytes", access.response_bytes},
                                  {"took_us", access.took_us}});
      };
    }
    const int cores = static_cast<int>(base::this_machine().cores);
    const int threads = std::clamp(options.threads > 0 ? options.threads : cores, 1, kMaxLoops);
    for (int i = 0; i < threads; ++i) loops_.push_back(std::make_shared<Loop>(shared_, i));
  }

  ~Impl() { stop(); }

  base::Status listen() {
    const ServerOptions& options = shared_->options;
    DAYBREAK_TRY(load_tls());
    error_code error;
    DAYBREAK_ASSIGN(const std::vector<std::string> addresses, resolve(options.address));
    const auto address = asio::ip::make_address(addresses.front(), error);
    if (error) return fail(Code::kInvalidArgument, "'{}' is no IP address to listen on", options.address);
    const tcp::endpoint endpoint(address, options.port);
    acceptor_.emplace(loops_[0]->io);
    for (const auto step : {0, 1, 2, 3}) {
      if (step == 0) acceptor_->open(endpoint.protocol(), error);
      if (step == 1) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
      if (step == 2) acceptor_->bind(endpoint, error);
      if (step == 3) acceptor_->listen(asio::socket_base::max_listen_connections, error);
      if (error) return std::unexpected(listen_error(options, error));
    }
    port_ = acceptor_->local_endpoint(error).port();
    shared_->hosts = own_hosts(options, addresses.front());
    accept();
    for (const auto& loop : loops_) {
      loop->thread = std::thread([&io = loop->io] {
        const auto work = asio::make_work_guard(io);
        io.run();
      });
    }
    return {};
  }

  std::uint16_t port() const { return port_; }
  std::size_t connections() const { return shared_->connections.load(); }
  int loops() const { return static_cast<int>(loops_.size()); }
  void post(int loop, std::function<void()> what) { loops_.at(static_cast<std::size_t>(loop))->run(std::move(what)); }

  bool drain(milliseconds limit) {
    close_acceptor();
    shared_->draining.store(true);
    on_all_connections([](ConnectionBase& connection) { connection.drain(); });
    base::Env& env = *shared_->options.env;
    const Nanos end = env.monotonic_ns() + nanos(limit);
    while (connections() > 0 && env.monotonic_ns() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return connections() == 0;
  }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    close_acceptor();
    shared_->draining.store(true);
    on_all_connections([](ConnectionBase& connection) { connection.abort(); });
    // By the world's clock: it waits for its own threads, which a stopped one does not stop.
    const Nanos end = base::Env::real().monotonic_ns() + nanos(kStopPatience);
    while (connections() > 0 && base::Env::real().monotonic_ns() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (const auto& loop : loops_) {
      std::vector<Loop::Answer> late;  // for nobody
      {
        const base::MutexLock lock(loop->mutex);
        loop->stopped = true;
        late.swap(loop->answers);
      }
      loop->io.stop();
      if (loop->thread.joinable()) loop->thread.join();
      // What was queued last holds what holds the loop: it is run, not kept.
      loop->io.restart();
      loop->io.poll();
    }
  }

 private:
  base::Status load_tls() {
    if (!shared_->options.tls) return {};
    const TlsOptions& tls = *shared_->options.tls;
    error_code error;
    shared_->tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
    shared_->tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                                  asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_sslv3,
                              error);
    if (!error) shared_->tls->use_certificate_chain_file(tls.certificate_file, error);
    if (error)
      return fail(Code::kInvalidArgument, "cannot read the certificate '{}': {}", tls.certificate_file,
                  error.message());
    shared_->tls->use_private_key_file(tls.key_file, asio::ssl::context::pem, error);
    if (error) return fail(Code::kInvalidArgument, "cannot read the key '{}': {}", tls.key_file, error.message());
    return {};
  }

  void accept() {
    const std::shared_ptr<Loop> loop = loops_[next_++ % loops_.size()];
    acceptor_->async_accept(loop->io, [this, loop](const error_code& error, Socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_->is_open()) return;
      if (!error) {
        asio::post(loop->io,
                   [loop, socket = std::move(socket)]() mutable { make_connection(loop, std::move(socket))->start(); });
        return accept();
      }
      // Out of descriptors or memory: the connection waits in the kernel; try again when some have ended.
      base::log_warn("cannot accept a connection", {{"error", error.message()}});
      auto pause = std::make_shared<asio::steady_timer>(loops_[0]->io, std::chrono::milliseconds(100));
      pause->async_wait([this, pause](const error_code& stopped) {
        if (!stopped && acceptor_->is_open()) accept();
      });
    });
  }

  void close_acceptor() {
    if (!acceptor_) return;
    if (!loops_[0]->thread.joinable()) {
      error_code ignored;
      acceptor_->close(ignored);
      return;
    }
    base::Mutex mutex;
    base::CondVar closed;
    bool done = false;
    asio::post(loops_[0]->io, [&] {
      error_code ignored;
      acceptor_->close(ignored);
      const base::MutexLock lock(mutex);
      done = true;
      closed.notify_one();
    });
    const base::MutexLock lock(mutex);
    while (!done) closed.wait(mutex);
  }

  void on_all_connections(const std::function<void(ConnectionBase&)>& what) {
    for (const auto& loop : loops_) {
      asio::post(loop->io, [loop, what] {
        std::vector<std::shared_ptr<ConnectionBase>> all;
        for (ConnectionBase* connection : loop->connections) {
          if (auto held = connection->weak_from_this().lock()) all.push_back(std::move(held));
        }
        for (const auto& connection : all) what(*connection);
      });
    }
  }

  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::vector<std::shared_ptr<Loop>> loops_;
  std::optional<tcp::acceptor> acceptor_;
  std::size_t next_ = 0;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

base::Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Handler handler) {
  auto impl = std::make_unique<Impl>(options, std::move(handler));
  DAYBREAK_TRY(impl->listen());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::port() const {
  return impl_->port();
}
std::size_t Server::connections() const {
  return impl_->connections();
}
int Server::loops() const {
  return impl_->loops();
}
void Server::post(int loop, std::function<void()> what) {
  DAYBREAK_CHECK(loop >= 0 && loop < impl_->loops());
  impl_->post(loop, std::move(what));
}
bool Server::drain(milliseconds limit) {
  return impl_->drain(limit);
}
void Server::stop() {
  impl_->stop();
}

}  // namespace daybreak::net
