#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "daybreak/tensor/arrow/export.h"
#include "daybreak/tensor/arrow/import.h"

namespace daybreak::tensor::arrow {
namespace {

using base::Code;

// A column over vectors that it keeps.
template <typename... Buffers>
Column column_of(std::int64_t length, std::int64_t null_count, const std::vector<std::uint8_t>& validity,
                 const Buffers&... buffers) {
  auto owner = std::make_shared<std::tuple<std::vector<std::uint8_t>, Buffers...>>(validity, buffers...);
  Column column{.length = length, .null_count = null_count, .owner = owner};
  std::apply([&](const auto&... kept) { (column.buffers.push_back(kept.empty() ? nullptr : kept.data()), ...); },
             *owner);
  return column;
}

using Ints = std::vector<std::int32_t>;
using Longs = std::vector<std::int64_t>;

struct Views {
  std::vector<std::byte> bytes;
  void add_inline(std::string_view text) { add(static_cast<std::int32_t>(text.size()), text, 0, 0); }
  void add(std::int32_t size, std::string_view in_place, std::int32_t page, std::int32_t offset) {
    std::byte view[16] = {};
    std::memcpy(view, &size, 4);
    if (size <= 12) {
      std::memcpy(view + 4, in_place.data(), in_place.size());
    } else {
      std::memcpy(view + 8, &page, 4);
      std::memcpy(view + 12, &offset, 4);
    }
    bytes.insert(bytes.end(), view, view + 16);
  }
};

const std::string kPage = "a text that is longer than twelve bytes, and another one";

Column views_column() {
  Views views;
  views.add_inline("short");
  views.add(38, "", 0, 0);
  views.add(-5, "", 99, -1);  // null, so that nothing of it counts
  views.add(15, "", 0, 41);
  return column_of(4, 1, {0b1011}, views.bytes, kPage, Longs{static_cast<std::int64_t>(kPage.size())});
}

std::vector<Field> all_fields() {
  return {{.name = "int", .format = "i", .nullable = true},
          {.name = "bit", .format = "b"},
          {.name = "text", .format = "u", .nullable = true},
          {.name = "large", .format = "U"},
          {.name = "view", .format = "vu", .nullable = true},
          {.name = "word",
           .format = "c",
           .dictionary = std::make_shared<const Field>(Field{.format = "u", .nullable = true})},
          {.name = "nothing", .format = "n", .nullable = true}};
}

Batch all_columns() {
  Batch batch{.rows = 4};
  batch.columns = {column_of(4, 1, {0b1101}, Ints{10, 20, 30, 40}),
                   column_of(4, 0, {}, std::vector<std::uint8_t>{0b0110}),
                   column_of(4, 1, {0b1110}, Ints{0, 0, 3, 3, 5}, std::string("abcde")),
                   column_of(4, 0, {}, Longs{0, 1, 1, 4, 5}, std::string("vwxyz")),
                   views_column(),
                   column_of(4, 0, {}, std::vector<std::int8_t>{1, 0, 1, 1}),
                   {.length = 4, .null_count = 4}};
  batch.columns[5].dictionary =
      std::make_shared<const Column>(column_of(2, 0, {}, Ints{0, 2, 5}, std::string("noyes")));
  return batch;
}

// The first column of a batch of one, as it comes in.
base::Result<ImportedBatch> import_one(const Field& field, const Column& column,
                                       const std::function<void(ArrowSchema&, ArrowArray&)>& change = nullptr) {
  ArrowSchema schema{};
  ArrowArray array{};
  export_schema(std::span(&field, 1), &schema);
  export_batch({.rows = column.length, .columns = {column}}, &array);
  if (change) change(schema, array);
  auto batch = ImportedBatch::take(schema, &array);
  EXPECT_EQ(array.release, nullptr) << "taken, whatever comes of it";
  schema.release(&schema);
  return batch;
}

void expect_wrong(const base::Result<ImportedBatch>& batch, std::string_view part, Code code = Code::kInvalidArgument) {
  ASSERT_FALSE(batch) << part;
  EXPECT_EQ(batch.error().code(), code);
  EXPECT_NE(batch.error().message().find(part), std::string::npos) << batch.error().message();
}

TEST(Arrow, columns_of_every_layout_come_back_as_they_went_out) {
  int given = 0;
  ArrowArrayStream stream{};
  export_stream(
      all_fields(),
      [&given]() -> base::Result<std::optional<Batch>> {
        if (++given > 2) return std::optional<Batch>();
        return std::optional<Batch>(all_columns());
      },
      &stream);
  auto in = ImportedStream::take(&stream);
  ASSERT_TRUE(in) << in.error().message();
  EXPECT_EQ(stream.release, nullptr);
  EXPECT_EQ(in->names(), (std::vector<std::string>{"int", "bit", "text", "large", "view", "word", "nothing"}));
  for (int round = 0; round < 2; ++round) {
    auto next = in->next();
    ASSERT_TRUE(next) << next.error().message();
    ASSERT_TRUE(next->has_value());
    const ImportedBatch& batch = **next;
    ASSERT_EQ(batch.rows(), 4);
    const auto columns = batch.columns();
    EXPECT_EQ(columns[0].values<std::int32_t>()[2], 30);
    EXPECT_TRUE(columns[0].is_null(1));
    EXPECT_EQ(columns[0].null_count(), 1);
    EXPECT_EQ((std::vector<bool>{columns[1].bit(0), columns[1].bit(1), columns[1].bit(2), columns[1].bit(3)}),
              (std::vector<bool>{false, true, true, false}));
    const auto texts = [&](std::size_t column) {
      std::vector<std::string> all;
      for (std::int64_t i = 0; i < 4; ++i) all.emplace_back(columns[column].text(i));
      return all;
    };
    EXPECT_EQ(texts(2), (std::vector<std::string>{"", "abc", "", "de"}));
    EXPECT_TRUE(columns[2].is_null(0));
    EXPECT_FALSE(columns[2].is_null(2)) << "empty is not null";
    EXPECT_EQ(texts(3), (std::vector<std::string>{"v", "", "wxy", "z"}));
    EXPECT_EQ(texts(4), (std::vector<std::string>{"short", kPage.substr(0, 38), "", kPage.substr(41, 15)}));
    ASSERT_NE(columns[5].dictionary(), nullptr);
    EXPECT_EQ(columns[5].dictionary()->text(columns[5].index(0)), "yes");
    EXPECT_EQ(columns[5].dictionary()->text(columns[5].index(1)), "no");
    EXPECT_EQ(columns[6].null_count(), 4);
  }
  const auto end = in->next();
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->has_value());
}

TEST(Arrow, a_slice_of_a_batch_and_of_a_column_shift_together) {
  const auto batch = import_one({.name = "text", .format = "u", .nullable = true},
                                column_of(5, 1, {0b1011111}, Ints{0, 1, 2, 3, 4, 5, 6, 7}, std::string("abcdefg")),
                                [](ArrowSchema&, ArrowArray& array) {
                                  array.offset = 3;  // of the batch
                                  array.length = 2;
                                  array.children[0]->offset = 2;  // of the column
                                });
  ASSERT_TRUE(batch) << batch.error().message();
  ASSERT_EQ(batch->rows(), 2);
  EXPECT_TRUE(batch->columns()[0].is_null(0)) << "the sixth";
  EXPECT_EQ(batch->columns()[0].text(1), "g");
  EXPECT_EQ(batch->columns()[0].null_count(), 1);
}

TEST(Arrow, a_column_that_was_moved_out_outlives_its_batch_and_is_released_once) {
  auto owner = std::make_shared<Ints>(Ints{7, 8});
  const std::weak_ptr<Ints> alive = owner;
  Batch batch{.rows = 2};
  batch.columns = {{.length = 2, .buffers = {nullptr, owner->data()}, .owner = owner}};
  ArrowArray array{};
  export_batch(batch, &array);
  batch = {};
  owner.reset();
  ArrowArray moved = *array.children[0];
  array.children[0]->release = nullptr;
  array.release(&array);
  EXPECT_EQ(array.release, nullptr);
  ASSERT_FALSE(alive.expired());
  EXPECT_EQ(static_cast<const std::int32_t*>(moved.buffers[1])[1], 8);
  moved.release(&moved);
  EXPECT_TRUE(alive.expired());
}

TEST(Arrow, an_error_of_the_producer_comes_through_with_its_sentence) {
  ArrowArrayStream stream{};
  export_stream(
      all_fields(),
      []() -> base::Result<std::optional<Batch>> { return base::fail(Code::kDataLoss, "page 7 is torn"); }, &stream);
  auto in = ImportedStream::take(&stream);
  ASSERT_TRUE(in);
  const auto next = in->next();
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code(), Code::kUnknown);
  EXPECT_NE(next.error().message().find("page 7 is torn"), std::string::npos) << next.error().message();
  auto again = ImportedStream::take(&stream);
  ASSERT_FALSE(again) << "it was taken before";
}

