#include "daybreak/runtime/native.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "daybreak/base/mutex.h"
#include "daybreak/runtime/cpp/code_address.h"
#include "daybreak/runtime/spill_folder.h"

namespace daybreak::runtime {

namespace {

// Names, and what they stand for. What is in it stays where it is.
class NativeRegistry {
 public:
  const NativeCode* find(std::string_view name) DAYBREAK_EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    const auto found = known_.find(name);
    return found == known_.end() ? nullptr : &found->second;
  }
  const NativeCode* add(std::string_view name, NativeCode code) DAYBREAK_EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    return &known_.emplace(name, std::move(code)).first->second;
  }

 private:
  base::Mutex mutex_;
  std::map<std::string, NativeCode, std::less<>> known_ DAYBREAK_GUARDED_BY(mutex_);
};

NativeRegistry& registry() {
  static auto* the_registry = new NativeRegistry;  // threads may use it while the program ends
  return *the_registry;
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

// Makes a NativeItem of what a ValueReader finds.
struct NativeItems {
  NativeItem none() { return {}; }
  NativeItem boolean(bool value) { return {.tag = value ? Tag::kTrue : Tag::kFalse}; }
  NativeItem integer(std::int64_t value) { return {.tag = Tag::kInt, .integer = value}; }
  NativeItem real(double value) { return {.tag = Tag::kFloat, .real = value}; }
  NativeItem text(std::string_view text) { return {.tag = Tag::kText, .text = text}; }
  NativeItem bytes(std::span<const std::byte> bytes) { return {.tag = Tag::kBytes, .bytes = bytes}; }
  NativeItem container(Tag kind, std::uint32_t count) { return {.tag = kind, .count = count}; }
  NativeItem references(Tag kind, std::span<const Ref> refs) { return {.tag = kind, .refs = refs}; }
  NativeItem tensor(char format, std::span<const std::int64_t> shape, std::span<const std::byte> data) {
    return {.tag = Tag::kTensor, .bytes = data, .format = format, .shape = {shape.begin(), shape.end()}};
  }
  NativeItem pickle(std::span<const std::byte>, std::span<const std::span<const std::byte>>, std::span<const Ref>) {
    return {.tag = Tag::kPickle};
  }
  NativeItem damaged() { return {.damaged = true}; }
};

base::Result<NativeValue> value_of(const NativeItem& item) {
  if (item.damaged) return base::fail(base::Code::kDataLoss, "an object in the store is damaged");
  switch (item.tag) {
    case Tag::kNone: return NativeValue{};
    case Tag::kTrue: return NativeValue{true};
    case Tag::kFalse: return NativeValue{false};
    case Tag::kInt: return NativeValue{item.integer};
    case Tag::kFloat: return NativeValue{item.real};
    case Tag::kText: return NativeValue{std::string(item.text)};
    case Tag::kBytes:
      return NativeValue{std::string(reinterpret_cast<const char*>(item.bytes.data()), item.bytes.size())};
    case Tag::kTensor: return NativeValue{TensorView{item.format, item.shape, item.bytes}};
    default:
      return base::fail(base::Code::kInvalidArgument,
                        "the value is {}: a NativeValue is None, a bool, an int, a float, a str, bytes or an array",
                        item.to_string());
  }
}

// Which of the built-in exceptions of Python tells a code best, and back.
struct PythonClass {
  std::string_view name;
  base::Code code;
};
constexpr PythonClass kPythonClasses[] = {{"ValueError", base::Code::kInvalidArgument},
                                          {"TypeError", base::Code::kInvalidArgument},
                                          {"LookupError", base::Code::kNotFound},
                                          {"KeyError", base::Code::kNotFound},
                                          {"FileNotFoundError", base::Code::kNotFound},
                                          {"ModuleNotFoundError", base::Code::kNotFound},
                                          {"ImportError", base::Code::kNotFound},
                                          {"AttributeError", base::Code::kNotFound},
                                          {"FileExistsError", base::Code::kAlreadyExists},
                                          {"PermissionError", base::Code::kPermissionDenied},
                                          {"MemoryError", base::Code::kResourceExhausted},
                                          {"TimeoutError", base::Code::kDeadlineExceeded},
                                          {"IndexError", base::Code::kOutOfRange},
                                          {"OverflowError", base::Code::kOutOfRange},
                                          {"NotImplementedError", base::Code::kUnimplemented},
                                          {"ConnectionError", base::Code::kUnavailable},
                                          {"RuntimeError", base::Code::kUnknown}};

base::Code code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kCancelled: return base::Code::kCancelled;
    case ErrorKind::kWorkerCrashed:
    case ErrorKind::kActorDied:
    case ErrorKind::kOwnerDied: return base::Code::kAborted;
    case ErrorKind::kStoreFull:
    case ErrorKind::kOutOfMemory: return base::Code::kResourceExhausted;
    case ErrorKind::kUnschedulable:
    case ErrorKind::kGroupRemoved:
    case ErrorKind::kEnvironment: return base::Code::kFailedPrecondition;
    case ErrorKind::kObjectLost: return base::Code::kDataLoss;
    default: return base::Code::kUnknown;
  }
}

