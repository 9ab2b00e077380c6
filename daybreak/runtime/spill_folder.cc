#include "daybreak/runtime/spill_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include "daybreak/base/crc32c.h"
#include "daybreak/base/failpoint.h"
#include "daybreak/base/mutex.h"
#include "daybreak/os/lock.h"
#include "daybreak/os/memory.h"

namespace daybreak::runtime {

namespace {

constexpr char kSpillPrefix[] = "daybreak-spill-";
constexpr char kSpillLock[] = "/lock";
constexpr std::uint64_t kSpillPiece = 4ull << 20;  // summed while it is in the processor's cache, then written
constexpr std::size_t kSpillThreads = 4;           // that wait for the disk side by side
constexpr std::uint64_t kSpillPage = 4096;         // to which reads past the page cache are aligned
constexpr std::time_t kUnlockedForS = 60;          // a folder without its lock is being made, or its maker has died
constexpr std::uint64_t kSpillMagic = 0x316c6c6970734244;  // "DBspill1"

struct SpillTrailer {
  std::uint64_t magic;
  std::uint64_t size;
  Ref ref;
  std::uint32_t crc;
  std::uint32_t reserved;
};
static_assert(sizeof(SpillTrailer) == 32);

std::uint64_t free_bytes(const std::string& path) {
  struct statvfs found{};
  if (statvfs(path.c_str(), &found) != 0) return 0;
  return std::uint64_t{found.f_bavail} * found.f_frsize;
}

std::size_t spill_pieces(std::uint64_t size) {
  return static_cast<std::size_t>((size + kSpillPiece - 1) / kSpillPiece);
}

template <typename T>
std::span<T> spill_piece(std::span<T> bytes, std::size_t i) {
  return bytes.subspan(i * kSpillPiece, std::min(kSpillPiece, bytes.size() - i * kSpillPiece));
}

// Of the pieces' sums, which can be taken side by side.
std::uint32_t sum_of(const std::vector<std::uint32_t>& sums) {
  return base::crc32c(std::as_bytes(std::span(sums)));
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void remove_spill_folder(const std::string& path) {
  {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
    while (const dirent* entry = directory ? readdir(directory.get()) : nullptr)
      unlinkat(dirfd(directory.get()), entry->d_name, 0);  // "." and ".." are refused
  }
  rmdir(path.c_str());
}

// Whose engine has died. One that begins has its folder before its lock.
void sweep_spill_folder(const std::string& path) {
  struct stat found{};
  if (lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) || found.st_uid != geteuid()) return;
  const auto lock = os::open_file(path + kSpillLock, O_RDONLY | O_NOFOLLOW);
  if (!lock) {
    if (lock.error().code() == base::Code::kNotFound && found.st_mtime + kUnlockedForS < std::time(nullptr))
      rmdir(path.c_str());
    return;
  }
  const auto held = os::byte_is_locked(lock->get(), 0);
  if (held && !*held) remove_spill_folder(path);
}

// Calls work(piece) for each of so many, on up to kSpillThreads threads, of which the caller is one: while some wait for the
// disk others sum. The first error.
template <typename F>
base::Status for_each_spill_piece(std::size_t pieces, F&& work) {
  std::atomic<std::size_t> next{0};
  base::Mutex mutex;
  base::Status status;
  auto run = [&] {
    for (std::size_t piece = next.fetch_add(1); piece < pieces; piece = next.fetch_add(1)) {
      base::Status done = work(piece);
      if (done) continue;
      next.store(pieces);
      base::MutexLock lock(mutex);
      if (status) status = std::move(done);
    }
  };
  std::vector<std::thread> helpers;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // signals are for the threads that were there
  try {
    while (helpers.size() + 1 < std::min(pieces, kSpillThreads)) helpers.emplace_back(run);
  } catch (const std::system_error&) {  // fewer, then
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  run();
  for (std::thread& helper : helpers) helper.join();
  return status;
}

// Whether most of a file is in memory, as one that was written a moment ago may be.
bool is_cached(int fd, std::uint64_t size) {
  auto mapping = os::map_shared(fd, size, {.writable = false});
  if (!mapping) return true;
  std::vector<unsigned char> pages((size + kSpillPage - 1) / kSpillPage);
  if (mincore(mapping->data(), size, pages.data()) != 0) return true;
  const auto there = std::ranges::count_if(pages, [](unsigned char page) { return (page & 1) != 0; });
  return static_cast<std::size_t>(there) * 2 > pages.size();
}

// Past the page cache, straight to its place, where there is a descriptor for that: there is no copy, and no second one of
// the bytes in memory.
base::Status read_spill_piece(int fd, int direct_fd, std::span<std::byte> piece, std::uint64_t at,
                              const std::string& name) {
  std::uint64_t done = 0;
  while (direct_fd >= 0 && piece.size() - done >= kSpillPage) {
    const std::uint64_t pages = (piece.size() - done) / kSpillPage * kSpillPage;
    const ssize_t got = pread(direct_fd, piece.data() + done, pages, static_cast<off_t>(at + done));
    if (got < static_cast<ssize_t>(kSpillPage)) break;  // as plainly as can be, then, with its error
    done += static_cast<std::uint64_t>(got) / kSpillPage * kSpillPage;
  }
  return os::read_at(fd, {reinterpret_cast<char*>(piece.data()) + done, piece.size() - done}, at + done, name);
}

}  // namespace

std::string SpillFolder::file_of(Ref ref) const {
  return fmt::format("{}/{:08x}{:08x}", path_, ref.generation, ref.index);
}

base::Status SpillFolder::write(Ref ref, std::span<const std::byte> bytes) {
  warn_of_memory_folder(control_, path_);
  const std::string file = file_of(ref);
  auto written = [&]() -> base::Status {
    DAYBREAK_ASSIGN(const os::Fd fd, os::open_file(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW));
    return write_file(fd.get(), bytes, ref);
  }();
  if (written) return {};
  return base::fail(
      base::Code::kResourceExhausted,
      "an object of {} bytes could not be spilled to {}, where {} bytes are free: {}; make room there, or "
      "give init() another object_spilling_directory",
      bytes.size(), path_, free_bytes(path_), written.error().to_string());
}

// The room first, so that a full disk is known before anything is written. Pieces on their way to the disk while others
// are summed; all of it there at the end: from then on it is the only one.
base::Status SpillFolder::write_file(int fd, std::span<const std::byte> bytes, Ref ref) const {
  if (auto room = os::allocate(fd, 0, bytes.size() + sizeof(SpillTrailer));
      !room && room.error().code() != base::Code::kUnimplemented)
    return room;
  std::vector<std::uint32_t> sums(spill_pieces(bytes.size()));
  DAYBREAK_TRY(for_each_spill_piece(sums.size(), [&](std::size_t i) -> base::Status {
    const std::uint64_t at = i * kSpillPiece;
    const auto piece = spill_piece(bytes, i);
    sums[i] = base::crc32c(piece);
    DAYBREAK_TRY(os::write_at(fd, text_of(piece), at, "a spilled object"));
    DAYBREAK_FAILPOINT("spill.piece");
    sync_file_range(fd, static_cast<off_t>(at), static_cast<off_t>(piece.size()), SYNC_FILE_RANGE_WRITE);
    return {};
  }));
  const SpillTrailer trailer{
      .magic = kSpillMagic, .size = bytes.size(), .ref = ref, .crc = sum_of(sums), .reserved = 0};
  DAYBREAK_TRY(os::write_at(fd, text_of(std::as_bytes(std::span(&trailer, 1))), bytes.size(), "a spilled object"));
  if (fdatasync(fd) != 0) return base::fail_errno("write a spilled object to disk", errno);
  return {};
}

base::Result<os::Fd> SpillFolder::open_to_read(Ref ref) const {
  auto fd = os::open_file(file_of(ref), O_RDONLY | O_NOFOLLOW);
  if (!fd && fd.error().code() == base::Code::kNotFound)
    return base::fail(base::Code::kDataLoss, "{} is not there any more", file_of(ref));
  return fd;
}

base::Status SpillFolder::check_trailer(int fd, Ref ref, std::uint64_t size, std::uint32_t crc) const {
  SpillTrailer trailer{};
  DAYBREAK_TRY(os::read_at(fd, {reinterpret_cast<char*>(&trailer), sizeof trailer}, size, file_of(ref)));
  if (trailer.magic != kSpillMagic || trailer.size != size || trailer.ref != ref || trailer.crc != crc)
    return base::fail(base::Code::kDataLoss, "{} does not hold what was written there", file_of(ref));
  return {};
}

base::Status SpillFolder::read(Ref ref, std::span<std::byte> bytes) {
  DAYBREAK_ASSIGN(const os::Fd fd, open_to_read(ref));
  os::Fd direct;  // none: the file system does not know it, or there is no need
  if (!is_cached(fd.get(), bytes.size()))
    if (auto opened = os::open_file(file_of(ref), O_RDONLY | O_NOFOLLOW | O_DIRECT)) direct = std::move(*opened);
  std::vector<std::uint32_t> sums(spill_pieces(bytes.size()));
  DAYBREAK_TRY(for_each_spill_piece(sums.size(), [&](std::size_t i) -> base::Status {
    const auto piece = spill_piece(bytes, i);
    DAYBREAK_TRY(read_spill_piece(fd.get(), direct.get(), piece, i * kSpillPiece, file_of(ref)));
    sums[i] = base::crc32c(piece);
    return {};
  }));
  return check_trailer(fd.get(), ref, bytes.size(), sum_of(sums));
}

base::Result<os::Mapping> SpillFolder::map(Ref ref, std::uint64_t size) {
  DAYBREAK_ASSIGN(const os::Fd fd, open_to_read(ref));
  DAYBREAK_ASSIGN(const std::uint64_t found, os::size_of(fd.get()));
  if (found != size + sizeof(SpillTrailer))
    return base::fail(base::Code::kDataLoss, "{} has {} bytes, {} were written", file_of(ref), found,
                      size + sizeof(SpillTrailer));
  DAYBREAK_ASSIGN(os::Mapping mapping, os::map_shared(fd.get(), found, {.writable = false}));
  std::vector<std::uint32_t> sums(spill_pieces(size));
  DAYBREAK_TRY(for_each_spill_piece(sums.size(), [&](std::size_t i) -> base::Status {
    sums[i] = base::crc32c(spill_piece(mapping.bytes().first(size), i));
    return {};
  }));
  DAYBREAK_TRY(check_trailer(fd.get(), ref, size, sum_of(sums)));
  return mapping;
}

void SpillFolder::remove(Ref ref) {
  unlink(file_of(ref).c_str());
}

void use_spill_folder(Process& process) {
  Control& control = process.control();
  if (control.spill_folder[0] != 0)
    process.keep_spilled_in(std::make_unique<SpillFolder>(control, control.spill_folder));
}

// Why what is lost was not computed again, and the way out.
static std::string why_it_stays_lost(Entry& e) {
  const TaskPart& part = e.part;
  switch (e.kind) {
    case Kind::kValue:
      return "put() made it, or a generator, or it was passed by value, so it cannot be computed again: put it again, "
             "and keep "
             "the reference";
    case Kind::kActorCall:
      return "a call of an actor made it, which is not made again as the actor has gone on: call it again";
    case Kind::kReturn: return "it is one of several results of a task, which is not run again: submit it again";
    default: break;
  }
  if (part.num_returns > 1) return "it is one of several results of a task, which is not run again: submit it again";
  if ((part.options & kForgotten) != 0 || part.retries_left != 0)
    return fmt::format(
        "what its task would need to run again was not kept: at most {} tasks are, with arguments of up to {} bytes "
        "each, as "
        "long as the store has room: submit it again, or put() large arguments and keep their references",
        kMaxLineage, kLargestBlock);
  return part.attempt > 0 ? "its task has used up its max_retries: submit it again, or give it more"
                          : "its task has max_retries=0 and must not run again: submit it again, or allow retries";
}

std::string lost_value_text(Process& process, Ref ref) {
  Entry& e = process.entry(ref.index);
  const SpillFolder folder(process.control(), process.control().spill_folder);
  return fmt::format(
      "object {:08x}{:08x} of {} bytes is lost: it had been spilled to {}, which is gone or was changed, or nobody "
      "held it any "
      "more; {}",
      ref.generation, ref.index, e.value.size, folder.file_of(ref), why_it_stays_lost(e));
}

void warn_of_memory_folder(Control& control, const std::string& path) {
  struct statfs found{};
  if (control.spill_warned.load() != 0 || statfs(path.c_str(), &found) != 0) return;
  if (found.f_type != TMPFS_MAGIC && found.f_type != RAMFS_MAGIC) return;
  if (control.spill_warned.exchange(1) != 0) return;
  std::ignore = os::write_all(
      2,
      fmt::format("daybreak: warning: objects are spilled to {}, which lies in memory (tmpfs) itself: give init() an "
                  "object_spilling_directory on a disk\n",
                  path),
      "a warning", os::kForeverNs);
}

OwnedSpillFolder::OwnedSpillFolder(std::string path, os::Fd lock)
    : path_(std::move(path)), lock_(std::move(lock)), owner_(getpid()) {}

OwnedSpillFolder::~OwnedSpillFolder() {
  if (getpid() == owner_) remove_spill_folder(path_);
}

base::Result<std::unique_ptr<OwnedSpillFolder>> OwnedSpillFolder::create(const std::string& parent,
                                                                         std::uint64_t session) {
  const std::string path = fmt::format("{}/{}{}-{:016x}", parent, kSpillPrefix, getpid(), session);
  // With a file's name behind it.
  if (path.size() + 32 > kSpillPathBytes)
    return base::fail(base::Code::kInvalidArgument, "{} has {} bytes: at most {} are possible, choose a shorter one",
                      path, path.size(), kSpillPathBytes - 32);
  {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(parent.c_str()), closedir);
    if (!directory) return base::fail_errno("open the folder " + parent + " for spilled objects", errno);
    while (const dirent* entry = readdir(directory.get()))
      if (std::string_view(entry->d_name).starts_with(kSpillPrefix)) sweep_spill_folder(parent + "/" + entry->d_name);
  }
  if (mkdir(path.c_str(), 0700) != 0)
    return base::fail_errno("make the folder " + path + " for spilled objects", errno);
  auto lock = os::open_file(path + kSpillLock, O_RDWR | O_CREAT | O_EXCL);
  base::Status locked;
  if (lock) locked = os::lock_byte(lock->get(), 0, false);
  if (!lock || !locked) {
    remove_spill_folder(path);
    return std::unexpected(!lock ? std::move(lock).error() : std::move(locked).error());
  }
  return std::unique_ptr<OwnedSpillFolder>(new OwnedSpillFolder(path, std::move(*lock)));
}

}  // namespace daybreak::runtime
