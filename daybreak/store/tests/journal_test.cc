#include "daybreak/store/journal.h"

#include <sys/stat.h>

#include <thread>

#include "daybreak/store/internal/journal_locks.h"
#include "daybreak/store/tests/journal_fixture.h"

namespace daybreak::store {
namespace {

using base::Code;
using Strings = std::vector<std::string>;
using Numbers = std::vector<std::uint64_t>;

TEST(Journal, records_come_back_in_order_with_their_numbers_and_kinds) {
  const TemporaryDirectory dir;
  const std::string binary("\0\xff\n", 3);
  {
    const auto journal = open_journal(dir / "j");
    EXPECT_EQ(append_record(*journal, "first"), 0u);
    EXPECT_EQ(append_record(*journal, "", Durability::kSynced, 7), 1u);
  }
  const auto journal = open_journal(dir / "j");
  EXPECT_EQ(append_record(*journal, binary, Durability::kWritten, UINT32_MAX), 2u);
  const auto batch = open_reader(dir / "j")->read();
  ASSERT_TRUE(batch);
  EXPECT_FALSE(batch->restarted);
  ASSERT_EQ(batch->records.size(), 3u);
  EXPECT_EQ(batch->records[1].kind, 7u);
  EXPECT_EQ(batch->records[2].kind, UINT32_MAX);
  EXPECT_EQ(read_all_of(dir / "j").bodies, (Strings{"first", "", binary}));
  EXPECT_EQ(read_all_of(dir / "j").numbers, (Numbers{0, 1, 2}));
}

TEST(Journal, a_read_gives_as_many_bytes_as_asked_and_at_least_one_record) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j");
  for (int i = 0; i < 4; ++i) append_record(*journal, std::string(100, 'x'));
  const auto reader = open_reader(dir / "j");
  EXPECT_EQ(reader->read(1)->records.size(), 1u);
  EXPECT_EQ(reader->read(150)->records.size(), 2u);
  EXPECT_EQ(reader->read()->records.size(), 1u);
  EXPECT_TRUE(reader->read()->records.empty());
}

TEST(Journal, what_is_buffered_is_written_by_the_next_append_a_flush_a_close_or_when_it_is_much) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j");
  EXPECT_EQ(append_record(*journal, "a", Durability::kBuffered), UINT64_MAX);
  EXPECT_TRUE(read_all_of(dir / "j").bodies.empty());
  EXPECT_EQ(append_record(*journal, "b"), 1u);
  EXPECT_EQ(read_all_of(dir / "j").bodies, (Strings{"a", "b"}));
  EXPECT_EQ(journal->stats().writes, 1u);
  append_record(*journal, "c", Durability::kBuffered);
  ASSERT_TRUE(journal->flush());
  EXPECT_EQ(read_all_of(dir / "j").bodies.back(), "c");
  EXPECT_EQ(journal->stats().syncs, 0u);
  ASSERT_TRUE(journal->flush(Durability::kSynced));
  EXPECT_EQ(journal->stats().syncs, 1u);
  for (std::size_t bytes = 0; bytes < kMaxJournalBufferBytes; bytes += 1u << 16) {
    append_record(*journal, std::string(1u << 16, 'd'), Durability::kBuffered);
  }
  EXPECT_EQ(read_all_of(dir / "j").bodies.size(), 19u);
  append_record(*journal, "e", Durability::kBuffered);
  ASSERT_TRUE(journal->close());
  EXPECT_EQ(read_all_of(dir / "j").bodies.back(), "e");
  EXPECT_EQ(journal->append("f", 0, Durability::kWritten).error().code(), Code::kFailedPrecondition);
}

TEST(Journal, a_record_of_the_largest_size_comes_back_and_a_larger_one_is_refused) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j");
  std::string body(kMaxJournalRecordBytes, 'x');
  body.back() = 'y';
  append_record(*journal, body);
  const auto batch = open_reader(dir / "j")->read();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->records.at(0).body == body);
  const auto refused = journal->append(body + "z", 0, Durability::kWritten);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("67108865 bytes: at most 67108864"), std::string::npos);
  EXPECT_EQ(append_record(*journal, "after"), 1u);
}

