#include "daybreak/runtime/attached_driver.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "daybreak/os/fd.h"
#include "daybreak/os/pass.h"
#include "daybreak/runtime/node_events.h"
#include "daybreak/runtime/spill_folder.h"

namespace daybreak::runtime {

namespace {

constexpr std::int64_t kPrintPatienceNs = 1'000'000'000;  // a terminal that takes nothing for so long misses the line

base::Status say(const os::Fd& socket, DriverMessage::Op op, std::uint32_t number) {
  const DriverMessage message{op, number};
  return os::send_message(socket.get(), {reinterpret_cast<const char*>(&message), sizeof message});
}

base::Result<std::uint32_t> ask_for_slot(const os::Fd& socket, const std::string& path, bool prints) {
  DAYBREAK_TRY(say(socket, DriverMessage::kJoin, prints ? 1 : 0));
  DriverMessage answer{};
  const std::span<char> out{reinterpret_cast<char*>(&answer), sizeof answer};
  DAYBREAK_ASSIGN(const os::Received got, os::receive_message(socket.get(), out));
  if (got.size_bytes == sizeof answer && answer.op == DriverMessage::kSlot && answer.number < kMaxProcs)
    return answer.number;
  if (got.size_bytes == sizeof answer && answer.op == DriverMessage::kFull)
    return base::fail(base::Code::kResourceExhausted, "the engine at {} has {} processes and can have no more", path,
                      answer.number);
  return base::fail(base::Code::kUnavailable, "the engine at {} has ended", path);
}

}  // namespace

AttachedDriver::AttachedDriver(std::string path, EngineGreeting greeting, std::unique_ptr<Segment> segment,
                               std::uint32_t proc)
    : path_(std::move(path)),
      socket_(std::move(greeting.socket)),
      descriptors_(std::move(greeting.segments)),
      segment_(std::move(segment)),
      process_(*segment_, proc),
      client_(process_) {}

base::Result<std::unique_ptr<AttachedDriver>> AttachedDriver::attach(const std::string& path,
                                                                     const std::string& identity, bool prints) {
  DAYBREAK_ASSIGN(EngineGreeting greeting, knock_as_driver(path, identity));
  DAYBREAK_ASSIGN(auto segment, Segment::attach(greeting.segments.control.get(), greeting.segments.data.get()));
  DAYBREAK_ASSIGN(const std::uint32_t proc, ask_for_slot(greeting.socket, path, prints));
  const timeval forever{};
  setsockopt(greeting.socket.get(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
  std::unique_ptr<AttachedDriver> driver(new AttachedDriver(path, std::move(greeting), std::move(segment), proc));
  use_spill_folder(driver->process_);
  try {
    driver->listener_ = std::thread([raw = driver.get()] { raw->listen(); });
  } catch (const std::system_error& error) {
    return base::fail_errno("start the thread that listens to the engine", error.code().value());
  }
  return driver;
}

AttachedDriver::~AttachedDriver() {
  leave();
}

void AttachedDriver::listen() {
  block_signals();
  pthread_setname_np(pthread_self(), "daybreak-att");
  std::string message(kMaxDriverMessage, 0);
  for (;;) {
    const auto got = os::receive_message(socket_.get(), message);
    if (!got && got.error().code() == base::Code::kDataLoss) continue;
    if (!got || got->size_bytes == 0) break;
    DriverMessage head{};
    if (got->size_bytes <= sizeof head) continue;
    std::memcpy(&head, message.data(), sizeof head);
    if (head.op != DriverMessage::kOutput || (head.number != 1 && head.number != 2)) continue;
    std::string text = message.substr(sizeof head, got->size_bytes - sizeof head);
    const std::size_t prefix = text.find(") ");
    const int fd = static_cast<int>(head.number);
    if (prefix != std::string::npos && isatty(fd) != 0)
      text = fmt::format("\033[36m{}\033[0m{}", text.substr(0, prefix + 1), text.substr(prefix + 1));
    std::ignore = os::write_all(fd, text, "the workers' output", kPrintPatienceNs);  // there is nobody to be told
  }
  // The engine has ended, or we have left it. Its memory is ours as long as we look at it; nobody else does.
  process_.leave();
  process_.ring_surely(process_.id());
}

void AttachedDriver::say_leaving() {
  process_.leave();
  process_.ring_surely(process_.id());
}

void AttachedDriver::leave() {
  if (std::exchange(left_, true)) return;
  say_leaving();
  // Without an answer the engine has ended already.
  if (listener_.joinable()) {
    std::ignore = say(socket_, DriverMessage::kLeave, 0);
    listener_.join();
  }
}

}  // namespace daybreak::runtime
