// Stores in temporary folders, and what is put into them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/temp_dir.h"
#include "daybreak/store/store.h"
#include "daybreak/tensor/container.h"

namespace daybreak::store {

namespace fs = std::filesystem;

class TemporaryDirectory {
 public:
  std::string operator/(std::string_view name) const { return directory_ / name; }

 private:
  const base::TempDir directory_ = base::TempDir::create().value();
};

inline std::unique_ptr<Store> open_store(const std::string& path, StoreOptions options = {}) {
  auto store = Store::open(path, options);
  if (!store) throw std::runtime_error(store.error().to_string());  // fails the test
  return *std::move(store);
}

inline std::string random_text(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// Rows that compress about as tables do.
inline std::string csv(std::size_t rows, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text = "id,value,name\n";
  for (std::size_t i = 0; i < rows; ++i) {
    text += fmt::format("{},{:.6f},n{}\n", i, static_cast<double>(random() % 1000000) / 997, random() % 100);
  }
  return text;
}

inline std::string container(const std::map<std::string, std::vector<float>>& tensors) {
  std::vector<tensor::TensorRef> refs;
  for (const auto& [name, values] : tensors) {
    refs.push_back(
        {name, tensor::DType::kF32, {static_cast<std::int64_t>(values.size())}, std::as_bytes(std::span(values))});
  }
  auto bytes = tensor::write_container(refs, {});
  EXPECT_TRUE(bytes);
  return bytes ? *std::move(bytes) : std::string();
}

inline std::vector<float> noise(std::size_t n, std::uint64_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

// Another version: every element moved a little.
inline std::vector<float> moved(std::vector<float> values, std::uint64_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  std::normal_distribution<float> normal(0, 1e-5f);
  for (float& v : values) v += normal(random);
  return values;
}

inline base::Result<Stored> put_text(Store& store, std::string_view text, std::optional<Hash> parent = {}) {
  const auto source = memory_source(std::as_bytes(std::span(text)));
  PutOptions options;
  options.parent = parent;
  return store.put(*source, options);
}

inline std::string load_text(Store& store, const Hash& id) {
  std::string text;
  const auto done = store.read_all(id, [&](std::span<const std::byte> part) -> base::Status {
    text.append(reinterpret_cast<const char*>(part.data()), part.size());
    return {};
  });
  return done ? text : "error: " + done.error().to_string();
}

inline std::vector<std::string> pack_files(const std::string& store) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(store + "/packs")) paths.push_back(entry.path().string());
  return paths;
}

inline void flip_bit(const std::string& path, std::uint64_t byte) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  const char c = static_cast<char>(file.get() ^ 0x10);
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(c);
}

inline StoreOptions alone() {  // one thread, and pins of the dead do not count
  StoreOptions options;
  options.threads = 1;
  options.pin_grace_ns = -1;
  return options;
}

// Nothing that an artifact needs is damaged.
inline void expect_whole(Store& store, const std::vector<std::pair<Hash, std::string>>& values) {
  for (const auto& [id, value] : values) EXPECT_TRUE(load_text(store, id) == value);
  const auto report = store.verify();
  ASSERT_TRUE(report) << report.error().to_string();
  for (const Damage& damage : report->damage) EXPECT_TRUE(damage.objects.empty()) << damage.file << ": " << damage.what;
}

// The real one; tests make parts of it fail.
class ForwardingEnv : public base::Env {
 public:
  using OpenedFile = base::Result<std::unique_ptr<base::WritableFile>>;
  std::int64_t monotonic_ns() override { return real().monotonic_ns(); }
  std::int64_t unix_ns() override { return real().unix_ns(); }
  void sleep_ns(std::int64_t ns) override { real().sleep_ns(ns); }
  void fill_random(std::span<std::byte> out) override { real().fill_random(out); }
  OpenedFile create_file(const std::string& p) override { return real().create_file(p); }
  OpenedFile append_file(const std::string& p) override { return real().append_file(p); }
  base::Result<std::string> read_file(const std::string& p, std::size_t n) override { return real().read_file(p, n); }
  base::Status rename_file(const std::string& a, const std::string& b) override { return real().rename_file(a, b); }
  base::Status remove_file(const std::string& p) override { return real().remove_file(p); }
  base::Result<std::vector<std::string>> list_directory(const std::string& p) override {
    return real().list_directory(p);
  }
  base::Status create_directories(const std::string& p) override { return real().create_directories(p); }
  base::Status sync_directory(const std::string& p) override { return real().sync_directory(p); }
};

}  // namespace daybreak::store
