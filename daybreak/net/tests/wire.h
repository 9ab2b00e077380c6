// The server's very connection in this thread, on one end of a socket pair: what it does is decided by the bytes alone.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>

#include "daybreak/net/internal/connection.h"

namespace daybreak::net {

class Wire {
 public:
  Wire(const ServerOptions& options, Handler handler) {
    shared_->options = options;
    shared_->options.access_log = [](const Access& access) {
      DAYBREAK_CHECK(access.path.find('?') == access.path.npos);
    };
    shared_->handler = std::move(handler);
    shared_->hosts = {"a", "localhost:1"};
    loop_ = std::make_shared<Loop>(shared_, 0);
    int ends[2];
    DAYBREAK_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    ours_ = ends[0];
    Socket socket(loop_->io);
    socket.assign(tcp::v4(), ends[1]);
    asio::post(loop_->io, [this, stream = std::move(socket)]() mutable {
      connection_ = make_connection(loop_, std::move(stream));
      connection_->start();
    });
    turn();
  }
  ~Wire() {
    hang_up();
    asio::post(loop_->io, [connection = std::move(connection_)] { connection->abort(); });
    turn();
    loop_->io.stop();
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // The server reads them before this returns. False when it has closed.
  bool say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(ours_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      const bool stuck = sent < 0 && errno != EAGAIN;
      turn();
      if (stuck || (sent < 0 && ++full_ > 1000)) return false;
    }
    return true;
  }
  void hang_up() {
    ::shutdown(ours_, SHUT_WR);
    turn();
    if (ours_ >= 0) ::close(std::exchange(ours_, -1));
    turn();
  }
  // The loop looks at its deadlines, as it does by itself four times a second.
  void expire() {
    asio::post(loop_->io, [this] { connection_->expire(loop_->now()); });
    turn();
  }
  // From now on this end reads nothing.
  void go_deaf() { deaf_ = true; }
  // All that the server has said so far.
  const std::string& heard() const { return heard_; }
  std::size_t connections() const { return shared_->connections.load(); }

 private:
  void turn() {
    do {
      loop_->io.restart();
      char bytes[16 * 1024];
      ssize_t got = 0;
      while (ours_ >= 0 && !deaf_ && (got = ::recv(ours_, bytes, sizeof bytes, 0)) > 0)
        heard_.append(bytes, static_cast<std::size_t>(got));
    } while (loop_->io.poll() > 0);
  }

  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::shared_ptr<Loop> loop_;
  std::shared_ptr<ConnectionBase> connection_;
  int ours_ = -1;
  int full_ = 0;
  bool deaf_ = false;
  std::string heard_;
};

}  // namespace daybreak::net
