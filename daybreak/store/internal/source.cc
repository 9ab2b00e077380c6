// Where bytes come from.
#include <algorithm>
#include <cstring>

#include "daybreak/base/file.h"
#include "daybreak/store/files.h"
#include "daybreak/store/store.h"

namespace daybreak::store {

using base::Result;

namespace {

class MemorySource : public Source {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes), left_(bytes) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t n = std::min(out.size(), left_.size());
    std::memcpy(out.data(), left_.data(), n);
    left_ = left_.subspan(n);
    return n;
  }
  std::optional<std::uint64_t> size() const override { return bytes_.size(); }
  std::optional<std::span<const std::byte>> memory() const override { return bytes_; }

 private:
  std::span<const std::byte> bytes_, left_;
};

class FileSource : public Source {
 public:
  FileSource(RandomFile file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const auto part = out.first(std::min<std::uint64_t>(out.size(), size_ - at_));
    DAYBREAK_TRY(file_.read_at(at_, std::span(reinterpret_cast<char*>(part.data()), part.size())));
    at_ += part.size();
    return part.size();
  }
  std::optional<std::uint64_t> size() const override { return size_; }

 private:
  RandomFile file_;
  std::uint64_t size_, at_ = 0;
};

// What has no size of its own: a pipe, a file of /proc.
class HeldSource : public MemorySource {
 public:
  explicit HeldSource(std::unique_ptr<const std::string> bytes)
      : MemorySource(std::as_bytes(std::span(*bytes))), held_(std::move(bytes)) {}

 private:
  std::unique_ptr<const std::string> held_;
};

constexpr std::size_t kMaxHeldBytes = 1 << 30;

}  // namespace

std::unique_ptr<Source> memory_source(std::span<const std::byte> bytes) {
  return std::make_unique<MemorySource>(bytes);
}

Result<std::unique_ptr<Source>> file_source(const std::string& path) {
  DAYBREAK_ASSIGN(const base::Place place, base::readable(path));
  if (!place.size_is_known) {
    DAYBREAK_ASSIGN(std::string bytes, base::read_file(path, kMaxHeldBytes));
    return std::make_unique<HeldSource>(std::make_unique<const std::string>(std::move(bytes)));
  }
  DAYBREAK_ASSIGN(RandomFile file, RandomFile::open(path));
  DAYBREAK_ASSIGN(const std::uint64_t size, file.size());
  return std::make_unique<FileSource>(std::move(file), size);
}

}  // namespace daybreak::store
