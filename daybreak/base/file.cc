#include "daybreak/base/file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <tuple>

#include "daybreak/base/fd.h"
#include "daybreak/base/internal/posix_file.h"

namespace daybreak::base {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel
constexpr std::size_t kTemporaryStemBytes = 100;
constexpr std::int64_t kReaderPauseNs = 10'000'000;
constexpr std::uint64_t kMadeUpSizeBytes = 64 << 10;  // what /sys says of its files without having it is less

// With the slash at its end; "./" of a name without one.
std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "./" : path.substr(0, slash + 1);
}

bool is_in_proc(const std::string& folder) {
  struct statfs about{};
  return ::statfs(folder.c_str(), &about) == 0 && about.f_type == PROC_SUPER_MAGIC;
}

// Of a link in /proc: the number of this process's own descriptor that it stands for, or -1.
int own_descriptor(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> folder(::realpath(folder_of(path).c_str(), nullptr), std::free);
  if (!folder || fmt::format("/proc/{}/fd", ::getpid()) != folder.get()) return -1;
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.empty() || name.size() > 9 ? -1 : std::atoi(name.c_str());
}

FileKind kind_of(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::kRegular;
  if (S_ISDIR(mode)) return FileKind::kDirectory;
  if (S_ISFIFO(mode)) return FileKind::kPipe;
  if (S_ISCHR(mode)) return FileKind::kCharacterDevice;
  if (S_ISBLK(mode)) return FileKind::kBlockDevice;
  return FileKind::kSocket;
}

Result<std::string> link_target(const std::string& path) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
  if (size < 0) return fail_errno(fmt::format("follow '{}'", path), errno);
  std::string target(text.data(), static_cast<std::size_t>(size));
  return target.starts_with('/') ? target : folder_of(path) + target;
}

std::unexpected<Error> refused(const std::string& path, std::string_view what, std::string_view way_out) {
  return fail(Code::kFailedPrecondition, "'{}' is {}: {}", path, what, way_out);
}

// Opens what is written into as it is: a pipe, a terminal, /dev/null, an open descriptor.
Result<Fd> open_in_place(const Place& place, const std::string& path, Env& env) {
  if (place.descriptor >= 0) {
    Fd same(::fcntl(place.descriptor, F_DUPFD_CLOEXEC, 0));  // and its position
    if (same.get() < 0) return fail_errno(fmt::format("open '{}'", path), errno);
    return same;
  }
  // Without waiting: a pipe that nobody reads would be waited for within open(), for ever.
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const std::int64_t until_ns = env.monotonic_ns() + kPipePatienceNs;
  for (;;) {
    Fd fd(::open(path.c_str(), kFlags));
    if (fd.get() >= 0) {
      if (::fcntl(fd.get(), F_SETFL, O_APPEND) != 0) return fail_errno(fmt::format("open '{}'", path), errno);
      return fd;
    }
    if (errno == EINTR) continue;
    if (errno != ENXIO || place.kind != FileKind::kPipe) return fail_errno(fmt::format("open '{}'", path), errno);
    if (env.monotonic_ns() >= until_ns) {
      return fail(Code::kDeadlineExceeded, "'{}' is a pipe that nobody reads: start its reader first", path);
    }
    env.sleep_ns(kReaderPauseNs);
  }
}

Status write_in_place(const Place& place, const std::string& path, const std::function<Status(WritableFile&)>& write,
                      Env& env) {
  DAYBREAK_ASSIGN(Fd fd, open_in_place(place, path, env));
  internal::PosixFile file(std::move(fd), path);
  DAYBREAK_TRY(write(file));
  return file.close();
}

Status write_and_sync(Env& env, const std::string& path, const std::function<Status(WritableFile&)>& write) {
  DAYBREAK_ASSIGN(const auto file, env.create_file(path));
  DAYBREAK_TRY(write(*file));
  DAYBREAK_TRY(file->sync());
  return file->close();
}

}  // namespace