// What exceptions.py or encode_native_error() has made of an exception.
base::Error decoded_error(std::span<const std::byte> bytes, ErrorKind kind) {
  ValueReader reader(bytes);
  const NativeItem dict = read_item(reader);
  std::string text, function;
  base::Code code = base::Code::kUnknown;
  for (std::uint32_t i = 0; dict.tag == Tag::kDict && !dict.damaged && i < dict.count; ++i) {
    const NativeItem key = read_item(reader), value = read_item(reader);
    if (key.text == "traceback") text = value.text;
    if (key.text == "function") function = value.text;
    if (key.text == "below")
      for (const PythonClass& known : kPythonClasses)
        if (known.name == value.text && code == base::Code::kUnknown) code = known.code;
    if (key.text == "code") code = static_cast<base::Code>(value.integer);
  }
  if (kind == ErrorKind::kActorDied)
    return base::Error(base::Code::kAborted,
                       fmt::format("the actor died because of an error raised in its creation task: {}", text));
  return base::Error(code, text.empty() ? fmt::format("{} has failed", function) : text);
}

}  // namespace

std::string_view python_class_of(base::Code code) {
  for (const PythonClass& known : kPythonClasses)
    if (known.code == code) return known.name;
  return "RuntimeError";
}

NativeItem read_item(ValueReader& reader) {
  return reader.item(NativeItems{});
}

std::string NativeItem::to_string() const {
  if (damaged) return "damaged";
  auto counted = [](std::string_view what, std::size_t count) {
    return fmt::format("{} of {} item{}", what, count, count == 1 ? "" : "s");
  };
  switch (tag) {
    case Tag::kNone: return "None";
    case Tag::kTrue:
    case Tag::kFalse: return "a bool";
    case Tag::kInt: return fmt::format("the int {}", integer);
    case Tag::kFloat: return fmt::format("the float {}", real);
    case Tag::kText: return fmt::format("the text '{}'", text.substr(0, 40));
    case Tag::kBytes: return fmt::format("{} bytes", bytes.size());
    case Tag::kList: return counted("a list", count);
    case Tag::kTuple: return counted("a tuple", count);
    case Tag::kDict: return counted("a dict", count);
    case Tag::kRefList:
    case Tag::kRefTuple: return counted("references, a list", refs.size());
    case Tag::kTensor: return fmt::format("an array of format '{}' and shape [{}]", format, fmt::join(shape, ", "));
    default:
      return "a pickled Python object (C++ reads None, bool, int, float, str, bytes, arrays, and lists, tuples and "
             "dicts of "
             "those)";
  }
}

