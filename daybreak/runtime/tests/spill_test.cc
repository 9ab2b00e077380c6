// Values on disk: they come back as they were, what is read stays, what is lost says so, and a death at any point of a
// move leaves every value and nothing else.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <span>

#include "daybreak/base/crc32c.h"
#include "daybreak/base/failpoint.h"
#include "daybreak/base/temp_dir.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/spill_folder.h"

namespace daybreak::runtime {
namespace {

constexpr std::uint64_t kMany = 8;
constexpr std::uint64_t kValueBytes = 5ull << 20;  // in two pieces, and eight of them do not fit into the store

std::byte pattern_at(Ref ref, std::uint64_t at) {
  return static_cast<std::byte>(ref.index * 31 + ref.generation * 7 + at * 13 + at / 4096);
}

// A disk without room.
class FullDisk final : public SpillFiles {
 public:
  base::Status write(Ref, std::span<const std::byte> bytes) override {
    return base::fail(base::Code::kResourceExhausted, "{} bytes do not fit on the disk", bytes.size());
  }
  base::Status read(Ref, std::span<std::byte>) override { return base::fail(base::Code::kInternal, "never written"); }
  base::Result<os::Mapping> map(Ref, std::uint64_t) override { return base::fail(base::Code::kInternal, "never"); }
  void remove(Ref) override {}
};

class Spill : public ::testing::Test {
 protected:
  void SetUp() override {
    parent_ = std::make_unique<base::TempDir>(base::TempDir::create().value());
    segment_ = Segment::create({.data_capacity = 24u << 20, .num_cpus = 1}).value();
    folder_ = OwnedSpillFolder::create(parent_->path(), segment_->control().session).value();
    std::snprintf(segment_->control().spill_folder, kSpillPathBytes, "%s", folder_->path().c_str());
    monitor_ = process(kSchedulerProc);
    p_ = process(kFirstProc);
  }

  std::unique_ptr<Process> process(std::uint32_t id) {
    auto made = std::make_unique<Process>(*segment_, id);
    use_spill_folder(*made);
    made->slot().status.store(ProcStatus::kAlive);
    return made;
  }

  static base::Result<Ref> put(Process& p, std::uint64_t size) {
    const Ref ref = p.create(Kind::kValue).value();
    auto at = p.set_value(ref.index, size, {}, 0);
    if (!at) {
      p.abandon(ref.index);
      return std::unexpected(std::move(at).error());
    }
    for (std::uint64_t i = 0; i < size; ++i) (*at)[i] = pattern_at(ref, i);
    p.publish(ref.index, false);
    return ref;
  }

  static bool is_whole(Process& p, Ref ref) {
    p.keep_in_place(ref);
    const base::Status back = p.bring_back(ref);
    bool whole = back.has_value() && p.settled(ref.index).phase() == Phase::kReady;
    const std::span<const std::byte> bytes = whole ? p.value(ref.index) : std::span<const std::byte>();
    for (std::uint64_t i = 0; whole && i < bytes.size(); ++i) whole = bytes[i] == pattern_at(ref, i);
    p.let_move(ref);
    return whole;
  }

  std::set<std::string> files() const {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_->path()))
      found.insert(entry.path().filename());
    found.erase("lock");
    return found;
  }

  std::string file_of(Ref ref) { return SpillFolder(segment_->control(), folder_->path()).file_of(ref); }

  void expect_nothing_left() {
    p_->for_each_entry([&](std::uint32_t i) {
      ADD_FAILURE() << "entry " << i << " is left, state " << std::hex << p_->entry(i).load().word;
    });
    p_->reclaim_chunks();
    EXPECT_EQ(p_->bytes_used(), 0u);
    EXPECT_TRUE(files().empty());
    // Of the entries that can have been in use: the table is sparse, and to read its pages makes them.
    for (const auto& readers : std::span(segment_->control().readers).first(16 * kEntriesPerBlock))
      for (const auto& word : readers.word) ASSERT_EQ(word.load(std::memory_order_relaxed), 0u);
  }

  std::unique_ptr<base::TempDir> parent_;
  std::unique_ptr<Segment> segment_;
  std::unique_ptr<OwnedSpillFolder> folder_;
  std::unique_ptr<Process> monitor_, p_;
};

