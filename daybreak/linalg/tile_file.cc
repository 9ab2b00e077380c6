#include "daybreak/linalg/tile_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "daybreak/base/env.h"
#include "daybreak/base/file.h"
#include "daybreak/os/fd.h"

namespace daybreak::linalg {

namespace {

constexpr char kMagic[8] = {'D', 'B', 'T', 'I', 'L', 'E', '\r', '\n'};
constexpr std::uint32_t kVersion = 1;

struct TileHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t scalar;
  std::int64_t rows;
  std::int64_t cols;
  std::uint64_t sum_low;  // XXH3-128 of the elements
  std::uint64_t sum_high;
  std::uint64_t head_sum;  // XXH3-64 of all before
};
static_assert(sizeof(TileHeader) == 56);

struct alignas(kAlignBytes) HeaderBlock {
  std::array<std::byte, kAlignBytes> bytes{};
};

TileHeader header_of(const TileShape& shape, const std::byte* data) {
  TileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.scalar = static_cast<std::uint32_t>(shape.scalar);
  header.rows = shape.rows;
  header.cols = shape.cols;
  const XXH128_hash_t sum = XXH3_128bits(data, shape.bytes());
  header.sum_low = sum.low64;
  header.sum_high = sum.high64;
  header.head_sum = XXH3_64bits(&header, offsetof(TileHeader, head_sum));
  return header;
}

// All bytes of two buffers from the file's beginning, or back. What comes short in a multiple of the alignment goes on.
base::Status transfer_tile(int fd, std::span<std::byte> head, std::span<std::byte> data, bool writing,
                           const std::string& path) {
  std::size_t done = 0;
  const std::size_t all = head.size() + data.size();
  while (done < all) {
    iovec parts[2];
    int count = 0;
    if (done < head.size()) parts[count++] = {head.data() + done, head.size() - done};
    const std::size_t begun = done > head.size() ? done - head.size() : 0;
    if (begun < data.size()) parts[count++] = {data.data() + begun, data.size() - begun};
    const auto offset = static_cast<off_t>(done);
    const ssize_t moved = writing ? pwritev(fd, parts, count, offset) : preadv(fd, parts, count, offset);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return base::fail_errno((writing ? "write " : "read ") + path, errno);
    if (moved == 0) return base::fail(base::Code::kDataLoss, "{} ends after {} of {} bytes", path, done, all);
    done += static_cast<std::size_t>(moved);
  }
  return {};
}

base::Status write_new_tile(const std::string& path, HeaderBlock& head, std::span<std::byte> data, bool direct) {
  DAYBREAK_ASSIGN(const os::Fd fd, os::open_file(path, O_WRONLY | O_CREAT | O_EXCL | (direct ? O_DIRECT : 0)));
  DAYBREAK_TRY(transfer_tile(fd.get(), head.bytes, data, true, path));
  if (!direct) {
    sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  return {};
}

base::Status check_header(const TileHeader& header, const TileShape& shape, const std::string& path) {
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return base::fail(base::Code::kDataLoss, "{} is no tile", path);
  }
  if (header.version != kVersion) {
    return base::fail(base::Code::kUnimplemented, "{} is a tile of version {}: this Daybreak reads {}", path,
                      header.version, kVersion);
  }
  if (header.head_sum != XXH3_64bits(&header, offsetof(TileHeader, head_sum))) {
    return base::fail(base::Code::kDataLoss, "{} was altered: its head's checksum does not match", path);
  }
  if (header.rows != shape.rows || header.cols != shape.cols ||
      header.scalar != static_cast<std::uint32_t>(shape.scalar)) {
    return base::fail(base::Code::kDataLoss, "{} holds {} x {} elements of type {}: {} x {} of {} expected", path,
                      header.rows, header.cols, header.scalar, shape.rows, shape.cols, name_of(shape.scalar));
  }
  return {};
}

}  // namespace

base::Status write_tile(const std::string& path, const TileShape& shape, std::span<std::byte> data, bool direct) {
  DAYBREAK_CHECK(data.size() == aligned(shape.bytes()));
  HeaderBlock head;
  const TileHeader header = header_of(shape, data.data());
  std::memcpy(head.bytes.data(), &header, sizeof(header));
  const std::string temporary = base::temporary_name(path, base::Env::real().random_u64());
  base::Status written = write_new_tile(temporary, head, data, direct);
  if (written) written = base::Env::real().rename_file(temporary, path);
  if (!written) unlink(temporary.c_str());
  return written;
}

base::Status read_tile(const std::string& path, const TileShape& shape, std::span<std::byte> data, bool direct) {
  DAYBREAK_CHECK(data.size() == aligned(shape.bytes()));
  DAYBREAK_ASSIGN(const os::Fd fd, os::open_file(path, O_RDONLY | (direct ? O_DIRECT : 0)));
  DAYBREAK_ASSIGN(const std::uint64_t size, os::size_of(fd.get()));
  HeaderBlock head;
  if (size < kAlignBytes) {
    return base::fail(base::Code::kDataLoss, "{} is truncated: {} bytes, {} expected", path, size,
                      kAlignBytes + data.size());
  }
  DAYBREAK_TRY(transfer_tile(fd.get(), head.bytes, {}, false, path));
  TileHeader header;
  std::memcpy(&header, head.bytes.data(), sizeof(header));
  DAYBREAK_TRY(check_header(header, shape, path));
  if (size != kAlignBytes + data.size()) {
    return base::fail(base::Code::kDataLoss, "{} is truncated or has grown: {} bytes, {} expected", path, size,
                      kAlignBytes + data.size());
  }
  DAYBREAK_TRY(transfer_tile(fd.get(), head.bytes, data, false, path));
  if (!direct) posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  const XXH128_hash_t sum = XXH3_128bits(data.data(), shape.bytes());
  if (sum.low64 != header.sum_low || sum.high64 != header.sum_high) {
    return base::fail(base::Code::kDataLoss, "{} was altered: its checksum does not match; compute it again", path);
  }
  return {};
}

bool direct_io_works(const std::string& folder) {
  const std::string path = base::temporary_name(folder + "/direct", base::Env::real().random_u64());
  HeaderBlock block;
  const auto fd = os::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_DIRECT);
  const bool works = fd.has_value() && transfer_tile(fd->get(), block.bytes, {}, true, path).has_value();
  unlink(path.c_str());
  return works;
}

}  // namespace daybreak::linalg
