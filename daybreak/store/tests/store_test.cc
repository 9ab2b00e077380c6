#include "daybreak/store/store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <thread>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/file.h"
#include "daybreak/store/tests/fixture.h"

namespace daybreak::store {
namespace {

using base::Code;

TEST(Store, what_is_put_comes_back_under_the_hash_of_its_bytes) {
  const TemporaryDirectory dir;
  const auto store = open_store(dir / "s");
  const std::string values[] = {"",
                                "x",
                                random_text(100, 1),
                                random_text(3 << 20, 2),
                                csv(100'000, 3),
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

// Runs `work` in a child that dies at the countdown-th failpoint; true when it did, false when the work was done
// before.
template <typename F>
bool dies_at(std::uint64_t countdown, F&& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    base::failpoint::arm("store.", countdown);
    work();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

TEST(StoreKilled, at_every_step_of_a_put_the_store_verifies_and_nothing_committed_is_lost) {
  const TemporaryDirectory dir;
  std::uint64_t countdown = 1;
  for (;; ++countdown) {
    const std::string path = dir / fmt::format("s{}", countdown);
    const std::string first = csv(30'000, 1), second = random_text(2 << 20, 2), third = random_text(100'000, 3);
    const auto stored = put_text(*open_store(path, alone()), first);
    const bool died = dies_at(countdown, [&] {
      const auto store = open_store(path, alone());
      if (!put_text(*store, second)) ::_exit(1);
    });
    const auto store = open_store(path, alone());
    expect_whole(*store, {{stored->id, first}});
    const auto next = put_text(*store, third);  // goes on where the dead one left off
    ASSERT_TRUE(next) << next.error().to_string();
    expect_whole(*store, {{stored->id, first}, {next->id, third}});
    if (!died) {
      expect_whole(*store, {{crypto::sha256(second), second}});
      break;
    }
    // What it was about to store, if it is there, is there whole.
    if (store->info(crypto::sha256(second))) expect_whole(*store, {{crypto::sha256(second), second}});
    const auto swept =
        store->gc([&]() -> base::Result<std::vector<Hash>> { return std::vector{stored->id, next->id}; });
    ASSERT_TRUE(swept) << swept.error().to_string();
    expect_whole(*store, {{stored->id, first}, {next->id, third}});
    EXPECT_TRUE(store->verify()->damage.empty());  // not even rubbish
  }
  EXPECT_GE(countdown, 7u);
}

TEST(StoreKilled, at_every_step_of_a_gc_what_was_to_be_kept_is_there) {
  const TemporaryDirectory dir;
  std::uint64_t countdown = 1;
  for (;; ++countdown) {
    const std::string path = dir / fmt::format("s{}", countdown);
    std::vector<std::pair<Hash, std::string>> kept;
    {
      const auto store = open_store(path, alone());
      std::optional<Hash> parent;
      std::vector<float> weights = noise(30'000, 1);
      for (std::uint64_t v = 0; v < 6; ++v) {
        const std::string value = container({{"w", weights}});
        const auto stored = put_text(*store, value, parent);
        if (v % 2 == 1) kept.emplace_back(stored->id, value);
        parent = stored->id;
        weights = moved(weights, v);
        ASSERT_TRUE(put_text(*store, random_text(100'000, 50 + v)));
      }
    }
    const auto keep = [&]() -> base::Result<std::vector<Hash>> {
      std::vector<Hash> ids;
      for (const auto& [id, value] : kept) ids.push_back(id);
      return ids;
    };
    const bool died = dies_at(countdown, [&] {
      if (!open_store(path, alone())->gc(keep)) ::_exit(1);
    });
    const auto store = open_store(path, alone());
    expect_whole(*store, kept);
    ASSERT_TRUE(store->gc(keep));
    expect_whole(*store, kept);
    EXPECT_TRUE(store->verify()->damage.empty());
    EXPECT_EQ(store->objects()->size(), 3u);
    if (!died) break;
  }
  EXPECT_GE(countdown, 6u);
}

TEST(StoreDamaged, a_flipped_bit_anywhere_in_the_manifest_loses_nothing) {
  const TemporaryDirectory dir;
  const std::string path = dir / "s";
  std::vector<std::pair<Hash, std::string>> values;
  {
    const auto store = open_store(path, alone());
    std::optional<Hash> parent;
    std::vector<float> weights = noise(20'000, 1);
    for (std::uint64_t v = 0; v < 3; ++v) {
      values.emplace_back(Hash{}, container({{"w", weights}}));
      parent = put_text(*store, values.back().second, parent)->id;
      values.back().first = *parent;
      weights = moved(weights, v);
    }
    values.emplace_back(Hash{}, csv(2000, 5));
    values.back().first = put_text(*store, values.back().second)->id;
  }
  const std::uint64_t size = fs::file_size(path + "/manifest");
  for (std::uint64_t byte = 0; byte < size; byte += byte < 200 ? 1 : 37) {
    flip_bit(path + "/manifest", byte);
    const auto store = open_store(path, alone());
    for (const auto& [id, value] : values) ASSERT_TRUE(load_text(*store, id) == value) << "byte " << byte;
    const auto report = store->verify();
    const bool reserved = byte >= 8 && byte < 16;  // of the header; says nothing
    EXPECT_EQ(report->damage.empty(), reserved) << "byte " << byte;
    flip_bit(path + "/manifest", byte);
  }
  // The next put heals it.
  flip_bit(path + "/manifest", 300);
  {
    const auto store = open_store(path, alone());
    ASSERT_TRUE(put_text(*store, "one more"));
  }
  EXPECT_TRUE(open_store(path, alone())->verify()->damage.empty());
  expect_whole(*open_store(path, alone()), values);
}

TEST(StoreDamaged, a_flipped_bit_anywhere_in_a_pack_is_found_and_only_what_needs_it_is_lost) {
  const TemporaryDirectory dir;
  const std::string path = dir / "s";
  const std::string left = random_text(30'000, 1), right = csv(3000, 2);
  Hash left_id{}, right_id{};
  {
    const auto store = open_store(path, alone());
    left_id = put_text(*store, left)->id;
    right_id = put_text(*store, right)->id;
  }
  const std::string pack = pack_files(path).at(0);
  const std::uint64_t size = fs::file_size(pack);
  std::size_t lost = 0;
  for (std::uint64_t byte = 0; byte < size; byte += byte < 120 ? 1 : 97) {
    flip_bit(pack, byte);
    const auto store = open_store(path, alone());
    const bool a = load_text(*store, left_id) == left, b = load_text(*store, right_id) == right;
    EXPECT_TRUE(a || b) << "byte " << byte;
    const auto report = store->verify();
    const bool identity = byte >= 8 && byte < kPackHeaderBytes;  // the pack's number, which its name says too
    if (!identity) {
      ASSERT_FALSE(report->damage.empty()) << "byte " << byte;
      EXPECT_NE(report->damage[0].file.find(".pack"), std::string::npos);
    }
    if (!a || !b) {
      ++lost;
      EXPECT_EQ(report->damage[0].objects, std::vector<Hash>{a ? right_id : left_id});
      const std::string error = load_text(*store, a ? right_id : left_id);
      EXPECT_NE(error.find(crypto::to_hex(a ? right_id : left_id)), std::string::npos) << error;
      EXPECT_NE(error.find(".pack at byte"), std::string::npos) << error;
    }
    flip_bit(pack, byte);
  }
  EXPECT_GT(lost, 100u);
}

std::string bytes_in(const std::string& path) {
  return base::read_file(path, 64u << 20, base::Env::real()).value_or("");
}

void overwrite(const std::string& path, std::size_t at, std::string_view bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(StoreDamaged, other_bytes_under_a_checksum_that_matches_are_found_by_their_hash) {
  const TemporaryDirectory dir;
  const std::string path = dir / "s";
  const Hash id = put_text(*open_store(path, alone()), random_text(3000, 1))->id;
  const std::string pack = pack_files(path).at(0), bytes = bytes_in(pack);
  const auto head = parse_block_head(std::string_view(bytes).substr(kPackHeaderBytes));
  ASSERT_TRUE(head && head->codec == Codec::kRaw);
  const std::size_t size = kBlockHeaderBytes + head->meta_size + head->stored_size;
  const auto view = parse_block(std::string_view(bytes).substr(kPackHeaderBytes, size));
  std::string stored(view->stored);
  stored[1234] ^= 1;
  overwrite(pack, kPackHeaderBytes, write_block(*head, view->meta, stored));
  const auto store = open_store(path, alone());
  EXPECT_NE(load_text(*store, id).find("has another hash"), std::string::npos);
  const auto report = store->verify();
  ASSERT_EQ(report->damage.size(), 1u);
  EXPECT_EQ(report->damage[0].objects, std::vector<Hash>{id});
}

TEST(StoreDamaged, pieces_in_another_order_under_a_checksum_that_matches_are_found_by_verify) {
  const TemporaryDirectory dir;
  const std::string path = dir / "s";
  const Hash id = put_text(*open_store(path, alone()), random_text(3 << 20, 1))->id;
  const std::string manifest = bytes_in(path + "/manifest");
  constexpr std::size_t kHeader = 16;
  const auto head = parse_record_head(std::string_view(manifest).substr(kHeader));
  auto record = parse_record_body(*head, std::string_view(manifest).substr(kHeader + kRecordHeaderBytes));
  ASSERT_TRUE(record && record->object->runs.size() > 1);
  std::swap(record->object->runs[0], record->object->runs[1]);
  const auto changed = write_record(*record);
  ASSERT_EQ(kHeader + changed->size(), manifest.size());
  overwrite(path + "/manifest", kHeader, *changed);
  const auto report = open_store(path, alone())->verify();
  ASSERT_EQ(report->damage.size(), 1u);
  EXPECT_EQ(report->damage[0].objects, std::vector<Hash>{id});
  EXPECT_NE(report->damage[0].what.find("another hash than its name"), std::string::npos);
}

// The real files, but so many bytes of room; then writes are short.
class SmallDisk : public ForwardingEnv {
 public:
  explicit SmallDisk(std::int64_t room) : room(room) {}
  std::int64_t room;

  class File : public base::WritableFile {
   public:
    File(SmallDisk& disk, std::unique_ptr<base::WritableFile> file) : disk_(disk), file_(std::move(file)) {}
    base::Status append(std::string_view bytes) override {
      const auto fits =
          static_cast<std::size_t>(std::clamp<std::int64_t>(disk_.room, 0, static_cast<std::int64_t>(bytes.size())));
      disk_.room -= static_cast<std::int64_t>(fits);
      DAYBREAK_TRY(file_->append(bytes.substr(0, fits)));
      if (fits < bytes.size()) return base::fail(Code::kResourceExhausted, "no space left on device");
      return {};
    }
    base::Status sync() override { return file_->sync(); }
    base::Status close() override { return file_->close(); }

   private:
    SmallDisk& disk_;
    std::unique_ptr<base::WritableFile> file_;
  };

  OpenedFile wrap(OpenedFile file) {
    if (!file) return file;
    return std::make_unique<File>(*this, *std::move(file));
  }
  OpenedFile create_file(const std::string& p) override { return wrap(real().create_file(p)); }
  OpenedFile append_file(const std::string& p) override { return wrap(real().append_file(p)); }
};

TEST(StoreFull, a_disk_that_fills_anywhere_in_a_put_leaves_what_was_there) {
  const TemporaryDirectory dir;
  const std::string path = dir / "s", first = csv(5000, 1), second = random_text(200'000, 2);
  const auto stored = put_text(*open_store(path, alone()), first);
  std::int64_t room = 0;
  for (;; room += room < 199'000 ? 20'011 : 97) {
    SmallDisk disk(room);
    StoreOptions options = alone();
    options.env = &disk;
    const auto store = open_store(path, options);
    const auto put = put_text(*store, second);
    if (put) break;
    EXPECT_EQ(put.error().code(), Code::kResourceExhausted);
    EXPECT_FALSE(store->info(crypto::sha256(second)));
    disk.room = INT64_MAX;
    EXPECT_TRUE(put_text(*store, "after room was made"));
    expect_whole(*store, {{stored->id, first}});
  }
  EXPECT_GT(room, 200'000);
  expect_whole(*open_store(path, alone()), {{stored->id, first}, {crypto::sha256(second), second}});
}

// Half zeros, half noise, of any size, without memory.
class MadeUpSource : public Source {
 public:
  explicit MadeUpSource(std::uint64_t size) : size_(size) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    const auto n = std::min<std::uint64_t>(out.size(), size_ - at_);
    for (std::uint64_t i = 0; i < n; i += 8) {
      const std::uint64_t value = (at_ + i) >> 20 & 1 ? (at_ + i) * 0x9e3779b97f4a7c15 ^ (at_ + i) << 31 : 0;
      std::memcpy(&out[i], &value, std::min<std::uint64_t>(8, n - i));
    }
    at_ += n;
    return n;
  }

 private:
  std::uint64_t size_, at_ = 0;
};

std::uint64_t peak_rss_bytes() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) << 10;
}

TEST(Store, an_artifact_much_larger_than_the_memory_it_takes_goes_through) {
  const TemporaryDirectory dir;
  const char* const mib = ::getenv("DAYBREAK_STORE_MIB");  // 10240 by hand
  const std::uint64_t size = (mib != nullptr ? std::strtoull(mib, nullptr, 10) : 256) << 20;
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::uint64_t before = peak_rss_bytes();
    const auto store = open_store(dir / "s");
    MadeUpSource source(size);
    const auto stored = store->put(source, {});
    std::uint64_t sum = 0;
    const bool read = stored && store->read_all(stored->id, [&](std::span<const std::byte> part) -> base::Status {
      sum += part.size();
      return {};
    });
    const std::uint64_t grown = read && sum == size ? peak_rss_bytes() - before : UINT64_MAX;
    ::_exit(::write(pipe_ends[1], &grown, sizeof grown) == sizeof grown ? 0 : 1);
  }
  std::uint64_t grown = 0;
  ASSERT_EQ(::read(pipe_ends[0], &grown, sizeof grown), static_cast<ssize_t>(sizeof grown));
  ::waitpid(child, nullptr, 0);
  RecordProperty("grown_mib", static_cast<int>(grown >> 20));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(grown, 160u << 20);
#endif
}

TEST(Store, threads_of_one_store_put_read_and_collect_at_once) {
  const TemporaryDirectory dir;
  const auto store = open_store(dir / "s");
  const std::string shared = csv(20'000, 9);
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 5; ++i) {
        const std::string value = random_text(50'000, 10 * t + i) + shared;
        const auto stored = put_text(*store, value);
        ASSERT_TRUE(stored) << stored.error().to_string();
        EXPECT_TRUE(load_text(*store, stored->id) == value);
      }
    });
  }
  for (int i = 0; i < 5; ++i)
    EXPECT_TRUE(store->gc([] { return base::Result<std::vector<Hash>>(std::vector<Hash>{}); }));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store->objects()->size(), 15u);  // pinned
  EXPECT_TRUE(store->verify()->damage.empty());
}

// Says what it is told, and does something before.
class ActingSource : public Source {
 public:
  ActingSource(std::string_view bytes, std::function<void()> act) : bytes_(bytes), act_(std::move(act)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    act_();
    const std::size_t n = std::min(out.size(), bytes_.size());
    std::memcpy(out.data(), bytes_.data(), n);
    bytes_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view bytes_;
  std::function<void()> act_;
};

TEST(Store, a_gc_waits_for_the_puts_of_others_and_they_for_it) {
  const TemporaryDirectory dir;
  StoreOptions impatient = alone();
  impatient.lock_timeout_ns = 1'000'000;
  const auto one = open_store(dir / "s", impatient), other = open_store(dir / "s", impatient);
  const auto nothing = [] { return base::Result<std::vector<Hash>>(std::vector<Hash>{}); };
  ActingSource source("some bytes", [&] {
    const auto swept = other->gc(nothing);
    ASSERT_FALSE(swept);
    EXPECT_EQ(swept.error().code(), Code::kUnavailable) << swept.error().to_string();
  });
  ASSERT_TRUE(one->put(source, {}));
  // The other way round, with the two in the same roles: their locks are never taken in opposite orders.
  ASSERT_TRUE(one->gc([&]() -> base::Result<std::vector<Hash>> {
    const auto put = put_text(*other, "more");
    EXPECT_FALSE(put) << "a put began while a gc was under way";
    EXPECT_FALSE(other->gc(nothing)) << "two at once";
    return std::vector<Hash>{};
  }));
}

TEST(Store, what_is_pinned_stays_and_a_release_undoes_one_put) {
  const TemporaryDirectory dir;
  const auto one = open_store(dir / "s", alone()), other = open_store(dir / "s", alone());
  const auto nothing = [] { return base::Result<std::vector<Hash>>(std::vector<Hash>{}); };
  const Hash id = put_text(*one, "twice")->id;
  ASSERT_TRUE(put_text(*one, "twice"));  // there already: pinned all the same
  ASSERT_TRUE(other->gc(nothing));
  EXPECT_TRUE(other->info(id));
  ASSERT_TRUE(one->release(id));
  ASSERT_TRUE(other->gc(nothing));
  EXPECT_TRUE(other->info(id));
  ASSERT_TRUE(one->release(id));
  ASSERT_TRUE(other->gc(nothing));
  EXPECT_FALSE(other->info(id));
}

TEST(Store, a_text_that_changes_again_and_again_is_read_through_a_short_chain) {
  const TemporaryDirectory dir;
  std::string text = csv(3000, 1);
  std::optional<Hash> parent;
  const auto store = open_store(dir / "s");
  for (std::size_t v = 0; v < 12; ++v) {
    for (std::size_t at = 50 + v; at < text.size(); at += 5000) text[at] = 'x';
    const auto stored = put_text(*store, text, parent);
    ASSERT_TRUE(stored) << v << ": " << stored.error().to_string();
    parent = stored->id;
    ASSERT_TRUE(load_text(*open_store(dir / "s"), stored->id) == text) << v;
  }
}

}  // namespace
}  // namespace daybreak::store
