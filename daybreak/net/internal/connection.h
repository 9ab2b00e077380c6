// One connection of a server, and the loop that it lives on.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>

#include "daybreak/base/mutex.h"
#include "daybreak/net/server.h"

namespace daybreak::net {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// What all connections of a server share.
struct Shared {
  ServerOptions options;
  Handler handler;
  std::unique_ptr<asio::ssl::context> tls;
  std::vector<std::string> hosts;  // allowed values of Host, lower case; empty: all
  std::atomic<std::size_t> connections{0};
  std::atomic<bool> draining{false};
};

// A thread, its event loop and the connections on it. Held by the server and by everything that lives on it, so that
// what a user still holds of a server that has stopped does no harm.
struct Loop : std::enable_shared_from_this<Loop> {
  explicit Loop(std::shared_ptr<Shared> all) : shared(std::move(all)), sweep(io) {}

  // Calls `what` on the loop: at once when this is its thread. Dropped when the loop has stopped.
  template <typename F>
  void run(F&& what) {
    if (io.get_executor().running_in_this_thread()) return what();
    const base::MutexLock lock(mutex);
    if (!stopped) asio::post(io, std::forward<F>(what));
  }
  // Looks at the deadlines of all connections four times a second, while there are any: a timer for each would cost
  // more than the requests do.
  void watch();

  const std::shared_ptr<Shared> shared;
  asio::io_context io{1};
  asio::steady_timer sweep;
  bool sweeping = false;
  std::unordered_set<ConnectionBase*> connections;  // touched on this loop alone, and when it has stopped
  std::thread thread;
  base::Mutex mutex;
  bool stopped DAYBREAK_GUARDED_BY(mutex) = false;
};

class ConnectionBase : public std::enable_shared_from_this<ConnectionBase> {
 public:
  explicit ConnectionBase(std::shared_ptr<Loop> loop);
  virtual ~ConnectionBase() = default;

  virtual void start() = 0;
  // From any thread.
  void answer(std::uint64_t sequence, Response response);
  void upgrade(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers);

  // On the loop.
  void expire(Clock::time_point now);
  // Ends as soon as what is under way has been answered.
  virtual void drain() = 0;
  // What it waits for ends with an error.
  virtual void cancel() = 0;
  // Ends at once.
  virtual void abort() = 0;

 protected:
  // It counts no longer, whoever still holds it. On the loop, once, when its socket is closed.
  void leave();
  virtual void answered(std::uint64_t sequence, Response response) = 0;
  virtual void upgraded(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers) = 0;

  const std::shared_ptr<Loop> loop_;  // goes last
  Clock::time_point read_deadline_ = Clock::time_point::max();
  Clock::time_point write_deadline_ = Clock::time_point::max();
  bool timed_out_ = false;
};

// Reads requests from the socket until it ends.
std::shared_ptr<ConnectionBase> make_connection(const std::shared_ptr<Loop>& loop, tcp::socket socket);

}  // namespace daybreak::net
