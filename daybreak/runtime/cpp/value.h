// How C++ values cross: arithmetic types, enums, std::string, vector, array, map, unordered_map, pair, tuple, optional, vectors of
// std::byte, Tensor, lists of references, actors' handles, and structs that name their fields. Python reads and writes the same.
//
//   struct Particle {
//     double x, y;
//     std::string name;
//     static constexpr auto daybreak_fields() {
//       return daybreak::fields("x", &Particle::x, "y", &Particle::y, "name", &Particle::name);
//     }
//   };                                   // for Python it is {"x": ..., "y": ..., "name": ...}
//
// For a struct of somebody else the same function stands beside it: `auto daybreak_fields(std::type_identity<Particle>)`, in the
// struct's namespace. Another form is a specialisation of Value.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/runtime/native.h"

namespace daybreak::runtime::cpp {

// What a value is written into: the bytes, and the references behind them. What is large is pointed at: the value must live
// until the payload has been written.
struct Out {
  ValueWriter& writer;
  std::vector<Ref>& refs;
};

// What a value is read from. owner: keeps the bytes alive for views of them; null: they are copied.
struct In {
  ValueReader& reader;
  std::shared_ptr<const void> owner;
};

// Value<T> says how a T crosses. A specialisation has
//   static base::Status write(Out& out, const T& value);                      exactly one item
//   static base::Result<T> read(In& in, const NativeItem& item);              the item has been read; what a container holds comes next
template <typename T>
struct Value;

// "an int expected, the text 'seven' found"
template <typename T>
base::Result<T> refused(std::string_view expected, const NativeItem& item) {
  if (item.damaged) return base::fail(base::Code::kDataLoss, "an object in the store is damaged");
  return base::fail(base::Code::kInvalidArgument, "{} expected, {} found", expected, item.to_string());
}

template <typename T>
concept Crosses = requires(Out& out, In& in, const T& value, const NativeItem& item) {
  { Value<T>::write(out, value) } -> std::same_as<base::Status>;
  { Value<T>::read(in, item) } -> std::same_as<base::Result<T>>;
};

template <typename T>
base::Result<T> read_value(In& in) {
  static_assert(Crosses<T>,
                "this type does not cross processes: give it daybreak_fields(), or specialise daybreak::Value");
  const NativeItem item = read_item(in.reader);
  return Value<T>::read(in, item);
}

template <typename T>
base::Status write_value(Out& out, const T& value) {
  static_assert(Crosses<T>,
                "this type does not cross processes: give it daybreak_fields(), or specialise daybreak::Value");
  return Value<T>::write(out, value);
}

// ---------------------------------------------------------------------------------------------------------------------
// One item each.

template <>
struct Value<bool> {
  static base::Status write(Out& out, bool value) { return out.writer.boolean(value), base::Status(); }
  static base::Result<bool> read(In&, const NativeItem& item) {
    if (item.damaged || (item.tag != Tag::kTrue && item.tag != Tag::kFalse)) return refused<bool>("a bool", item);
    return item.tag == Tag::kTrue;
  }
};

template <std::integral T>
  requires(!std::same_as<T, bool>)
struct Value<T> {
  static base::Status write(Out& out, T value) {
    if (!std::in_range<std::int64_t>(value))
      return base::fail(base::Code::kOutOfRange, "the int {} crosses no process: at most {} does", value,
                        std::numeric_limits<std::int64_t>::max());
    return out.writer.integer(static_cast<std::int64_t>(value)), base::Status();
  }
  static base::Result<T> read(In&, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kInt) return refused<T>("an int", item);
    if (!std::in_range<T>(item.integer))
      return base::fail(base::Code::kOutOfRange, "the int {} does not fit: between {} and {} is possible", item.integer,
                        std::int64_t{std::numeric_limits<T>::min()}, std::numeric_limits<T>::max());
    return static_cast<T>(item.integer);
  }
};

template <>
struct Value<char> {
  static base::Status write(Out& out, char value) { return out.writer.text(&value, 1), base::Status(); }
  static base::Result<char> read(In&, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kText || item.text.size() != 1)
      return refused<char>("a text of one byte", item);
    return item.text[0];
  }
};

