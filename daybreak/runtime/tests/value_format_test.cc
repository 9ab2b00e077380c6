#include "daybreak/runtime/value_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daybreak/runtime/native.h"

namespace daybreak::runtime {
namespace {

std::vector<std::byte> payload_bytes(const Payload& payload) {
  std::vector<std::byte> bytes(payload.size());
  payload.write(bytes.data());
  return bytes;
}

std::vector<std::byte> written(const ValueWriter& writer) {
  Payload payload;
  writer.add_pieces(payload);
  return payload_bytes(payload);
}

std::string hex(std::span<const std::byte> bytes) {
  return fmt::format("{:02x}", fmt::join(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                         reinterpret_cast<const std::uint8_t*>(bytes.data()) + bytes.size(), ""));
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What a reader finds, as text.
struct Described {
  ValueReader& reader;
  std::string none() { return "none"; }
  std::string boolean(bool value) { return fmt::format("{}", value); }
  std::string integer(std::int64_t value) { return fmt::format("{}", value); }
  std::string real(double value) { return fmt::format("{}", value); }
  std::string text(std::string_view text) { return fmt::format("'{}'", text); }
  std::string bytes(std::span<const std::byte> bytes) { return fmt::format("b'{}'", as_text(bytes)); }
  std::string container(Tag kind, std::uint32_t count) {
    std::string text(1, static_cast<char>(kind));
    for (std::uint32_t i = 0; i < (kind == Tag::kDict ? 2 * count : count); ++i) text += " " + reader.item(*this);
    return text;
  }
  std::string references(Tag kind, std::span<const Ref> refs) {
    std::string text(1, static_cast<char>(kind));
    for (const Ref ref : refs) text += fmt::format(" {}", ref.index);
    return text;
  }
  std::string tensor(char format, std::span<const std::int64_t> shape, std::span<const std::byte> data) {
    return fmt::format("{}[{}] {}", format, fmt::join(shape, ","), as_text(data));
  }
  std::string pickle(std::span<const std::byte> text, std::span<const std::span<const std::byte>> buffers,
                     std::span<const Ref> refs) {
    std::string all = fmt::format("pickle '{}'", as_text(text));
    for (const auto buffer : buffers) all += fmt::format(" {}", as_text(buffer));
    return all + fmt::format(" refs {}", refs.size());
  }
  std::string damaged() { return "damaged"; }
};

constexpr Ref kRefs[] = {{10, 0}, {11, 0}, {12, 0}, {13, 0}};

std::string read(std::span<const std::byte> bytes) {
  ValueReader reader(bytes, kRefs, 1);
  return reader.item(Described{reader});
}

std::string zeros(std::size_t count) {
  return std::string(2 * count, '0');
}

struct Golden {
  void (*write)(ValueWriter&);
  std::string hex;
  const char* read;
};

constexpr std::byte kData[] = {std::byte{'w'}, std::byte{'x'}, std::byte{'y'}, std::byte{'z'}};
constexpr std::int64_t kShape[] = {2, 1};
const std::span<const std::byte> kBuffers[] = {std::span(kData).first(2), std::span(kData).last(1)};

// tests/test_value_format.py has the same bytes of what Python writes.
const Golden kGolden[] = {
    {[](ValueWriter& w) { w.none(); }, "4e", "none"},
    {[](ValueWriter& w) { w.boolean(true); }, "54", "true"},
    {[](ValueWriter& w) { w.boolean(false); }, "46", "false"},
    {[](ValueWriter& w) { w.integer(-2); }, "69feffffffffffffff", "-2"},
    {[](ValueWriter& w) { w.real(1.5); }, "64000000000000f83f", "1.5"},
    {[](ValueWriter& w) { w.text("h\xc3\xa9", 3); }, "73030000000000000068c3a9", "'h\xc3\xa9'"},
    {[](ValueWriter& w) { w.bytes("ab", 2); }, "6202000000000000006162", "b'ab'"},
    {[](ValueWriter& w) {
       w.container(Tag::kList, 2);
       w.none();
       w.boolean(true);
     },
     "6c020000004e54", "l none true"},
    {[](ValueWriter& w) { w.container(Tag::kTuple, 0); }, "7400000000", "t"},
    {[](ValueWriter& w) {
       w.container(Tag::kDict, 1);
       w.bytes("k", 1);
       w.none();
     },
     "6d010000006201000000000000006b4e", "m b'k' none"},
    {[](ValueWriter& w) { w.references(Tag::kRefList, 1, 2); }, "520100000002000000", "R 12 13"},
    {[](ValueWriter& w) { w.references(Tag::kRefTuple, 0, 3); }, "510000000003000000", "Q 11 12 13"},
    {[](ValueWriter& w) { w.tensor('H', kShape, kData, 4); },
     "6e480202000000000000000100000000000000"
     "0400000000000000" +
         zeros(37) + "7778797a",
     "H[2,1] wxyz"},
    {[](ValueWriter& w) { w.pickle(0, "pp", {}); },
     "7002000000000000000000000070"
     "70",
     "pickle 'pp' refs 3"},
    {[](ValueWriter& w) { w.pickle(2, "pp", {}); },
     "500200000002000000000000000000000070"
     "70",
     "pickle 'pp' refs 1"},
    {[](ValueWriter& w) { w.pickle(0, "p", kBuffers); },
     "7001000000000000000200000002000000000000000100000000000000"
     "70" +
         zeros(34) + "7778" + zeros(62) + "7a",
     "pickle 'p' wx z refs 3"},
};

TEST(ValueFormat, is_to_the_byte_what_its_page_says_and_is_read_back) {
  for (const Golden& golden : kGolden) {
    ValueWriter writer;
    golden.write(writer);
    const auto bytes = written(writer);
    EXPECT_EQ(hex(bytes), golden.hex) << golden.read;
    EXPECT_EQ(read(bytes), golden.read);
  }
}

TEST(ValueFormat, no_item_that_was_cut_off_is_an_item) {
  for (const Golden& golden : kGolden) {
    ValueWriter writer;
    golden.write(writer);
    const auto bytes = written(writer);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const std::vector<std::byte> part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_NE(read(part).find("damaged"), std::string::npos) << golden.read << " of " << size << " bytes";
    }
  }
}

TEST(ValueFormat, counts_and_references_beyond_what_there_is_are_damage) {
  auto read_back = [](auto&& write) {
    ValueWriter writer;
    write(writer);
    return read(written(writer));
  };
  EXPECT_EQ(read_back([](ValueWriter& w) { w.references(Tag::kRefList, 1, 3); }), "damaged");
  EXPECT_EQ(read_back([](ValueWriter& w) { w.references(Tag::kRefList, UINT32_MAX, 2); }), "damaged");
  EXPECT_EQ(read_back([](ValueWriter& w) { w.pickle(4, "p", {}); }), "damaged");
  EXPECT_EQ(read_back([](ValueWriter& w) { w.container(Tag::kList, UINT32_MAX); }), "damaged");
  EXPECT_EQ(read_back([](ValueWriter& w) { w.dependency(0); }), "damaged");  // no item
}

TEST(ValueFormat, containers_lie_in_one_another_as_deep_as_allowed) {
  auto nested = [](std::uint32_t depth) {
    ValueWriter writer;
    for (std::uint32_t i = 1; i < depth; ++i) writer.container(Tag::kList, 1);
    writer.container(Tag::kList, 0);
    return read(written(writer));
  };
  EXPECT_EQ(nested(3), "l l l");
  EXPECT_TRUE(nested(kMaxNesting).ends_with(" l"));
  EXPECT_TRUE(nested(kMaxNesting + 1).ends_with(" damaged"));
}

TEST(ValueFormat, a_call_has_its_method_its_dependencies_and_its_items) {
  ValueWriter writer;
  writer.call(2, 1, "go");
  writer.dependency(0);
  writer.integer(7);
  writer.dependency(1);
  const auto bytes = written(writer);
  EXPECT_EQ(hex(bytes),
            "020001000200676f720000000069070000000000000072"
            "01000000");
  ValueReader reader(bytes, kRefs, 1);
  const auto call = reader.call();
  ASSERT_TRUE(call);
  EXPECT_EQ(fmt::format("{} {} {}", call->positional, call->named, call->method), "2 1 go");
  EXPECT_EQ(reader.dependency(), kRefs[0]);
  EXPECT_EQ(reader.dependency(), std::nullopt);
  EXPECT_EQ(reader.item(Described{reader}), "7");
  EXPECT_EQ(reader.dependency(), std::nullopt);  // there is only one
  EXPECT_EQ(reader.item(Described{reader}), "damaged");
}

TEST(ValueFormat, what_is_large_is_pointed_at_and_the_bytes_are_the_same) {
  const std::string small(kPointedBytes - 1, 's'), large(kPointedBytes, 'l');
  ValueWriter writer;
  EXPECT_FALSE(writer.text(small.data(), small.size()));
  EXPECT_TRUE(writer.bytes(large.data(), large.size()));
  writer.none();
  EXPECT_EQ(writer.size(), 2 * 9 + small.size() + large.size() + 1);
  Payload payload;
  writer.add_pieces(payload);
  ASSERT_EQ(payload.pieces.size(), 3u);
  EXPECT_EQ(payload.pieces[1].data, large.data());
  const auto bytes = payload_bytes(payload);
  EXPECT_EQ(as_text(std::span(bytes).subspan(9, small.size())), small);
  EXPECT_EQ(as_text(std::span(bytes).subspan(18 + small.size(), large.size())), large);
}

TEST(ValueFormat, what_is_split_off_is_a_value_of_its_own_and_what_is_left_is_as_before) {
  const std::string large(4096, 'l');
  ValueWriter writer, before, alone;
  before.integer(1);
  writer.integer(1);
  const std::uint64_t size = writer.size();
  const ValueWriter::Mark mark = writer.mark();
  writer.pickle(3, large, kBuffers);
  alone.pickle(0, large, kBuffers);
  const ValueWriter own = writer.split(mark);
  EXPECT_EQ(hex(written(own)), hex(written(alone)));
  EXPECT_EQ(own.size(), alone.size());
  EXPECT_EQ(hex(written(writer)), hex(written(before)));
  EXPECT_EQ(writer.size(), size);
  writer.bytes(large.data(), large.size());
  writer.cut(mark);
  EXPECT_EQ(hex(written(writer)), hex(written(before)));
  EXPECT_EQ(writer.size(), size);
}

TEST(ValueFormat, cpp_values_have_the_bytes_that_python_writes) {
  NativeArguments arguments("go");
  arguments.add(NativeValue{}).add(true).add(std::int64_t{-2}).add(1.5).add(std::string("h\xc3\xa9"));
  arguments.add(TensorView{'H', {2, 1}, kData});
  const std::string expected = std::string("060000000200676f") + "4e" + "54" + "69feffffffffffffff" +
                               "64000000000000f83f" + "73030000000000000068c3a9" +
                               "6e480202000000000000000100000000000000"
                               "0400000000000000";
  const std::string got = hex(payload_bytes(arguments.payload()));
  EXPECT_EQ(got.substr(0, expected.size()), expected);
  EXPECT_EQ(got.size(), 2u * (128 + 4));  // 68 bytes before: the data begin at a multiple of 64
  EXPECT_EQ(got.substr(2 * 128), "7778797a");
  EXPECT_EQ(hex(payload_bytes(arguments.payload())), got);  // as often as asked
}

TEST(ValueFormat, cpp_is_told_which_python_object_it_cannot_have) {
  ValueWriter writer;
  writer.container(Tag::kList, 0);
  const auto value = parse_value(written(writer));
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code(), base::Code::kInvalidArgument);
  EXPECT_NE(value.error().to_string().find("a list of 0 items"), std::string::npos) << value.error().to_string();
  EXPECT_EQ(parse_value({}).error().code(), base::Code::kDataLoss);
}

}  // namespace
}  // namespace daybreak::runtime
