// Whatever a producer claims about buffers that are as long as it says: the import answers, and what it accepts can be
// read whole. Buffers end where they must end at least, so that a sanitizer sees the first byte read behind one.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "daybreak/tensor/arrow/import.h"

namespace ar = daybreak::tensor::arrow;

namespace {

constexpr std::int64_t kMaxText = 1 << 16;

// The input, byte after byte; zeros behind its end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::vector<std::uint8_t> bytes(std::int64_t count) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(count));
    for (std::uint8_t& b : out) b = byte();
    return out;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

template <typename Offset>
std::int64_t text_end(const std::vector<std::uint8_t>& offsets) {
  std::int64_t end = 0;
  for (std::size_t at = 0; at + sizeof(Offset) <= offsets.size(); at += sizeof(Offset)) {
    Offset offset;
    std::memcpy(&offset, offsets.data() + at, sizeof offset);
    end = std::max<std::int64_t>(end, offset);
  }
  return end;
}

// An array of a format with its buffers. `honest` is false where no memory could be as long as it claims.
struct Made {
  std::vector<std::vector<std::uint8_t>> kept;
  std::vector<const void*> buffers;
  ArrowArray array{};
  bool honest = true;

  void keep(std::vector<std::uint8_t> bytes) {
    bytes.shrink_to_fit();
    kept.push_back(std::move(bytes));
    buffers.push_back(kept.back().data());
  }

  Made(Input& in, const std::string& format) {
    kept.reserve(16);  // buffers point into them
    array.length = in.byte() % 33;
    array.offset = in.byte() % 9;
    array.null_count = static_cast<std::int8_t>(in.byte());
    array.release = [](ArrowArray* self) { self->release = nullptr; };
    const std::int64_t end = array.length + array.offset;
    if (format != "n") {
      if (in.byte() % 2 == 0) {
        buffers.push_back(nullptr);
      } else {
        keep(in.bytes((end + 7) / 8));
      }
    }
    if (format == "b") keep(in.bytes((end + 7) / 8));
    if (format == "c") keep(in.bytes(end));
    if (format == "i") keep(in.bytes(end * 4));
    if (format == "w:3") keep(in.bytes(end * 3));
    if (format == "u" || format == "U") {
      keep(in.bytes((end + 1) * (format == "u" ? 4 : 8)));
      const std::int64_t size =
          format == "u" ? text_end<std::int32_t>(kept.back()) : text_end<std::int64_t>(kept.back());
      honest = size <= kMaxText;
      keep(std::vector<std::uint8_t>(static_cast<std::size_t>(std::min(size, kMaxText)), 'x'));
    }
    if (format == "vu") {
      keep(in.bytes(end * 16));
      const int pages = in.byte() % 4;
      std::vector<std::uint8_t> sizes(static_cast<std::size_t>(pages) * 8);
      for (int page = 0; page < pages; ++page) {
        const std::int64_t size = in.byte();
        std::memcpy(sizes.data() + page * 8, &size, 8);
        keep(std::vector<std::uint8_t>(static_cast<std::size_t>(size), 'x'));
      }
      keep(std::move(sizes));
    }
    array.n_buffers = static_cast<std::int64_t>(buffers.size());
    array.buffers = buffers.data();
  }
};

unsigned read_all(const ar::Array& column) {
  unsigned sum = static_cast<unsigned>(column.null_count());
  for (std::int64_t i = 0; i < column.length(); ++i) {
    switch (column.type().layout) {
      case ar::Layout::kNull: break;
      case ar::Layout::kBits: sum += column.bit(i) ? 1 : 0; break;
      case ar::Layout::kFixed:
        for (const std::byte b : column.element(i)) sum += std::to_integer<unsigned>(b);
        if (column.dictionary() != nullptr && !column.is_null(i))
          sum += column.dictionary()->text(column.index(i)).size();
        break;
      default:
        for (const char c : column.text(i)) sum += static_cast<unsigned char>(c);
    }
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string kFormats[] = {"n", "b", "c", "i", "w:3", "u", "U", "vu"};
  Input in(data, size);
  const std::uint8_t choice = in.byte();
  const std::string& format = kFormats[choice % 8];
  const bool has_dictionary = (choice & 8) != 0;
  Made column(in, format);
  Made words(in, "u");
  if (!column.honest || !words.honest) return 0;
  if (has_dictionary) column.array.dictionary = &words.array;

  const auto released = [](ArrowSchema* self) { self->release = nullptr; };
  ArrowSchema of_words{"u", "", nullptr, 0, 0, nullptr, nullptr, released, nullptr};
  ArrowSchema field{format.c_str(), "f",    nullptr, 0, 0, nullptr, has_dictionary ? &of_words : nullptr,
                    released,       nullptr};
  ArrowSchema* fields[] = {&field};
  const ArrowSchema schema{"+s", "", nullptr, 0, 1, fields, nullptr, released, nullptr};
  const void* none[] = {nullptr};
  ArrowArray* columns[] = {&column.array};
  ArrowArray batch{};
  batch.length = in.byte() % 33;
  batch.offset = in.byte() % 9;
  batch.n_buffers = 1;
  batch.buffers = none;
  batch.n_children = 1;
  batch.children = columns;
  batch.release = column.array.release;
  const auto taken = ar::ImportedBatch::take(schema, &batch);
  if (taken && read_all(taken->columns()[0]) == ~0U) std::abort();  // keeps the reads
  return 0;
}