template <typename T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
struct Value<T> {
  static base::Status write(Out& out, T value) { return out.writer.real(value), base::Status(); }
  static base::Result<T> read(In&, const NativeItem& item) {
    if (!item.damaged && item.tag == Tag::kFloat) return static_cast<T>(item.real);
    if (!item.damaged && item.tag == Tag::kInt) return static_cast<T>(item.integer);
    return refused<T>("a float", item);
  }
};

template <typename T>
  requires std::is_enum_v<T>
struct Value<T> {
  using Number = std::underlying_type_t<T>;
  static base::Status write(Out& out, T value) { return Value<Number>::write(out, static_cast<Number>(value)); }
  static base::Result<T> read(In& in, const NativeItem& item) {
    DAYBREAK_ASSIGN(const Number number, Value<Number>::read(in, item));
    return static_cast<T>(number);
  }
};

template <>
struct Value<std::monostate> {
  static base::Status write(Out& out, std::monostate) { return out.writer.none(), base::Status(); }
  static base::Result<std::monostate> read(In&, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kNone) return refused<std::monostate>("None", item);
    return std::monostate{};
  }
};

template <>
struct Value<std::string> {
  static base::Status write(Out& out, const std::string& value) {
    return out.writer.text(value.data(), value.size()), base::Status();
  }
  static base::Result<std::string> read(In&, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kText) return refused<std::string>("a text", item);
    return std::string(item.text);
  }
};

