// A socket on which a test says what it likes.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::net {

using namespace std::chrono_literals;

class Raw {
 public:
  explicit Raw(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    port_ = port;
  }
  ~Raw() { ::close(fd_); }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  // "@" in the text is the server's Host header.
  Raw& say(std::string text) {
    for (std::size_t at; (at = text.find('@')) != std::string::npos;)
      text.replace(at, 1, fmt::format("Host: 127.0.0.1:{}\r\n", port_));
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t sent = ::send(fd_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
      if (sent <= 0) break;
      done += static_cast<std::size_t>(sent);
    }
    return *this;
  }
  // Reads until the server closes, or until the text is there.
  std::string hear(std::string_view until = {}, std::chrono::milliseconds limit = 5s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (until.empty() || heard_.find(until) == std::string::npos) {
      pollfd waiting{fd_, POLLIN, 0};
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) return heard_ + "[silence]";
      char bytes[65536];
      const ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
      if (got <= 0) return until.empty() ? heard_ : heard_ + "[closed]";
      heard_.append(bytes, static_cast<std::size_t>(got));
    }
    return heard_;
  }
  std::string status() { return hear("\r\n").substr(0, 12); }

 private:
  int fd_;
  std::uint16_t port_ = 0;
  std::string heard_;
};

}  // namespace daybreak::net
