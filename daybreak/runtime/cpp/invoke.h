// From a call's bytes to a call of a C++ function, and back: one instantiation for each signature, whose address is all that a
// worker needs.
#pragma once

#include <concepts>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "daybreak/runtime/cpp/object_ref.h"
#include "daybreak/runtime/cpp/session.h"
#include "daybreak/runtime/cpp/value.h"

namespace daybreak::runtime::cpp {

// What a parameter's value is kept in while the function runs.
template <typename T>
struct StoredAsOf {
  using type = std::remove_cvref_t<T>;
};
template <>
struct StoredAsOf<std::string_view> {
  using type = std::string;
};
template <>
struct StoredAsOf<const char*> {
  using type = std::string;
};
template <>
struct StoredAsOf<char*> {  // what "text" decays to
  using type = std::string;
};
template <typename T>
struct StoredAsOf<std::span<const T>> {
  using type = Tensor<T>;
};
template <typename T>
using StoredAs = typename StoredAsOf<
    std::conditional_t<std::is_array_v<std::remove_reference_t<T>>, std::decay_t<T>, std::remove_cvref_t<T>>>::type;

template <typename R>
struct UnwrappedOf {
  using type = R;
};
template <typename R>
struct UnwrappedOf<base::Result<R>> {
  using type = R;
};

template <typename S>
base::Status read_argument(NativeCall& call, std::size_t number, std::optional<S>& to) {
  auto read = [&]() -> base::Result<S> {
    DAYBREAK_ASSIGN(const NativeCall::Argument argument, call.next());
    In in{*argument.reader, argument.object ? std::shared_ptr<const void>(borrowed(*argument.object)) : nullptr};
    return read_value<S>(in);
  };
  auto value = read();
  if (!value) return std::unexpected(std::move(value).error().wrap(fmt::format("argument {}", number)));
  to.emplace(std::move(*value));
  return {};
}

template <typename R>
base::Status write_result(NativeCall& call, const R& value) {
  ValueWriter writer;
  Payload payload;
  payload.codec = kCodecItem;
  Out out{writer, payload.refs};
  if (auto written = write_value<R>(out, value); !written)
    return std::unexpected(std::move(written).error().wrap("the result"));
  writer.add_pieces(payload);
  return call.write_result(payload);
}

template <typename R, typename... Args>
struct Signature {
  static_assert(((!std::is_lvalue_reference_v<Args> || std::is_const_v<std::remove_reference_t<Args>>) && ...),
                "a parameter that is a reference to what the function changes has no meaning in another process");
  static_assert(((!std::is_pointer_v<std::remove_cvref_t<Args>>) && ...),
                "a pointer has no meaning in another process");
  static_assert((!kIsObjectRef<std::remove_cvref_t<Args>> && ...),
                "a parameter takes the value of the ObjectRef that a caller gives; for references as such take a "
                "std::vector<ObjectRef<T>>");

  using Result = typename UnwrappedOf<R>::type;
  static constexpr std::size_t kCount = sizeof...(Args);
  template <std::size_t I>
  using Stored = std::tuple_element_t<I, std::tuple<StoredAs<Args>...>>;

  // Calls `body`, which gives a Status, with the arguments of the call.
  template <typename Body>
  static base::Status with_arguments(NativeCall& call, Body&& body) {
    DAYBREAK_TRY(CallScope::check(call));
    if (call.positional() != kCount)
      return base::fail(base::Code::kInvalidArgument, "{} arguments were given, the function takes {}",
                        call.positional(), kCount);
    const CallScope scope(call);
    try {
      return with_values(call, body, std::index_sequence_for<Args...>());
    } catch (...) {
      return std::unexpected(error_of_exception());
    }
  }

  // The same with what is called, whose result becomes the task's.
  template <typename Call>
  static base::Status run(NativeCall& call, Call&& invoke) {
    return with_arguments(call, [&](auto&&... args) -> base::Status {
      if constexpr (std::is_void_v<R>) {
        invoke(std::forward<decltype(args)>(args)...);
        return {};
      } else if constexpr (std::same_as<R, Result>) {
        return write_result<R>(call, invoke(std::forward<decltype(args)>(args)...));
      } else {
        R result = invoke(std::forward<decltype(args)>(args)...);
        if (!result) return std::unexpected(std::move(result).error());
        if constexpr (std::is_void_v<Result>)
          return {};
        else
          return write_result<Result>(call, *result);
      }
    });
  }

