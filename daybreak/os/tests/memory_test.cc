#include "daybreak/os/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>

#include "daybreak/base/temp_dir.h"

namespace daybreak::os {
namespace {

using base::Code;

constexpr std::size_t kPage = 4096;

std::size_t resident_bytes(int fd) {
  struct stat about{};
  EXPECT_EQ(::fstat(fd, &about), 0);
  return static_cast<std::size_t>(about.st_blocks) * 512;
}

// Of this process's addresses.
std::size_t mapped_pages() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages;
}

TEST(Memory, two_mappings_of_a_descriptor_are_one_memory) {
  const Fd fd = create_memory("daybreak-test", 10'000).value();
  EXPECT_EQ(size_of(fd.get()).value(), 10'000u);
  const Mapping one = map_shared(fd.get(), 10'000).value();
  const Mapping two = map_shared(fd.get(), 10'000, {.writable = false}).value();
  EXPECT_NE(one.data(), two.data());
  EXPECT_EQ(two.bytes()[9999], std::byte{0});
  one.bytes()[9999] = std::byte{7};
  EXPECT_EQ(two.bytes()[9999], std::byte{7});
}

TEST(Memory, outlives_its_descriptor_and_is_for_its_owner_alone) {
  Fd fd = create_memory("daybreak-test", kPage).value();
  struct stat about{};
  ASSERT_EQ(::fstat(fd.get(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  const Mapping mapping = map_shared(fd.get(), kPage).value();
  fd.reset();
  std::memset(mapping.data(), 1, kPage);
}

TEST(Memory, nothing_at_all_cannot_be_asked_for) {
  EXPECT_EQ(create_memory("daybreak-test", 0).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(map_zeros(0).error().code(), Code::kInvalidArgument);
  const Fd fd = create_memory("daybreak-test", 1).value();
  EXPECT_EQ(map_shared(fd.get(), 0).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(map_shared(fd.get(), 1).value().size_bytes(), 1u);
  EXPECT_FALSE(map_shared(-1, kPage));
  EXPECT_FALSE(map_shared(-1, kPage, {.align_bytes = 1 << 20}));
}

TEST(Memory, more_addresses_than_there_are_is_resource_exhausted) {
  EXPECT_EQ(map_zeros(std::size_t{1} << 60).error().code(), Code::kResourceExhausted);
}

TEST(Memory, of_a_fixed_size_can_neither_shrink_nor_grow) {
  const Fd fixed = create_memory("daybreak-test", kPage, {.fixed_size = true}).value();
  EXPECT_NE(::ftruncate(fixed.get(), 0), 0);
  EXPECT_NE(::ftruncate(fixed.get(), 2 * kPage), 0);
  EXPECT_EQ(map_shared(fixed.get(), kPage).value().bytes()[0], std::byte{0});
  const Fd open = create_memory("daybreak-test", kPage).value();
  EXPECT_EQ(::ftruncate(open.get(), 2 * kPage), 0);
}

TEST(Memory, reopened_read_only_cannot_be_written) {
  const Fd fd = create_memory("daybreak-test", kPage).value();
  const Fd readable = reopen_read_only(fd.get()).value();
  EXPECT_EQ(map_shared(readable.get(), kPage).error().code(), Code::kPermissionDenied);
  EXPECT_EQ(map_shared(readable.get(), kPage, {.writable = false}).value().bytes()[0], std::byte{0});
  EXPECT_LT(::write(readable.get(), "x", 1), 0);
  EXPECT_FALSE(reopen_read_only(-1));
}

TEST(Memory, is_mapped_where_it_is_aligned_and_nothing_beside_it_stays) {
  constexpr std::size_t kAlign = 2u << 20;
  for (const std::size_t size : {std::size_t{1}, kPage, kAlign, kAlign + 1}) {
    const Fd fd = create_memory("daybreak-test", size).value();
    const std::size_t before = mapped_pages();
    const Mapping mapping = map_shared(fd.get(), size, {.align_bytes = kAlign}).value();
    EXPECT_LT(mapped_pages() - before, (size + kAlign) / kPage) << "what was reserved beside it";
    const auto at = reinterpret_cast<std::uintptr_t>(mapping.data());
    EXPECT_EQ(at % kAlign, 0u);
    mapping.bytes()[size - 1] = std::byte{1};
  }
}

TEST(Memory, a_mapping_goes_once_and_a_released_one_stays) {
  Mapping mapping = map_zeros(kPage).value();
  std::byte* const at = mapping.data();
  Mapping moved = std::move(mapping);
  EXPECT_FALSE(mapping);
  EXPECT_EQ(moved.data(), at);
  moved.bytes()[0] = std::byte{3};
  mapping = std::move(moved);
  EXPECT_EQ(mapping.bytes()[0], std::byte{3});
  const std::span<std::byte> kept = mapping.release();
  EXPECT_FALSE(mapping);
  EXPECT_EQ(kept[0], std::byte{3});
  const Mapping again(kept);  // for the leak checkers
}

TEST(Memory, whole_pages_that_are_given_back_read_as_zeros_and_cost_nothing) {
  const Fd fd = create_memory("daybreak-test", 8 * kPage).value();
  const Mapping mapping = map_shared(fd.get(), 8 * kPage).value();
  std::memset(mapping.data(), 5, 8 * kPage);
  EXPECT_EQ(resident_bytes(fd.get()), 8 * kPage);
  mapping.give_back(100, 3 * kPage);  // pages 1 and 2 are whole
  EXPECT_EQ(resident_bytes(fd.get()), 6 * kPage);
  EXPECT_EQ(mapping.bytes()[kPage - 1], std::byte{5});
  EXPECT_EQ(mapping.bytes()[kPage], std::byte{0});
  EXPECT_EQ(mapping.bytes()[3 * kPage - 1], std::byte{0});
  EXPECT_EQ(mapping.bytes()[3 * kPage], std::byte{5});
  const std::size_t before = resident_bytes(fd.get());  // reading has taken pages again
  mapping.give_back(5 * kPage + 1, kPage);              // none is whole
  mapping.give_back(0, 0);
  EXPECT_EQ(resident_bytes(fd.get()), before);
  EXPECT_EQ(mapping.bytes()[6 * kPage], std::byte{5});
}

TEST(Memory, what_is_allocated_or_populated_is_there_and_keeps_what_it_held) {
  const Fd fd = create_memory("daybreak-test", 64 * kPage).value();
  const Mapping mapping = map_shared(fd.get(), 64 * kPage).value();
  EXPECT_EQ(resident_bytes(fd.get()), 0u);
  mapping.bytes()[0] = std::byte{9};
  ASSERT_TRUE(allocate(fd.get(), 0, 16 * kPage));
  EXPECT_EQ(resident_bytes(fd.get()), 16 * kPage);
  EXPECT_EQ(mapping.bytes()[0], std::byte{9});
  const auto populated = populate(mapping.bytes().subspan(16 * kPage, 16 * kPage));
  if (populated) {
    EXPECT_EQ(resident_bytes(fd.get()), 32 * kPage);
  } else {
    EXPECT_EQ(populated.error().code(), Code::kUnimplemented);
  }
  EXPECT_FALSE(allocate(-1, 0, kPage));
}

}  // namespace
}  // namespace daybreak::os
