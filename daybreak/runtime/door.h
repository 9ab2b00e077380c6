// The way into a running engine for other processes of its user: a directory with one Unix socket. Who connects gets the
// descriptors of the engine's two segments and reads there himself (view.h), so a driver that is busy or hangs can be
// looked at all the same.
//
// The directory is ROOT/PID-SESSION, mode 0700, where ROOT is $XDG_RUNTIME_DIR/daybreak, or /tmp/daybreak-UID without
// that. It goes with the engine; one whose engine was killed is removed by whoever looks next: the engine holds the lock
// of a file in it as long as it lives.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"

namespace daybreak::runtime {

// One thread at a time.
class Door {
 public:
  // kPermissionDenied when ROOT is somebody else's or open to others, kInvalidArgument when its name is too long for a
  // socket, and what the file system says.
  static base::Result<std::unique_ptr<Door>> open(std::uint64_t session, int control_fd, int data_fd);
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  ~Door();  // removes the directory, but in a child of the process that opened it

  const std::string& path() const { return path_; }
  // Readable when somebody knocks.
  int fd() const { return socket_.get(); }
  // Gives the descriptors to all that wait and are of this user. Does not wait.
  void answer();

 private:
  Door(std::string path, os::Fd lock, os::Fd socket, int control_fd, int data_fd);

  std::string path_;
  os::Fd lock_, socket_;
  int control_fd_, data_fd_;
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

}  // namespace daybreak::runtime
