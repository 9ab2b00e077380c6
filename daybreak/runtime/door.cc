#include "daybreak/runtime/door.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <tuple>

#include "daybreak/os/lock.h"
#include "daybreak/os/pass.h"
#include "daybreak/os/process.h"
#include "daybreak/runtime/output_log.h"

namespace daybreak::runtime {

namespace {

constexpr int kBacklog = 16;
constexpr char kSocketName[] = "/socket";
constexpr char kDriversName[] = "/drivers";
constexpr char kLockName[] = "/lock";
constexpr char kAboutName[] = "/about";                                 // the language binding's, for drivers
constexpr std::string_view kGreeting = "daybreak engine 1";             // what comes with the descriptors
constexpr std::string_view kDriverGreeting = "daybreak engine 1 for ";  // and who it is
constexpr std::size_t kMaxGreeting = 1024;

std::string door_root() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/daybreak";
  return fmt::format("/tmp/daybreak-{}", geteuid());
}

// ROOT is ours alone: where others may write, they could put their own socket there.
base::Status check_root(const std::string& root) {
  struct stat found{};
  if (lstat(root.c_str(), &found) != 0) return base::fail_errno("look at " + root, errno);
  if (!S_ISDIR(found.st_mode) || found.st_uid != geteuid() || (found.st_mode & 077) != 0)
    return base::fail(base::Code::kPermissionDenied,
                      "{} is no directory of this user with mode 0700: remove it, or set XDG_RUNTIME_DIR", root);
  return {};
}

base::Result<sockaddr_un> socket_address(const std::string& path, const char* name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string file = path + name;
  if (file.size() >= sizeof address.sun_path)
    return base::fail(base::Code::kInvalidArgument, "{}: a socket's name has at most {} bytes: set XDG_RUNTIME_DIR",
                      file, sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, file.c_str(), file.size() + 1);
  return address;
}

// 0: it is another user's.
std::int32_t peer_of_this_user(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool ok = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
  return ok ? peer.pid : 0;
}

base::Result<os::Fd> listen_at(const std::string& path, const char* name) {
  DAYBREAK_ASSIGN(const sockaddr_un address, socket_address(path, name));
  os::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(socket.get(), kBacklog) != 0)
    return base::fail_errno("listen at " + path + name, errno);
  return socket;
}

struct Knocked {
  os::Fd socket;
  std::string greeting;
  EngineDescriptors segments;
};

base::Result<Knocked> knock_at(const std::string& path, const char* name) {
  DAYBREAK_ASSIGN(const sockaddr_un address, socket_address(path, name));
  Knocked found;
  found.socket.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!found.socket) return base::fail_errno("make a socket", errno);
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(found.socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(found.socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTDIR)
      return base::fail(base::Code::kNotFound, "no engine runs at {}", path);
    return base::fail_errno("connect to " + path, errno);
  }
  if (peer_of_this_user(found.socket.get()) == 0)
    return base::fail(base::Code::kPermissionDenied, "the engine at {} is another user's", path);
  char greeting[kMaxGreeting];
  DAYBREAK_ASSIGN(os::Received got, os::receive_message(found.socket.get(), greeting));
  found.greeting.assign(greeting, got.size_bytes);
  if (!found.greeting.starts_with(kGreeting) || got.fds.size() != 2)
    return base::fail(base::Code::kDataLoss, "what listens at {} is no engine of this version", path);
  found.segments = {std::move(got.fds[0]), std::move(got.fds[1])};
  return found;
}

void remove_door(const std::string& path) {
  for (const std::string_view name : {OutputLog::kName, OutputLog::kOldName})
    unlink((path + std::string(name)).c_str());
  for (const char* name : {kSocketName, kDriversName, kAboutName, kLockName}) unlink((path + name).c_str());
  rmdir(path.c_str());
}

// Of "PID-SESSION"; pid 0: another name.
EngineAddress address_of(const std::string& root, std::string_view name) {
  EngineAddress found{.path = root + "/" + std::string(name)};
  const std::size_t dash = name.find('-');
  if (dash == std::string_view::npos) return found;
  const auto [end, error] = std::from_chars(name.data(), name.data() + dash, found.pid);
  if (error != std::errc() || end != name.data() + dash) found.pid = 0;
  found.session = name.substr(dash + 1);
  return found;
}

// Whether its engine lives; what a dead one has left is removed. An engine that begins has its directory before its
// lock: it is taken for alive as long as there is no file to lock.
bool is_running(const EngineAddress& address) {
  const auto lock = os::open_file(address.path + kLockName, O_RDONLY | O_NOFOLLOW);
  if (!lock)
    return lock.error().code() == base::Code::kNotFound &&
           access(("/proc/" + std::to_string(address.pid)).c_str(), F_OK) == 0;
  const auto held = os::byte_is_locked(lock->get(), 0);
  if (!held || *held) return true;
  remove_door(address.path);
  return false;
}

}  // namespace

