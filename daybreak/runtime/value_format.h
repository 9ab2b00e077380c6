// The bytes of a value in the store and of a call's arguments, docs/formats/runtime-values.md: one writer and one reader
// for Python's objects (python/encoder.cc, python/decoder.cc) and C++'s values (native.cc). What the bytes are is here,
// what becomes of them is its caller's.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/runtime/client.h"

namespace daybreak::runtime {

// Blob::codec: what a blob's payload is.
inline constexpr std::uint8_t kCodecText = 0;       // a sentence: errors of the runtime
inline constexpr std::uint8_t kCodecItem = 1;       // one item
inline constexpr std::uint8_t kCodecArgs = 2;       // arguments of a call
inline constexpr std::uint8_t kCodecException = 3;  // one item: what exceptions.py made of it
inline constexpr std::uint8_t kCodecNative = 4;     // name of a C++ function
inline constexpr std::uint8_t kCodecPython = 5;     // "module:name" of a function or class of Python

// An item's first byte.
enum class Tag : char {
  kNone = 'N',
  kTrue = 'T',
  kFalse = 'F',
  kInt = 'i',
  kFloat = 'd',
  kText = 's',
  kBytes = 'b',
  kList = 'l',
  kTuple = 't',
  kDict = 'm',
  kRefList = 'R',
  kRefTuple = 'Q',
  kTensor = 'n',
  kPickle = 'p',
  kPickleBehindRefs = 'P',  // other references come before the pickle's
  kDependency = 'r',        // of arguments only, in place of an item
};

inline constexpr std::uint64_t kPointedBytes = 512;       // from here on bytes are not copied twice
inline constexpr std::uint32_t kTensorAlign = 64;         // of a tensor's and a pickle's large buffers, in the payload
inline constexpr std::size_t kMaxRank = 32;               // of a tensor
inline constexpr std::uint32_t kMaxNesting = 64;          // of containers, where a visitor reads them by item()
inline constexpr std::size_t kMaxCallArguments = 0xffff;  // positional, and named

// Writes items one behind the other. What is large is pointed at and not copied: it must live until the payload has been
// written (Payload::write).
class ValueWriter {
 public:
  // `storage`: what it writes into; its content is forgotten, its memory used.
  explicit ValueWriter(std::string storage = {}) : bytes_(std::move(storage)) { bytes_.clear(); }
  std::string take_storage() { return std::move(bytes_); }

  void none() { tag(Tag::kNone); }
  void boolean(bool value) { tag(value ? Tag::kTrue : Tag::kFalse); }
  void integer(std::int64_t value) { tagged(Tag::kInt, value); }
  void real(double value) { tagged(Tag::kFloat, value); }
  // True: the bytes are pointed at.
  bool text(const void* data, std::uint64_t size) { return sized(Tag::kText, data, size); }
  bool bytes(const void* data, std::uint64_t size) { return sized(Tag::kBytes, data, size); }
  // kList, kTuple, kDict: so many items follow, or twice as many.
  void container(Tag kind, std::uint32_t count) { tagged(kind, count); }
  // kRefList, kRefTuple: `count` of the blob's references, from the first behind the dependencies on.
  void references(Tag kind, std::uint32_t first, std::uint32_t count) {
    tagged(kind, first);
    fixed(count);
  }
  // Its bytes are pointed at. `format`: a letter of the struct module; at most kMaxRank dimensions.
  void tensor(char format, std::span<const std::int64_t> shape, const void* data, std::uint64_t size);
  // `first`: how many other references come before the pickle's. True: the text is pointed at; the buffers always are.
  bool pickle(std::uint32_t first, std::string_view text, std::span<const std::span<const std::byte>> buffers);
  void dependency(std::uint32_t number) { tagged(Tag::kDependency, number); }
  // Before the arguments of a call: the names, items, come first, then so many arguments as both.
  void call(std::uint16_t positional, std::uint16_t named, std::string_view method);

