#include "daybreak/base/test_env.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace daybreak::base {
namespace {

constexpr std::int64_t kNewYear2026Ns = 1'767'225'600'000'000'000;

// "a/b/" and "a/b" name one directory; "." and "" the one of paths without a slash.
std::string directory_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path == "." ? "" : path;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : directory_of(path.substr(0, slash + 1));
}

}  // namespace

class TestFile : public WritableFile {
 public:
  TestFile(TestEnv& env, std::shared_ptr<TestEnv::Node> node, std::string path)
      : env_(env), node_(std::move(node)), path_(std::move(path)) {}
  Status append(std::string_view bytes) override { return env_.append(*node_, path_, bytes); }
  Status sync() override { return env_.sync(*node_, path_); }
  Status close() override { return {}; }

 private:
  TestEnv& env_;  // outlives its files
  std::shared_ptr<TestEnv::Node> node_;
  std::string path_;
};

void TestEnv::advance_ns(std::int64_t duration_ns) {
  const MutexLock lock(mutex_);
  now_ns_ += duration_ns;
}

void TestEnv::jump_ns(std::int64_t duration_ns) {
  const MutexLock lock(mutex_);
  jumped_ns_ += duration_ns;
}

void TestEnv::set_free_bytes(std::size_t bytes) {
  const MutexLock lock(mutex_);
  free_bytes_ = bytes;
}

void TestEnv::cut_next_append(std::size_t bytes) {
  const MutexLock lock(mutex_);
  cut_ = bytes;
}

void TestEnv::fail_next_sync() {
  const MutexLock lock(mutex_);
  sync_fails_ = true;
}

void TestEnv::lose_power() {
  const MutexLock lock(mutex_);
  files_ = durable_;
  for (auto& [path, node] : files_) node->bytes.resize(node->synced_bytes);
}

std::int64_t TestEnv::monotonic_ns() {
  const MutexLock lock(mutex_);
  return now_ns_;
}

std::int64_t TestEnv::unix_ns() {
  const MutexLock lock(mutex_);
  return kNewYear2026Ns + now_ns_ + jumped_ns_;
}

void TestEnv::sleep_ns(std::int64_t duration_ns) {
  advance_ns(std::max<std::int64_t>(duration_ns, 0));
}

void TestEnv::fill_random(std::span<std::byte> out) {
  const MutexLock lock(mutex_);
  for (std::byte& b : out) b = static_cast<std::byte>(random_());
}

Result<std::unique_ptr<WritableFile>> TestEnv::create_file(const std::string& path) {
  const MutexLock lock(mutex_);
  if (files_.contains(path)) return fail(Code::kAlreadyExists, "create '{}': there is one", path);
  const auto node = std::make_shared<Node>();
  files_[path] = node;
  return std::make_unique<TestFile>(*this, node, path);
}

Result<std::unique_ptr<WritableFile>> TestEnv::append_file(const std::string& path) {
  const MutexLock lock(mutex_);
  auto& node = files_[path];
  if (!node) node = std::make_shared<Node>();
  return std::make_unique<TestFile>(*this, node, path);
}

Result<std::string> TestEnv::read_file(const std::string& path, std::size_t max_bytes) {
  const MutexLock lock(mutex_);
  const auto it = files_.find(path);
  if (it == files_.end()) return fail(Code::kNotFound, "open '{}': there is none", path);
  if (it->second->bytes.size() > max_bytes) {
    return fail(Code::kResourceExhausted, "'{}' has more than the allowed {} bytes", path, max_bytes);
  }
  return it->second->bytes;
}

Status TestEnv::rename_file(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  const auto it = files_.find(from);
  if (it == files_.end()) return fail(Code::kNotFound, "rename '{}': there is none", from);
  auto node = it->second;
  files_.erase(it);
  files_[to] = std::move(node);
  return {};
}

Status TestEnv::remove_file(const std::string& path) {
  const MutexLock lock(mutex_);
  if (files_.erase(path) == 0) return fail(Code::kNotFound, "remove '{}': there is none", path);
  return {};
}

Result<std::vector<std::string>> TestEnv::list_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  const std::string directory = directory_of(path);
  std::vector<std::string> names;
  for (const auto& [file, node] : files_) {
    if (parent_of(file) == directory) names.push_back(file.substr(file.rfind('/') + 1));
  }
  return names;
}

Status TestEnv::create_directories(const std::string& /*path*/) {
  return {};
}

Status TestEnv::sync_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  if (take_sync_failure()) return fail(Code::kUnknown, "sync '{}': told to fail", path);
  const std::string directory = directory_of(path);
  const auto inside = [&directory](const auto& entry) { return parent_of(entry.first) == directory; };
  std::erase_if(durable_, inside);
  for (const auto& entry : files_) {
    if (inside(entry)) durable_.insert(entry);
  }
  return {};
}

Status TestEnv::append(Node& node, const std::string& path, std::string_view bytes) {
  const MutexLock lock(mutex_);
  const bool cut = cut_.has_value();
  const std::size_t fits = std::min({bytes.size(), free_bytes_, cut_.value_or(SIZE_MAX)});
  cut_.reset();
  node.bytes.append(bytes.substr(0, fits));
  if (free_bytes_ != SIZE_MAX) free_bytes_ -= fits;
  if (cut) return fail(Code::kUnknown, "write '{}': cut after {} of {} bytes", path, fits, bytes.size());
  if (fits < bytes.size()) return fail(Code::kResourceExhausted, "write '{}': no space left on device", path);
  return {};
}

Status TestEnv::sync(Node& node, const std::string& path) {
  const MutexLock lock(mutex_);
  if (take_sync_failure()) return fail(Code::kUnknown, "sync '{}': told to fail", path);
  node.synced_bytes = node.bytes.size();
  return {};
}

bool TestEnv::take_sync_failure() {
  return std::exchange(sync_fails_, false);
}

}  // namespace daybreak::base
