#include "daybreak/track/store/store.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "daybreak/base/failpoint.h"
#include "daybreak/tensor/container.h"

namespace daybreak::track {
namespace {

namespace fs = std::filesystem;

using base::Code;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (fs::temp_directory_path() / "daybreak-store-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { fs::remove_all(path_); }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

std::unique_ptr<Store> open_store(const std::string& path, StoreOptions options = {}) {
  auto store = Store::open(path, options);
  if (!store) ADD_FAILURE() << store.error().to_string();
  return *std::move(store);
}

std::string random_text(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// Rows that compress about as tables do.
std::string csv(std::size_t rows, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text = "id,value,name\n";
  for (std::size_t i = 0; i < rows; ++i) {
    text += fmt::format("{},{:.6f},n{}\n", i, static_cast<double>(random() % 1000000) / 997, random() % 100);
  }
  return text;
}

std::string container(const std::map<std::string, std::vector<float>>& tensors) {
  std::vector<tensor::TensorRef> refs;
  for (const auto& [name, values] : tensors) {
    refs.push_back({name, tensor::DType::kF32, {static_cast<std::int64_t>(values.size())},
                    std::as_bytes(std::span(values))});
  }
  auto bytes = tensor::write_container(refs, {});
  EXPECT_TRUE(bytes);
  return bytes ? *std::move(bytes) : std::string();
}

std::vector<float> noise(std::size_t n, std::uint64_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

// Another version: every element moved a little.
std::vector<float> moved(std::vector<float> values, std::uint64_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  std::normal_distribution<float> normal(0, 1e-5f);
  for (float& v : values) v += normal(random);
  return values;
}

base::Result<Stored> put_text(Store& store, std::string_view text, std::optional<Hash> parent = {}) {
  const auto source = memory_source(std::as_bytes(std::span(text)));
  PutOptions options;
  options.parent = parent;
  return store.put(*source, options);
}

std::string load_text(Store& store, const Hash& id) {
  std::string text;
  const auto done = store.read_all(id, [&](std::span<const std::byte> part) -> base::Status {
    text.append(reinterpret_cast<const char*>(part.data()), part.size());
    return {};
  });
  return done ? text : "error: " + done.error().to_string();
}

std::vector<std::string> pack_files(const std::string& store) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(store + "/packs")) paths.push_back(entry.path().string());
  return paths;
}

void flip_bit(const std::string& path, std::uint64_t byte) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  const char c = static_cast<char>(file.get() ^ 0x10);
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(c);
}

std::string whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Store, what_is_put_comes_back_under_the_hash_of_its_bytes) {
  const TemporaryDirectory dir;
  const auto store = open_store(dir / "s");
  const std::string values[] = {"", "x", random_text(100, 1), random_text(3 << 20, 2), csv(100'000, 3),
                                container({{"w", noise(700'001, 4)}, {"b", noise(3, 5)}})};
  for (const std::string& value : values) {
    const auto stored = put_text(*store, value);
    ASSERT_TRUE(stored) << stored.error().to_string();
    EXPECT_EQ(stored->id, crypto::sha256(value));
    EXPECT_EQ(stored->size_bytes, value.size());
    EXPECT_TRUE(load_text(*store, stored->id) == value);
    EXPECT_TRUE(load_text(*open_store(dir / "s"), stored->id) == value);
  }
  EXPECT_TRUE(store->verify()->damage.empty());
}

TEST(Store, the_same_bytes_are_kept_once) {
  const TemporaryDirectory dir;
  const auto store = open_store(dir / "s");
  const std::string value = random_text(5 << 20, 1);
  EXPECT_GT(put_text(*store, value)->stored_bytes, value.size());
  EXPECT_EQ(put_text(*store, value)->stored_bytes, 0u);
  EXPECT_LT(put_text(*store, value + "and a little more")->stored_bytes, 300'000u);
}

TEST(Store, a_tensor_that_moved_a_little_is_kept_as_the_difference) {
  const TemporaryDirectory dir;
  const auto store = open_store(dir / "s");
  std::vector<float> weights = noise(600'000, 1);
  const auto frozen = noise(600'000, 2);
  std::optional<Hash> parent;
  std::vector<std::pair<Hash, std::string>> versions;
  for (std::uint64_t v = 0; v < 20; ++v) {
    const std::string value = container({{"frozen", frozen}, {"w", weights}});
    const auto stored = put_text(*store, value, parent);
    ASSERT_TRUE(stored);
    // Of the 2.4 MB that changed every ninth version is a keyframe; the others have two thirds of it at most.
    if (v > 0 && v % 9 != 0) {
      EXPECT_LT(stored->stored_bytes, 1'500'000u) << v;
    }
    parent = stored->id;
    versions.emplace_back(stored->id, value);
    weights = moved(weights, 100 + v);
  }
  const auto again = open_store(dir / "s");
  for (const auto& [id, value] : versions) EXPECT_TRUE(load_text(*again, id) == value);
  EXPECT_TRUE(again->verify()->damage.empty());
}

TEST(Store, one_tensor_of_an_old_version_is_read_without_the_rest) {
  const TemporaryDirectory dir;
  std::optional<Hash> parent;
  std::vector<float> big = noise(4'000'000, 1), small = noise(1000, 2);
  std::vector<float> old;
  Hash id{};
  {
    const auto store = open_store(dir / "s");
    for (std::uint64_t v = 0; v < 5; ++v) {
      const auto stored = put_text(*store, container({{"big", big}, {"small", small}}), parent);
      parent = stored->id;
      if (v == 3) {
        id = stored->id;
        old = small;
      }
      big = moved(big, v);
      small = moved(small, v);
    }
  }
  const auto store = open_store(dir / "s");
  const auto info = store->info(id);
  ASSERT_EQ(info->tensors.size(), 2u);
  ASSERT_EQ(info->tensors[1].name, "small");
  std::vector<float> read(1000);
  ASSERT_TRUE(store->read(id, info->tensors[1].offset, std::as_writable_bytes(std::span(read))));
  EXPECT_EQ(read, old);
  auto stats = *store->stats();
  EXPECT_LT(stats.bytes_read, 100'000u);
  EXPECT_LT(stats.bytes_unpacked, 100'000u);
  // A range in the middle of the big one: one block of each version in the chain.
  std::vector<float> part(100);
  ASSERT_TRUE(store->read(id, info->tensors[0].offset + 8'000'000, std::as_writable_bytes(std::span(part))));
  stats = *store->stats();
  EXPECT_LE(stats.bytes_unpacked, 100'000u + 5 * kMaxBlockBytes);
}

TEST(Store, a_range_beyond_the_end_is_refused_with_the_size) {
  const TemporaryDirectory dir;
  const auto store = open_store(dir / "s");
  const auto stored = put_text(*store, "hello");
  std::byte out[6];
  const auto read = store->read(stored->id, 0, out);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kOutOfRange);
  EXPECT_NE(read.error().message().find("it has 5"), std::string::npos);
  const auto missing = store->info(Hash{});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daybreak::track
