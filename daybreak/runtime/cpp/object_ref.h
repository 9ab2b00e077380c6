// References to objects and handles of actors, typed; and how both cross inside of other values.
#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include "daybreak/runtime/cpp/session.h"
#include "daybreak/runtime/cpp/value.h"

namespace daybreak::runtime::cpp {

// A value of type T that is there or will be: of put(), a task or an actor's call. Copies name the same object, which lives as long
// as one of them. What could not be submitted is a reference, too: get() and wait() give the error. Any thread may use it.
template <typename T>
class ObjectRef {
 public:
  using Type = T;
  ObjectRef() = default;
  explicit ObjectRef(Handle handle) : handle_(std::move(handle)) {}

  const Handle& handle() const { return handle_; }
  // Why there is no object; null: there is one.
  const base::Error* refusal() const { return handle_ ? handle_->refusal() : nullptr; }

 private:
  Handle handle_;
};

template <typename T>
inline constexpr bool kIsObjectRef = false;
template <typename T>
inline constexpr bool kIsObjectRef<ObjectRef<T>> = true;

// Inside of another value references stay references; as an argument of its own an ObjectRef becomes its value.
template <typename T>
struct Value<std::vector<ObjectRef<T>>> {
  static base::Status write(Out& out, const std::vector<ObjectRef<T>>& refs) {
    for (const ObjectRef<T>& ref : refs) DAYBREAK_TRY(usable(ref.handle(), "an ObjectRef in a vector"));
    out.writer.references(Tag::kRefList, static_cast<std::uint32_t>(out.refs.size()),
                          static_cast<std::uint32_t>(refs.size()));
    for (const ObjectRef<T>& ref : refs) out.refs.push_back(ref.handle()->ref());
    return {};
  }
  static base::Result<std::vector<ObjectRef<T>>> read(In&, const NativeItem& item) {
    const bool empty = is_sequence(item) && item.count == 0;
    if (item.damaged || (!empty && item.tag != Tag::kRefList && item.tag != Tag::kRefTuple))
      return refused<std::vector<ObjectRef<T>>>("a list of references", item);
    std::vector<ObjectRef<T>> refs;
    for (const Ref ref : item.refs) refs.emplace_back(borrowed(ref));
    return refs;
  }
};

}  // namespace daybreak::runtime::cpp