TEST(Journal, what_is_no_journal_of_this_kind_is_refused_and_nothing_is_made_beside_it) {
  const TemporaryDirectory dir;
  const auto code_of = [&](const char* name, const JournalOptions& options = trials()) {
    const auto journal = Journal::open(dir / name, options);
    const auto reader = JournalReader::open(dir / name, options);
    EXPECT_FALSE(journal);
    EXPECT_FALSE(reader);
    EXPECT_EQ(journal.error().code(), reader.error().code());
    EXPECT_FALSE(fs::exists(dir / (std::string(name) + ".lock")));
    return journal.error().code();
  };
  write_file(dir / "empty", "");
  EXPECT_EQ(code_of("empty"), Code::kDataLoss);
  write_file(dir / "text", std::string(1000, 'x'));
  EXPECT_EQ(code_of("text"), Code::kDataLoss);
  fs::create_directory(dir / "folder");
  EXPECT_EQ(code_of("folder"), Code::kInvalidArgument);
  std::string newer = encode_journal_header({1, 2, 0, "test.trials"});
  newer[8] = 2;
  write_file(dir / "newer", newer);
  EXPECT_EQ(code_of("newer"), Code::kFailedPrecondition);
  write_file(dir / "another", encode_journal_header({1, 2, 0, "test.other"}));
  EXPECT_EQ(code_of("another"), Code::kFailedPrecondition);
  EXPECT_EQ(JournalReader::open(dir / "none", trials()).error().code(), Code::kNotFound);
  JournalOptions long_name = trials();
  long_name.application = std::string(kMaxApplicationBytes + 1, 'a');
  EXPECT_EQ(Journal::open(dir / "none", long_name).error().code(), Code::kInvalidArgument);

  open_journal(dir / "mine");
  ASSERT_EQ(::chmod((dir / "mine").c_str(), 0400), 0);
  EXPECT_EQ(Journal::open(dir / "mine", trials()).error().code(), Code::kPermissionDenied);
  EXPECT_TRUE(read_all_of(dir / "mine").error.empty());
}

TEST(Journal, a_file_that_ends_anywhere_opens_with_what_is_whole_and_goes_on) {
  const TemporaryDirectory dir;
  Numbers ends = {kJournalHeaderBytes};
  {
    const auto journal = open_journal(dir / "j");
    for (const char* body : {"one", "", "three and some more", "4"}) {
      append_record(*journal, body);
      ends.push_back(fs::file_size(dir / "j"));
    }
  }
  const std::string bytes = file_bytes(dir / "j");
  const Strings bodies = read_all_of(dir / "j").bodies;
  for (std::size_t size = kJournalHeaderBytes; size <= bytes.size(); ++size) {
    SCOPED_TRACE(size);
    const std::string path = dir / ("cut-" + std::to_string(size));
    write_file(path, bytes.substr(0, size));
    std::size_t whole = 0;
    while (whole + 1 < ends.size() && ends[whole + 1] <= size) ++whole;
    Strings expected(bodies.begin(), bodies.begin() + static_cast<std::ptrdiff_t>(whole));
    EXPECT_EQ(read_all_of(path).bodies, expected);  // to a reader it is the end for now
    EXPECT_EQ(fs::file_size(path), size);
    const auto journal = open_journal(path);
    EXPECT_EQ(journal->stats().cut_bytes, size - ends[whole]);
    EXPECT_EQ(append_record(*journal, "next"), whole);
    expected.emplace_back("next");
    EXPECT_EQ(read_all_of(path).bodies, expected);
  }
}

TEST(Journal, a_byte_that_is_another_anywhere_is_data_loss_that_says_where_and_nothing_is_cut) {
  const TemporaryDirectory dir;
  Numbers begins;
  {
    const auto journal = open_journal(dir / "j");
    for (const char* body : {"one", "", "three and some more", "4"}) {
      begins.push_back(fs::file_size(dir / "j"));
      append_record(*journal, body);
    }
  }
  const std::string bytes = file_bytes(dir / "j");
  for (std::size_t at = kJournalHeaderBytes; at < bytes.size(); ++at) {
    SCOPED_TRACE(at);
    std::size_t record = 0;
    while (record + 1 < begins.size() && begins[record + 1] <= at) ++record;
    std::string other = bytes;
    other[at] = static_cast<char>(other[at] ^ 0x10);
    const std::string path = dir / "altered";
    write_file(path, other);
    const auto journal = Journal::open(path, trials());
    ASSERT_FALSE(journal);
    EXPECT_EQ(journal.error().code(), Code::kDataLoss);
    EXPECT_NE(journal.error().message().find(fmt::format("at byte {}, in record {}", begins[record], record)),
              std::string::npos)
        << journal.error().message();
    const AllRead read = read_all_of(path);
    EXPECT_EQ(read.bodies.size(), record);
    EXPECT_EQ(read.code, Code::kDataLoss);
    EXPECT_EQ(file_bytes(path), other);
  }
}