template <typename T>
struct Value<std::optional<T>> {
  static base::Status write(Out& out, const std::optional<T>& value) {
    if (value) return write_value(out, *value);
    return out.writer.none(), base::Status();
  }
  static base::Result<std::optional<T>> read(In& in, const NativeItem& item) {
    if (!item.damaged && item.tag == Tag::kNone) return std::optional<T>();
    return Value<T>::read(in, item);
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Arrays.

// The letter of the struct module for an element type, 0 for others; those that numpy prefers where there are two.
template <typename T>
constexpr char format_of() {
  if constexpr (std::same_as<T, bool>) return '?';
  if constexpr (std::same_as<T, float>) return 'f';
  if constexpr (std::same_as<T, double>) return 'd';
  if constexpr (std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>) {
    constexpr bool kSigned = std::is_signed_v<T>;
    switch (sizeof(T)) {
      case 1: return kSigned ? 'b' : 'B';
      case 2: return kSigned ? 'h' : 'H';
      case 4: return kSigned ? 'i' : 'I';
      case 8: return kSigned ? 'l' : 'L';
      default: break;
    }
  }
  return 0;
}

constexpr char usual_format(char format) {
  return format == 'q' ? 'l' : format == 'Q' ? 'L' : format;
}

template <typename T>
concept Element = format_of<T>() != 0;

// A row-major array, a numpy array for Python. Copies share the elements, which nobody changes; those of an object of the store
// lie in it and keep it there. Any thread may read it.
template <Element T>
class Tensor {
 public:
  Tensor() : Tensor(std::vector<T>{}) {}
  // Of one dimension.
  explicit Tensor(std::vector<T> values)
    requires(!std::same_as<T, bool>)
      : shape_{static_cast<std::int64_t>(values.size())} {
    auto kept = std::make_shared<const std::vector<T>>(std::move(values));
    data_ = *kept;
    owner_ = std::move(kept);
  }
  // kInvalidArgument: the shape has another number of elements, a negative dimension or too many dimensions.
  static base::Result<Tensor> make(std::vector<std::int64_t> shape, std::vector<T> values)
    requires(!std::same_as<T, bool>)
  {
    DAYBREAK_TRY(check(shape, values.size()));
    Tensor made(std::move(values));
    made.shape_ = std::move(shape);
    return made;
  }
  // Elements that somebody else owns, until every task that was given the tensor has been submitted; `owner`, if there is one, is
  // held as long as any copy.
  static base::Result<Tensor> view(std::vector<std::int64_t> shape, std::span<const T> values,
                                   std::shared_ptr<const void> owner = nullptr) {
    DAYBREAK_TRY(check(shape, values.size()));
    return Tensor(std::move(shape), values, std::move(owner));
  }
  static Tensor borrow(std::span<const T> values) {
    return Tensor({static_cast<std::int64_t>(values.size())}, values, nullptr);
  }

  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::span<const T> values() const { return data_; }
  const T* data() const { return data_.data(); }
  std::size_t size() const { return data_.size(); }
  operator std::span<const T>() const { return data_; }  // NOLINT(google-explicit-constructor): as a vector

 private:
  Tensor(std::vector<std::int64_t> shape, std::span<const T> values, std::shared_ptr<const void> owner)
      : shape_(std::move(shape)), data_(values), owner_(std::move(owner)) {}

  static base::Status check(std::span<const std::int64_t> shape, std::size_t count) {
    if (shape.size() > kMaxRank)
      return base::fail(base::Code::kInvalidArgument, "a tensor of {} dimensions, at most {} are possible",
                        shape.size(), kMaxRank);
    std::size_t product = 1;
    for (const std::int64_t n : shape)
      if (n < 0 || __builtin_mul_overflow(product, static_cast<std::size_t>(n), &product))
        return base::fail(base::Code::kInvalidArgument, "{} is no dimension of a tensor with {} elements", n, count);
    if (product == count) return {};
    return base::fail(base::Code::kInvalidArgument, "the shape has {} elements, there are {}", product, count);
  }

  std::vector<std::int64_t> shape_;
  std::span<const T> data_;
  std::shared_ptr<const void> owner_;
};

template <Element T>
struct Value<Tensor<T>> {
  static base::Status write(Out& out, const Tensor<T>& value) {
    out.writer.tensor(format_of<T>(), value.shape(), value.data(), value.size() * sizeof(T));
    return {};
  }
  // A list of numbers is one, too.
  static base::Result<Tensor<T>> read(In& in, const NativeItem& item) {
    if (!item.damaged && (item.tag == Tag::kList || item.tag == Tag::kTuple)) return of_list(in, item.count);
    if (item.damaged || item.tag != Tag::kTensor || usual_format(item.format) != format_of<T>() ||
        item.bytes.size() % sizeof(T) != 0)
      return refused<Tensor<T>>(fmt::format("an array of format '{}'", format_of<T>()), item);
    const std::size_t count = item.bytes.size() / sizeof(T);
    if (in.owner) return Tensor<T>::view(item.shape, {reinterpret_cast<const T*>(item.bytes.data()), count}, in.owner);
    const std::shared_ptr<T[]> copy = std::make_shared_for_overwrite<T[]>(count);
    if (count > 0) std::memcpy(copy.get(), item.bytes.data(), item.bytes.size());
    return Tensor<T>::view(item.shape, {copy.get(), count}, copy);
  }

 private:
  static base::Result<Tensor<T>> of_list(In& in, std::uint32_t count) {
    std::vector<T> values;
    for (std::uint32_t i = 0; i < count; ++i) {
      DAYBREAK_ASSIGN(const T value, read_value<T>(in));
      values.push_back(value);
    }
    const std::shared_ptr<T[]> copy = std::make_shared_for_overwrite<T[]>(count);
    std::copy(values.begin(), values.end(), copy.get());
    return Tensor<T>::view({count}, {copy.get(), count}, copy);
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Containers.

template <typename Container>
base::Status write_sequence(Out& out, Tag kind, const Container& values) {
  if (values.size() > std::numeric_limits<std::uint32_t>::max())
    return base::fail(base::Code::kOutOfRange, "a list of {} items crosses no process: use a Tensor", values.size());
  out.writer.container(kind, static_cast<std::uint32_t>(values.size()));
  for (const auto& value : values) {
    using T = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::same_as<T, std::vector<bool>::const_reference> && !std::same_as<T, bool>)
      DAYBREAK_TRY(write_value<bool>(out, value));
    else
      DAYBREAK_TRY(write_value<T>(out, value));
  }
  return {};
}

inline bool is_sequence(const NativeItem& item) {
  return !item.damaged && (item.tag == Tag::kList || item.tag == Tag::kTuple);
}

// Numbers are an array for Python, and are read from an array or a list.
template <typename T>
struct Value<std::vector<T>> {
  static constexpr bool kIsArray = Element<T> && !std::same_as<T, bool>;
  static base::Status write(Out& out, const std::vector<T>& values) {
    if constexpr (kIsArray)
      return Value<Tensor<T>>::write(out, Tensor<T>::borrow(values));
    else
      return write_sequence(out, Tag::kList, values);
  }
  static base::Result<std::vector<T>> read(In& in, const NativeItem& item) {
    if constexpr (kIsArray) {
      if (!item.damaged && item.tag == Tag::kTensor) {
        if (item.shape.size() != 1) return refused<std::vector<T>>("an array of one dimension", item);
        DAYBREAK_ASSIGN(const Tensor<T> tensor, Value<Tensor<T>>::read(in, item));
        return std::vector<T>(tensor.values().begin(), tensor.values().end());
      }
    }
    if (!is_sequence(item)) return refused<std::vector<T>>("a list", item);
    std::vector<T> values;
    for (std::uint32_t i = 0; i < item.count; ++i) {
      DAYBREAK_ASSIGN(T value, read_value<T>(in));
      values.push_back(std::move(value));
    }
    return values;
  }
};

template <>
struct Value<std::vector<std::byte>> {
  static base::Status write(Out& out, const std::vector<std::byte>& value) {
    return out.writer.bytes(value.data(), value.size()), base::Status();
  }
  static base::Result<std::vector<std::byte>> read(In&, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kBytes) return refused<std::vector<std::byte>>("bytes", item);
    return std::vector<std::byte>(item.bytes.begin(), item.bytes.end());
  }
};

template <typename T, std::size_t N>
struct Value<std::array<T, N>> {
  static base::Status write(Out& out, const std::array<T, N>& values) {
    return write_sequence(out, Tag::kList, values);
  }
  static base::Result<std::array<T, N>> read(In& in, const NativeItem& item) {
    DAYBREAK_ASSIGN(std::vector<T> values, Value<std::vector<T>>::read(in, item));
    if (values.size() != N) return refused<std::array<T, N>>(fmt::format("a list of {} items", N), item);
    std::array<T, N> array;
    std::move(values.begin(), values.end(), array.begin());
    return array;
  }
};

template <typename Map>
struct MapValue {
  using K = typename Map::key_type;
  using V = typename Map::mapped_type;
  static base::Status write(Out& out, const Map& map) {
    if (map.size() > std::numeric_limits<std::uint32_t>::max())
      return base::fail(base::Code::kOutOfRange, "a map of {} items crosses no process", map.size());
    out.writer.container(Tag::kDict, static_cast<std::uint32_t>(map.size()));
    for (const auto& [key, value] : map) {
      DAYBREAK_TRY(write_value<K>(out, key));
      DAYBREAK_TRY(write_value<V>(out, value));
    }
    return {};
  }
  static base::Result<Map> read(In& in, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kDict) return refused<Map>("a dict", item);
    Map map;
    for (std::uint32_t i = 0; i < item.count; ++i) {
      DAYBREAK_ASSIGN(K key, read_value<K>(in));
      DAYBREAK_ASSIGN(V value, read_value<V>(in));
      map.insert_or_assign(std::move(key), std::move(value));
    }
    return map;
  }
};
template <typename K, typename V, typename C, typename A>
struct Value<std::map<K, V, C, A>> : MapValue<std::map<K, V, C, A>> {};
template <typename K, typename V, typename H, typename E, typename A>
struct Value<std::unordered_map<K, V, H, E, A>> : MapValue<std::unordered_map<K, V, H, E, A>> {};

template <typename... Ts>
struct Value<std::tuple<Ts...>> {
  static base::Status write(Out& out, const std::tuple<Ts...>& values) {
    out.writer.container(Tag::kTuple, sizeof...(Ts));
    base::Status status;
    std::apply([&](const auto&... value) { ((status = status ? write_value(out, value) : std::move(status)), ...); },
               values);
    return status;
  }
  static base::Result<std::tuple<Ts...>> read(In& in, const NativeItem& item) {
    if (!is_sequence(item) || item.count != sizeof...(Ts))
      return refused<std::tuple<Ts...>>(fmt::format("a tuple of {} items", sizeof...(Ts)), item);
    std::tuple<std::optional<Ts>...> parts;
    base::Status status;
    std::apply([&](auto&... part) { ((status = status ? read_into(in, part) : std::move(status)), ...); }, parts);
    if (!status) return std::unexpected(std::move(status).error());
    return std::apply([](auto&... part) { return std::tuple<Ts...>(std::move(*part)...); }, parts);
  }

