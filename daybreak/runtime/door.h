// The way into a running engine for other processes of its user: a directory with two Unix sockets. Who connects to the
// first gets the descriptors of the engine's two segments and reads there himself (view.h), so a driver that is busy or
// hangs can be looked at all the same. At the second further drivers ask to be let in (attached_driver.h): they get the
// descriptors, a slot of their own, and keep the connection.
//
// The directory is ROOT/PID-SESSION, mode 0700, where ROOT is $XDG_RUNTIME_DIR/daybreak, or /tmp/daybreak-UID without
// that. It goes with the engine; one whose engine was killed is removed by whoever looks next: the engine holds the lock
// of a file in it as long as it lives.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"

namespace daybreak::runtime {

// What passes between an engine and a driver that attaches, one SOCK_SEQPACKET message each. The engine greets first, with
// the descriptors and its identity as text; DriverMessage is what follows.
struct DriverMessage {
  enum Op : std::uint32_t {
    kJoin = 1,    // the driver: lets me in; `number`: 1 when it prints what its workers print
    kSlot = 2,    // the engine: `number` is your slot
    kFull = 3,    // the engine: there is none
    kOutput = 4,  // the engine: a line follows that a worker of yours has printed; `number`: 1 or 2, the stream
    kLeave = 5,   // the driver: I do nothing any more. The engine ends the connection when nothing of it is left
  };
  std::uint32_t op;
  std::uint32_t number;
};
inline constexpr std::size_t kMaxDriverMessage = 20'000;  // bytes, the line included

// A process at the second socket.
struct DriverAtDoor {
  os::Fd socket;
  os::Fd process;  // readable once it has ended
  std::int32_t pid = 0;
};

// One thread at a time.
class Door {
 public:
  // kPermissionDenied when ROOT is somebody else's or open to others, kInvalidArgument when its name is too long for a
  // socket, and what the file system says.
  // `identity`: which program the engine is; who attaches has to be the same.
  static base::Result<std::unique_ptr<Door>> open(std::uint64_t session, int control_fd, int data_fd,
                                                  std::string identity = "");
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  ~Door();  // removes the directory, but in a child of the process that opened it

  const std::string& path() const { return path_; }
  // Readable when somebody knocks.
  int fd() const { return socket_.get(); }
  // Gives the descriptors to all that wait and are of this user. Does not wait.
  void answer();
  // The same at the second socket.
  int drivers_fd() const { return drivers_.get(); }
  // The next driver that waits there, greeted; nothing when none is left. Does not wait.
  std::optional<DriverAtDoor> next_driver();

 private:
  Door(std::string path, os::Fd lock, os::Fd socket, os::Fd drivers, int control_fd, int data_fd, std::string identity);

  std::string path_;
  os::Fd lock_, socket_, drivers_;
  int control_fd_, data_fd_;
  std::string identity_;
  int owner_;  // process
};

struct EngineAddress {
  std::string path;
  int pid = 0;
  std::string session;
};

// The engines of this user that run on this machine, in the order of their process numbers. What killed ones have left
// behind is removed.
base::Result<std::vector<EngineAddress>> running_engines();

// What the engine behind `path` gives: the descriptors of its control and data segments.
struct EngineDescriptors {
  os::Fd control, data;
};
// kNotFound when nobody answers there, kPermissionDenied when the engine is another user's.
base::Result<EngineDescriptors> knock(const std::string& path);

struct EngineGreeting {
  os::Fd socket;
  EngineDescriptors segments;
};
// At the second socket. As knock(), and kFailedPrecondition when the engine is another program than `identity`.
base::Result<EngineGreeting> knock_as_driver(const std::string& path, const std::string& identity);

}  // namespace daybreak::runtime