 private:
  template <typename Body, std::size_t... I>
  static base::Status with_values(NativeCall& call, Body& body, std::index_sequence<I...>) {
    std::tuple<std::optional<StoredAs<Args>>...> values;
    base::Status status;
    ((status = status ? read_argument(call, I + 1, std::get<I>(values)) : std::move(status)), ...);
    if (!status) return status;
    return body(passed<Args>(*std::get<I>(values))...);
  }
  template <typename Arg, typename S>
  static decltype(auto) passed(S& stored) {
    if constexpr (std::is_lvalue_reference_v<Arg>)
      return static_cast<const S&>(stored);
    else
      return std::move(stored);
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// What can be called.

template <typename F>
struct CallableOf;

template <typename R, typename... Args>
struct CallableOf<R (*)(Args...)> {
  using Of = Signature<R, Args...>;
  using Pointer = R (*)(Args...);
  static base::Status run(NativeCall& call) {
    const auto function = reinterpret_cast<Pointer>(call.target()[0]);
    return Of::run(call, function);
  }
  static NativeCode code(Pointer function) {
    return {.run = &run, .target = {reinterpret_cast<std::uintptr_t>(function), 0}, .name = {}};
  }
};
template <typename R, typename... Args>
struct CallableOf<R (*)(Args...) noexcept> : CallableOf<R (*)(Args...)> {};

template <typename M>
struct SignatureOfMethod;
#define DAYBREAK_METHOD(QUALIFIERS)                        \
  template <typename T, typename R, typename... Args>      \
  struct SignatureOfMethod<R (T::*)(Args...) QUALIFIERS> { \
    using Of = Signature<R, Args...>;                      \
    using Class = T;                                       \
  }
DAYBREAK_METHOD();
DAYBREAK_METHOD(const);
DAYBREAK_METHOD(noexcept);
DAYBREAK_METHOD(const noexcept);
#undef DAYBREAK_METHOD

// A lambda, or another class with one operator().
template <typename F>
  requires std::is_class_v<F>
struct CallableOf<F> {
  static_assert(std::is_empty_v<F> && std::is_default_constructible_v<F>,
                "what a lambda captures stays in this process: pass it as an argument");
  using Of = typename SignatureOfMethod<decltype(&F::operator())>::Of;
  static base::Status run(NativeCall& call) { return Of::run(call, F{}); }
  static NativeCode code(const F&) { return {.run = &run, .target = {}, .name = {}}; }
};

// A method M of actors of the class T, or of one above it.
template <typename T, typename M>
struct MethodOf {
  using Of = typename SignatureOfMethod<M>::Of;
  static_assert(std::is_base_of_v<typename SignatureOfMethod<M>::Class, T>, "the method is of another class");
  static_assert(sizeof(M) == sizeof(NativeTarget),
                "pointers to members are two words: an address or a place in a table, and a shift");

  static base::Status run(NativeCall& call) {
    M method;
    std::memcpy(&method, call.target().data(), sizeof method);
    auto* object = static_cast<T*>(call.instance()->object.get());
    return Of::run(call, [&](auto&&... args) -> decltype(auto) {
      return (object->*method)(std::forward<decltype(args)>(args)...);
    });
  }
  static NativeTarget target(M method) {
    NativeTarget words;
    std::memcpy(words.data(), &method, sizeof method);
    return words;
  }
  // Whether its first word is an address, and no place in the table of virtual functions (Itanium C++ ABI, 2.3; on ARM the shift
  // says so).
  static bool is_code(const NativeTarget& words) {
#if defined(__aarch64__) || defined(__arm__)
    return (words[1] & 1) == 0;
#else
    return (words[0] & 1) == 0;
#endif
  }
};

template <typename T, typename M>
struct NamedMethod {
  const char* name;
  M method;
};

// The methods by which Python, and other programs, call an actor: what `static auto daybreak_methods()` of its class gives.
constexpr std::tuple<> methods() {
  return {};
}
template <typename M, typename... Rest>
constexpr auto methods(const char* name, M method, Rest... rest) {
  return std::tuple_cat(std::tuple(NamedMethod<typename SignatureOfMethod<M>::Class, M>{name, method}),
                        methods(rest...));
}

template <typename T>
concept NamesMethods = requires { T::daybreak_methods(); };

template <typename T>
std::vector<NativeCode> methods_of() {
  std::vector<NativeCode> found;
  if constexpr (NamesMethods<T>)
    std::apply(
        [&](const auto&... named) {
          (found.push_back({.run = &MethodOf<T, decltype(named.method)>::run,
                            .target = MethodOf<T, decltype(named.method)>::target(named.method),
                            .name = named.name}),
           ...);
        },
        T::daybreak_methods());
  return found;
}

// In a function with C linkage that Python names: the call's arguments go to `function`, whose result is the task's.
//
//   extern "C" daybreak::Status mean(daybreak::NativeCall& call) {
//     return daybreak::run(call, [](std::span<const double> x) { return std::reduce(x.begin(), x.end()) / x.size(); });
//   }
template <typename F>
base::Status run(NativeCall& call, F&& function) {
  using Pointer = std::decay_t<F>;
  if (call.describes()) return {};
  if constexpr (std::is_class_v<Pointer>)
    return SignatureOfMethod<decltype(&Pointer::operator())>::Of::run(call, function);
  else
    return CallableOf<Pointer>::Of::run(call, function);
}

// The same for an actor: makes a T of the call's arguments, of these types.
//
//   extern "C" daybreak::Status counter(daybreak::NativeCall& call) { return daybreak::construct<Counter, int>(call); }
template <typename T, typename... Args>
base::Status construct(NativeCall& call) {
  static_assert(std::is_constructible_v<T, StoredAs<Args>...>,
                "the class has no constructor that takes these arguments");
  DAYBREAK_TRY(CallScope::check(call));
  NativeInstance& instance = *call.instance();
  instance.class_name = demangled(typeid(T).name());
  instance.methods = methods_of<T>();
  if (call.describes()) return {};
  return Signature<void, Args...>::with_arguments(call, [&](auto&&... args) -> base::Status {
    instance.object = std::make_shared<T>(std::forward<decltype(args)>(args)...);
    return {};
  });
}

}  // namespace daybreak::runtime::cpp
