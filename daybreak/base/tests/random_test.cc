#include "daybreak/base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <utility>

namespace daybreak::base {
namespace {

TEST(SplitMix64, gives_the_numbers_of_its_authors_program) {
  // Vigna's splitmix64.c from the state 1234567.
  SplitMix64 random(1234567);
  for (const std::uint64_t word : {6457827717110365317U, 3203168211198807973U, 9817491932198370423U}) {
    EXPECT_EQ(random.next(), word);
  }
}

TEST(Xoshiro256, gives_the_numbers_of_its_authors_program) {
  // xoshiro256plusplus.c from the state 1, 2, 3, 4.
  Xoshiro256 random(0);
  random.set_state({1, 2, 3, 4});
  for (const std::uint64_t word : {41943041U, 58720359U}) EXPECT_EQ(random.next(), word);
  EXPECT_EQ(random.next(), 3588806011781223U);
}

TEST(Xoshiro256, a_state_that_is_restored_goes_on_as_it_went) {
  Xoshiro256 random(5, 7);
  random.next();
  Xoshiro256 again(0);
  again.set_state(random.state());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(again.next(), random.next());
  EXPECT_NE(Xoshiro256(5, 7).next(), Xoshiro256(5, 8).next());
  EXPECT_NE(Xoshiro256(5, 7).next(), Xoshiro256(6, 7).next());
}

TEST(Xoshiro256, numbers_below_n_reach_zero_and_n_minus_1_and_no_further) {
  Xoshiro256 random(1);
  std::array<int, 5> seen{};
  for (int i = 0; i < 1000; ++i) ++seen.at(random.below(5));
  for (const int times : seen) EXPECT_GT(times, 100);
}

TEST(Pcg64, is_numpys) {
  // numpy.random.Generator(numpy.random.PCG64(seed)).bit_generator.random_raw(3)
  const std::pair<Pcg64, std::array<std::uint64_t, 3>> cases[] = {
      {Pcg64(0), {0xa30febcfd9c2825f, 0x4510bdf882d9d721, 0x0a7d3da94ecde8b8}},
      {Pcg64(42), {0xc621fbcd16d92688, 0x705a5661a791ffc1, 0xdbcd12c26eda1624}},
      {Pcg64(0xffffffffffffffff), {0xae163a7a8c47568f, 0xd86659f5f3382359, 0x01e52b195bc2d24a}},
      {Pcg64(0xffffffffffffffff, 1), {0x730150b2e3c8c450, 0x641b4e08066ad287, 0x93b439efc465df22}},
      {Pcg64(40, 2), {0xc621fbcd16d92688, 0x705a5661a791ffc1, 0xdbcd12c26eda1624}},
  };
  for (auto [random, expected] : cases) {
    for (const std::uint64_t word : expected) EXPECT_EQ(random.next(), word);
  }
}

TEST(Pcg64, uniform_numbers_are_in_the_half_open_interval) {
  Pcg64 random(1);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += random.uniform(-3, 5);
  }
  EXPECT_NEAR(sum / 100000, 1, 0.03);
}

}  // namespace
}  // namespace daybreak::base
