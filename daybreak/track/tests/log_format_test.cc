// Every bit of what is stored: golden bytes, and what becomes of a file when one of them flips.
#include <gtest/gtest.h>

#include "daybreak/crypto/hash.h"
#include "daybreak/track/log/columns.h"
#include "daybreak/track/tests/log_fixture.h"

namespace daybreak::track {
namespace {

using LogFormatTest = RunLog;

std::string flipped(std::string bytes, std::size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  return bytes;
}

// The same bytes always: everything that differs from one writing to the next is given.
SegmentHeader golden_header() {
  SegmentHeader header;
  header.blocks = 2;
  header.owner = true;
  header.run = RunId::parse("01934a1c-9f7b-7c3e-8a5d-0123456789ab").value();
  header.writer = 0x0123456789abcdefu;
  header.sequence = 5;
  header.session = 1;
  header.created_ns = 1'700'000'000'000'000'000;
  for (std::size_t i = 0; i < 16; ++i) header.boot_id[i] = static_cast<std::uint8_t>(i);
  header.pid = 4242;
  header.host = "lab";
  return header;
}

std::string number_bytes(std::initializer_list<std::uint32_t> numbers) {
  std::string out;
  for (const std::uint32_t number : numbers) append_raw(out, number);
  return out;
}

std::string golden_segment(bool sealed) {
  std::string events;
  auto put = [&, n = std::uint64_t{0}](EventKind kind, const std::string& payload) mutable {
    events += encode_event(kind, n, 1'700'000'000'000'000'000 + static_cast<std::int64_t>(n), payload);
    ++n;
  };
  const auto fields = [](std::vector<std::string_view> list) { return encode_fields(list); };
  put(EventKind::kStart, fields({"pong", ""}));
  put(EventKind::kParam, fields({"lr", "0.01"}));
  put(EventKind::kName, number_bytes({1}) + "loss");
  put(EventKind::kName, number_bytes({2}) + "epoch");
  put(EventKind::kContext, number_bytes({1, 0, 2, 7, 0}));
  put(EventKind::kSeries, number_bytes({1, 1, 1}));
  put(EventKind::kStatus, fields({"finished", ""}));
  std::string points;
  for (std::int64_t step = 0; step < 3; ++step) {
    const std::int64_t time = 1'700'000'000'500'000'000 + step;
    const double value = 1.0 / static_cast<double>(step + 1);
    append_raw(points, point_word(1, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(time),
                                  std::bit_cast<std::uint64_t>(value)));
    append_raw(points, step);
    append_raw(points, time);
    append_raw(points, value);
  }
  std::string bytes = encode_header(golden_header());
  std::uint32_t index = 0;
  for (const auto& [kind, content] : {std::pair(BlockKind::kEvents, events), std::pair(BlockKind::kPoints, points)}) {
    std::string block = encode_block_start(kind, index++, 5) + std::string(16, '\0') + content;
    block.resize(kBlockBytes);
    if (sealed) {
      const std::uint64_t seal =
          block_seal(std::as_bytes(std::span(block)), static_cast<std::uint32_t>(content.size()));
      std::memcpy(block.data() + 16, &seal, 8);
    }
    bytes += block;
  }
  return bytes;
}

// The committed bytes; DAYBREAK_WRITE_GOLDEN=1 writes them (and is for a new version of the format only).
void expect_golden(const std::string& name, const std::string& bytes) {
  const std::string path = "daybreak/track/tests/golden/" + name;
  if (std::getenv("DAYBREAK_WRITE_GOLDEN") != nullptr) spit(path, bytes);
  const std::string golden = slurp(path);
  const auto hex = [](const std::string& text) {
    return crypto::to_hex(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  };
  EXPECT_EQ(hex(bytes), hex(golden));
}

std::string golden_columns() {
  SegmentData data = parse_segment(golden_segment(true), "golden", Tail::kKilled).value();
  return encode_columns(data);
}

TEST_F(LogFormatTest, golden_bytes_of_a_segment_do_not_change) {
  const std::string bytes = golden_segment(true);
  // The committed file holds the header's first 256 bytes and the used part of each block.
  const std::string used = bytes.substr(0, 256) + bytes.substr(kSegmentHeaderBytes - 4, 4) +
                           bytes.substr(kSegmentHeaderBytes, 512) +
                           bytes.substr(kSegmentHeaderBytes + kBlockBytes, 256);
  expect_golden("segment.log", used);
  const SegmentData data = parse_segment(bytes, "golden", Tail::kKilled).value();
  EXPECT_TRUE(data.problems.empty());
  ASSERT_EQ(data.points.size(), 3u);
  EXPECT_EQ(data.points[2].value, 1.0 / 3);
  EXPECT_EQ(data.series.at(1), (SeriesKey{"loss", "epoch=7"}));
  EXPECT_EQ(data.events.at(1).fields, (std::vector<std::string>{"lr", "0.01"}));
}

TEST_F(LogFormatTest, golden_bytes_of_a_column_file_do_not_change) {
  expect_golden("segment.col", golden_columns());
}

TEST_F(LogFormatTest, every_single_flipped_bit_of_a_point_is_found) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::uint64_t words[4] = {0, random() >> (random() % 64), random() >> (random() % 64), random()};
    if (round == 0) words[1] = words[2] = words[3] = 0;
    words[0] = point_word(static_cast<std::uint32_t>(random() % 100), words[1], words[2], words[3]);
    for (int bit = 0; bit < 256; ++bit) {
      std::uint64_t bad[4] = {words[0], words[1], words[2], words[3]};
      bad[bit / 64] ^= std::uint64_t{1} << (bit % 64);
      EXPECT_NE(bad[0], 0u);
      EXPECT_NE(bad[0], point_word(static_cast<std::uint32_t>(bad[0]), bad[1], bad[2], bad[3])) << bit;
    }
  }
}

TEST_F(LogFormatTest, a_flipped_bit_in_a_segment_is_found_and_the_other_block_is_read) {
  for (const bool sealed : {true, false}) {
    const std::string bytes = golden_segment(sealed);
    const SegmentData good = parse_segment(bytes, "golden", Tail::kKilled).value();
    const auto check = [&](std::size_t at, bool used) {
      for (int bit = 0; bit < 8; ++bit) {
        const auto data =
            parse_segment(flipped(bytes, at * 8 + static_cast<std::size_t>(bit)), "bad.log", Tail::kKilled);
        if (!data) {
          EXPECT_LT(at, kSegmentHeaderBytes);
          EXPECT_NE(data.error().to_string().find("bad.log"), std::string::npos);
          continue;
        }
        const std::int64_t block = static_cast<std::int64_t>((at - kSegmentHeaderBytes) / kBlockBytes);
        if (used) {
          ASSERT_FALSE(data->problems.empty()) << "byte " << at << " bit " << bit << " sealed " << sealed;
          EXPECT_EQ(data->problems[0].block, block);
          EXPECT_EQ(data->problems[0].file, "bad.log");
          EXPECT_FALSE(data->problems[0].torn);
        }
        if (block == 1 || !used) {
          EXPECT_EQ(data->events.size(), good.events.size());
        }
        if (!used) {
          EXPECT_EQ(data->points.size(), good.points.size());
        }
      }
    };
    std::mt19937_64 random(3);
    for (std::size_t at = 0; at < kSegmentHeaderBytes; at += at < 160 ? 1 : 61) check(at, true);
    for (std::size_t at = kSegmentHeaderBytes - 4; at < kSegmentHeaderBytes; ++at) check(at, true);
    for (std::size_t block = 0; block < 2; ++block) {
      const std::size_t begin = kSegmentHeaderBytes + block * kBlockBytes;
      std::size_t used = kLogBlockHeaderBytes + 3 * kPointBytes;
      if (block == 0) {
        used = kLogBlockHeaderBytes;
        while (load<std::uint64_t>(bytes.data() + begin + used) != 0) {
          used += decode_event(std::string_view(bytes).substr(begin + used))->record_bytes;
        }
      }
      for (std::size_t at = 0; at < used; ++at) check(begin + at, true);
      // What lies behind is part of the checksum's promise in a sealed block; in an open one it is not data.
      for (int i = 0; i < 50; ++i) check(begin + used + random() % (kBlockBytes - used), sealed);
    }
  }
}

TEST_F(LogFormatTest, a_flipped_bit_anywhere_in_a_column_file_is_found) {
  const std::string bytes = golden_columns();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    spit(root_ + "/bad.col", flipped(bytes, bit));
    const auto file = ColumnFile::open(root_, "bad.col");
    if (!file) {
      EXPECT_NE(file.error().to_string().find("bad.col"), std::string::npos);
      continue;
    }
    bool found = !file->problems().empty();
    for (const auto& series : file->series()) {
      for (const Page& page : series.pages) {
        std::vector<Sample> samples;
        const auto read = file->read_page(page, samples);
        found = found || !read;
        if (!read) {
          EXPECT_NE(read.error().to_string().find("bad.col"), std::string::npos);
        }
      }
    }
    EXPECT_TRUE(found) << "byte " << bit / 8 << " bit " << bit % 8;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    spit(root_ + "/bad.col", bytes.substr(0, size));
    EXPECT_FALSE(ColumnFile::open(root_, "bad.col")) << size;
  }
}