Door::Door(std::string path, os::Fd lock, os::Fd socket, os::Fd drivers, int control_fd, int data_fd,
           std::string identity)
    : path_(std::move(path)),
      lock_(std::move(lock)),
      socket_(std::move(socket)),
      drivers_(std::move(drivers)),
      control_fd_(control_fd),
      data_fd_(data_fd),
      identity_(std::move(identity)),
      owner_(getpid()) {}

Door::~Door() {
  if (getpid() == owner_) remove_door(path_);
}

base::Result<std::unique_ptr<Door>> Door::open(std::uint64_t session, int control_fd, int data_fd,
                                               std::string identity) {
  const std::string root = door_root();
  if (mkdir(root.c_str(), 0700) != 0 && errno != EEXIST) return base::fail_errno("make " + root, errno);
  DAYBREAK_TRY(check_root(root));
  std::ignore = running_engines();  // removes what killed ones have left
  const std::string path = fmt::format("{}/{}-{:016x}", root, getpid(), session);
  DAYBREAK_ASSIGN([[maybe_unused]] const sockaddr_un address, socket_address(path, kDriversName));
  if (mkdir(path.c_str(), 0700) != 0) return base::fail_errno("make " + path, errno);
  auto opened = [&]() -> base::Result<std::unique_ptr<Door>> {
    DAYBREAK_ASSIGN(os::Fd lock, os::open_file(path + kLockName, O_RDWR | O_CREAT | O_EXCL));
    DAYBREAK_TRY(os::lock_byte(lock.get(), 0, false));
    DAYBREAK_ASSIGN(os::Fd socket, listen_at(path, kSocketName));
    DAYBREAK_ASSIGN(os::Fd drivers, listen_at(path, kDriversName));
    return std::unique_ptr<Door>(new Door(path, std::move(lock), std::move(socket), std::move(drivers), control_fd,
                                          data_fd, std::move(identity)));
  }();
  if (!opened) remove_door(path);
  return opened;
}

void Door::answer() {
  for (;;) {
    const os::Fd guest(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!guest) return;
    const int fds[] = {control_fd_, data_fd_};
    if (peer_of_this_user(guest.get()) != 0) std::ignore = os::send_message(guest.get(), kGreeting, fds, os::Wait::kNo);
  }
}

// Its process is looked up before it is greeted: what it says afterwards shows that it was alive then, so the number was
// its own and not another's.
std::optional<DriverAtDoor> Door::next_driver() {
  for (;;) {
    DriverAtDoor driver;
    driver.socket.reset(accept4(drivers_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!driver.socket) return std::nullopt;
    driver.pid = peer_of_this_user(driver.socket.get());
    if (driver.pid == 0) continue;
    auto process = os::open_process(driver.pid);
    if (!process) continue;
    driver.process = std::move(*process);
    const int fds[] = {control_fd_, data_fd_};
    const std::string greeting = std::string(kDriverGreeting) + identity_;
    if (os::send_message(driver.socket.get(), greeting, fds, os::Wait::kNo)) return driver;
  }
}

base::Result<std::vector<EngineAddress>> running_engines() {
  std::vector<EngineAddress> found;
  const std::string root = door_root();
  if (access(root.c_str(), F_OK) != 0) return found;
  DAYBREAK_TRY(check_root(root));
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(root.c_str()), closedir);
  if (!directory) return base::fail_errno("read " + root, errno);
  while (const dirent* entry = readdir(directory.get())) {
    const EngineAddress address = address_of(root, entry->d_name);
    if (address.pid > 0 && is_running(address)) found.push_back(address);
  }
  std::ranges::sort(found, {}, [](const EngineAddress& a) { return std::tuple(a.pid, a.session); });
  return found;
}

base::Result<EngineDescriptors> knock(const std::string& path) {
  DAYBREAK_ASSIGN(Knocked found, knock_at(path, kSocketName));
  return std::move(found.segments);
}

base::Result<EngineGreeting> knock_as_driver(const std::string& path, const std::string& identity) {
  DAYBREAK_ASSIGN(Knocked found, knock_at(path, kDriversName));
  const std::string_view greeting = found.greeting;
  const std::string_view theirs =
      greeting.starts_with(kDriverGreeting) ? greeting.substr(kDriverGreeting.size()) : "unknown";
  if (theirs != identity)
    return base::fail(
        base::Code::kFailedPrecondition,
        "the engine at {} is {}, and this process {}: attach with the same, or start an engine of your own "
        "(address=\"local\")",
        path, theirs, identity);
  return EngineGreeting{std::move(found.socket), std::move(found.segments)};
}

}  // namespace daybreak::runtime
