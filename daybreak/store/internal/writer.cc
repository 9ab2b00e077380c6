// Packs that grow, and pins.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <tuple>

#include "daybreak/base/failpoint.h"
#include "daybreak/store/internal/impl.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kPackSuffix = ".pack";
constexpr std::size_t kMaxPinFileBytes = 64u << 20;
constexpr std::size_t kPacksTried = 8;  // when looking for one to go on with

}  // namespace

std::string pack_name(std::uint64_t pack) {
  return fmt::format("{:016x}{}", pack, kPackSuffix);
}

std::optional<std::uint64_t> parse_pack_name(std::string_view name) {
  if (name.size() != 16 + kPackSuffix.size() || !name.ends_with(kPackSuffix)) return std::nullopt;
  std::uint64_t pack = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 16, pack, 16);
  if (error != std::errc() || end != name.data() + 16 || pack_name(pack) != name) return std::nullopt;
  return pack;
}

// Goes on with a pack that nobody writes to, or makes a new one.
Status PackWriter::begin() {
  DAYBREAK_ASSIGN(const auto names, env_.list_directory(directory_));
  std::size_t tried = 0;
  for (auto name = names.rbegin(); name != names.rend() && adopt_ && tried < kPacksTried; ++name) {
    const auto pack = parse_pack_name(*name);
    const std::string path = directory_ + "/" + *name;
    struct stat s;
    if (!pack || ::stat(path.c_str(), &s) != 0 || s.st_size < static_cast<off_t>(kPackHeaderBytes) ||
        s.st_size >= static_cast<off_t>(kPackTargetBytes)) {
      continue;
    }
    ++tried;
    auto lock = FileLock::acquire(path, FileLock::Mode::kExclusive, 0);
    if (!lock || ::stat(path.c_str(), &s) != 0) continue;
    DAYBREAK_ASSIGN(file_, env_.append_file(path));
    lock_.emplace(*std::move(lock));
    pack_ = *pack;
    offset_ = static_cast<std::uint64_t>(s.st_size);
    return {};
  }
  pack_ = env_.random_u64();
  const std::string path = directory_ + "/" + pack_name(pack_);
  DAYBREAK_ASSIGN(file_, env_.create_file(path));
  directory_changed_ = true;
  auto lock = FileLock::acquire(path, FileLock::Mode::kExclusive, 0);
  // Another process goes on with it already: two names, one appender.
  if (!lock) return fail(Code::kUnavailable, "the new pack {} is taken: try again", path);
  lock_.emplace(*std::move(lock));
  std::string header(kPackMagic);
  header.append(reinterpret_cast<const char*>(&pack_), sizeof pack_);
  DAYBREAK_TRY(file_->append(header));
  offset_ = header.size();
  return {};
}

Result<PackWriter::Place> PackWriter::append(std::string_view block) {
  if (file_ != nullptr && offset_ >= kPackTargetBytes) {
    DAYBREAK_TRY(sync());
    DAYBREAK_TRY(file_->close());
    abandon();
  }
  if (file_ == nullptr) {
    if (Status begun = begin(); !begun) {
      abandon();
      return std::unexpected(std::move(begun).error());
    }
  }
  DAYBREAK_TRY(file_->append(block));
  DAYBREAK_FAILPOINT("store.block");
  const Place place{pack_, offset_};
  offset_ += block.size();
  written_ += block.size();
  return place;
}

Status PackWriter::sync() {
  if (file_ == nullptr) return {};
  DAYBREAK_TRY(file_->sync());
  if (directory_changed_) DAYBREAK_TRY(env_.sync_directory(directory_));
  directory_changed_ = false;
  DAYBREAK_FAILPOINT("store.pack_synced");
  return {};
}

void PackWriter::abandon() {
  file_.reset();
  lock_.reset();
}

// -- pins: lines of '+' or '-' and 64 digits; an id is pinned as often as '+' is ahead

Status Pins::write(char sign, const Hash& id) {
  if (file_ == nullptr) {
    path_ = fmt::format("{}/{}-{:016x}", directory_, ::getpid(), env_.random_u64());
    DAYBREAK_ASSIGN(file_, env_.create_file(path_));
    // Under the store's shared lock, so that collect() never meets the file between these two lines.
    DAYBREAK_ASSIGN(FileLock lock, FileLock::acquire(path_, FileLock::Mode::kShared, 0));
    lock_.emplace(std::move(lock));
  }
  const Status written = file_->append(fmt::format("{}{}\n", sign, crypto::to_hex(id)));
  if (!written) {  // perhaps half a line: a new file, and both count
    std::ignore = file_->append("\n");
  }
  return written;
}

Status Pins::add(const Hash& id) {
  return write('+', id);
}
Status Pins::remove(const Hash& id) {
  return write('-', id);
}

void Pins::forget() {
  file_.reset();
  lock_.reset();
}

Result<std::set<Hash>> Pins::collect(std::int64_t grace_ns) {
  std::set<Hash> pinned;
  DAYBREAK_ASSIGN(const auto names, env_.list_directory(directory_));
  for (const std::string& name : names) {
    const std::string path = directory_ + "/" + name;
    struct stat s;
    if (::stat(path.c_str(), &s) != 0) continue;
    const std::int64_t age_ns = env_.unix_ns() - (s.st_mtim.tv_sec * 1'000'000'000 + s.st_mtim.tv_nsec);
    if (path != path_ || file_ == nullptr) {
      const auto dead = FileLock::acquire(path, FileLock::Mode::kExclusive, 0);
      if (dead && age_ns > grace_ns) {
        DAYBREAK_TRY(env_.remove_file(path));
        continue;
      }
    }
    DAYBREAK_ASSIGN(const std::string text, env_.read_file(path, kMaxPinFileBytes));
    std::map<Hash, std::int64_t> counts;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = std::string_view(text).substr(at, end - at);
      at = end + 1;
      Hash id;
      if (line.size() != 65 || !crypto::from_hex(line.substr(1), id)) continue;  // torn by a death: never returned
      counts[id] += line[0] == '+' ? 1 : -1;
    }
    for (const auto& [id, count] : counts) {
      if (count > 0) pinned.insert(id);
    }
  }
  return pinned;
}

}  // namespace daybreak::store
