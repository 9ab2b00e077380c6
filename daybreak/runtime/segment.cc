#include "daybreak/runtime/segment.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "daybreak/base/env.h"
#include "daybreak/base/machine.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kMagic = 0x6461796272656b31;  // "daybrek1"
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHugePage = 2ull << 20;
constexpr std::uint64_t kParallelBytes = 64ull << 20;  // from here on clearing memory is worth a second thread

std::uint64_t round_up(std::uint64_t n, std::uint64_t to) {
  return (n + to - 1) / to * to;
}

// A file on a tmpfs of our own that nobody can see, with 2 MB pages: first touch costs 20 ns for 4 KB instead of 250 to
// 1,400. Empty where we may not mount.
os::Fd open_huge_file(std::uint64_t bytes) {
#ifdef SYS_fsopen
  const os::Fd fs(static_cast<int>(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!fs) return os::Fd();
  auto configure = [&](const char* key, const char* value) {
    return syscall(SYS_fsconfig, fs.get(), FSCONFIG_SET_STRING, key, value, 0) == 0;
  };
  std::string size = std::to_string(round_up(bytes, kHugePage) + kHugePage);
  bool ok = configure("huge", "always") && configure("size", size.c_str()) && configure("mode", "0700") &&
            syscall(SYS_fsconfig, fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  const os::Fd mount(ok ? static_cast<int>(syscall(SYS_fsmount, fs.get(), FSMOUNT_CLOEXEC, 0)) : -1);
  if (!mount) return os::Fd();
  os::Fd file(openat(mount.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file && ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) file.reset();
  return file;
#else
  return os::Fd();
#endif
}

std::uint64_t control_bytes_for(std::uint64_t data_capacity) {
  std::uint64_t granules = data_capacity / kGranule;
  return round_up(sizeof(Control), kPage) + round_up(granules * 8, kPage) +
         granules / kChunkGranules * sizeof(ChunkTags);
}

}  // namespace

base::Result<std::unique_ptr<Segment>> Segment::create(const SegmentOptions& options) {
  if (options.num_cpus > kMaxCpuTokens)
    return base::fail(base::Code::kInvalidArgument, "num_cpus={} asked, at most {} are possible", options.num_cpus,
                      kMaxCpuTokens);
  std::unique_ptr<Segment> segment(new Segment);
  std::uint64_t capacity = round_up(std::max<std::uint64_t>(options.data_capacity, kChunkBytes), kHugePage);
  const std::uint64_t control_bytes = control_bytes_for(capacity);
  DAYBREAK_ASSIGN(segment->own_control_fd_, os::create_memory("daybreak-control", control_bytes));
  segment->own_data_fd_ = open_huge_file(capacity);
  segment->huge_pages_ = static_cast<bool>(segment->own_data_fd_);
  if (!segment->huge_pages_) {
    DAYBREAK_ASSIGN(segment->own_data_fd_, os::create_memory("daybreak-data", capacity));
  }
  segment->control_fd_ = segment->own_control_fd_.get();
  segment->data_fd_ = segment->own_data_fd_.get();

  // The header must be there before the size of the rest is known to map().
  {
    DAYBREAK_ASSIGN(const os::Mapping first_page, os::map_shared(segment->control_fd_, kPage));
    auto* header = reinterpret_cast<Control*>(first_page.data());
    header->magic = kMagic;
    header->data_capacity = capacity;
    header->session = base::Env::real().random_u64();
    header->num_cpus = options.num_cpus;
    header->cores = base::this_machine().cores;
  }
  DAYBREAK_TRY(segment->map(control_bytes));
  return segment;
}

base::Result<std::unique_ptr<Segment>> Segment::attach(int control_fd, int data_fd) {
  std::unique_ptr<Segment> segment(new Segment);
  segment->control_fd_ = control_fd;
  segment->data_fd_ = data_fd;
  DAYBREAK_ASSIGN(const std::uint64_t control_bytes, os::size_of(control_fd));
  DAYBREAK_TRY(segment->map(control_bytes));
  return segment;
}

base::Status Segment::map(std::uint64_t control_bytes) {
  DAYBREAK_ASSIGN(control_memory_, os::map_shared(control_fd_, control_bytes));
  control_ = reinterpret_cast<Control*>(control_memory_.data());
  if (control_->magic != kMagic)
    return base::fail(base::Code::kInternal, "the control segment is not one of this version");
  std::uint64_t count = granules();
  std::byte* at = control_memory_.data() + round_up(sizeof(Control), kPage);
  runs_ = reinterpret_cast<base::Atomic<std::uint64_t>*>(at);
  tags_ = reinterpret_cast<ChunkTags*>(at + round_up(count * 8, kPage));
  // Aligned to a huge page, so that the kernel can map whole ones.
  DAYBREAK_ASSIGN(data_memory_, os::map_shared(data_fd_, control_->data_capacity, {.align_bytes = kHugePage}));
  data_ = data_memory_.data();
  return {};
}

// By faults, which two threads can take side by side; false: it did not work, fallocate() will say why.
bool Segment::populate(std::uint64_t from, std::uint64_t to) {
  std::uint64_t middle = from + (to - from) / 2 / kHugePage * kHugePage;
  bool second = false;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // signals are for the threads that were there
  std::thread helper([&] { second = os::populate({data_ + middle, to - middle}).has_value(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  bool first = os::populate({data_ + from, middle - from}).has_value();
  helper.join();
  return first && second;
}

base::Status Segment::back(std::uint64_t from, std::uint64_t to) {
  if (to - from >= kParallelBytes && control_->cores > 1 && populate(from, to)) return {};
  auto backed = os::allocate(data_fd_, from, to - from);
  if (!backed)
    return std::unexpected(
        std::move(backed).error().wrap(fmt::format("back {} bytes of the object store with memory", to - from)));
  return {};
}

base::Status Segment::commit_by_writing(std::uint64_t from, std::uint64_t to, FreshWriter& fresh) {
  const std::uint64_t want = std::min(round_up(to, kHugePage), control_->data_capacity);
  DAYBREAK_TRY(fresh.write(data_fd_, from));
  // The rest, from its last page on, which may be there in part only.
  DAYBREAK_TRY(back((from + fresh.size_bytes) / kPage * kPage, want));
  control_->committed.store(want);
  fresh.written = true;
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
