#include "daybreak/base/machine.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "daybreak/base/temp_dir.h"

namespace daybreak::base {
namespace {

class MachineTest : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path whole(root_ + path);
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }

  const TempDir directory_ = TempDir::create().value();
  const std::string root_ = directory_.path();
};

constexpr std::uint64_t kMiB = 1u << 20;

TEST_F(MachineTest, without_control_groups_it_is_the_machine) {
  const Machine machine = this_machine(root_);
  EXPECT_GE(machine.cores, 1u);
  EXPECT_GT(machine.memory_bytes, 64 * kMiB);
  EXPECT_EQ(machine.memory_limit_file, "");
}

TEST_F(MachineTest, affinity_counts) {
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  std::thread([&] {  // the mask is a thread's
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
      if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(this_machine(root_).cores, 1u);
  })
      .join();
}

TEST_F(MachineTest, limits_of_version_2_count_wherever_they_are_on_the_way_up) {
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  write("/sys/fs/cgroup/a/b/memory.max", "67108864\n");
  write("/sys/fs/cgroup/a/memory.max", "max\n");
  const Machine machine = this_machine(root_);
  EXPECT_EQ(machine.cores, 1u);
  EXPECT_EQ(machine.memory_bytes, 64 * kMiB);
  EXPECT_EQ(machine.memory_limit_file, root_ + "/sys/fs/cgroup/a/b/memory.max");
}

TEST_F(MachineTest, a_container_that_shows_the_hosts_path_has_its_limits_at_the_mount) {
  write("/proc/self/cgroup", "0::/docker/0123\n");
  write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  write("/sys/fs/cgroup/memory.max", "33554432\n");
  const Machine machine = this_machine(root_);
  EXPECT_EQ(machine.cores, 1u);  // half a CPU is one that is often stopped
  EXPECT_EQ(machine.memory_bytes, 32 * kMiB);
}

TEST_F(MachineTest, limits_of_version_1_count) {
  write("/proc/self/cgroup", "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/x\n0::/\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "100000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "67108864\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const Machine machine = this_machine(root_);
  EXPECT_EQ(machine.cores, 1u);
  EXPECT_EQ(machine.memory_bytes, 64 * kMiB);
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(this_machine(root_).cores, this_machine(root_ + "/nothing").cores);
}

// Reports of Ray's users: #10809, #27958 (no quota, shares alone), #21688 (a part of a CPU is one).
TEST_F(MachineTest, shares_are_no_limit_and_a_part_of_a_cpu_is_one) {
  const std::uint32_t all = this_machine(root_).cores;
  write("/proc/self/cgroup", "8:cpu,cpuacct:/\n6:memory:/\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpu/cpu.shares", "2\n");
  EXPECT_EQ(this_machine(root_).cores, all);
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "10000\n");
  EXPECT_EQ(this_machine(root_).cores, 1u);
}

TEST_F(MachineTest, files_that_cannot_be_read_are_no_limits) {
  write("/proc/self/cgroup", "what\n0::\n::\n");
  EXPECT_EQ(this_machine(root_).memory_limit_file, "");
  write("/proc/self/cgroup", "0::/a\n");
  write("/sys/fs/cgroup/a/cpu.max", "\n");
  write("/sys/fs/cgroup/a/memory.max", "lots\n");
  EXPECT_EQ(this_machine(root_).memory_limit_file, "");
}

constexpr char kHalfInUse[] = "MemTotal:        2048 kB\nMemFree:   12 kB\nMemAvailable:    1024 kB\n";

TEST_F(MachineTest, without_a_limit_the_use_of_memory_is_the_machines) {
  write("/proc/meminfo", kHalfInUse);
  const auto use = memory_use(root_);
  ASSERT_TRUE(use);
  EXPECT_EQ(use->used_bytes, kMiB);
  EXPECT_EQ(use->total_bytes, 2 * kMiB);
  EXPECT_EQ(use->limit_file, "");
}

TEST_F(MachineTest, of_version_2_the_fullest_group_on_the_way_up_counts_without_its_cached_files) {
  write("/proc/meminfo", kHalfInUse);
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/sys/fs/cgroup/a/b/memory.max", "1000000\n");
  write("/sys/fs/cgroup/a/b/memory.current", "900000\n");
  write("/sys/fs/cgroup/a/b/memory.stat", "anon 1\nfile 2\ninactive_file 600000\n");
  write("/sys/fs/cgroup/a/memory.max", "2000000\n");
  write("/sys/fs/cgroup/a/memory.current", "1900000\n");
  auto use = memory_use(root_);
  ASSERT_TRUE(use);
  EXPECT_EQ(use->used_bytes, 1'900'000u);
  EXPECT_EQ(use->total_bytes, 2'000'000u);
  EXPECT_EQ(use->limit_file, root_ + "/sys/fs/cgroup/a/memory.max");
  write("/sys/fs/cgroup/a/memory.max", "max\n");  // and the other is at 30%, below the machine's 50%
  EXPECT_EQ(memory_use(root_)->limit_file, "");
  write("/sys/fs/cgroup/a/b/memory.stat", "anon 1\nfile 2\ninactive_file 1\n");
  use = memory_use(root_);
  EXPECT_EQ(use->used_bytes, 899'999u);
  EXPECT_EQ(use->total_bytes, 1'000'000u);
}

TEST_F(MachineTest, of_version_1_the_use_is_the_groups_with_those_below_it) {
  write("/proc/meminfo", kHalfInUse);
  write("/proc/self/cgroup", "5:memory:/job\n0::/\n");
  write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000000\n");
  write("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "990000\n");
  write("/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 5\ntotal_inactive_file 90000\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1990000\n");
  const auto use = memory_use(root_);
  ASSERT_TRUE(use);
  EXPECT_EQ(use->used_bytes, 900'000u);
  EXPECT_EQ(use->total_bytes, 1'000'000u);
  EXPECT_EQ(use->limit_file, root_ + "/sys/fs/cgroup/memory/job/memory.limit_in_bytes");
}

TEST_F(MachineTest, a_group_that_cannot_be_read_is_none_and_a_machine_that_cannot_says_nothing) {
  EXPECT_FALSE(memory_use(root_));
  write("/proc/meminfo", "MemTotal:        2048 kB\n");
  EXPECT_FALSE(memory_use(root_));
  write("/proc/meminfo", "MemTotal:        0 kB\nMemAvailable: 0 kB\n");
  EXPECT_FALSE(memory_use(root_));
  write("/proc/meminfo", kHalfInUse);
  write("/proc/self/cgroup", "0::/a\n");
  write("/sys/fs/cgroup/a/memory.max", "1000\n");
  EXPECT_EQ(memory_use(root_)->limit_file, "");  // no memory.current
  write("/sys/fs/cgroup/a/memory.current", "many\n");
  EXPECT_EQ(memory_use(root_)->limit_file, "");
  write("/sys/fs/cgroup/a/memory.current", "900\n");  // no memory.stat: nothing is known to be cached
  EXPECT_EQ(memory_use(root_)->used_bytes, 900u);
}

TEST_F(MachineTest, of_a_process_its_anonymous_memory_counts_and_one_that_is_gone_has_none) {
  write("/proc/7/status", "Name:\tpython3\nVmRSS:\t   900 kB\nRssAnon:\t     100 kB\nRssShmem:\t     700 kB\n");
  EXPECT_EQ(anonymous_bytes(7, root_), 100u * 1024);
  EXPECT_EQ(anonymous_bytes(8, root_), 0u);
}

}  // namespace
}  // namespace daybreak::base