base::Result<NativeValue> parse_value(std::span<const std::byte> bytes) {
  ValueReader reader(bytes);
  return value_of(read_item(reader));
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

base::Result<std::span<const std::byte>> readable_value(Client& client, Ref ref) {
  Process& p = client.process();
  Entry& e = p.entry(ref.index);
  for (;;) {
    const bool may_move = p.may_move(ref.index);  // before the state
    const State state = p.settled(ref.index);
    if (state.phase() == Phase::kError) break;
    if (state.phase() == Phase::kReady && !may_move) break;
    if (state.done()) {
      DAYBREAK_ASSIGN(const bool kept, p.keep_while_held(ref));
      if (kept) break;
    } else if (!e.part.has_now(kAgain) && e.part.attempt_now() == 0) {  // else it was there, was lost, and comes again
      return base::fail(base::Code::kUnavailable, "the object is not ready: wait for it first");
    }
    if (client.wait(ref, -1) != WaitResult::kDone && p.stopping())
      return base::fail(base::Code::kAborted, "the runtime is being shut down while a lost value is computed again");
  }
  std::span<const std::byte> bytes = p.value(ref.index);
  if (p.settled(ref.index).phase() != Phase::kError) return bytes;
  if (e.error == ErrorKind::kObjectLost && e.value.where == kNowhere)
    return base::fail(base::Code::kDataLoss, "{}", lost_value_text(p, ref));
  if (e.value.codec == kCodecException) return std::unexpected(decoded_error(bytes, e.error));
  return base::fail(code_of(e.error), "{}",
                    std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

base::Result<NativeValue> native_value(Client& client, Ref ref) {
  DAYBREAK_ASSIGN(const auto bytes, readable_value(client, ref));
  return parse_value(bytes);
}

// ---------------------------------------------------------------------------------------------------------------------

NativeCall::~NativeCall() {
  for (Ref ref : held_) client_->process().release(ref);
}

base::Status NativeCall::open() {
  Process& p = client_->process();
  const Blob& args = p.entry(index_).args;
  reader_ = ValueReader(p.args(index_), p.args_refs(index_), args.where == kNowhere ? 0 : args.deps);
  const auto call = reader_.call();
  if (!call) return base::fail(base::Code::kDataLoss, "the arguments of a call are damaged");
  if (call->named != 0)
    return base::fail(base::Code::kInvalidArgument, "a C++ function takes positional arguments only, {} have a name",
                      call->named);
  method_ = call->method;
  positional_ = call->positional;
  return {};
}

base::Result<NativeCall::Argument> NativeCall::next() {
  const std::optional<Ref> dependency = reader_.dependency();
  if (!dependency) return Argument{&reader_, std::nullopt};
  Process& p = client_->process();
  p.hold(*dependency);  // its views last as long as the call
  held_.push_back(*dependency);
  auto bytes = readable_value(*client_, *dependency);
  if (!bytes) {
    if (p.settled(dependency->index).phase() == Phase::kError) failed_ = *dependency;
    return std::unexpected(std::move(bytes).error());
  }
  of_dependency_ = ValueReader(*bytes, p.value_refs(dependency->index));
  return Argument{&of_dependency_, *dependency};
}

base::Result<std::vector<NativeValue>> NativeCall::arguments() {
  std::vector<NativeValue> values;
  for (std::size_t i = 0; i < positional_; ++i) {
    DAYBREAK_ASSIGN(const Argument argument, next());
    DAYBREAK_ASSIGN(NativeValue value, value_of(read_item(*argument.reader)));
    values.push_back(std::move(value));
  }
  return values;
}

base::Status NativeCall::write_result(const Payload& payload) {
  DAYBREAK_TRY(client_->set_value(index_, payload));
  written_ = true;
  return {};
}

base::Status NativeCall::store() {
  if (written_) return {};
  Payload payload;
  payload.codec = kCodecItem;
  ValueWriter writer;
  write(writer, result_);
  writer.add_pieces(payload);
  return client_->set_value(index_, payload);
}

// ---------------------------------------------------------------------------------------------------------------------
// Names. A function's: its name for people, then on lines of their own the build id, the distances of `run` and of what it calls,
// and the library's path.

namespace {

constexpr std::size_t kBuildIdDigits = 8;  // of those that go with each call of a method

std::optional<std::uint64_t> parsed_hex(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

NativeFunction as_function(const void* code) {
  return reinterpret_cast<NativeFunction>(const_cast<void*>(code));
}

std::string lines_of(const CodeAddress& address) {
  return fmt::format("\n{}\n{:x}\n{}", address.build_id, address.offset, address.path);
}

base::Result<const void*> code_at(std::span<const std::string_view> lines) {
  const auto offset = parsed_hex(lines[1]);
  if (!offset) return base::fail(base::Code::kDataLoss, "the name of a C++ function is damaged");
  return find_code({std::string(lines[0]), *offset, std::string(lines[2])});
}

base::Result<NativeCode> code_by_address(std::string_view name) {
  std::vector<std::string_view> lines;
  for (std::size_t from = 0; from <= name.size();) {
    const std::size_t to = std::min(name.find('\n', from), name.size());
    lines.push_back(name.substr(from, to - from));
    from = to + 1;
  }
  if (lines.size() != 4 && lines.size() != 7)
    return base::fail(base::Code::kDataLoss, "the name of a C++ function is damaged");
  const std::span<const std::string_view> all = lines;
  NativeCode code{.name = std::string(lines[0])};
  DAYBREAK_ASSIGN(const void* run, code_at(all.subspan(1, 3)));
  code.run = as_function(run);
  if (lines.size() == 4) return code;
  DAYBREAK_ASSIGN(const void* target, code_at(all.subspan(4, 3)));
  code.target[0] = reinterpret_cast<std::uintptr_t>(target);
  return code;
}

// As name_native_method() writes it: small, so that a call with three numbers lies in its entry. Where the method lies in another
// module than what calls it, the digits of that one follow.
struct [[gnu::packed]] MethodName {
  char first = kFirst;
  std::uint8_t target_is_code = 0;
  char build_id[kBuildIdDigits] = {};
  std::uint32_t run = 0;
  std::uint32_t shift = 0;  // the target's second word
  std::uint64_t target = 0;

  static constexpr char kFirst = 1;  // which no method's name in Python begins with
};
static_assert(sizeof(MethodName) == 26);

base::Result<NativeCode> code_of_method(std::string_view name) {
  MethodName named;
  if (name.size() != sizeof named && name.size() != sizeof named + kBuildIdDigits)
    return base::fail(base::Code::kDataLoss, "the name of a C++ method is damaged");
  std::memcpy(&named, name.data(), sizeof named);
  CodeAddress address{std::string(named.build_id, kBuildIdDigits), named.run, ""};
  DAYBREAK_ASSIGN(const void* run, find_code(address));
  NativeCode code{.run = as_function(run), .target = {named.target, named.shift}, .name = "a C++ method"};
  if (named.target_is_code != 0) {
    if (name.size() > sizeof named) address.build_id = name.substr(sizeof named);
    address.offset = named.target;
    DAYBREAK_ASSIGN(const void* target, find_code(address));
    code.target[0] = reinterpret_cast<std::uintptr_t>(target);
    code.name = name_of_code(target);
  }
  return code;
}

}  // namespace

NativeRegistration::NativeRegistration(const char* name, NativeFunction function) {
  registry().add(name, {.run = function, .name = name});
}

base::Result<std::string> name_native(const NativeCode& code) {
  DAYBREAK_ASSIGN(const CodeAddress run, code_address(reinterpret_cast<const void*>(code.run)));
  if (code.target[0] == 0) return code.name + lines_of(run);
  DAYBREAK_ASSIGN(const CodeAddress target, code_address(reinterpret_cast<const void*>(code.target[0])));
  return code.name + lines_of(run) + lines_of(target);
}

base::Result<std::string> name_native_method(NativeFunction run, const NativeTarget& target, bool target_is_code) {
  DAYBREAK_ASSIGN(const CodeAddress caller, code_address(reinterpret_cast<const void*>(run)));
  CodeAddress method{.build_id = caller.build_id, .offset = target[0], .path = {}};
  if (target_is_code) {
    DAYBREAK_ASSIGN(method, code_address(reinterpret_cast<const void*>(target[0])));
  }
  if (!std::in_range<std::uint32_t>(caller.offset) || !std::in_range<std::uint32_t>(target[1]))
    return base::fail(base::Code::kInvalidArgument,
                      "a method's caller lies {} bytes and its object {} bytes away, at most {} are possible",
                      caller.offset, target[1], std::numeric_limits<std::uint32_t>::max());
  if (std::min(caller.build_id.size(), method.build_id.size()) < kBuildIdDigits)
    return base::fail(base::Code::kInvalidArgument, "the build id {} is too short: link with -Wl,--build-id=sha1",
                      caller.build_id);
  MethodName named{.target_is_code = target_is_code,
                   .run = static_cast<std::uint32_t>(caller.offset),
                   .shift = static_cast<std::uint32_t>(target[1]),
                   .target = method.offset};
  std::memcpy(named.build_id, caller.build_id.data(), kBuildIdDigits);
  std::string name(reinterpret_cast<const char*>(&named), sizeof named);
  if (method.build_id != caller.build_id) name += method.build_id.substr(0, kBuildIdDigits);
  return name;
}

base::Result<const NativeCode*> find_native(std::string_view name) {
  if (const NativeCode* known = registry().find(name)) return known;
  if (name.starts_with(MethodName::kFirst)) {
    DAYBREAK_ASSIGN(NativeCode code, code_of_method(name));
    return registry().add(name, std::move(code));
  }
  if (name.find('\n') != std::string_view::npos) {
    DAYBREAK_ASSIGN(NativeCode code, code_by_address(name));
    return registry().add(name, std::move(code));
  }
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos)
    return base::fail(base::Code::kNotFound,
                      "no C++ function '{}' is registered: give 'library.so:symbol', or register it", name);
  const std::string library(name.substr(0, colon)), symbol(name.substr(colon + 1));
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return base::fail(base::Code::kNotFound, "library of C++ functions: {}", dlerror());
  const auto function = reinterpret_cast<NativeFunction>(dlsym(handle, symbol.c_str()));
  if (function == nullptr) return base::fail(base::Code::kNotFound, "{} has no symbol '{}'", library, symbol);
  return registry().add(name, {.run = function, .name = symbol});
}

base::Result<Ref> put_native(Client& client, std::string_view name) {
  Payload payload;
  payload.codec = kCodecNative;
  payload.pieces.push_back({name.data(), name.size(), 1});
  return client.put(payload);
}

}  // namespace daybreak::runtime
