// Readers of runs that are written, or whose writers died: what they read, and how much work it is.
#include <sys/wait.h>
#include <unistd.h>

#include "daybreak/track/log/files.h"
#include "daybreak/track/tests/log_fixture.h"

namespace daybreak::track {
namespace {

class LiveRun : public RunLog {
 protected:
  // Series s<i>, each with so many points, in turns.
  void fill(Writer& w, int series, std::int64_t points) {
    std::vector<std::uint32_t> ids;
    for (int i = 0; i < series; ++i) ids.push_back(w.series(fmt::format("s{}", i)).value());
    for (std::int64_t step = 0; step < points; ++step) {
      for (int i = 0; i < series; ++i) ASSERT_TRUE(w.log(ids[static_cast<std::size_t>(i)], step, value(i, step)));
    }
  }
  static double value(int series, std::int64_t step) { return series * 1e6 + static_cast<double>(step); }
  std::shared_ptr<Writer> large_writer() {
    WriterOptions large = options();
    large.first_blocks = large.max_blocks = 64;
    return writer(large);
  }
  template <typename Body>
  static std::uint64_t bytes_of(Body body) {
    const std::uint64_t before = read_work().bytes;
    body();
    return read_work().bytes - before;
  }
};

TEST_F(LiveRun, opening_reads_each_log_once_and_all_series_together_once_more_however_many_they_are) {
  for (const int series : {4, 400}) {
    run_ = RunId::make();
    const auto w = large_writer();
    fill(*w, series, 40'000 / series);
    const std::uint64_t log_bytes = std::filesystem::file_size(files(".log").front());
    std::optional<RunReader> read;
    EXPECT_LE(bytes_of([&] { read = reader(); }), log_bytes + log_bytes / 8);
    EXPECT_EQ(bytes_of([&] { EXPECT_EQ(read->state().metrics.size(), static_cast<std::size_t>(series)); }), 0u);
    EXPECT_LE(bytes_of([&] {
                for (int i = 0; i < series; ++i) {
                  const auto samples = all(*read, fmt::format("s{}", i));
                  ASSERT_EQ(samples.size(), static_cast<std::size_t>(40'000 / series));
                  EXPECT_EQ(samples.back().value, value(i, 40'000 / series - 1));
                  EXPECT_EQ(read->preview({fmt::format("s{}", i), ""}, 10)->size(), 10u);
                }
              }),
              log_bytes)
        << series;
  }
}

TEST_F(LiveRun, work_grows_with_the_number_of_segments_and_not_with_its_square) {
  std::vector<double> names, bytes;
  for (const int writers : {20, 80}) {
    run_ = RunId::make();
    const pid_t child = ::fork();
    if (child == 0) {  // dies with all its pens open
      WriterOptions small = options();
      small.first_blocks = small.max_blocks = 2;
      std::vector<std::shared_ptr<Writer>> open;
      for (int i = 0; i < writers; ++i) {
        open.push_back(Writer::open(small).value());
        if (!open.back()->log(open.back()->series("x").value(), i, i)) ::_exit(1);
      }
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_EQ(status, 0);
    const std::uint64_t names_before = read_work().names, bytes_before = read_work().bytes;
    EXPECT_EQ(all(reader(), "x").size(), static_cast<std::size_t>(writers));
    EXPECT_EQ(recover(root_, run_).value(), static_cast<std::size_t>(writers));
    EXPECT_EQ(all(reader(), "x").size(), static_cast<std::size_t>(writers));
    names.push_back(static_cast<double>(read_work().names - names_before));
    bytes.push_back(static_cast<double>(read_work().bytes - bytes_before));
  }
  EXPECT_LE(names[1], 4.5 * names[0]);
  EXPECT_LE(bytes[1], 4.5 * bytes[0]);
}

// More logs than a snapshot holds open, whose files then become columns and go.
TEST_F(LiveRun, a_snapshot_is_that_of_its_moment_though_the_run_goes_on_and_its_logs_go) {
  WriterOptions small = options();
  small.first_blocks = small.max_blocks = 2;
  std::vector<std::shared_ptr<Writer>> open;
  constexpr int kWriters = 70;
  for (int i = 0; i < kWriters; ++i) {
    open.push_back(writer(small));
    ASSERT_TRUE(open.back()->log(open.back()->series("x").value(), i, i));
  }
  const RunReader early = reader();
  for (const auto& w : open) {
    for (std::int64_t step = 1000; step < 5000; ++step) ASSERT_TRUE(w->log(w->series("x").value(), step, 0.5));
    w->tick();
  }
  for (const auto& w : open) ASSERT_TRUE(w->close());
  const auto samples = all(early, "x");
  ASSERT_EQ(samples.size(), static_cast<std::size_t>(kWriters));
  for (int i = 0; i < kWriters; ++i) EXPECT_EQ(samples[static_cast<std::size_t>(i)].step, i);
  EXPECT_EQ(early.state().metrics.at(0).summary.count, static_cast<std::uint64_t>(kWriters));
  EXPECT_EQ(all(reader(), "x").size(), static_cast<std::size_t>(kWriters * 4001));
}

TEST_F(LiveRun, a_range_of_steps_and_steps_out_of_order_are_those_of_the_columns_that_come_of_them) {
  const auto w = large_writer();
  const auto x = w->series("x").value(), y = w->series("y").value();
  for (std::int64_t i = 0; i < 9000; ++i) {
    ASSERT_TRUE(w->log(x, (i * 7919) % 9000, static_cast<double>(i % 13)));
    ASSERT_TRUE(w->log(y, 4500, static_cast<double>(i)));
  }
  const auto range = [](const RunReader& read, std::int64_t first, std::int64_t last) {
    auto series = read.read({"x", ""}, first, last);
    std::vector<Sample> samples;
    while (series.next(1000, samples).value()) {
    }
    return samples;
  };
  const auto same = [](const std::vector<Sample>& a, const std::vector<Sample>& b) {
    return std::ranges::equal(a, b, [](const Sample& one, const Sample& other) {
      return one.step == other.step && one.time_ns == other.time_ns && one.value == other.value;
    });
  };
  const RunReader live = reader();
  const auto before = range(live, 100, 199), all_y = all(live, "y");
  EXPECT_EQ(before.size(), 100u);
  EXPECT_TRUE(range(live, 9000, INT64_MAX).empty());
  ASSERT_TRUE(w->close());
  const RunReader closed = reader();
  EXPECT_TRUE(same(before, range(closed, 100, 199)));
  EXPECT_TRUE(same(all_y, all(closed, "y")));
  for (std::size_t i = 0; i < 2; ++i) {
    const Summary &one = live.state().metrics[i].summary, &other = closed.state().metrics[i].summary;
    EXPECT_EQ(one.count, other.count);
    EXPECT_EQ(std::tuple(one.min, one.min_step, one.max, one.max_step, one.first_step),
              std::tuple(other.min, other.min_step, other.max, other.max_step, other.first_step));
    EXPECT_EQ(std::tuple(one.last.step, one.last.time_ns, one.last.value),
              std::tuple(other.last.step, other.last.time_ns, other.last.value));
  }
}

TEST_F(LiveRun, points_that_are_altered_behind_a_snapshot_are_an_error_and_not_other_points) {
  const auto w = large_writer();
  fill(*w, 1, 5000);
  const RunReader read = reader();
  {
    std::fstream file(files(".log").front(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(kSegmentHeaderBytes + kBlockBytes + kLogBlockHeaderBytes + 8));
    file.put('?');
  }
  std::vector<Sample> samples;
  auto series = read.read({"s0", ""});
  const auto more = series.next(100, samples);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code(), base::Code::kDataLoss);
  EXPECT_NE(more.error().message().find("have changed"), std::string::npos);
  EXPECT_FALSE(read.preview({"s0", ""}, 10));
}

}  // namespace
}  // namespace daybreak::track