TEST(Journal, what_was_promised_to_be_on_the_disk_is_missed_when_it_is_not_there) {
  const TemporaryDirectory dir;
  {
    const auto journal = open_journal(dir / "j");
    append_record(*journal, "one");
    append_record(*journal, "two", Durability::kSynced);
  }
  fs::resize_file(dir / "j", fs::file_size(dir / "j") - 1);
  const auto journal = Journal::open(dir / "j", trials());
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code(), Code::kDataLoss);
  fs::remove(dir / "j.lock");  // who knew it
  EXPECT_EQ(append_record(*open_journal(dir / "j"), "other"), 1u);
}

// A journal as a loss of power may leave it: three records, the middle one never came to the disk.
std::string torn_by_power(std::uint32_t boot, std::uint64_t synced_of_third, std::uint32_t boot_of_third) {
  const std::uint64_t life = 99;
  std::string bytes = encode_journal_header({boot, life, 0, "test.trials"});
  append_journal_record(bytes, {.number = 0, .boot = boot}, "one", life, bytes.size());
  std::string two;
  append_journal_record(two, {.number = 1, .boot = boot}, std::string(5000, 'x'), life, bytes.size());
  const std::size_t third_at = bytes.size() + two.size();
  bytes += std::string(two.size(), '\0');
  append_journal_record(bytes, {.number = 2, .synced = synced_of_third, .boot = boot_of_third}, "three", life,
                        third_at);
  return bytes;
}

TEST(Journal, what_a_loss_of_power_tore_apart_is_cut_only_if_nobody_had_been_promised_it) {
  const TemporaryDirectory dir;
  const std::uint32_t before = boot_number() ^ 1, now = boot_number();
  ASSERT_NE(now, 0u);
  const auto opened = [&](const std::string& bytes) {
    write_file(dir / "j", bytes);
    fs::remove(dir / "j.lock");
    return Journal::open(dir / "j", trials());
  };
  const std::string torn = torn_by_power(before, 0, before);
  const auto journal = opened(torn);
  ASSERT_TRUE(journal) << journal.error().to_string();
  EXPECT_EQ((*journal)->stats().cut_bytes, torn.size() - kJournalHeaderBytes - 48);
  EXPECT_EQ(append_record(**journal, "next"), 1u);
  EXPECT_EQ(read_all_of(dir / "j").bodies, (Strings{"one", "next"}));
  // The third says that the second was on the disk.
  EXPECT_EQ(opened(torn_by_power(before, kJournalHeaderBytes + 48 + 1, before)).error().code(), Code::kDataLoss);
  // The machine has not been off since.
  EXPECT_EQ(opened(torn_by_power(before, 0, now)).error().code(), Code::kDataLoss);
  EXPECT_EQ(opened(torn_by_power(now, 0, now)).error().code(), Code::kDataLoss);
}

TEST(Journal, a_reader_follows_and_takes_what_is_half_written_for_the_end) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j");
  const auto reader = open_reader(dir / "j");
  EXPECT_TRUE(read_all_of(*reader).bodies.empty());
  append_record(*journal, "one");
  EXPECT_EQ(read_all_of(*reader).bodies, Strings{"one"});
  std::string half;  // as a death would leave it
  append_journal_record(half, {.number = 1, .boot = boot_number()}, "never",
                        parse_journal_header(file_bytes(dir / "j"))->life, fs::file_size(dir / "j"));
  std::ofstream(dir / "j", std::ios::binary | std::ios::app) << half.substr(0, half.size() - 1);
  EXPECT_TRUE(read_all_of(*reader).bodies.empty());
  EXPECT_TRUE(read_all_of(*reader).error.empty());
  append_record(*journal, "two");
  EXPECT_EQ(journal->stats().cut_bytes, half.size() - 1);
  EXPECT_EQ(read_all_of(*reader).bodies, Strings{"two"});
}

TEST(Journal, pens_of_one_process_take_turns) {
  const TemporaryDirectory dir;
  const auto a = open_journal(dir / "j"), b = open_journal(dir / "j");
  for (std::uint64_t i = 0; i < 20; i += 2) {
    EXPECT_EQ(append_record(*a, "a", Durability::kSynced), i);
    EXPECT_EQ(append_record(*b, "b", Durability::kSynced), i + 1);
  }
  EXPECT_EQ(read_all_of(dir / "j").bodies.size(), 20u);
}

