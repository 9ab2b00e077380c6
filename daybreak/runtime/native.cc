#include "daybreak/runtime/native.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>
#include <map>

#include "daybreak/base/mutex.h"
#include "daybreak/runtime/worker_loop.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint8_t kCodecItem = 1, kCodecArgs = 2, kCodecNative = 4;  // as in python/common.h

std::map<std::string, NativeFunction, std::less<>>& registry() {
  static std::map<std::string, NativeFunction, std::less<>> the_registry;
  return the_registry;
}

template <typename T>
void raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Appends all of the value but a tensor's bytes, which go behind it, aligned to 64.
void encode(std::string& out, const NativeValue& value, const TensorView*& tensor) {
  tensor = nullptr;
  if (std::holds_alternative<std::monostate>(value)) {
    out.push_back('N');
  } else if (const bool* b = std::get_if<bool>(&value)) {
    out.push_back(*b ? 'T' : 'F');
  } else if (const auto* i = std::get_if<std::int64_t>(&value)) {
    out.push_back('i');
    raw(out, *i);
  } else if (const double* d = std::get_if<double>(&value)) {
    out.push_back('d');
    raw(out, *d);
  } else if (const auto* s = std::get_if<std::string>(&value)) {
    out.push_back('s');
    raw(out, static_cast<std::uint64_t>(s->size()));
    out += *s;
  } else {
    tensor = &std::get<TensorView>(value);
    out.push_back('n');
    out.push_back(tensor->format);
    out.push_back(static_cast<char>(tensor->shape.size()));
    for (std::int64_t n : tensor->shape) raw(out, n);
    raw(out, static_cast<std::uint64_t>(tensor->data.size()));
  }
}

void append_pieces(Payload& payload, std::string& bytes, const std::vector<NativeValue>& values) {
  // First all headers, then their places: `bytes` must not move any more once pieces point into it.
  std::vector<std::size_t> ends;
  std::vector<const TensorView*> tensors;
  for (const NativeValue& value : values) {
    const TensorView* tensor = nullptr;
    encode(bytes, value, tensor);
    ends.push_back(bytes.size());
    tensors.push_back(tensor);
  }
  std::size_t at = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (tensors[i] == nullptr) continue;
    payload.pieces.push_back({bytes.data() + at, ends[i] - at, 1});
    payload.pieces.push_back({tensors[i]->data.data(), tensors[i]->data.size(), 64});
    at = ends[i];
  }
  if (at < bytes.size()) payload.pieces.push_back({bytes.data() + at, bytes.size() - at, 1});
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <typename T>
  bool raw(T& value) {
    if (bytes_.size() - at_ < sizeof value) return false;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return true;
  }
  bool take(std::uint64_t size, std::uint64_t align, std::span<const std::byte>& out) {
    std::uint64_t start = (at_ + align - 1) / align * align;
    if (start > bytes_.size() || size > bytes_.size() - start) return false;
    out = bytes_.subspan(start, size);
    at_ = start + size;
    return true;
  }
  base::Result<NativeValue> value() {
    char tag = 0;
    if (!raw(tag)) return damaged();
    std::uint64_t size = 0;
    std::span<const std::byte> data;
    switch (tag) {
      case 'N': return NativeValue{};
      case 'T': return NativeValue{true};
      case 'F': return NativeValue{false};
      case 'i': {
        std::int64_t i = 0;
        return raw(i) ? base::Result<NativeValue>(NativeValue{i}) : damaged();
      }
      case 'd': {
        double d = 0;
        return raw(d) ? base::Result<NativeValue>(NativeValue{d}) : damaged();
      }
      case 's':
      case 'b':
        if (!raw(size) || !take(size, 1, data)) return damaged();
        return NativeValue{std::string(reinterpret_cast<const char*>(data.data()), data.size())};
      case 'n': {
        TensorView tensor;
        std::uint8_t rank = 0;
        if (!raw(tensor.format) || !raw(rank) || rank > 32) return damaged();
        tensor.shape.resize(rank);
        for (std::int64_t& n : tensor.shape)
          if (!raw(n)) return damaged();
        if (!raw(size) || !take(size, 64, tensor.data)) return damaged();
        return NativeValue{std::move(tensor)};
      }
      default:
        return base::fail(
            base::Code::kInvalidArgument,
            "the value is a Python object (tag '{}'): C++ receives None, bool, int, float, str, bytes and arrays", tag);
    }
  }

 private:
  static base::Result<NativeValue> damaged() {
    return base::fail(base::Code::kDataLoss, "an object in the store is damaged");
  }
  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
};

}  // namespace

base::Result<NativeValue> parse_value(std::span<const std::byte> bytes) {
  return Reader(bytes).value();
}

NativeArguments& NativeArguments::add(const NativeValue& value) {
  values_.push_back(value);
  return *this;
}

const Payload& NativeArguments::payload() {
  payload_ = Payload{};
  payload_.codec = kCodecArgs;
  bytes_.clear();
  raw(bytes_, static_cast<std::uint16_t>(values_.size()));
  raw(bytes_, std::uint16_t{0});
  raw(bytes_, static_cast<std::uint16_t>(method_.size()));
  bytes_ += method_;
  append_pieces(payload_, bytes_, values_);
  return payload_;
}

base::Result<NativeValue> native_value(Client& client, Ref ref) {
  Process& p = client.process();
  Entry& e = p.entry(ref.index);
  const State state = p.settled(ref.index);
  if (!state.done()) return base::fail(base::Code::kUnavailable, "the object is not ready: wait for it first");
  std::span<const std::byte> bytes = p.value(ref.index);
  if (state.phase() == Phase::kError) {
    if (e.value.codec != 0) return base::fail(base::Code::kUnknown, "the task raised a Python exception");
    return base::fail(base::Code::kAborted, "{}",
                      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  return parse_value(bytes);
}

base::Status NativeCall::prepare() {
  Process& p = client_.process();
  Reader reader(p.args(index_));
  std::uint16_t count = 0, names = 0, method = 0;
  if (!reader.raw(count) || !reader.raw(names) || !reader.raw(method) || method != 0 || names != 0)
    return base::fail(base::Code::kInvalidArgument, "a C++ function takes positional arguments only");
  std::span<const Ref> refs = p.args_refs(index_);
  for (std::uint16_t i = 0; i < count; ++i) {
    Reader ahead = reader;
    char tag = 0;
    if (ahead.raw(tag) && tag == 'r') {
      std::uint32_t dependency = 0;
      if (!ahead.raw(dependency) || dependency >= refs.size())
        return base::fail(base::Code::kDataLoss, "damaged arguments");
      DAYBREAK_ASSIGN(NativeValue value, native_value(client_, refs[dependency]));
      arguments_.push_back(std::move(value));
      reader = ahead;
      continue;
    }
    DAYBREAK_ASSIGN(NativeValue value, reader.value());
    arguments_.push_back(std::move(value));
  }
  return {};
}

base::Status NativeCall::store() {
  Payload payload;
  payload.codec = kCodecItem;
  std::string bytes;
  append_pieces(payload, bytes, {result_});
  return client_.set_value(index_, payload);
}

void run_native_worker(Segment& segment, std::uint32_t proc) {
  Process process(segment, proc);
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
    loop.finished(index);
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