 private:
  template <typename T>
  static base::Status read_into(In& in, std::optional<T>& part) {
    DAYBREAK_ASSIGN(part, read_value<T>(in));
    return {};
  }
};

template <typename A, typename B>
struct Value<std::pair<A, B>> {
  static base::Status write(Out& out, const std::pair<A, B>& value) {
    out.writer.container(Tag::kTuple, 2);
    DAYBREAK_TRY(write_value<A>(out, value.first));
    return write_value<B>(out, value.second);
  }
  static base::Result<std::pair<A, B>> read(In& in, const NativeItem& item) {
    if (!is_sequence(item) || item.count != 2) return refused<std::pair<A, B>>("a tuple of 2 items", item);
    DAYBREAK_ASSIGN(A first, read_value<A>(in));
    DAYBREAK_ASSIGN(B second, read_value<B>(in));
    return std::pair<A, B>(std::move(first), std::move(second));
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Structs.

template <typename T, typename M>
struct Field {
  const char* name;
  M T::* member;
};

constexpr std::tuple<> fields() {
  return {};
}
template <typename T, typename M, typename... Rest>
constexpr auto fields(const char* name, M T::* member, Rest... rest) {
  return std::tuple_cat(std::tuple(Field<T, M>{name, member}), fields(rest...));
}

template <typename T>
concept NamesFields = requires { T::daybreak_fields(); };
template <typename T>
concept FieldsAreNamed = requires { daybreak_fields(std::type_identity<T>{}); };

template <typename T>
  requires(NamesFields<T> || FieldsAreNamed<T>)
struct Value<T> {
  static constexpr auto all_fields() {
    if constexpr (NamesFields<T>)
      return T::daybreak_fields();
    else
      return daybreak_fields(std::type_identity<T>{});
  }
  static constexpr std::size_t kFields = std::tuple_size_v<decltype(all_fields())>;

  static base::Status write(Out& out, const T& value) {
    out.writer.container(Tag::kDict, kFields);
    base::Status status;
    auto one = [&](const auto& field) -> base::Status {
      const std::string_view name = field.name;
      out.writer.text(name.data(), name.size());
      return write_value(out, value.*field.member);
    };
    std::apply([&](const auto&... field) { ((status = status ? one(field) : std::move(status)), ...); }, all_fields());
    return status;
  }

  static base::Result<T> read(In& in, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kDict) return refused<T>("a dict with the struct's fields", item);
    T value{};
    std::array<bool, kFields> seen{};
    for (std::uint32_t i = 0; i < item.count; ++i) {
      DAYBREAK_ASSIGN(const std::string key, read_value<std::string>(in));
      std::size_t at = 0;
      bool known = false;
      base::Status status;
      auto one = [&](const auto& field) {
        if (!known && status && key == field.name) {
          known = seen[at] = true;
          status = read_field(in, value, field);
        }
        ++at;
      };
      std::apply([&](const auto&... field) { (one(field), ...); }, all_fields());
      if (!status) return std::unexpected(std::move(status).error());
      if (!known) return base::fail(base::Code::kInvalidArgument, "the struct has no field '{}'", key);
    }
    return complete(std::move(value), seen);
  }

 private:
  template <typename F>
  static base::Status read_field(In& in, T& value, const F& field) {
    auto read = read_value<std::remove_cvref_t<decltype(value.*field.member)>>(in);
    if (!read) return std::unexpected(std::move(read).error().wrap(fmt::format("field '{}'", field.name)));
    value.*field.member = std::move(*read);
    return {};
  }
  static base::Result<T> complete(T value, const std::array<bool, kFields>& seen) {
    std::string missing;
    std::size_t at = 0;
    std::apply([&](const auto&... field) { ((missing += seen[at++] ? "" : fmt::format(" '{}'", field.name)), ...); },
               all_fields());
    if (!missing.empty())
      return base::fail(base::Code::kInvalidArgument, "the dict lacks the struct's field{}", missing);
    return value;
  }
};

}  // namespace daybreak::runtime::cpp
