// The two shared mappings of a runtime: the control segment (layout.h) and the data segment. Both are anonymous files
// that belong to no path and vanish with the last process, whatever kills it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/memory.h"
#include "daybreak/runtime/layout.h"

namespace daybreak::runtime {

struct SegmentOptions {
  std::uint64_t data_capacity = 1ull << 30;  // bytes, rounded up to whole chunks
  std::uint32_t num_cpus = 1;                // at most kMaxCpuTokens
};

// A payload that can be written through the data segment's descriptor, where it comes to lie in memory that was never
// used.
struct FreshWriter {
  std::function<base::Status(int data_fd, std::uint64_t offset)> write;
  std::uint64_t size_bytes = 0;
  bool written = false;
};

// Owns the mappings and their file descriptors. One for each process, made before its threads; shared by all of them.
class Segment {
 public:
  // The driver's: fresh and zeroed. The data segment is backed by 2 MB pages where the machine lets us mount a tmpfs,
  // else by a memfd.
  static base::Result<std::unique_ptr<Segment>> create(const SegmentOptions& options);
  // Another process's, from the file descriptors that it inherited (kept by the caller).
  static base::Result<std::unique_ptr<Segment>> attach(int control_fd, int data_fd);
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  Control& control() { return *control_; }
  Entry& entry(std::uint32_t index) { return control_->entry[index]; }
  std::byte* data(std::uint64_t offset) { return data_ + offset; }
  base::Atomic<std::uint64_t>& run(std::uint64_t granule) { return runs_[granule]; }
  ChunkTags& tags(std::uint64_t granule) { return tags_[granule / kChunkGranules]; }
  std::uint64_t granules() const { return control_->data_capacity / kGranule; }
  // Calls visit(granule, word) for each run that is taken, in the order of addresses. Who needs them to stay as they are
  // holds the heap lock.
  template <typename F>
  void for_each_run(F&& visit) {
    for (std::uint64_t at = 0; at < granules();) {
      const std::uint64_t granule = at, word = run(at).load();
      at += word == 0 ? 1 : Run::granules(word);  // before the visit, which may free it
      if (word != 0) visit(granule, word);
    }
  }
  int control_fd() const { return control_fd_; }
  int data_fd() const { return data_fd_; }
  bool huge_pages() const { return huge_pages_; }

  // Backs the data segment up to `bytes` (rounded up to 2 MB): real memory, so that a later store cannot fail. The
  // caller holds the heap lock. kResourceExhausted when the machine has no more.
  base::Status commit(std::uint64_t bytes);
  // The same for a run [from, to) that begins with that payload, which is written. Through a mapping each page is
  // cleared before it is written, and costs a fault: half the speed.
  base::Status commit_by_writing(std::uint64_t from, std::uint64_t to, FreshWriter& fresh);
  // The slow half of commit(), without the lock: backs [from, to) but says so to nobody.
  base::Status back(std::uint64_t from, std::uint64_t to);

 private:
  Segment() = default;
  base::Status map(std::uint64_t control_bytes);
  bool populate(std::uint64_t from, std::uint64_t to);

  int control_fd_ = -1;
  int data_fd_ = -1;
  os::Fd own_control_fd_, own_data_fd_;  // where create() made them
  bool huge_pages_ = false;
  os::Mapping control_memory_, data_memory_;
  Control* control_ = nullptr;
  base::Atomic<std::uint64_t>* runs_ = nullptr;
  ChunkTags* tags_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace daybreak::runtime
