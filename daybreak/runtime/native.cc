#include "daybreak/runtime/native.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>
#include <map>

#include "daybreak/base/mutex.h"
#include "daybreak/runtime/spill_folder.h"
#include "daybreak/runtime/worker_loop.h"

namespace daybreak::runtime {

namespace {

std::map<std::string, NativeFunction, std::less<>>& registry() {
  static std::map<std::string, NativeFunction, std::less<>> the_registry;
  return the_registry;
}

void write(ValueWriter& writer, const NativeValue& value) {
  if (std::holds_alternative<std::monostate>(value)) {
    writer.none();
  } else if (const bool* b = std::get_if<bool>(&value)) {
    writer.boolean(*b);
  } else if (const auto* i = std::get_if<std::int64_t>(&value)) {
    writer.integer(*i);
  } else if (const double* d = std::get_if<double>(&value)) {
    writer.real(*d);
  } else if (const auto* s = std::get_if<std::string>(&value)) {
    writer.text(s->data(), s->size());
  } else {
    const auto& tensor = std::get<TensorView>(value);
    writer.tensor(tensor.format, tensor.shape, tensor.data.data(), tensor.data.size());
  }
}

// Makes a NativeValue of what a ValueReader finds.
struct NativeValues {
  using R = base::Result<NativeValue>;
  R none() { return NativeValue{}; }
  R boolean(bool value) { return NativeValue{value}; }
  R integer(std::int64_t value) { return NativeValue{value}; }
  R real(double value) { return NativeValue{value}; }
  R text(std::string_view text) { return NativeValue{std::string(text)}; }
  R bytes(std::span<const std::byte> bytes) {
    return text({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  R tensor(char format, std::span<const std::int64_t> shape, std::span<const std::byte> data) {
    return NativeValue{TensorView{format, {shape.begin(), shape.end()}, data}};
  }
  R container(Tag kind, std::uint32_t) { return python_object(kind); }
  R references(Tag kind, std::span<const Ref>) { return python_object(kind); }
  R pickle(std::span<const std::byte>, std::span<const std::span<const std::byte>>, std::span<const Ref>) {
    return python_object(Tag::kPickle);
  }
  R damaged() { return base::fail(base::Code::kDataLoss, "an object in the store is damaged"); }

 private:
  static R python_object(Tag kind) {
    return base::fail(
        base::Code::kInvalidArgument,
        "the value is a Python object (tag '{}'): C++ receives None, bool, int, float, str, bytes and arrays",
        static_cast<char>(kind));
  }
};

}  // namespace

base::Result<NativeValue> parse_value(std::span<const std::byte> bytes) {
  return ValueReader(bytes).item(NativeValues{});
}

NativeArguments& NativeArguments::add(const NativeValue& value) {
  values_.push_back(value);
  return *this;
}

const Payload& NativeArguments::payload() {
  payload_ = Payload{};
  payload_.codec = kCodecArgs;
  writer_ = ValueWriter(writer_.take_storage());
  writer_.call(static_cast<std::uint16_t>(values_.size()), 0, method_);
  for (const NativeValue& value : values_) write(writer_, value);
  writer_.add_pieces(payload_);
  return payload_;
}

base::Result<NativeValue> native_value(Client& client, Ref ref) {
  Process& p = client.process();
  Entry& e = p.entry(ref.index);
  const State state = p.settled(ref.index);
  if (!state.done()) return base::fail(base::Code::kUnavailable, "the object is not ready: wait for it first");
  if (state.phase() != Phase::kError && p.may_move(ref.index)) DAYBREAK_TRY(p.keep_while_held(ref));
  std::span<const std::byte> bytes = p.value(ref.index);
  if (p.settled(ref.index).phase() == Phase::kError) {
    if (e.error == ErrorKind::kObjectLost && e.value.where == kNowhere)
      return base::fail(base::Code::kDataLoss, "{}", lost_value_text(p, ref));
    if (e.value.codec != 0) return base::fail(base::Code::kUnknown, "the task raised a Python exception");
    return base::fail(base::Code::kAborted, "{}",
                      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  return parse_value(bytes);
}

NativeCall::~NativeCall() {
  for (Ref ref : held_) client_.process().release(ref);
}

base::Status NativeCall::prepare() {
  Process& p = client_.process();
  ValueReader reader(p.args(index_), p.args_refs(index_), p.entry(index_).args.deps);
  const auto call = reader.call();
  if (!call || call->named != 0 || !call->method.empty())
    return base::fail(base::Code::kInvalidArgument, "a C++ function takes positional arguments only");
  for (std::uint16_t i = 0; i < call->positional; ++i) {
    const std::optional<Ref> dependency = reader.dependency();
    if (dependency) {  // its views last as long as the call
      p.hold(*dependency);
      held_.push_back(*dependency);
    }
    auto value = dependency ? native_value(client_, *dependency) : reader.item(NativeValues{});
    if (!value) return std::unexpected(std::move(value).error());
    arguments_.push_back(std::move(*value));
  }
  return {};
}

base::Status NativeCall::store() {
  Payload payload;
  payload.codec = kCodecItem;
  ValueWriter writer;
  write(writer, result_);
  writer.add_pieces(payload);
  return client_.set_value(index_, payload);
}

void run_native_worker(Segment& segment, std::uint32_t proc) {
  Process process(segment, proc);
  use_spill_folder(process);
  Client client(process);
  WorkerLoop loop(client, kNone);
  set_current_client(&client);
  process.slot().pid = getpid();
  process.slot().status = ProcStatus::kAlive;
  for (;;) {
    std::uint32_t index = 0;
    WorkerLoop::Next next = loop.wait(index, -1);
    if (next == WorkerLoop::Next::kExit) return;
    if (next != WorkerLoop::Next::kTask) continue;
    Client::current_task = index + 1;
    process.slot().running.store(index + 1);
    Ref ref = process.entry(index).part.function;
    std::span<const std::byte> name = process.value(ref.index);
    auto function = find_native({reinterpret_cast<const char*>(name.data()), name.size()});
    base::Status status;
    if (!function) {
      status = std::unexpected(std::move(function).error());
    } else {
      NativeCall call(client, index);
      status = call.prepare();
      if (status) status = (*function)(call);
      if (status) status = call.store();
    }
    if (status)
      process.publish(index, false);
    else
      client.fail(index, ErrorKind::kRuntime, status.error().to_string());
    process.slot().running.store(0);
    Client::current_task = 0;
    loop.finished();
  }
}

NativeRegistration::NativeRegistration(const char* name, NativeFunction function) {
  registry()[name] = function;
}

base::Result<NativeFunction> find_native(std::string_view name) {
  static base::Mutex mutex;
  const base::MutexLock guard(mutex);
  if (auto known = registry().find(name); known != registry().end()) return known->second;
  std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos)
    return base::fail(base::Code::kNotFound,
                      "no C++ function '{}' is registered: give 'library.so:symbol', or register it", name);
  std::string library(name.substr(0, colon)), symbol(name.substr(colon + 1));
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return base::fail(base::Code::kNotFound, "library of C++ functions: {}", dlerror());
  auto function = reinterpret_cast<NativeFunction>(dlsym(handle, symbol.c_str()));
  if (function == nullptr) return base::fail(base::Code::kNotFound, "{} has no symbol '{}'", library, symbol);
  registry()[std::string(name)] = function;
  return function;
}

base::Result<Ref> put_native(Client& client, std::string_view name) {
  Payload payload;
  payload.codec = kCodecNative;
  payload.pieces.push_back({name.data(), name.size(), 1});
  return client.put(payload);
}

}  // namespace daybreak::runtime