  // What the payload will have at least, but for up to 63 bytes of padding.
  std::uint64_t size() const { return bytes_.size() + pointed_bytes_; }
  struct Mark {
    std::size_t bytes, pointed;
  };
  Mark mark() const { return {bytes_.size(), pointed_.size()}; }
  // Forgets what was written since.
  void cut(Mark since);
  // Takes out what was written since, one item, as a value of its own: a pickle's references are its first.
  ValueWriter split(Mark since);
  // Adds the pieces; they are valid until the writer changes or ends.
  void add_pieces(Payload& payload) const;

 private:
  struct Pointed {
    std::uint64_t at;  // position in bytes_ before which it goes
    const void* data;
    std::uint64_t size;
    std::uint32_t align;
    std::uint64_t cost() const { return size + (align > 1 ? align : 0); }
  };
  template <typename T>
  void fixed(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void tag(Tag tag) { bytes_.push_back(static_cast<char>(tag)); }
  template <typename T>
  void tagged(Tag kind, T value) {
    tag(kind);
    fixed(value);
  }
  bool sized(Tag kind, const void* data, std::uint64_t size) {
    tagged(kind, size);
    return append(data, size);
  }
  bool append(const void* data, std::uint64_t size) {
    if (size >= kPointedBytes) return point(data, size, 1), true;
    bytes_.append(static_cast<const char*>(data), size);
    return false;
  }
  void point(const void* data, std::uint64_t size, std::uint32_t align) {
    pointed_.push_back({bytes_.size(), data, size, align});
    pointed_bytes_ += pointed_.back().cost();
  }

  std::string bytes_;
  std::vector<Pointed> pointed_;
  std::uint64_t pointed_bytes_ = 0;  // their cost()
};

// Reads what a ValueWriter wrote, from a blob that may be damaged: no length is believed before it was compared with what
// there is, so what a visitor is given lies within the blob. Borrows the blob.
//
// A visitor makes of an item what it likes, an R for all:
//   R none(); R boolean(bool); R integer(std::int64_t); R real(double); R text(std::string_view);
//   R bytes(std::span<const std::byte>); R damaged();
//   R container(Tag, std::uint32_t count)             which reads so many items, or twice as many, with item()
//   R references(Tag, std::span<const Ref>)
//   R tensor(char format, std::span<const std::int64_t> shape, std::span<const std::byte>)
//   R pickle(std::span<const std::byte> text, std::span<const std::span<const std::byte>> buffers,
//            std::span<const Ref>)                    the references from its first on
class ValueReader {
 public:
  // `refs`: the blob's, of which the first `deps` are dependencies.
  explicit ValueReader(std::span<const std::byte> bytes, std::span<const Ref> refs = {}, std::uint16_t deps = 0)
      : bytes_(bytes), deps_(refs.first(std::min<std::size_t>(deps, refs.size()))), refs_(refs.subspan(deps_.size())) {}

  template <typename V>
  auto item(V&& visit) -> decltype(visit.none()) {
    const Tag tag{fixed<char>()};
    switch (damaged_ ? Tag::kDependency : tag) {
      case Tag::kList:
      case Tag::kTuple:
      case Tag::kDict: {
        const auto count = fixed<std::uint32_t>();
        if (damaged_ || count > left() || nesting_ == kMaxNesting) return damaged_ = true, visit.damaged();
        ++nesting_;
        auto made = visit.container(tag, count);
        --nesting_;
        return made;
      }
      case Tag::kRefList:
      case Tag::kRefTuple: {
        const auto first = fixed<std::uint32_t>(), count = fixed<std::uint32_t>();
        if (damaged_ || first > refs_.size() || count > refs_.size() - first) return visit.damaged();
        return visit.references(tag, refs_.subspan(first, count));
      }
      case Tag::kTensor: return tensor(visit);
      case Tag::kPickle: return pickle(visit, 0);
      case Tag::kPickleBehindRefs: return pickle(visit, fixed<std::uint32_t>());
      default: return scalar_of(tag, visit);
    }
  }

  // How far it has read.
  std::size_t position() const { return at_; }