TEST_F(Spill, more_than_the_store_holds_is_put_and_comes_back_as_it_was) {
  std::vector<Ref> refs;
  for (std::uint64_t i = 0; i < kMany; ++i) refs.push_back(put(*p_, kValueBytes).value());
  EXPECT_EQ(files().size(), kMany - 4);
  EXPECT_EQ(p_->entry(refs[0].index).load().phase(), Phase::kSpilled) << "the oldest goes first";
  EXPECT_EQ(p_->entry(refs[kMany - 1].index).load().phase(), Phase::kReady);
  for (Ref ref : refs) EXPECT_TRUE(is_whole(*p_, ref));
  for (Ref ref : refs) p_->release(ref);
  expect_nothing_left();
}

TEST_F(Spill, what_lies_on_disk_is_in_a_file_that_only_this_user_reads) {
  const Ref ref = put(*p_, kValueBytes).value();
  EXPECT_EQ(p_->spill(1).value(), kValueBytes);
  struct stat found{};
  ASSERT_EQ(stat(file_of(ref).c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_EQ(static_cast<std::uint64_t>(found.st_size), kValueBytes + 32);
  ASSERT_EQ(stat(folder_->path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  EXPECT_EQ(p_->bytes_used(), 0u);
  p_->release(ref);
  expect_nothing_left();
}

TEST_F(Spill, a_file_is_the_value_and_the_trailer_of_the_format) {
  const Ref ref = put(*p_, kValueBytes).value();
  ASSERT_EQ(p_->spill(1).value(), kValueBytes);
  std::ifstream stream(file_of(ref), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  ASSERT_EQ(bytes.size(), kValueBytes + 32);
  for (std::uint64_t i = 0; i < kValueBytes; ++i) ASSERT_EQ(static_cast<std::byte>(bytes[i]), pattern_at(ref, i));
  constexpr std::uint64_t kPiece = 4ull << 20;
  const std::uint32_t sums[] = {
      base::crc32c_portable(std::as_bytes(std::span(bytes)).first(kPiece)),
      base::crc32c_portable(std::as_bytes(std::span(bytes)).subspan(kPiece, kValueBytes - kPiece))};
  std::string trailer("DBspill1");
  auto add = [&](auto number) { trailer.append(reinterpret_cast<const char*>(&number), sizeof number); };
  add(kValueBytes);
  add(ref.index);
  add(ref.generation);
  add(base::crc32c_portable(std::as_bytes(std::span(sums))));
  add(std::uint32_t{0});
  EXPECT_EQ(bytes.substr(kValueBytes), trailer);
  p_->release(ref);
  expect_nothing_left();
}

TEST_F(Spill, a_value_that_somebody_reads_is_not_moved) {
  auto other = process(kFirstProc + 1);
  const Ref ref = put(*p_, kValueBytes).value();
  other->hold(ref);
  other->keep_in_place(ref);
  other->keep_in_place(ref);
  ASSERT_TRUE(other->bring_back(ref));
  const std::byte* at = other->value(ref.index).data();
  EXPECT_EQ(p_->spill(1).value(), 0u);
  other->let_move(ref);
  EXPECT_EQ(p_->spill(1).value(), 0u);
  EXPECT_EQ(other->value(ref.index).data(), at);
  other->let_move(ref);
  EXPECT_EQ(p_->spill(1).value(), kValueBytes);
  ASSERT_TRUE(other->keep_while_held(ref));
  EXPECT_EQ(p_->spill(1).value(), 0u);
  other->release(ref);
  EXPECT_EQ(p_->spill(1).value(), kValueBytes);
  p_->release(ref);
  expect_nothing_left();
}

TEST_F(Spill, a_store_full_of_what_is_read_says_so_and_nothing_is_lost) {
  std::vector<Ref> refs;
  for (int i = 0; i < 4; ++i) {
    refs.push_back(put(*p_, kValueBytes).value());
    p_->keep_in_place(refs.back());
  }
  auto refused = put(*p_, kValueBytes);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kResourceExhausted);
  for (Ref ref : refs) {
    p_->let_move(ref);
    EXPECT_TRUE(is_whole(*p_, ref));
    p_->release(ref);
  }
  expect_nothing_left();
}

TEST_F(Spill, without_room_a_value_is_read_where_its_file_lies_also_when_that_is_removed) {
  std::vector<Ref> refs;
  for (int i = 0; i < 5; ++i) refs.push_back(put(*p_, kValueBytes).value());
  for (int i = 1; i < 5; ++i) {
    p_->keep_in_place(refs[i]);
    ASSERT_TRUE(p_->bring_back(refs[i]));
  }
  p_->keep_in_place(refs[0]);
  const base::Status refused = p_->bring_back(refs[0]);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kResourceExhausted);
  os::Mapping elsewhere;
  ASSERT_TRUE(p_->bring_back(refs[0], &elsewhere));
  p_->let_move(refs[0]);
  const Ref gone = refs[0];
  for (int i = 1; i < 5; ++i) p_->let_move(refs[i]);
  for (Ref ref : refs) p_->release(ref);
  EXPECT_TRUE(files().empty());
  ASSERT_GE(elsewhere.size_bytes(), kValueBytes);
  for (std::uint64_t i = 0; i < kValueBytes; ++i) ASSERT_EQ(elsewhere.data()[i], pattern_at(gone, i));
  expect_nothing_left();
}

TEST_F(Spill, a_full_disk_is_an_error_by_name_and_nothing_is_lost) {
  p_->keep_spilled_in(std::make_unique<FullDisk>());
  std::vector<Ref> refs;
  for (int i = 0; i < 4; ++i) refs.push_back(put(*p_, kValueBytes).value());
  auto refused = put(*p_, kValueBytes);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kResourceExhausted);
  EXPECT_NE(refused.error().to_string().find("do not fit on the disk"), std::string::npos)
      << refused.error().to_string();
  for (Ref ref : refs) {
    EXPECT_TRUE(is_whole(*p_, ref));
    p_->release(ref);
  }
  expect_nothing_left();
}

TEST_F(Spill, a_file_that_is_gone_cut_or_changed_makes_the_object_lost_by_name) {
  for (int damage = 0; damage < 3; ++damage) {
    const Ref ref = put(*p_, kValueBytes).value();
    ASSERT_EQ(p_->spill(1).value(), kValueBytes);
    const std::string file = file_of(ref);
    if (damage == 0) {
      std::filesystem::remove(file);
    } else if (damage == 1) {
      std::filesystem::resize_file(file, kValueBytes);
    } else {
      std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
      stream.seekg(1'000'000);
      const char was = static_cast<char>(stream.get());
      stream.seekp(1'000'000);
      stream.put(static_cast<char>(was ^ 1));
    }
    p_->keep_in_place(ref);
    EXPECT_TRUE(p_->bring_back(ref));
    p_->let_move(ref);
    EXPECT_EQ(p_->settled(ref.index).phase(), Phase::kError);
    EXPECT_EQ(p_->entry(ref.index).error, ErrorKind::kObjectLost);
    const std::string text = lost_value_text(*p_, ref);
    EXPECT_NE(text.find(file), std::string::npos) << text;
    EXPECT_NE(text.find("put() made it"), std::string::npos) << text;
    p_->release(ref);
    expect_nothing_left();
  }
}

TEST_F(Spill, the_threshold_keeps_the_store_from_filling_up) {
  segment_->control().spill_above = 12u << 20;
  std::vector<Ref> refs;
  for (std::uint64_t i = 0; i < kMany; ++i) {
    refs.push_back(put(*p_, kValueBytes).value());
    EXPECT_LE(p_->bytes_used(), (12u << 20) + kValueBytes + kGranule);
  }
  for (Ref ref : refs) {
    EXPECT_TRUE(is_whole(*p_, ref));
    p_->release(ref);
  }
  expect_nothing_left();
}

TEST_F(Spill, what_was_read_back_is_spilled_again_without_being_written) {
  const Ref ref = put(*p_, kValueBytes).value();
  ASSERT_EQ(p_->spill(1).value(), kValueBytes);
  const auto inode = [&] {
    struct stat found{};
    EXPECT_EQ(stat(file_of(ref).c_str(), &found), 0);
    return std::pair(found.st_ino, found.st_mtim.tv_nsec);
  };
  const auto first = inode();
  EXPECT_TRUE(is_whole(*p_, ref));
  ASSERT_EQ(p_->spill(1).value(), kValueBytes);
  EXPECT_EQ(inode(), first);
  EXPECT_TRUE(is_whole(*p_, ref));
  EXPECT_EQ(inode(), first);
  p_->release(ref);
  expect_nothing_left();
}

TEST_F(Spill, small_values_and_those_with_references_stay) {
  const Ref small = put(*p_, kLargestBlock).value();
  const Ref holder = p_->create(Kind::kValue).value();
  ASSERT_TRUE(p_->set_value(holder.index, kValueBytes, std::span(&small, 1), 0));
  p_->publish(holder.index, false);
  EXPECT_EQ(p_->spill(1).value(), 0u);
  p_->release(small);
  p_->release(holder);
  expect_nothing_left();
}

// One life: everything that moves, in a child that is killed at the given passage of a point.
TEST_F(Spill, a_death_at_any_point_of_a_move_loses_no_value_and_leaves_no_file) {
  constexpr std::uint32_t kChild = kFirstProc + 1;
  auto run = [&](Process& child, const std::vector<Ref>& refs) {
    for (Ref ref : refs) child.hold(ref);
    std::ignore = child.spill(3 * kValueBytes);
    for (Ref ref : refs)
      if (!is_whole(child, ref)) _exit(1);
    for (Ref ref : refs) child.release(ref);
  };
  const std::vector<std::string> prefixes{"spill.", "restore.", "move.", "read.", "heap.", "blob.", "release."};
  int killed = 0;
  for (const std::string& prefix : prefixes) {
    for (std::uint64_t countdown = 1;; ++countdown) {
      std::vector<Ref> refs;
      for (int i = 0; i < 4; ++i) refs.push_back(put(*p_, kValueBytes).value());
      const pid_t pid = fork();
      if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        auto child = process(kChild);
        base::failpoint::arm(prefix, countdown);
        run(*child, refs);
        _exit(0);
      }
      int status = 0;
      ASSERT_EQ(waitpid(pid, &status, 0), pid);
      const bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
      ASSERT_TRUE(died || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
          << prefix << " " << countdown << " " << status;
      killed += died;
      monitor_->slot(kChild).status.store(ProcStatus::kDead);
      std::ignore = monitor_->sweep(kChild);
      monitor_->slot(kChild).status.store(ProcStatus::kFree);
      for (Ref ref : refs) {
        EXPECT_TRUE(is_whole(*p_, ref)) << prefix << " " << countdown;
        p_->release(ref);
      }
      expect_nothing_left();
      if (HasFailure() || !died || countdown > 60) break;
    }
    if (HasFailure()) break;
  }
  std::printf("killed %d\n", killed);
  EXPECT_GT(killed, 40);
}

TEST(SpillFolders, what_a_killed_engine_has_left_is_removed_and_what_a_living_one_has_stays) {
  auto parent = base::TempDir::create().value();
  const pid_t pid = fork();
  if (pid == 0) {
    auto folder = OwnedSpillFolder::create(parent.path(), 7);
    if (!folder) _exit(1);
    std::ofstream((*folder)->path() + "/0000000000000001") << "value";
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(parent.path()), std::filesystem::directory_iterator());
  };
  EXPECT_EQ(count(), 1);
  auto alive = OwnedSpillFolder::create(parent.path(), 8).value();
  EXPECT_EQ(count(), 1);
  auto second = OwnedSpillFolder::create(parent.path(), 9).value();
  EXPECT_EQ(count(), 2);
  EXPECT_TRUE(std::filesystem::exists(alive->path()));
  second.reset();
  alive.reset();
  EXPECT_EQ(count(), 0);
}

TEST(SpillFolders, a_folder_that_is_not_there_or_too_long_is_refused_by_name) {
  auto missing = OwnedSpillFolder::create("/nowhere/at/all", 1);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().to_string().find("/nowhere/at/all"), std::string::npos);
  auto long_one = OwnedSpillFolder::create("/" + std::string(kSpillPathBytes, 'x'), 1);
  ASSERT_FALSE(long_one);
  EXPECT_EQ(long_one.error().code(), base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace daybreak::runtime