TEST(Arrow, types_are_read_by_their_format_and_others_refused_by_it) {
  const auto width = [](std::string_view format) {
    const auto type = parse_type(format);
    return type && type->layout == Layout::kFixed ? type->width : 0;
  };
  EXPECT_EQ(width("l"), 8);
  EXPECT_EQ(width("e"), 2);
  EXPECT_EQ(width("tsn:Europe/Berlin"), 8);
  EXPECT_EQ(width("w:17"), 17);
  EXPECT_EQ(width("d:19,10"), 16);
  EXPECT_EQ(width("d:19,10,256"), 32);
  EXPECT_EQ(width("tin"), 16);
  for (const char* format : {"", "+l", "+s", "w:", "w:-1", "w:0", "w:9999999999", "w:4x", "d:19,10,7", "tsx:", "ll"}) {
    const auto type = parse_type(format);
    ASSERT_FALSE(type) << format;
    EXPECT_EQ(type.error().code(), Code::kUnimplemented);
    EXPECT_NE(type.error().message().find(std::string("'") + format + "'"), std::string::npos);
  }
}

TEST(Arrow, lengths_offsets_and_counts_that_cannot_be_are_refused) {
  const Field field{.name = "n", .format = "i", .nullable = true};
  const Column column = column_of(2, 0, {}, Ints{1, 2});
  const auto with = [&](auto change) {
    return import_one(field, column,
                      [&](ArrowSchema& schema, ArrowArray& array) { change(schema, array, *array.children[0]); });
  };
  expect_wrong(with([](auto&, auto&, auto& c) { c.length = -1; }), "column 0 'n': a length of -1");
  expect_wrong(with([](auto&, auto&, auto& c) { c.offset = -1; }), "from -1 on");
  expect_wrong(with([](auto&, auto&, auto& c) { c.length = kMaxElements + 1; }), "are possible");
  expect_wrong(with([](auto&, auto& b, auto&) { b.length = 3; }), "2 elements, the batch has 3 rows from 0 on");
  expect_wrong(with([](auto&, auto& b, auto&) { b.offset = 1; }), "2 elements, the batch has 2 rows from 1 on");
  expect_wrong(with([](auto&, auto&, auto& c) { c.null_count = 3; }), "3 nulls of 2 elements");
  expect_wrong(with([](auto&, auto&, auto& c) { c.null_count = 1; }), "1 nulls and no validity bits");
  expect_wrong(with([](auto&, auto&, auto& c) { c.n_buffers = 1; }), "1 buffers, its type 'i' has 2");
  expect_wrong(with([](auto&, auto&, auto& c) { c.buffers[1] = nullptr; }), "no values for 2 elements");
  expect_wrong(with([](auto&, auto&, auto& c) { c.buffers[1] = static_cast<const char*>(c.buffers[1]) + 1; }),
               "not aligned");
  expect_wrong(with([](auto& s, auto&, auto&) { s.format = "+l"; }), "1 columns for a schema '+l' of 1");
  expect_wrong(with([](auto&, auto& b, auto&) { b.null_count = 1; }), "null as a whole");
  expect_wrong(with([](auto& s, auto&, auto&) { s.children[0]->format = "+l"; }), "'+l'", Code::kUnimplemented);
  expect_wrong(with([](auto& s, auto&, auto&) { s.children[0]->format = nullptr; }), "no format");
  EXPECT_TRUE(with([](auto&, auto&, auto& c) { c.null_count = -1; })) << "not counted";
}

