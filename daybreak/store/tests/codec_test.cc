#include "daybreak/store/codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "daybreak/store/chunker.h"
#include "daybreak/store/format.h"
#include "daybreak/store/patch.h"
#include "daybreak/store/planes.h"

namespace daybreak::store {
namespace {

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

TEST(StorePlanes, scalar_and_avx2_agree_and_every_bit_pattern_comes_back) {
  std::vector<const PlaneOps*> all{&scalar_plane_ops()};
  if (avx2_plane_ops() != nullptr) all.push_back(avx2_plane_ops());
  for (const unsigned element : {1u, 2u, 4u, 8u}) {
    for (const std::size_t count : {1u, 2u, 31u, 32u, 33u, 64u, 100u, 65'536u}) {
      const auto current = random_bytes(count * element, count + element), base = random_bytes(count * element, count);
      for (const bool is_float : {false, true}) {
        for (const std::byte* const against : {static_cast<const std::byte*>(nullptr), base.data()}) {
          std::vector<std::byte> expected(current.size());
          scalar_plane_ops().split(current.data(), against, count, element, is_float, expected.data());
          for (const PlaneOps* const ops : all) {
            std::vector<std::byte> planes(current.size()), back(current.size());
            ops->split(current.data(), against, count, element, is_float, planes.data());
            EXPECT_EQ(planes, expected) << element << " " << count;
            ops->merge(planes.data(), against, count, element, is_float, back.data());
            EXPECT_EQ(back, current) << element << " " << count;
          }
        }
      }
    }
  }
}

TEST(StorePlanes, neighbours_across_zero_are_near) {
  const float tiny[] = {1e-45f, -1e-45f}, base[] = {-1e-45f, 1e-45f};
  std::byte planes[8];
  scalar_plane_ops().split(reinterpret_cast<const std::byte*>(tiny), reinterpret_cast<const std::byte*>(base), 2, 4,
                           true, planes);
  for (int i = 2; i < 8; ++i) EXPECT_EQ(planes[i], std::byte{0});
}

TEST(StorePatch, any_two_texts_come_back_and_damage_is_refused) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string base(random() % 20'000, '\0'), raw;
    for (char& c : base) c = static_cast<char>('a' + random() % (round % 3 == 0 ? 2 : 20));
    while (raw.size() < random() % 20'000 + 1) {
      const std::size_t at = base.empty() ? 0 : random() % base.size();
      raw +=
          random() % 2 == 0 ? base.substr(at, random() % 500) : std::string(random() % 50, static_cast<char>(random()));
    }
    const auto raw_bytes = std::as_bytes(std::span(raw)), base_bytes = std::as_bytes(std::span(base));
    Patch patch = make_patch(raw_bytes, base_bytes);
    std::vector<std::byte> out(raw.size());
    ASSERT_TRUE(apply_patch(patch, base_bytes, out));
    ASSERT_EQ(std::memcmp(out.data(), raw.data(), raw.size()), 0);
    if (!patch.lengths.empty()) {  // must not read or write outside, whatever it says
      patch.lengths[random() % patch.lengths.size()] ^= static_cast<char>(1 << random() % 8);
      patch.jumps[random() % patch.jumps.size()] ^= static_cast<char>(1 << random() % 8);
      (void)apply_patch(patch, base_bytes, out);
    }
  }
}

TEST(StoreChunks, an_insertion_moves_the_cuts_with_it) {
  const auto bytes = random_bytes(2'000'000, 1);
  auto longer = bytes;
  longer.insert(longer.begin() + 1000, 7, std::byte{1});
  const auto cuts = [](std::span<const std::byte> rest) {
    std::vector<std::size_t> sizes;
    while (!rest.empty()) {
      const std::size_t n = first_chunk(rest, kTableChunkBytes, true);
      EXPECT_GT(n, 0u);
      EXPECT_LE(n, 4 * kTableChunkBytes);
      sizes.push_back(n);
      rest = rest.subspan(n);
    }
    return sizes;
  };
  const auto a = cuts(bytes), b = cuts(longer);
  EXPECT_NEAR(static_cast<double>(bytes.size()) / static_cast<double>(a.size()), 8192, 2500);
  std::size_t same = 0;
  while (same < std::min(a.size(), b.size()) && a[a.size() - 1 - same] == b[b.size() - 1 - same]) ++same;
  EXPECT_GT(same, a.size() - 5);
  EXPECT_EQ(first_chunk(std::span(bytes).first(100), kTableChunkBytes, false), 0u);
}

// The format: docs/formats/content-store.md. When these bytes change, so must the version.
TEST(StoreFormat, golden_bytes_do_not_change) {
  const Hash piece = crypto::sha256("hello");
  BlockHead head;
  head.raw_size = 5;
  head.id = block_id(std::span(&piece, 1));
  const std::string block = write_block(head, write_block_meta({{}, {5}}), "hello");
  EXPECT_EQ(crypto::to_hex({reinterpret_cast<const std::uint8_t*>(block.data()), block.size()}),
            "44424c4b01000100050000000500000003000000000000009595c9df90075148eb06860365df33588ab7b97c51e83a6d"
            "00010568656c6c6f");
  Record record;
  record.blocks.push_back({head.id, 0x0123456789abcdef, 16, Codec::kRaw, 1, 0, 5, 55, {}, {{piece, 5}}});
  ObjectEntry& object = record.object.emplace();
  object.id = piece;
  object.kind = "bytes";
  object.name = "n";
  object.size = 5;
  object.stored_bytes = 55;
  object.copy_pack = 0x0123456789abcdef;
  object.tensors.push_back({"t", "F32", 4, true, {1}, 0, 4});
  object.runs.push_back({head.id, 0, 1});
  const auto written = write_record(record);
  ASSERT_TRUE(written.has_value());
  const std::string& text = *written;
  EXPECT_EQ(crypto::to_hex({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}),
            "44425243010100009500000000000000fd1e453439024e8b2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e"
            "73043362938b98244803651fc55ac220019595c9df90075148eb06860365df3358efcdab896745230110000100370001"
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b982405012cf24dba5fb0a30e26e83b2ac5b9"
            "e29e1b161e5c1fa7425e73043362938b9824056279746573016e000537efcdab89674523010001017403463332840101"
            "0004019595c9df90075148eb06860365df33580001");
  const auto back = parse_record_body(*parse_record_head(text), std::string_view(text).substr(kRecordHeaderBytes));
  ASSERT_TRUE(back);
  EXPECT_EQ(*write_record(*back), text);
  EXPECT_EQ(back->object->tensors, object.tensors);
  EXPECT_TRUE(parse_block(block));
  EXPECT_EQ(write_object(*parse_object(write_object(object))), write_object(object));
}

TEST(StoreFormat, every_truncation_is_refused) {
  Record record;
  const Hash piece = crypto::sha256("x");
  record.blocks.push_back({block_id(std::span(&piece, 1)), 1, 16, Codec::kRaw, 1, 0, 1, 60, {}, {{piece, 1}}});
  const std::string text = *write_record(record);
  for (std::size_t n = 0; n < text.size(); ++n) {
    const std::string_view cut = std::string_view(text).substr(0, n);
    const auto head = parse_record_head(cut);
    EXPECT_FALSE(head && parse_record_body(*head, cut.substr(kRecordHeaderBytes))) << n;
  }
}

}  // namespace
}  // namespace daybreak::store
