#include "daybreak/os/fd.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <tuple>

namespace daybreak::os {

using base::Code;
using base::fail;
using base::fail_errno;

base::Result<Fd> open_file(const std::string& path, int flags, unsigned mode) {
  for (;;) {
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
    if (fd) return fd;
    if (errno != EINTR)
      return fail_errno(fmt::format("{} {}", (flags & O_CREAT) != 0 ? "create" : "open", path), errno);
  }
}

base::Result<Fd> duplicate(int fd, int at_least) {
  Fd same(::fcntl(fd, F_DUPFD_CLOEXEC, at_least));
  if (!same) return fail_errno(fmt::format("duplicate descriptor {}", fd), errno);
  return same;
}

base::Status set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno(fmt::format("make descriptor {} non-blocking", fd), errno);
  return {};
}

base::Result<std::size_t> read_some(int fd, std::span<char> out) {
  for (;;) {
    const ssize_t got = ::read(fd, out.data(), out.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return fail_errno(fmt::format("read descriptor {}", fd), errno);
  }
}

base::Status read_at(int fd, std::span<char> out, std::uint64_t offset, std::string_view name) {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(fmt::format("read {}", name), errno);
    if (got == 0) return fail(Code::kDataLoss, "{} ends at byte {}, {} more are expected", name, offset, out.size());
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

base::Status write_at(int fd, std::string_view bytes, std::uint64_t offset, std::string_view name) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(fmt::format("write {}", name), errno);
    bytes.remove_prefix(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

base::Result<std::uint64_t> size_of(int fd) {
  struct stat about{};
  if (::fstat(fd, &about) != 0) return fail_errno(fmt::format("look at descriptor {}", fd), errno);
  return static_cast<std::uint64_t>(about.st_size);
}

base::Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("make a pipe", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

base::Result<SocketPair> make_socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno("make a pair of sockets", errno);
  return SocketPair{Fd(ends[0]), Fd(ends[1])};
}

base::Result<Fd> make_event() {
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return fail_errno("make an eventfd", errno);
  return event;
}

void ring_event(int event) {
  const std::uint64_t one = 1;
  std::ignore = ::write(event, &one, sizeof one);  // fails only when it has been rung 2^64 times: then it rings
}

void clear_event(int event) {
  std::uint64_t times = 0;
  std::ignore = ::read(event, &times, sizeof times);  // fails when nobody rang
}

}  // namespace daybreak::os
