// One connection of a server, and the loop that it lives on.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "daybreak/base/clock.h"
#include "daybreak/base/mutex.h"
#include "daybreak/net/internal/stream.h"
#include "daybreak/net/server.h"

namespace daybreak::net {

using Nanos = std::int64_t;  // of the server's clock
inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

inline Nanos nanos(milliseconds time) {
  return std::chrono::nanoseconds(time).count();
}

// What all connections of a server share.
struct Shared {
  ServerOptions options;
  Handler handler;
  std::unique_ptr<asio::ssl::context> tls;
  std::vector<std::string> hosts;  // allowed values of Host, lower case; empty: all
  bool logs = true;                // whether anybody reads the access log
  std::atomic<std::size_t> connections{0};
  std::atomic<bool> draining{false};
};

// A thread, its event loop and the connections on it. Held by the server and by everything that lives on it, so that
// what a user still holds of a server that has stopped does no harm.
struct Loop : std::enable_shared_from_this<Loop> {
  Loop(std::shared_ptr<Shared> all, int number) : shared(std::move(all)), index(number), sweep(io) {}

  // Calls `what` on the loop: at once when this is its thread. Dropped when the loop has stopped.
  template <typename F>
  void run(F&& what) {
    if (io.get_executor().running_in_this_thread()) return what();
    const base::MutexLock lock(mutex);
    if (!stopped) asio::post(io, std::forward<F>(what));
  }
  // Brings an answer to its connection: at once when this is its thread, else with all others that wait, in one
  // wake-up.
  void deliver(std::shared_ptr<ConnectionBase> to, std::uint64_t sequence, Response response);
  // Looks at the deadlines of all connections four times a second, while there are any: a timer for each would cost
  // more than the requests do.
  void watch();
  base::Env& env() const { return *shared->options.env; }
  // For deadlines.
  Nanos now() const { return base::coarse_monotonic_ns(env()); }
  // The Date header, made once a second. On the loop.
  const std::string& date();

  const std::shared_ptr<Shared> shared;
  const int index;
  asio::io_context io{1};
  asio::steady_timer sweep;
  bool sweeping = false;
  std::unordered_set<ConnectionBase*> connections;  // touched on this loop alone, and when it has stopped
  std::thread thread;

  struct Answer {
    std::shared_ptr<ConnectionBase> to;
    std::uint64_t sequence;
    Response response;
  };
  base::Mutex mutex;
  std::vector<Answer> answers DAYBREAK_GUARDED_BY(mutex);
  bool stopped DAYBREAK_GUARDED_BY(mutex) = false;

 private:
  std::string date_;
  Nanos date_until_ = 0;
};

class ConnectionBase : public std::enable_shared_from_this<ConnectionBase> {
 public:
  explicit ConnectionBase(std::shared_ptr<Loop> loop);
  virtual ~ConnectionBase() = default;

  // From any thread.
  void answer(std::uint64_t sequence, Response response);
  void upgrade(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers);
  int loop_index() const { return loop_->index; }

  // All others on the loop.
  virtual void start() = 0;
  virtual void answered(std::uint64_t sequence, Response response) = 0;
  // Writes the answers that are next.
  virtual void flush() = 0;
  // Ends what has taken too long.
  virtual void expire(Nanos now) = 0;
  // Ends as soon as what is under way has been answered.
  virtual void drain() = 0;
  // Ends at once.
  virtual void abort() = 0;

 protected:
  // It counts no longer, whoever still holds it. Once, when its socket is closed.
  void leave();
  virtual void upgraded(std::uint64_t sequence, WebSocketHandlers handlers, Headers headers) = 0;

  const std::shared_ptr<Loop> loop_;  // goes last
};

// Reads requests from the socket until it ends.
std::shared_ptr<ConnectionBase> make_connection(const std::shared_ptr<Loop>& loop, Socket socket);

}  // namespace daybreak::net
