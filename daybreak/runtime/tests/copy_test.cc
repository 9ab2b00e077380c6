#include "daybreak/runtime/copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace daybreak::runtime {
namespace {

TEST(Copy, of_every_level_size_and_alignment_is_the_original) {
  std::mt19937_64 random(3);
  std::vector<std::uint64_t> words((65u << 20) / 8);  // more than one thread's share
  for (std::uint64_t& word : words) word = random();
  const auto* from = reinterpret_cast<const std::byte*>(words.data());
  std::vector<std::byte> to(words.size() * 8 + 64);
  for (const auto level : {base::CpuLevel::kScalar, base::CpuLevel::kAvx2}) {
    if (level > base::best_cpu_level()) continue;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kStreamBytes - 1, kStreamBytes, kStreamBytes + 129,
                                   std::size_t{64} << 20, (std::size_t{64} << 20) + 7}) {
      for (const std::size_t offset : {0, 1, 31}) {
        std::fill(to.begin(), to.end(), std::byte{0xaa});
        copy_bytes(to.data() + offset, from + offset / 2, size, level);
        ASSERT_EQ(std::memcmp(to.data() + offset, from + offset / 2, size), 0) << size << " at " << offset;
        ASSERT_TRUE(offset == 0 || to[offset - 1] == std::byte{0xaa});
        ASSERT_EQ(to[offset + size], std::byte{0xaa}) << "nothing behind it";
      }
    }
  }
}

}  // namespace
}  // namespace daybreak::runtime