Result<Place> place_of(const std::string& path) {
  if (path.empty()) return fail(Code::kInvalidArgument, "the path is empty: name a file");
  if (path.find('\0') != std::string::npos) {
    return fail(Code::kInvalidArgument, "the path '{}' has a zero byte, which no file's name has", path.c_str());
  }
  const std::size_t name_bytes = path.size() - (path.rfind('/') + 1);
  if (name_bytes > kMaxFileNameBytes) {
    return fail(Code::kInvalidArgument, "the name of '{}' has {} bytes, the limit is {}", path, name_bytes,
                kMaxFileNameBytes);
  }
  Place place;
  place.path = path;
  struct stat about{};
  for (int links = 0;; ++links) {
    if (::lstat(place.path.c_str(), &about) != 0) {
      if (errno != ENOENT) return fail_errno(fmt::format("look at '{}'", path), errno);
      if (place.path.ends_with('/')) return fail(Code::kNotFound, "there is no directory '{}'", place.path);
      return place;
    }
    if (!S_ISLNK(about.st_mode)) break;
    if (links == kMaxLinks) return fail_errno(fmt::format("follow '{}'", path), ELOOP);
    if (is_in_proc(folder_of(place.path))) {  // its text is no path: "pipe:[4711]", "/tmp/x (deleted)"
      place.open_elsewhere = true;
      place.descriptor = own_descriptor(place.path);
      if (::stat(place.path.c_str(), &about) != 0) return fail_errno(fmt::format("look at '{}'", path), errno);
      break;
    }
    DAYBREAK_ASSIGN(place.path, link_target(place.path));
  }
  place.kind = kind_of(about.st_mode);
  if (place.kind != FileKind::kRegular) return place;
  place.size_bytes = static_cast<std::uint64_t>(about.st_size);
  place.names = about.st_nlink;
  place.size_is_known = about.st_size > 0 && (about.st_blocks > 0 || place.size_bytes > kMadeUpSizeBytes);
  place.read_only = (about.st_mode & 0222) == 0 || ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0;
  return place;
}

Result<Place> readable(const std::string& path) {
  DAYBREAK_ASSIGN(const Place place, place_of(path));
  switch (place.kind) {
    case FileKind::kNothing: return fail_errno(fmt::format("open '{}'", path), ENOENT);
    case FileKind::kRegular:
    case FileKind::kPipe: return place;
    case FileKind::kDirectory: return refused(path, "a directory", "name a file in it");
    case FileKind::kBlockDevice: return refused(path, "a disk", "name a file");
    case FileKind::kSocket: return refused(path, "a socket", "name a file");
    case FileKind::kCharacterDevice: break;
  }
  struct stat about{};
  if (::stat(path.c_str(), &about) == 0 && about.st_rdev == makedev(1, 3)) return place;  // /dev/null
  return refused(path, "a device, which may never end", "copy what is wanted of it into a file");
}

std::string temporary_name(const std::string& path, std::uint64_t random) {
  const std::string folder = path.find('/') == std::string::npos ? "" : folder_of(path);
  std::string_view name = std::string_view(path).substr(folder.size());
  if (name.size() > kTemporaryStemBytes) {
    std::size_t end = kTemporaryStemBytes;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;  // not within a character
    name = name.substr(0, end == 0 ? kTemporaryStemBytes : end);
  }
  return fmt::format("{}{}.{:016x}.tmp", folder, name, random);
}

Status write_output(const std::string& path, const std::function<Status(WritableFile&)>& write, Env& env) {
  DAYBREAK_ASSIGN(const Place place, place_of(path));
  switch (place.kind) {
    case FileKind::kDirectory: return refused(path, "a directory", "name a file in it");
    case FileKind::kBlockDevice: return refused(path, "a disk", "name a file");
    case FileKind::kSocket: return refused(path, "a socket", "name a file");
    case FileKind::kPipe:
    case FileKind::kCharacterDevice: return write_in_place(place, path, write, env);
    case FileKind::kNothing:
    case FileKind::kRegular: break;
  }
  if (place.open_elsewhere) return write_in_place(place, path, write, env);
  if (place.read_only) {
    return fail(Code::kPermissionDenied, "'{}' is read-only: make it writable (chmod u+w), or name another file", path);
  }
  const std::string temporary = temporary_name(place.path, env.random_u64());
  Status written = write_and_sync(env, temporary, write);
  if (written) written = env.rename_file(temporary, place.path);
  if (!written) {
    std::ignore = env.remove_file(temporary);  // it may not be there; the first error is the one to tell
    return written;
  }
  return env.sync_directory(folder_of(place.path));
}

Status write_file_atomically(const std::string& path, std::string_view bytes, Env& env) {
  return write_output(path, [bytes](WritableFile& file) { return file.append(bytes); }, env);
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes, Env& env) {
  return env.read_file(path, max_bytes);
}

}  // namespace daybreak::base