TEST(Arrow, texts_that_lie_outside_of_their_bytes_are_refused) {
  const Field text{.name = "t", .format = "u"};
  const Field large{.name = "t", .format = "U"};
  expect_wrong(import_one(text, column_of(2, 0, {}, Ints{-1, 1, 2}, std::string("ab"))), "begins at byte -1");
  expect_wrong(import_one(text, column_of(2, 0, {}, Ints{0, 2, 1}, std::string("ab"))),
               "text 1 ends at byte 1, before it begins at 2");
  expect_wrong(import_one(text, column_of(1, 0, {}, Ints{0, 2}, std::string())), "no characters for 2 bytes");
  expect_wrong(import_one(large, column_of(1, 0, {}, Longs{0, -1}, std::string("ab"))), "text 0 ends at byte -1");
  EXPECT_TRUE(import_one(text, column_of(0, 0, {}, Ints{}, std::string()))) << "nothing needs no buffer";
  EXPECT_TRUE(import_one(text, column_of(2, 0, {}, Ints{0, 0, 0}, std::string())));
}

TEST(Arrow, views_that_lie_outside_of_their_buffers_are_refused) {
  const Field field{.name = "v", .format = "vu"};
  const auto one = [&](std::int32_t size, std::int32_t page, std::int32_t offset, std::int64_t room = 20) {
    Views views;
    views.add(size, "", page, offset);
    return import_one(field, column_of(1, 0, {}, views.bytes, std::string(20, 'x'), Longs{room}));
  };
  EXPECT_TRUE(one(20, 0, 0));
  EXPECT_TRUE(one(13, 0, 7));
  expect_wrong(one(13, 0, 8), "text 0 is bytes 8 to 21 of a buffer of 20");
  expect_wrong(one(13, 0, -1), "bytes -1 to 12");
  expect_wrong(one(13, 1, 0), "buffer 1 of 1");
  expect_wrong(one(13, -1, 0), "buffer -1 of 1");
  expect_wrong(one(-1, 0, 0), "has -1 bytes");
  expect_wrong(one(13, 0, 0, -1), "of a buffer of -1");
  expect_wrong(one(INT32_MAX, 0, INT32_MAX), "of a buffer of 20");
}

TEST(Arrow, indices_outside_of_their_dictionary_are_refused) {
  const auto one = [](const char* format, const auto& indices, const std::vector<std::uint8_t>& validity) {
    const Field field{.name = "d",
                      .format = format,
                      .nullable = true,
                      .dictionary = std::make_shared<const Field>(Field{.format = "u"})};
    Column column = column_of(1, validity.empty() ? 0 : 1, validity, indices);
    column.dictionary = std::make_shared<const Column>(column_of(2, 0, {}, Ints{0, 1, 2}, std::string("ab")));
    return import_one(field, column);
  };
  EXPECT_TRUE(one("i", Ints{1}, {}));
  expect_wrong(one("i", Ints{2}, {}), "index 2 of 2");
  expect_wrong(one("i", Ints{-1}, {}), "index -1 of 2");
  expect_wrong(one("L", std::vector<std::uint64_t>{UINT64_MAX}, {}), "of 2 dictionary values");
  expect_wrong(one("f", std::vector<float>{0}, {}), "indices of type 'f'");
  EXPECT_TRUE(one("i", Ints{99}, {0})) << "a null points nowhere";
}

}  // namespace
}  // namespace daybreak::tensor::arrow
