// Large values that come to lie where nothing has been written before.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "daybreak/os/fd.h"
#include "daybreak/runtime/client.h"

namespace daybreak::runtime {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

class Fresh : public testing::Test {
 protected:
  std::vector<std::uint64_t> numbers(std::uint64_t bytes) {
    std::vector<std::uint64_t> all(bytes / 8);
    std::iota(all.begin(), all.end(), 1);
    return all;
  }
  std::uint64_t committed() { return segment_->control().committed.load(); }
  // Whether the object holds a word, a gap to the next 64 bytes, and the numbers.
  void expect_value(Ref ref, std::uint64_t head, const std::vector<std::uint64_t>& all) {
    const auto value = process_.value(ref.index);
    ASSERT_EQ(value.size(), 64 + all.size() * 8);
    EXPECT_EQ(std::memcmp(value.data(), &head, 8), 0);
    for (std::size_t i = 8; i < 64; ++i) EXPECT_EQ(value[i], std::byte(0)) << i;
    EXPECT_EQ(std::memcmp(value.data() + 64, all.data(), all.size() * 8), 0);
  }
  base::Result<Ref> put(const std::uint64_t& head, const std::vector<std::uint64_t>& all) {
    Payload payload;
    payload.pieces = {{&head, 8, 1}, {all.data(), all.size() * 8, 64}};
    return client_.put(payload);
  }

  std::unique_ptr<Segment> segment_ = Segment::create({.data_capacity = 256 * kMiB, .num_cpus = 1}).value();
  Process process_{*segment_, kDriverProc};
  Client client_{process_};
};

TEST_F(Fresh, they_come_back_as_they_are_and_the_memory_behind_them_is_backed) {
  for (const std::uint64_t bytes : {16 * kMiB, 33 * kMiB + 8, 70 * kMiB}) {
    const std::uint64_t before = committed();
    const auto all = numbers(bytes);
    const Ref ref = put(bytes, all).value();
    expect_value(ref, bytes, all);
    EXPECT_GE(committed(), before + bytes) << bytes;
    // The next ones, small and in what was backed along, do not fail.
    const Ref small = put(1, numbers(kMiB)).value();
    expect_value(small, 1, numbers(kMiB));
  }
}

TEST_F(Fresh, memory_that_was_used_is_used_again) {
  const auto first = numbers(20 * kMiB);
  process_.release(put(7, first).value());
  const std::uint64_t before = committed();
  const auto second = numbers(18 * kMiB);
  const Ref ref = put(8, second).value();
  expect_value(ref, 8, second);
  EXPECT_EQ(committed(), before);
}

TEST_F(Fresh, one_that_cannot_be_written_leaves_nothing_taken) {
  const auto all = numbers(20 * kMiB);
  const std::uint64_t used = process_.bytes_used(), before = committed();
  // No file may grow beyond what half of it needs.
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit low{.rlim_cur = before + 10 * kMiB, .rlim_max = limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  const auto failed = put(3, all);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().to_string().find("write the object store"), std::string::npos) << failed.error().to_string();
  EXPECT_EQ(process_.bytes_used(), used);
  EXPECT_EQ(committed(), before);
  expect_value(put(3, all).value(), 3, all);
}

}  // namespace
}  // namespace daybreak::runtime