TEST_F(LogFormatTest, a_torn_end_is_cut_when_the_machine_started_anew_and_is_damage_when_it_did_not) {
  std::string bytes = golden_segment(false);
  const std::size_t point = kSegmentHeaderBytes + kBlockBytes + kLogBlockHeaderBytes + 2 * kPointBytes;
  bytes.replace(point + 8, 24, std::string(24, '\0'));  // the page of its first word was written, another was not
  for (const Tail tail : {Tail::kPowerLost, Tail::kKilled}) {
    const SegmentData data = parse_segment(bytes, "torn", tail).value();
    EXPECT_EQ(data.points.size(), 2u);
    ASSERT_EQ(data.problems.size(), 1u);
    EXPECT_EQ(data.problems[0].torn, tail == Tail::kPowerLost);
  }
}

TEST_F(LogFormatTest, a_bad_page_does_not_hide_the_good_ones) {
  WriterOptions roomy = options();
  roomy.first_blocks = 16;
  auto w = writer(roomy);
  const auto x = w->series("x").value();
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(w->log(x, i, i));
  ASSERT_TRUE(w->close());
  const std::string path = files(".col").at(0);
  spit(path, flipped(slurp(path), (64 + 16 * kPageRows + 100) * 8));  // in the second page
  const RunReader read = reader();
  EXPECT_TRUE(read.state().problems.empty());
  EXPECT_EQ(read.state().metrics.at(0).summary.last.value, 19'999.0);  // from the index
  auto series = read.read({"x", ""});
  std::vector<Sample> samples;
  int errors = 0;
  for (;;) {
    const auto more = series.next(100'000, samples);
    if (more && !*more) break;
    if (more) continue;
    ++errors;
    EXPECT_EQ(more.error().code(), base::Code::kDataLoss);
  }
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(samples.size(), 20'000u - kPageRows);
}

TEST_F(LogFormatTest, ranges_of_steps_and_overlapping_writers_come_in_order) {
  std::mt19937_64 random(11);
  std::vector<std::pair<std::int64_t, double>> expected;
  for (int w = 0; w < 5; ++w) {
    auto mine = writer(options());
    const auto x = mine->series("x").value();
    for (int i = 0; i < 20'000; ++i) {
      const auto step = static_cast<std::int64_t>(random() % 1'000'000) - 500'000;
      expected.emplace_back(step, i);
      ASSERT_TRUE(mine->log(x, step, i));
    }
    if (w < 3) {
      ASSERT_TRUE(mine->close());
    } else {
      mine->tick();
      const RunReader read = reader();
      auto series = read.read({"x", ""}, -1000, 5000);
      std::vector<Sample> samples;
      while (*series.next(777, samples)) {
      }
      const auto within = std::count_if(expected.begin(), expected.end(),
                                        [](const auto& e) { return e.first >= -1000 && e.first <= 5000; });
      EXPECT_EQ(static_cast<std::int64_t>(samples.size()), within);
      const auto everything = all(read, "x");
      EXPECT_EQ(everything.size(), expected.size());
      EXPECT_TRUE(std::is_sorted(everything.begin(), everything.end(), [](const Sample& a, const Sample& b) {
        return std::pair(a.step, a.time_ns) < std::pair(b.step, b.time_ns);
      }));
    }
  }
}

TEST_F(LogFormatTest, a_preview_is_bounded_and_keeps_ends_and_peaks) {
  auto w = writer(options());
  const auto x = w->series("x").value();
  for (int i = 0; i < 50'000; ++i) ASSERT_TRUE(w->log(x, i, i == 31'415 ? 1000.0 : std::sin(i * 0.001)));
  for (const bool closed : {false, true}) {
    if (closed) {
      ASSERT_TRUE(w->close());
    }
    const auto preview = reader().preview({"x", ""}, 100).value();
    EXPECT_EQ(preview.size(), 100u);
    EXPECT_EQ(preview.front().step, 0);
    EXPECT_EQ(preview.back().step, 49'999);
    EXPECT_TRUE(std::any_of(preview.begin(), preview.end(), [](const Sample& s) { return s.value == 1000.0; }));
  }
}

}  // namespace
}  // namespace daybreak::track
