#include "daybreak/runtime/value_format.h"

#include "daybreak/base/error.h"

namespace daybreak::runtime {

void ValueWriter::tensor(char format, std::span<const std::int64_t> shape, const void* data, std::uint64_t size) {
  DAYBREAK_CHECK(shape.size() <= kMaxRank);
  tagged(Tag::kTensor, format);
  fixed(static_cast<std::uint8_t>(shape.size()));
  for (const std::int64_t n : shape) fixed(n);
  fixed(size);
  point(data, size, kTensorAlign);
}

bool ValueWriter::pickle(std::uint32_t first, std::string_view text,
                         std::span<const std::span<const std::byte>> buffers) {
  if (first == 0)
    tag(Tag::kPickle);
  else
    tagged(Tag::kPickleBehindRefs, first);
  fixed(std::uint64_t{text.size()});
  fixed(static_cast<std::uint32_t>(buffers.size()));
  for (const auto buffer : buffers) fixed(std::uint64_t{buffer.size()});
  const bool pointed = append(text.data(), text.size());
  for (const auto buffer : buffers) point(buffer.data(), buffer.size(), kTensorAlign);
  return pointed;
}

void ValueWriter::call(std::uint16_t positional, std::uint16_t named, std::string_view method) {
  fixed(positional);
  fixed(named);
  fixed(static_cast<std::uint16_t>(method.size()));
  bytes_.append(method);
}

void ValueWriter::cut(Mark since) {
  bytes_.resize(since.bytes);
  for (std::size_t i = since.pointed; i < pointed_.size(); ++i) pointed_bytes_ -= pointed_[i].cost();
  pointed_.resize(since.pointed);
}

ValueWriter ValueWriter::split(Mark since) {
  ValueWriter own;
  std::size_t from = since.bytes;
  if (Tag{bytes_[from]} == Tag::kPickleBehindRefs) {
    own.tag(Tag::kPickle);
    from += 1 + sizeof(std::uint32_t);
  }
  const std::size_t moved_by = from - own.bytes_.size();
  own.bytes_.append(bytes_, from);
  for (std::size_t i = since.pointed; i < pointed_.size(); ++i) {
    own.pointed_.push_back(pointed_[i]);
    own.pointed_.back().at -= moved_by;
    own.pointed_bytes_ += pointed_[i].cost();
  }
  cut(since);
  return own;
}

void ValueWriter::add_pieces(Payload& payload) const {
  std::size_t at = 0;
  for (const Pointed& pointed : pointed_) {
    if (pointed.at > at) payload.pieces.push_back({bytes_.data() + at, pointed.at - at, 1});
    payload.pieces.push_back({pointed.data, pointed.size, pointed.align});
    at = pointed.at;
  }
  if (bytes_.size() > at || payload.pieces.empty())
    payload.pieces.push_back({bytes_.data() + at, bytes_.size() - at, 1});
}

}  // namespace daybreak::runtime
