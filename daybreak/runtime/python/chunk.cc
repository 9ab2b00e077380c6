// In a worker: runs a chunk of a call set (batch.h).
#include <unistd.h>

#include <utility>

#include "daybreak/runtime/python/calls.h"
#include "daybreak/runtime/python/joined.h"
#include "daybreak/runtime/python/worker.h"

namespace daybreak::runtime::python {

bool append_plain(const Payload& payload, std::string& to, std::size_t limit) {
  const std::uint64_t size = payload.size();
  if (!payload.refs.empty() || size > Batch::kMaxItemBytes || to.size() + size > limit) return false;
  for (const Payload::Piece& piece : payload.pieces)
    if (piece.align > 1) return false;
  const std::size_t at = to.size();
  to.resize(at + size);
  payload.write(reinterpret_cast<std::byte*>(to.data() + at));
  return true;
}

Ref put_encoded(Client& client, const Payload& payload) {
  base::Result<Ref> ref = Ref{};
  if (payload.size() < kReleaseGilBytes) {
    ref = client.put(payload);
  } else {
    Py_BEGIN_ALLOW_THREADS ref = client.put(payload);
    Py_END_ALLOW_THREADS
  }
  if (ref) return *ref;
  raise(ref.error());
  return kNoRef;
}

namespace {

constexpr std::uint32_t kMaxJoinedBytes = Batch::kMaxChunkBytes;  // of a chunk's results; what is more are objects

// The results of a chunk's calls as they come.
class JoinedResults {
 public:
  explicit JoinedResults(Client& client) : client_(client) {}
  ~JoinedResults() {
    for (const Ref ref : objects_) client_.process().release(ref);
  }
  JoinedResults(const JoinedResults&) = delete;
  JoinedResults& operator=(const JoinedResults&) = delete;

  // False with an exception set.
  bool add(char how, PyObject* object) {
    const std::size_t before = blob_.size();
    blob_.push_back(how);
    Encoder encoder;
    if (encoder.item(object)) {
      const Payload& payload = encoder.finish(kCodecItem);
      if (append_plain(payload, blob_, kMaxJoinedBytes)) return true;
      const Ref ref = put_encoded(client_, payload);
      if (!(ref == kNoRef)) {
        objects_.push_back(ref);
        const auto number = static_cast<std::uint32_t>(objects_.size());  // the bytes are the first
        blob_.push_back(static_cast<char>(Tag::kDependency));
        blob_.append(reinterpret_cast<const char*>(&number), sizeof number);
        return true;
      }
    }
    blob_.resize(before);
    return false;
  }

  // Bytes, or a tuple of references whose first is to the bytes.
  PyObject* take() {
    Owned bytes(PyBytes_FromStringAndSize(blob_.data(), static_cast<Py_ssize_t>(blob_.size())));
    if (!bytes || objects_.empty()) return bytes.release();
    Encoder encoder;
    if (!encoder.item(bytes.get())) return nullptr;
    const Ref first = put_encoded(client_, encoder.finish(kCodecItem));
    if (first == kNoRef) return nullptr;
    objects_.insert(objects_.begin(), first);
    Owned all(PyTuple_New(static_cast<Py_ssize_t>(objects_.size())));
    if (!all) return nullptr;
    std::vector<Ref> refs = std::exchange(objects_, {});
    for (std::size_t i = 0; i < refs.size(); ++i)
      PyTuple_SET_ITEM(all.get(), static_cast<Py_ssize_t>(i), make_object_ref(refs[i]));
    return all.release();
  }

 private:
  Client& client_;
  std::string blob_;
  std::vector<Ref> objects_;
};

// The pending exception becomes what the standard library's executor would raise (util/workers.py).
void say_as_pickle_said(bool inner) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Owned own_type(type), own_value(value), own_trace(trace);
  if (trace != nullptr) {
    auto* next = reinterpret_cast<PyObject*>(reinterpret_cast<PyTracebackObject*>(trace)->tb_next);
    PyException_SetTraceback(value, inner ? (next != nullptr ? next : Py_None) : trace);
  }
  PyObject* convert = python_object("util.workers", "_as_pickle_said");
  Owned said(convert == nullptr ? nullptr : PyObject_CallOneArg(convert, value));
  if (!said) {
    PyErr_Clear();
    said = Owned(Py_NewRef(value));
  }
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(said.get())), said.get());
}

// The pending exception as the result of a call; false with an exception set. A SystemExit is none of a task's results.
bool add_exception(JoinedResults& results, PyObject* function, std::uint32_t flags) {
  if ((flags & Batch::kAnyException) == 0 && PyErr_ExceptionMatches(PyExc_SystemExit)) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    Owned own_type(type), own_value(value), own_trace(trace);
    PyObject* crashed = python_object("exceptions", "WorkerCrashedError");
    if (crashed == nullptr) return false;
    PyErr_Format(crashed,
                 "the call raised %R: a call ends by returning (the worker was kept); raise another exception to "
                 "report a failure",
                 value);
  }
  if ((flags & Batch::kAnyException) != 0) say_as_pickle_said((flags & Batch::kInnerFrame) != 0);
  const Owned payload = take_exception("", function);
  if (payload && results.add(kCallRaised, payload.get())) return true;
  PyErr_Clear();
  PyObject* shorten = python_object("exceptions", "_without_cause");
  Owned shorter(shorten == nullptr || !payload ? nullptr : PyObject_CallOneArg(shorten, payload.get()));
  return shorter && results.add(kCallRaised, shorter.get());
}