TEST(Journal, one_sync_serves_all_threads_that_wait_for_one) {
  const TemporaryDirectory dir;
  DiskEnv disk;
  disk.sync_takes_ns = 5'000'000;
  const auto journal = open_journal(dir / "j", trials(&disk));
  constexpr int kThreads = 8, kEach = 25;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&journal, t] {
      for (int i = 0; i < kEach; ++i) append_record(*journal, fmt::format("{} {}", t, i), Durability::kSynced);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<int, int> next;
  for (const std::string& body : read_all_of(dir / "j").bodies) {
    const int t = std::stoi(body), i = std::stoi(body.substr(body.find(' ')));
    EXPECT_EQ(next[t]++, i);
  }
  for (int t = 0; t < kThreads; ++t) EXPECT_EQ(next[t], kEach);
  EXPECT_EQ(journal->stats().records, std::uint64_t{kThreads * kEach});
  EXPECT_LE(journal->stats().syncs, std::uint64_t{kThreads * kEach / 2});
}

TEST(Journal, a_rewrite_replaces_all_at_once_and_readers_and_other_pens_notice) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j"), other = open_journal(dir / "j");
  const auto reader = open_reader(dir / "j");
  for (const char* body : {"1", "2", "3"}) append_record(*journal, body);
  EXPECT_EQ(read_all_of(*reader).bodies.size(), 3u);
  append_record(*other, "4");
  ASSERT_TRUE(journal->rewrite([&](const Journal::Emit& emit) -> base::Status {
    EXPECT_EQ(journal->append("x", 0, Durability::kWritten).error().code(), Code::kFailedPrecondition);
    const AllRead before = read_all_of(dir / "j");
    EXPECT_EQ(before.bodies.size(), 4u);
    return emit("all of " + std::to_string(before.bodies.size()), 9);
  }));
  EXPECT_EQ(append_record(*other, "5", Durability::kSynced), 5u);
  EXPECT_EQ(append_record(*journal, "6"), 6u);
  const AllRead old = [&] {
    const auto batch = reader->read();  // what it had not seen of the old file
    return AllRead{.bodies = {batch->records.at(0).body}, .restarted = batch->restarted};
  }();
  EXPECT_EQ(old.bodies, Strings{"4"});
  EXPECT_FALSE(old.restarted);
  const AllRead fresh = read_all_of(*reader);
  EXPECT_TRUE(fresh.restarted);
  EXPECT_EQ(fresh.bodies, (Strings{"all of 4", "5", "6"}));
  EXPECT_EQ(fresh.numbers, (Numbers{4, 5, 6}));
  EXPECT_FALSE(read_all_of(*reader).restarted);
}

TEST(Journal, a_rewrite_that_fails_leaves_everything_as_it_was) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j");
  append_record(*journal, "1");
  const std::string before = file_bytes(dir / "j");
  const auto failed = journal->rewrite([&](const Journal::Emit& emit) -> base::Status {
    DAYBREAK_TRY(emit("other", 0));
    return base::fail(Code::kCancelled, "no");
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kCancelled);
  EXPECT_EQ(file_bytes(dir / "j"), before);
  EXPECT_FALSE(fs::exists(dir / "j.new"));
  EXPECT_EQ(append_record(*journal, "2"), 1u);
}

TEST(Journal, a_full_disk_refuses_a_record_whole_and_takes_it_when_there_is_room) {
  const TemporaryDirectory dir;
  DiskEnv disk;
  const auto journal = open_journal(dir / "j", trials(&disk));
  append_record(*journal, "1");
  for (std::size_t room : {0u, 10u, 40u, 50u}) {
    disk.free_bytes = room;
    const auto refused = journal->append("some more bytes", 0, Durability::kSynced);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
    EXPECT_EQ(read_all_of(dir / "j").bodies, Strings{"1"});
  }
  // Of several records that were buffered those that came whole stay, and the others are written once there is room.
  append_record(*journal, "2", Durability::kBuffered);
  append_record(*journal, "3", Durability::kBuffered);
  disk.free_bytes = 60;
  EXPECT_FALSE(journal->append("4", 0, Durability::kWritten));
  EXPECT_EQ(read_all_of(dir / "j").bodies, (Strings{"1", "2"}));
  disk.free_bytes = SIZE_MAX;
  EXPECT_EQ(append_record(*journal, "5"), 3u);
  EXPECT_EQ(read_all_of(dir / "j").bodies, (Strings{"1", "2", "3", "5"}));
}

