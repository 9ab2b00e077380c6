// Journals that several processes write, and processes that are killed while they do.
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "daybreak/base/failpoint.h"
#include "daybreak/store/tests/failing_power.h"
#include "daybreak/store/tests/journal_fixture.h"

namespace daybreak::store {
namespace {

using base::Code;
using Strings = std::vector<std::string>;

// A child that runs `body` and may say something on the way: what it said, and how it ended.
class Child {
 public:
  using Say = std::function<void(std::string_view line)>;
  explicit Child(const std::function<void(const Say& say)>& body) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      const Say say = [&](std::string_view line) {
        const std::string text = std::string(line) + "\n";
        if (::write(ends[1], text.data(), text.size()) < 0) ::_exit(3);
      };
      try {
        body(say);
      } catch (const std::exception& error) {
        say(std::string("error: ") + error.what());
        ::_exit(2);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    said_ = ends[0];
  }
  ~Child() {
    if (said_ < 0) return;
    ::kill(pid_, SIGKILL);
    end();
  }
  Child(const Child&) = delete;

  pid_t pid() const { return pid_; }
  // Its wait status; `lines` is what it has said.
  int end() {
    std::string text(1 << 16, '\0');
    std::string all;
    while (true) {
      const ssize_t got = ::read(said_, text.data(), text.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      all.append(text.data(), static_cast<std::size_t>(got));
    }
    ::close(std::exchange(said_, -1));
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t line_end = all.find('\n', at);
      lines.push_back(all.substr(at, line_end - at));
      at = line_end == std::string::npos ? all.size() : line_end + 1;
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return status;
  }
  std::string line() {  // waits for the next one
    std::string text;
    char c = 0;
    while (::read(said_, &c, 1) == 1 && c != '\n') text += c;
    return text;
  }

  Strings lines;

 private:
  pid_t pid_ = 0;
  int said_ = -1;
};

bool was_killed(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
bool ended_well(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(JournalProcesses, eight_write_at_once_and_each_record_is_there_once_in_its_writers_order_with_few_syncs) {
  const TemporaryDirectory dir;
  constexpr int kWriters = 8, kEach = 50;
  std::vector<std::unique_ptr<Child>> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.push_back(std::make_unique<Child>([&](const Child::Say& say) {
      DiskEnv disk;
      disk.sync_takes_ns = 5'000'000;  // as a disk's; the temporary folder may be memory
      const auto journal = open_journal(dir / "j", trials(&disk));
      std::uint64_t last = 0;
      for (int i = 0; i < kEach; ++i) {
        const std::uint64_t number = append_record(*journal, fmt::format("{} {}", w, i), Durability::kSynced);
        if (i > 0 && number <= last) throw std::runtime_error("numbers do not ascend");
        last = number;
      }
      say(std::to_string(journal->stats().syncs));
    }));
  }
  // A reader beside them sees every record once, and in the end all.
  while (!fs::exists(dir / "j")) ::usleep(1000);
  const auto reader = open_reader(dir / "j");
  std::map<int, int> next;
  std::uint64_t number = 0;
  const std::int64_t deadline = base::Env::real().monotonic_ns() + 120'000'000'000;
  while (number < kWriters * kEach && base::Env::real().monotonic_ns() < deadline) {
    const AllRead read = read_all_of(*reader);
    ASSERT_EQ(read.error, "");
    for (std::size_t i = 0; i < read.bodies.size(); ++i) {
      ASSERT_EQ(read.numbers[i], number++);
      const std::string& body = read.bodies[i];
      ASSERT_EQ(std::stoi(body.substr(body.find(' '))), next[std::stoi(body)]++);
    }
    ::usleep(500);
  }
  EXPECT_EQ(number, std::uint64_t{kWriters * kEach});
  std::uint64_t syncs = 0;
  for (const auto& writer : writers) {
    EXPECT_TRUE(ended_well(writer->end())) << ::testing::PrintToString(writer->lines);
    ASSERT_EQ(writer->lines.size(), 1u);
    syncs += std::stoull(writer->lines[0]);
  }
  // Eight wait for each but the first: an eighth, were there no start and no end.
  EXPECT_LE(syncs, std::uint64_t{kWriters * kEach / 3});
  EXPECT_GT(syncs, 0u);
  EXPECT_EQ(read_all_of(dir / "j").bodies.size(), std::size_t{kWriters * kEach});
}

TEST(JournalProcesses, pens_that_write_while_others_rewrite_lose_nothing) {
  const TemporaryDirectory dir;
  constexpr int kWriters = 3, kEach = 60, kRewriters = 2;
  std::vector<std::unique_ptr<Child>> children;
  for (int w = 0; w < kWriters + kRewriters; ++w) {
    children.push_back(std::make_unique<Child>([&](const Child::Say&) {
      const auto journal = open_journal(dir / "j");
      for (int i = 0; i < kEach; ++i) {
        if (w < kWriters) {
          append_record(*journal, fmt::format("{} {}", w, i), i % 3 == 0 ? Durability::kSynced : Durability::kWritten);
        } else if (i % 4 == 0) {
          const auto all = journal->rewrite([&](const Journal::Emit& emit) -> base::Status {
            for (const std::string& body : read_all_of(dir / "j").bodies) DAYBREAK_TRY(emit(body, 1));
            return {};
          });
          if (!all) throw std::runtime_error(all.error().to_string());
        }
      }
    }));
  }
  while (!fs::exists(dir / "j")) ::usleep(1000);
  const auto reader = open_reader(dir / "j");
  Strings seen;
  const auto take = [&] {
    const AllRead read = read_all_of(*reader);
    EXPECT_EQ(read.error, "");
    if (read.restarted) seen.clear();
    seen.insert(seen.end(), read.bodies.begin(), read.bodies.end());
  };
  for (const auto& child : children) {
    take();
    EXPECT_TRUE(ended_well(child->end())) << ::testing::PrintToString(child->lines);
  }
  const AllRead all = read_all_of(dir / "j");
  EXPECT_EQ(all.bodies.size(), std::size_t{kWriters * kEach});
  std::map<int, int> next;
  for (const std::string& body : all.bodies) EXPECT_EQ(std::stoi(body.substr(body.find(' '))), next[std::stoi(body)]++);
}

// What a child does that is killed at one of its steps, and says when it is done: every kind of append, and a rewrite.
void write_everything(const std::string& path, const Child::Say& say) {
  const auto journal = open_journal(path);
  const auto promise = [&](const char* body, Durability durability) {
    append_record(*journal, body, durability);
    say(body);
  };
  promise("a", Durability::kWritten);
  promise("b", Durability::kSynced);
  append_record(*journal, "c", Durability::kBuffered);
  promise("d", Durability::kSynced);
  const auto rewritten = journal->rewrite([&](const Journal::Emit& emit) -> base::Status {
    for (const std::string& body : read_all_of(path).bodies) DAYBREAK_TRY(emit(body, 0));
    return {};
  });
  if (!rewritten) throw std::runtime_error(rewritten.error().to_string());
  promise("e", Durability::kSynced);
  promise("f", Durability::kWritten);
}

TEST(JournalProcesses, one_that_is_killed_at_any_step_takes_nothing_promised_and_others_go_on) {
  int killed = 0;
  for (std::uint64_t step = 1;; ++step) {
    SCOPED_TRACE(fmt::format("step {}", step));
    const TemporaryDirectory dir;
    open_journal(dir / "j");
    std::ofstream(dir / "j", std::ios::binary | std::ios::app) << "DBJR, and then death";  // which the first one cuts
    Child victim([&](const Child::Say& say) {
      base::failpoint::arm("journal.", step);
      write_everything(dir / "j", say);
    });
    Child other([&](const Child::Say&) {
      const auto journal = open_journal(dir / "j");
      for (int i = 0; i < 10; ++i) append_record(*journal, fmt::format("other {}", i), Durability::kSynced);
    });
    const int status = victim.end();
    EXPECT_TRUE(ended_well(other.end())) << ::testing::PrintToString(other.lines);
    ASSERT_TRUE(was_killed(status) || ended_well(status)) << ::testing::PrintToString(victim.lines);
    const auto journal = open_journal(dir / "j");
    append_record(*journal, "next");
    Strings bodies = read_all_of(dir / "j").bodies;
    const auto others =
        std::ranges::count_if(bodies, [](const std::string& body) { return body.starts_with("other"); });
    EXPECT_EQ(others, 10);
    std::erase_if(bodies, [](const std::string& body) { return body.starts_with("other"); });
    ASSERT_FALSE(bodies.empty());
    EXPECT_EQ(bodies.back(), "next");
    bodies.pop_back();
    const Strings all = {"a", "b", "c", "d", "e", "f"};
    ASSERT_LE(bodies.size(), all.size());
    EXPECT_TRUE(std::equal(bodies.begin(), bodies.end(), all.begin())) << ::testing::PrintToString(bodies);
    for (const std::string& promised : victim.lines) {
      EXPECT_NE(std::ranges::find(bodies, promised), bodies.end()) << promised;
    }
    EXPECT_FALSE(fs::exists(dir / "j.new") && !was_killed(status));
    if (ended_well(status)) break;
    ++killed;
  }
  EXPECT_GE(killed, 20);
}

TEST(JournalProcesses, one_that_is_killed_while_it_makes_the_journal_leaves_none_or_an_empty_one) {
  for (std::uint64_t step = 1;; ++step) {
    SCOPED_TRACE(fmt::format("step {}", step));
    const TemporaryDirectory dir;
    Child victim([&](const Child::Say&) {
      base::failpoint::arm("journal.", step);
      open_journal(dir / "j");
    });
    const int status = victim.end();
    EXPECT_EQ(append_record(*open_journal(dir / "j"), "first"), 0u);
    EXPECT_EQ(read_all_of(dir / "j").bodies, Strings{"first"});
    if (ended_well(status)) break;
    ASSERT_LT(step, 20u);
  }
}

TEST(JournalProcesses, the_lock_of_a_dead_one_is_free_though_a_child_of_it_lives) {
  const TemporaryDirectory dir;
  open_journal(dir / "j");
  Child victim([&](const Child::Say& say) {
    const auto journal = open_journal(dir / "j");
    const pid_t child = ::fork();
    if (child == 0) {
      while (true) ::pause();
    }
    say(std::to_string(child));
    base::failpoint::arm("journal.locked", 1);
    append_record(*journal, "never");
  });
  const pid_t grandchild = std::stoi(victim.line());
  int status = 0;
  ::waitpid(victim.pid(), &status, 0);
  EXPECT_TRUE(was_killed(status));
  JournalOptions options = trials();
  options.lock_timeout_ns = 1'000'000'000;
  const auto journal = Journal::open(dir / "j", options);
  EXPECT_TRUE(journal) << journal.error().to_string();
  ::kill(grandchild, SIGKILL);
}

TEST(JournalProcesses, a_forked_child_opens_the_journal_again) {
  const TemporaryDirectory dir;
  const auto journal = open_journal(dir / "j");
  append_record(*journal, "buffered", Durability::kBuffered);
  Child child([&](const Child::Say& say) {
    say(std::to_string(static_cast<int>(journal->append("x", 0, Durability::kWritten).error().code())));
    say(std::to_string(static_cast<int>(journal->flush().error().code())));
    append_record(*open_journal(dir / "j"), "child");
  });
  EXPECT_TRUE(ended_well(child.end())) << ::testing::PrintToString(child.lines);
  const std::string refused = std::to_string(static_cast<int>(Code::kFailedPrecondition));
  EXPECT_EQ(child.lines, (Strings{refused, refused}));
  ASSERT_TRUE(journal->close());
  EXPECT_EQ(read_all_of(dir / "j").bodies, (Strings{"child", "buffered"}));
}

TEST(JournalPowerFails, at_every_step_what_was_synced_is_there) {
  int steps = 1;
  for (bool done = false; !done; ++steps) {
    SCOPED_TRACE(fmt::format("step {}", steps));
    const TemporaryDirectory dir;
    Child child([&](const Child::Say& say) {
      FailingPower power(steps);
      const auto journal = open_journal(dir / "j", trials(&power));
      const auto append_all = [&](std::string_view bodies) {
        for (const char body : bodies) {
          const bool synced = body % 2 == 0;
          append_record(*journal, std::string(1, body), synced ? Durability::kSynced : Durability::kWritten);
          if (synced) say(std::string(1, body));
        }
      };
      append_all("abcdefg");
      const auto rewritten = journal->rewrite([&](const Journal::Emit& emit) -> base::Status {
        for (const std::string& body : read_all_of(dir / "j").bodies) DAYBREAK_TRY(emit(body, 0));
        return {};
      });
      if (!rewritten) throw std::runtime_error(rewritten.error().to_string());
      say("g");
      append_all("hij");
    });
    const int status = child.end();
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2) << ::testing::PrintToString(child.lines);
    done = WEXITSTATUS(status) == 0;
    const auto journal = open_journal(dir / "j");
    append_record(*journal, "next");
    std::string bodies;
    for (const std::string& body : read_all_of(dir / "j").bodies) bodies += body;
    ASSERT_TRUE(bodies.ends_with("next"));
    bodies.resize(bodies.size() - 4);
    EXPECT_TRUE(std::string_view("abcdefghij").starts_with(bodies)) << bodies;
    for (const std::string& promised : child.lines) EXPECT_NE(bodies.find(promised), std::string::npos) << promised;
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_GT(steps, 20);
}

}  // namespace
}  // namespace daybreak::store
