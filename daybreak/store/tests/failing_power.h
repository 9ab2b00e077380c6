// An Env whose power fails.
#pragma once

#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daybreak/store/tests/fixture.h"

namespace daybreak::store {

// The worst that a disk may do: when the power fails, appended bytes that were not synced are gone, and so are names
// that were made or replaced since their directory was synced; a removal has happened at once.
class FailingPower : public ForwardingEnv {
 public:
  explicit FailingPower(int steps) : steps_(steps) {}

  class File : public base::WritableFile {
   public:
    File(FailingPower& power, std::string path, std::unique_ptr<base::WritableFile> file)
        : power_(power), path_(std::move(path)), file_(std::move(file)) {}
    base::Status append(std::string_view bytes) override {
      power_.step();
      return file_->append(bytes);
    }
    base::Status sync() override {
      power_.step();
      power_.synced_[path_] = fs::file_size(path_);
      return {};
    }
    base::Status close() override { return file_->close(); }

   private:
    FailingPower& power_;
    std::string path_;
    std::unique_ptr<base::WritableFile> file_;
  };

  OpenedFile create_file(const std::string& path) override {
    step();
    auto file = real().create_file(path);
    if (!file) return file;
    synced_[path] = 0;
    before_[path] = std::nullopt;
    return std::make_unique<File>(*this, path, *std::move(file));
  }
  OpenedFile append_file(const std::string& path) override {
    step();
    if (fs::exists(path)) synced_.try_emplace(path, fs::file_size(path));
    auto file = real().append_file(path);
    if (!file) return file;
    return std::make_unique<File>(*this, path, *std::move(file));
  }
  base::Status rename_file(const std::string& from, const std::string& to) override {
    step();
    if (!before_.contains(to)) {
      before_[to] = std::nullopt;
      if (fs::exists(to)) {
        before_[to] = to + ".before";
        fs::copy_file(to, *before_[to], fs::copy_options::overwrite_existing);
      }
    }
    synced_[to] = synced_.at(from);
    synced_.erase(from);
    before_.erase(from);
    return real().rename_file(from, to);
  }
  base::Status remove_file(const std::string& path) override {
    step();
    synced_.erase(path);
    before_.erase(path);
    return real().remove_file(path);
  }
  base::Status sync_directory(const std::string& path) override {
    step();
    std::erase_if(before_,
                  [&](const auto& entry) { return fs::equivalent(fs::path(entry.first).parent_path(), path); });
    return {};
  }

 private:
  void step() {
    if (--steps_ > 0) return;
    for (const auto& [path, size] : synced_) fs::resize_file(path, size);
    for (const auto& [path, kept] : before_) {
      if (kept) {
        fs::rename(*kept, path);
      } else {
        fs::remove(path);
      }
    }
    ::_exit(1);
  }
  int steps_;
  std::map<std::string, std::uint64_t> synced_;
  std::map<std::string, std::optional<std::string>> before_;  // names that are not synced, and what they stood for
};

}  // namespace daybreak::store
