// File descriptors: owned, made, read and written. Every one is made close-on-exec: a child gets what spawn() is told
// to give it (process.h), and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/base/fd.h"

namespace daybreak::os {

using base::Fd;
using base::kForeverNs;
using base::write_all;

// `flags` as open(2) takes them; a new file gets `mode`.
base::Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0600);
// Another number for the same open file, the lowest that is free from `at_least` on.
base::Result<Fd> duplicate(int fd, int at_least = 0);
base::Status set_nonblocking(int fd);

// What is there, at most so many bytes, waiting for the first; 0 at the end. kUnavailable: nothing now, of a descriptor
// that does not wait.
base::Result<std::size_t> read_some(int fd, std::span<char> out);
// All of `out`, from the file's byte `offset` on; kDataLoss when the file ends before. Any thread. `name`: for the
// error.
base::Status read_at(int fd, std::span<char> out, std::uint64_t offset, std::string_view name);
// All of `bytes`, from the file's byte `offset` on. kResourceExhausted when the disk, or what a file in memory may take,
// is full. Any thread. `name`: for the error.
base::Status write_at(int fd, std::string_view bytes, std::uint64_t offset, std::string_view name);
base::Result<std::uint64_t> size_of(int fd);

struct Pipe {
  Fd reader;
  Fd writer;
};
base::Result<Pipe> make_pipe();

// Two sockets that are each other's end and keep messages apart (SOCK_SEQPACKET): see pass.h.
struct SocketPair {
  Fd ours;
  Fd theirs;
};
base::Result<SocketPair> make_socket_pair();

// A bell that poll() and epoll hear: an eventfd, which neither ring_event() nor clear_event() waits for.
base::Result<Fd> make_event();
void ring_event(int event);
void clear_event(int event);

}  // namespace daybreak::os
