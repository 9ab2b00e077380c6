// Whatever bytes come: the readers of segments and of column files answer, and what they accept can be sealed, written
// and read again.
#include <cstdlib>
#include <fstream>

#include "daybreak/base/crc32c.h"
#include "daybreak/base/temp_dir.h"
#include "daybreak/track/log/columns.h"

namespace dt = daybreak::track;

namespace {

const std::string& scratch() {
  static const daybreak::base::TempDir directory = daybreak::base::TempDir::create().value();
  return directory.path();
}

std::size_t read_columns(const std::string& bytes) {
  std::ofstream(scratch() + "/x.col", std::ios::binary | std::ios::trunc) << bytes;
  const auto file = dt::ColumnFile::open(scratch(), "x.col");
  if (!file) return 0;
  std::vector<dt::Sample> samples;
  for (const auto& series : file->series()) {
    for (const auto& page : series.pages) (void)file->read_page(page, samples);
  }
  return samples.size();
}

void read_segment(const std::string& bytes) {
  for (const auto tail : {dt::Tail::kLive, dt::Tail::kKilled, dt::Tail::kPowerLost}) {
    auto data = dt::parse_segment(bytes, "fuzz", tail);
    if (!data) continue;
    const std::size_t points = data->points.size();
    if (tail == dt::Tail::kKilled && read_columns(dt::encode_columns(*data)) != points) std::abort();
  }
}

// A segment whose header, block headers, event checksums and point words are right and whose contents are the input:
// without them no mutation would get behind the checks.
std::string dressed_segment(std::string_view input) {
  dt::SegmentHeader header;
  header.blocks = 2;
  std::string bytes = dt::encode_header(header);
  for (std::uint32_t index = 0; index < 2; ++index) {
    const auto kind = index == 0 ? dt::BlockKind::kEvents : dt::BlockKind::kPoints;
    std::string block = dt::encode_block_start(kind, index, 0) + std::string(16, '\0');
    std::size_t n = 0;
    while (!input.empty() && block.size() + 300 < dt::kBlockBytes && ++n < 200) {
      if (index == 0) {
        const auto event_kind = static_cast<dt::EventKind>(static_cast<std::uint8_t>(input[0]));
        const std::size_t size = std::min<std::size_t>(input.size() - 1, input.size() > 1 ? input[1] & 31 : 0);
        block += dt::encode_event(event_kind, n, 0, input.substr(1, size));
        input.remove_prefix(1 + size);
      } else {
        std::uint64_t words[4] = {};
        std::memcpy(words, input.data(), std::min<std::size_t>(32, input.size()));
        words[0] = dt::point_word(static_cast<std::uint32_t>(words[0] & 7), words[1], words[2], words[3]);
        block.append(reinterpret_cast<const char*>(words), 32);
        input.remove_prefix(std::min<std::size_t>(32, input.size()));
      }
      if (index == 0 && input.size() < 64) break;
    }
    block.resize(dt::kBlockBytes);
    bytes += block;
  }
  return bytes;
}

// A column file whose checksums are made right: first two bytes say how much of the input is the index.
std::string dressed_columns(std::string_view input) {
  if (input.size() < 2) return {};
  dt::SegmentData none;
  std::string bytes = dt::encode_columns(none).substr(0, 64);
  const std::size_t pages = std::min<std::size_t>(static_cast<std::uint8_t>(input[0]), input.size() - 2);
  const std::size_t events = std::min<std::size_t>(static_cast<std::uint8_t>(input[1]), input.size() - 2 - pages);
  const std::string_view index = input.substr(2 + pages + events);
  bytes += input.substr(2, pages + events);
  std::string trailer;
  dt::append_raw(trailer, std::uint64_t{64 + pages});
  dt::append_raw(trailer, std::uint64_t{events});
  dt::append_raw(trailer, std::uint64_t{64 + pages + events});
  dt::append_raw(trailer, std::uint64_t{index.size()});
  dt::append_raw(trailer, daybreak::base::crc32c(index));
  dt::append_raw(trailer, daybreak::base::crc32c(trailer));
  return bytes + std::string(index) + trailer + "DBTRKEND";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (size > 0 && input[0] % 2 == 0) {
    read_segment(std::string(input.substr(1)));
    read_segment(dressed_segment(input.substr(1)));
  } else if (size > 0) {
    read_columns(std::string(input.substr(1)));
    read_columns(dressed_columns(input.substr(1)));
  }
  return 0;
}