  // The dependency whose value stands here; nullopt: an item comes.
  std::optional<Ref> dependency() {
    if (left() == 0 || Tag{static_cast<char>(bytes_[at_])} != Tag::kDependency) return std::nullopt;
    ++at_;
    const auto number = fixed<std::uint32_t>();
    if (!damaged_ && number < deps_.size()) return deps_[number];
    damaged_ = true;  // which the item says that is not there
    return std::nullopt;
  }

  struct Call {
    std::uint16_t positional, named;
    std::string_view method;
  };
  // nullopt: damaged.
  std::optional<Call> call() {
    Call call{fixed<std::uint16_t>(), fixed<std::uint16_t>(), {}};
    call.method = as_text(take(fixed<std::uint16_t>(), 1));
    return damaged_ ? std::nullopt : std::optional(call);
  }

 private:
  std::size_t left() const { return bytes_.size() - at_; }

  template <typename T>
  T fixed() {
    T value{};
    if (damaged_ || left() < sizeof value) {
      damaged_ = true;
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::span<const std::byte> take(std::uint64_t size, std::uint64_t align) {
    const std::uint64_t start = (at_ + align - 1) / align * align;
    if (damaged_ || start > bytes_.size() || size > bytes_.size() - start) {
      damaged_ = true;
      return {};
    }
    at_ = start + size;
    return bytes_.subspan(start, size);
  }

  static std::string_view as_text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  template <typename V>
  auto scalar_of(Tag tag, V& visit) -> decltype(visit.none()) {
    if (damaged_) return visit.damaged();
    switch (tag) {
      case Tag::kNone: return visit.none();
      case Tag::kTrue: return visit.boolean(true);
      case Tag::kFalse: return visit.boolean(false);
      case Tag::kInt: {
        const auto value = fixed<std::int64_t>();
        return damaged_ ? visit.damaged() : visit.integer(value);
      }
      case Tag::kFloat: {
        const auto value = fixed<double>();
        return damaged_ ? visit.damaged() : visit.real(value);
      }
      case Tag::kText: {
        const auto text = take(fixed<std::uint64_t>(), 1);
        return damaged_ ? visit.damaged() : visit.text(as_text(text));
      }
      case Tag::kBytes: {
        const auto bytes = take(fixed<std::uint64_t>(), 1);
        return damaged_ ? visit.damaged() : visit.bytes(bytes);
      }
      default: damaged_ = true; return visit.damaged();
    }
  }

  template <typename V>
  auto tensor(V& visit) -> decltype(visit.none()) {
    const char format = fixed<char>();
    const std::size_t rank = fixed<std::uint8_t>();
    if (damaged_ || rank > kMaxRank) return visit.damaged();
    std::array<std::int64_t, kMaxRank> shape;
    for (std::size_t i = 0; i < rank; ++i) shape[i] = fixed<std::int64_t>();
    const auto data = take(fixed<std::uint64_t>(), kTensorAlign);
    return damaged_ ? visit.damaged() : visit.tensor(format, std::span(shape.data(), rank), data);
  }

  template <typename V>
  auto pickle(V& visit, std::uint32_t first) -> decltype(visit.none()) {
    const auto size = fixed<std::uint64_t>();
    const auto count = fixed<std::uint32_t>();
    ValueReader sizes = *this;  // of the buffers: they are needed once the text is behind us
    take(std::uint64_t{count} * sizeof(std::uint64_t), 1);
    const auto text = take(size, 1);
    if (damaged_ || first > refs_.size()) return visit.damaged();
    std::vector<std::span<const std::byte>> buffers(count);
    for (auto& buffer : buffers) buffer = take(sizes.fixed<std::uint64_t>(), kTensorAlign);
    return damaged_ ? visit.damaged() : visit.pickle(text, buffers, refs_.subspan(first));
  }

  std::span<const std::byte> bytes_;
  std::span<const Ref> deps_, refs_;
  std::uint64_t at_ = 0;
  std::uint32_t nesting_ = 0;
  bool damaged_ = false;
};

}  // namespace daybreak::runtime
