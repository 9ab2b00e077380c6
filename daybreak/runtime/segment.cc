#include "daybreak/runtime/segment.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>

#include "daybreak/base/machine.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kMagic = 0x6461796272656b31;  // "daybrek1"
constexpr std::uint64_t kHugePage = 2ull << 20;
constexpr std::uint64_t kParallelBytes = 64ull << 20;  // from here on clearing memory is worth a second thread

std::uint64_t round_up(std::uint64_t n, std::uint64_t to) {
  return (n + to - 1) / to * to;
}

// A file on a tmpfs of our own that nobody can see, with 2 MB pages: first touch costs 20 ns for 4 KB instead of 250 to
// 1,400. -1 where we may not mount.
int open_huge_file(std::uint64_t bytes) {
#ifdef SYS_fsopen
  int fs = static_cast<int>(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
  if (fs < 0) return -1;
  auto configure = [&](const char* key, const char* value) {
    return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) == 0;
  };
  std::string size = std::to_string(round_up(bytes, kHugePage) + kHugePage);
  bool ok = configure("huge", "always") && configure("size", size.c_str()) && configure("mode", "0700") &&
            syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  int mount = ok ? static_cast<int>(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0)) : -1;
  close(fs);
  if (mount < 0) return -1;
  int file = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  close(mount);
  return file;
#else
  return -1;
#endif
}

std::uint64_t control_bytes_for(std::uint64_t data_capacity) {
  std::uint64_t granules = data_capacity / kGranule;
  return round_up(sizeof(Control), 4096) + round_up(granules * 8, 4096) + granules / kChunkGranules * sizeof(ChunkTags);
}

}  // namespace

base::Result<std::unique_ptr<Segment>> Segment::create(const SegmentOptions& options) {
  if (options.num_cpus > kMaxCpuTokens)
    return base::fail(base::Code::kInvalidArgument, "num_cpus={} asked, at most {} are possible", options.num_cpus,
                      kMaxCpuTokens);
  std::unique_ptr<Segment> segment(new Segment);
  segment->owns_fds_ = true;
  std::uint64_t capacity = round_up(std::max<std::uint64_t>(options.data_capacity, kChunkBytes), kHugePage);
  segment->control_bytes_ = control_bytes_for(capacity);

  segment->control_fd_ = memfd_create("daybreak-control", MFD_CLOEXEC);
  if (segment->control_fd_ < 0) return base::fail_errno("make the control segment", errno);
  fchmod(segment->control_fd_, 0600);
  if (ftruncate(segment->control_fd_, static_cast<off_t>(segment->control_bytes_)) != 0)
    return base::fail_errno("size the control segment", errno);

  segment->data_fd_ = open_huge_file(capacity);
  segment->huge_pages_ = segment->data_fd_ >= 0;
  if (segment->data_fd_ < 0) segment->data_fd_ = memfd_create("daybreak-data", MFD_CLOEXEC);
  if (segment->data_fd_ < 0) return base::fail_errno("make the data segment", errno);
  fchmod(segment->data_fd_, 0600);
  if (ftruncate(segment->data_fd_, static_cast<off_t>(capacity)) != 0)
    return base::fail_errno("size the data segment", errno);

  // The header must be there before the size of the rest is known to map().
  std::uint64_t session = 0;
  if (getrandom(&session, sizeof session, 0) != sizeof session) return base::fail_errno("draw a session id", errno);
  auto* header =
      static_cast<Control*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, segment->control_fd_, 0));
  if (header == MAP_FAILED) return base::fail_errno("map the control segment", errno);
  header->magic = kMagic;
  header->data_capacity = capacity;
  header->session = session;
  header->num_cpus = options.num_cpus;
  header->cores = base::this_machine().cores;
  munmap(header, 4096);
  DAYBREAK_TRY(segment->map());
  return segment;
}

base::Result<std::unique_ptr<Segment>> Segment::attach(int control_fd, int data_fd) {
  std::unique_ptr<Segment> segment(new Segment);
  segment->control_fd_ = control_fd;
  segment->data_fd_ = data_fd;
  struct stat status{};
  if (fstat(control_fd, &status) != 0) return base::fail_errno("look at the control segment", errno);
  segment->control_bytes_ = static_cast<std::uint64_t>(status.st_size);
  DAYBREAK_TRY(segment->map());
  return segment;
}

base::Status Segment::map() {
  void* control = mmap(nullptr, control_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, control_fd_, 0);
  if (control == MAP_FAILED) return base::fail_errno("map the control segment", errno);
  control_ = static_cast<Control*>(control);
  if (control_->magic != kMagic)
    return base::fail(base::Code::kInternal, "the control segment is not one of this version");
  std::uint64_t count = granules();
  auto* at = static_cast<std::byte*>(control) + round_up(sizeof(Control), 4096);
  runs_ = reinterpret_cast<base::Atomic<std::uint64_t>*>(at);
  tags_ = reinterpret_cast<ChunkTags*>(at + round_up(count * 8, 4096));
  // Aligned to a huge page, so that the kernel can map whole ones.
  std::uint64_t capacity = control_->data_capacity;
  void* reserve = mmap(nullptr, capacity + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserve == MAP_FAILED) return base::fail_errno("reserve addresses for the data segment", errno);
  auto* aligned = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uint64_t>(reserve), kHugePage));
  void* data = mmap(aligned, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, data_fd_, 0);
  if (data == MAP_FAILED) return base::fail_errno("map the data segment", errno);
  if (aligned != reserve) munmap(reserve, static_cast<std::size_t>(aligned - static_cast<std::byte*>(reserve)));
  auto* end = static_cast<std::byte*>(reserve) + capacity + kHugePage;
  if (aligned + capacity != end) munmap(aligned + capacity, static_cast<std::size_t>(end - (aligned + capacity)));
  data_ = static_cast<std::byte*>(data);
  return {};
}

Segment::~Segment() {
  if (data_ != nullptr) munmap(data_, control_->data_capacity);
  if (control_ != nullptr) munmap(control_, control_bytes_);
  if (owns_fds_) {
    if (control_fd_ >= 0) close(control_fd_);
    if (data_fd_ >= 0) close(data_fd_);
  }
}

// By faults, which two threads can take side by side; false: it did not work, fallocate() will say why.
bool Segment::populate(std::uint64_t from, std::uint64_t to) {
#ifdef MADV_POPULATE_WRITE
  std::uint64_t middle = from + (to - from) / 2 / kHugePage * kHugePage;
  bool second = false;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // signals are for the threads that were there
  std::thread helper([&] { second = madvise(data_ + middle, to - middle, MADV_POPULATE_WRITE) == 0; });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  bool first = madvise(data_ + from, middle - from, MADV_POPULATE_WRITE) == 0;
  helper.join();
  return first && second;
#else
  return false;
#endif
}

base::Status Segment::back(std::uint64_t from, std::uint64_t to) {
  if (to - from >= kParallelBytes && control_->cores > 1 && populate(from, to)) return {};
  int result;
  do result = fallocate(data_fd_, 0, static_cast<off_t>(from), static_cast<off_t>(to - from));
  while (result != 0 && errno == EINTR);
  if (result != 0)
    return base::fail_errno(fmt::format("back {} bytes of the object store with memory", to - from), errno);
  return {};
}

base::Status Segment::commit(std::uint64_t bytes) {
  std::uint64_t have = control_->committed.load();
  std::uint64_t want = std::min(round_up(bytes, kHugePage), control_->data_capacity);
  if (want <= have) return {};
  DAYBREAK_TRY(back(have, want));
  control_->committed.store(want);
  return {};
}

}  // namespace daybreak::runtime
