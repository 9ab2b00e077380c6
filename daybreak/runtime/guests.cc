// Further drivers of an engine, at its end: they knock, are let in by the scheduler, and leave or die. Beside them the
// engine's own driver is only the one that goes last.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include "daybreak/os/pass.h"
#include "daybreak/runtime/node.h"
#include "daybreak/runtime/node_events.h"

namespace daybreak::runtime {

namespace {

bool has_ended(const os::Fd& process) {
  pollfd look{process.get(), POLLIN, 0};
  return poll(&look, 1, 0) == 1;
}

std::string_view bytes_of(const DriverMessage& message) {
  return {reinterpret_cast<const char*>(&message), sizeof message};
}

}  // namespace

void Node::greet_guests() {
  while (auto driver = door_->next_driver()) {
    const std::uint32_t number = guests_so_far_++;
    epoll_event event{EPOLLIN, {.u64 = kGuestSaysEvent | number}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, driver->socket.get(), &event);
    base::MutexLock lock(mutex_);
    guests_[number] = {.socket = std::move(driver->socket), .process = std::move(driver->process), .pid = driver->pid};
  }
}

// The end of the connection alone says nothing of one that has been let in: a program may close what it does not know. It
// is gone when its process is.
void Node::read_guest(std::uint32_t number) {
  DriverMessage message{};
  bool joins = false, leaves = false;
  std::int32_t pid = 0;
  {
    base::MutexLock lock(mutex_);
    const auto found = guests_.find(number);
    if (found == guests_.end()) return;
    Guest& guest = found->second;
    const std::span<char> out{reinterpret_cast<char*>(&message), sizeof message};
    const auto got = os::receive_message(guest.socket.get(), out, os::Wait::kNo);
    if (!got && got.error().code() == base::Code::kUnavailable) return;
    const bool whole = got && got->size_bytes == sizeof message;
    joins = whole && message.op == DriverMessage::kJoin && !guest.asked;
    leaves = whole && message.op == DriverMessage::kLeave && guest.asked;
    pid = guest.pid;
    if (joins) {
      guest.asked = true;
      guest.prints = message.number != 0;
      epoll_event event{EPOLLIN, {.u64 = kGuestEndsEvent | number}};
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, guest.process.get(), &event);
    } else if (!leaves && !guest.asked) {
      drop_guest(number);  // somebody else, or it has ended
    } else if (!leaves) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, guest.socket.get(), nullptr);
    }
  }
  if (joins) scheduler_->admit(number, pid);
  if (leaves) guest_ended(number, 0);
}

// On the scheduler's thread.
bool Node::admitted(std::uint32_t number, std::uint32_t proc) {
  base::MutexLock lock(mutex_);
  const auto found = guests_.find(number);
  if (found == guests_.end()) return false;
  Guest& guest = found->second;
  const DriverMessage answer =
      proc == kNone ? DriverMessage{DriverMessage::kFull, kMaxProcs} : DriverMessage{DriverMessage::kSlot, proc};
  const bool told =
      !guest.gone && os::send_message(guest.socket.get(), bytes_of(answer), {}, os::Wait::kNo).has_value();
  if (!told || proc == kNone) {
    drop_guest(number);
    return false;
  }
  guest.proc = proc;
  return true;
}

void Node::guest_ended(std::uint32_t number, std::int32_t status) {
  std::uint32_t proc = kNone;
  {
    base::MutexLock lock(mutex_);
    const auto found = guests_.find(number);
    if (found == guests_.end() || std::exchange(found->second.gone, true)) return;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.process.get(), nullptr);
    proc = found->second.proc;
  }
  if (proc != kNone) scheduler_->exited({.proc = proc, .status = status});
}

// The end of the connection is what tells it that it has left.
void Node::drop_guest(std::uint32_t number) {
  const auto found = guests_.find(number);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.socket.get(), nullptr);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.process.get(), nullptr);
  guests_.erase(found);
}

// The engine has ended: whoever waits looks.
void Node::ring_guests() {
  base::MutexLock lock(mutex_);
  for (const auto& [number, guest] : guests_)
    if (guest.proc != kNone && !guest.gone && !has_ended(guest.process)) driver_.ring_surely(guest.proc);
  guests_.clear();
}

// False: it is for the engine's own driver to print.
bool Node::print_at_guest(std::uint32_t proc, int which, std::string_view name, std::int32_t pid,
                          std::string_view line) {
  const std::uint32_t driver = control_.resources.driver_of(control_.proc[proc].environment);
  if (driver == 0) return false;
  base::MutexLock lock(mutex_);
  const auto guest = std::ranges::find(guests_, driver - 1, [](const auto& each) { return each.second.proc; });
  if (guest == guests_.end() || guest->second.gone) return false;
  if (!guest->second.prints) return true;
  const DriverMessage head{DriverMessage::kOutput, static_cast<std::uint32_t>(which) + 1};
  std::string message(bytes_of(head));
  message += fmt::format("({} pid={}) {}\n", name, pid, line);
  return os::send_message(guest->second.socket.get(), message, {}, os::Wait::kNo).has_value();
}

}  // namespace daybreak::runtime