TEST(Journal, after_a_sync_that_failed_a_pen_writes_nothing_more) {
  const TemporaryDirectory dir;
  DiskEnv disk;
  const auto journal = open_journal(dir / "j", trials(&disk));
  disk.sync_fails = true;
  EXPECT_EQ(journal->append("1", 0, Durability::kSynced).error().code(), Code::kUnknown);
  disk.sync_fails = false;
  EXPECT_EQ(journal->append("2", 0, Durability::kWritten).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(append_record(*open_journal(dir / "j"), "3", Durability::kSynced), 1u);
}

TEST(Journal, a_name_that_is_not_on_the_disk_is_synced_by_whoever_opens_the_file) {
  const TemporaryDirectory dir;
  open_journal(dir / "j");
  DiskEnv disk;
  disk.directory_sync_fails = true;
  EXPECT_EQ(Journal::open(dir / "j", trials(&disk)).error().code(), Code::kUnknown);
  disk.directory_sync_fails = false;
  const auto journal = open_journal(dir / "j", trials(&disk));
  ASSERT_TRUE(open_journal(dir / "j")->rewrite([](const Journal::Emit& emit) { return emit("all", 0); }));
  disk.directory_sync_fails = true;
  EXPECT_EQ(journal->append("1", 0, Durability::kWritten).error().code(), Code::kUnknown);
  disk.directory_sync_fails = false;
  EXPECT_EQ(append_record(*journal, "2"), 1u);
}

TEST(Journal, a_tail_that_a_sync_had_counted_does_not_make_the_next_record_seem_synced) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j");
  append_record(*journal, "1", Durability::kSynced);
  const std::uint64_t end = fs::file_size(dir / "j");
  std::string half;
  append_journal_record(half, {.number = 1, .boot = boot_number()}, std::string(500, 'x'),
                        parse_journal_header(file_bytes(dir / "j"))->life, end);
  std::ofstream(dir / "j", std::ios::binary | std::ios::app) << half.substr(0, 400);
  const auto locks = JournalLocks::open(dir / "j.lock", JournalLocks::Mode::kExclusive);
  ASSERT_TRUE(locks);
  SyncedWords words = *(*locks)->words();
  EXPECT_EQ(words.whole, end);
  words.synced = end + 400;
  ASSERT_TRUE((*locks)->set_words(words));
  const std::uint64_t syncs = journal->stats().syncs;
  append_record(*journal, "2", Durability::kSynced);
  EXPECT_EQ(journal->stats().syncs, syncs + 1);
}

TEST(Journal, an_older_copy_beside_a_newer_lock_file_promises_nothing_that_it_does_not_do) {
  const TemporaryDirectory dir;
  {
    const auto journal = open_journal(dir / "j");
    append_record(*journal, "1", Durability::kSynced);
    fs::copy_file(dir / "j", dir / "copy");
    append_record(*journal, std::string(1000, 'x'), Durability::kSynced);
  }
  fs::rename(dir / "copy", dir / "j");
  const auto journal = open_journal(dir / "j");
  append_record(*journal, "2", Durability::kSynced);
  EXPECT_EQ(journal->stats().syncs, 1u);
}

TEST(Journal, a_lock_that_is_held_too_long_or_was_removed_is_an_error) {
  const TemporaryDirectory dir;
  JournalOptions options = trials();
  options.lock_timeout_ns = 20'000'000;
  const auto journal = open_journal(dir / "j", options);
  {
    const auto locks = JournalLocks::open(dir / "j.lock", JournalLocks::Mode::kExclusive);
    const auto held =
        HeldLock::acquire(**locks, JournalLocks::Lock::kAppend, JournalLocks::Mode::kExclusive, 0, base::Env::real());
    ASSERT_TRUE(held);
    const auto refused = journal->append("1", 0, Durability::kWritten);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  }
  EXPECT_EQ(append_record(*journal, "1"), 0u);
  fs::remove(dir / "j.lock");
  EXPECT_EQ(journal->append("2", 0, Durability::kWritten).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(append_record(*open_journal(dir / "j"), "2"), 1u);
}

TEST(Journal, a_link_is_followed_and_stays_and_a_journal_that_was_removed_is_missed) {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "there");
  fs::create_symlink(dir / "there/j", dir / "link");
  const auto journal = open_journal(dir / "link");
  append_record(*journal, "1");
  ASSERT_TRUE(journal->rewrite([](const Journal::Emit& emit) { return emit("all", 0); }));
  EXPECT_TRUE(fs::is_symlink(dir / "link"));
  EXPECT_EQ(read_all_of(dir / "there/j").bodies, Strings{"all"});
  fs::remove(dir / "there/j");
  EXPECT_EQ(journal->append("2", 0, Durability::kWritten).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daybreak::store