// The pending exception says why an input could not be read.
bool add_unreadable(JoinedResults& results) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Owned own_type(type), own_value(value), own_trace(trace);
  Owned text(PyUnicode_FromFormat("%s: %S", Py_TYPE(value)->tp_name, value));
  return text && results.add(kCallUnreadable, text.get());
}

bool interrupted_by_cancel(Client& client) {
  const std::uint32_t task = current_task();
  return task != 0 && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) &&
         client.process().entry(task - 1).load().has(runtime::State::kCancelled);
}

struct ChunkCall {
  std::vector<Ref> refs;  // the function, the board, inputs
  std::uint32_t unit = 1, flags = 0;
  std::string_view inputs;
  std::size_t at = 0;
};

// Runs so many of the calls; false with an exception set: the chunk has failed, or was cancelled.
bool run_calls(Client& client, PyObject* function, ChunkCall& chunk, std::uint32_t count, JoinedResults& results,
               std::uint32_t& failed) {
  for (std::uint32_t i = 0; i < count; ++i) {
    Owned input(decode_joined(client, chunk.inputs, chunk.at, chunk.refs));
    Owned result;
    const bool read = static_cast<bool>(input);
    if (input && (chunk.flags & Batch::kStarArguments) != 0)
      result = Owned(PyTuple_Check(input.get()) ? PyObject_Call(function, input.get(), nullptr)
                                                : PyErr_Format(PyExc_TypeError, "star: an input is to be a tuple"));
    else if (input)
      result = Owned(PyObject_CallOneArg(function, input.get()));
    if (is_fork_of_task()) _exit(0);
    input = Owned();
    if (result && results.add(kCallReturned, result.get())) continue;
    if (interrupted_by_cancel(client)) return false;
    ++failed;
    if (!read && (chunk.flags & Batch::kAnyException) != 0) {
      if (!add_unreadable(results)) return false;
      continue;
    }
    if (!add_exception(results, function, chunk.flags)) return false;
  }
  return true;
}

// run_chunk(references, slot, unit, flags, inputs): what Batch::submit_locked sends.
PyObject* run_chunk(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 5 || !PyTuple_Check(args[0]) || PyTuple_GET_SIZE(args[0]) < 2 || !PyBytes_Check(args[4]) ||
      state().client == nullptr)
    return PyErr_Format(PyExc_TypeError, "run_chunk() is called by a Batch alone");
  Client& client = *state().client;
  Process& p = client.process();
  ChunkCall chunk;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[0]); ++i) {
    const Ref* ref = checked_ref(PyTuple_GET_ITEM(args[0], i), "run_chunk()");
    if (ref == nullptr) return nullptr;
    chunk.refs.push_back(*ref);
  }
  const std::size_t slot = PyLong_AsSize_t(args[1]);
  chunk.unit = static_cast<std::uint32_t>(PyLong_AsUnsignedLong(args[2]));
  chunk.flags = static_cast<std::uint32_t>(PyLong_AsUnsignedLong(args[3]));
  if (PyErr_Occurred()) return nullptr;
  chunk.inputs = {PyBytes_AS_STRING(args[4]), static_cast<std::size_t>(PyBytes_GET_SIZE(args[4]))};
  const std::span<const std::byte> board = p.value(chunk.refs[1].index);
  if (slot >= board.size() / sizeof(ChunkBoard))
    return PyErr_Format(PyExc_RuntimeError, "the board of a chunk of calls is damaged");
  const Function* loaded = function_at(client, chunk.refs[0]);
  if (loaded == nullptr) return nullptr;
  if (loaded->callable == nullptr)
    return PyErr_Format(PyExc_TypeError, "a Batch calls a Python function; a C++ function is called by .remote()");
  const Owned function(Py_NewRef(loaded->callable));  // of a cache
  ChunkProgress progress(reinterpret_cast<ChunkBoard*>(const_cast<std::byte*>(board.data()))[slot]);
  JoinedResults results(client);
  std::uint32_t failed = 0;
  progress.begin();
  while (const std::uint32_t count = progress.take(std::max(chunk.unit, 1u)))
    if (!run_calls(client, function.get(), chunk, count, results, failed)) return nullptr;
  progress.end(failed);
  return results.take();
}

}  // namespace

bool init_chunks(PyObject* module) {
  static PyMethodDef functions[] = {{"run_chunk", fastcall(run_chunk), METH_FASTCALL,
                                     "run_chunk(references, slot, unit, flags, inputs)\n--\n\nOf a Batch alone."},
                                    {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace daybreak::runtime::python
