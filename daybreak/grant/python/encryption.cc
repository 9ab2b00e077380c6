// Encryption to a resource from Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>

#include "daybreak/grant/encryption/wallet_keys.h"
#include "daybreak/grant/python/convert.h"

namespace nb = nanobind;
namespace base = daybreak::base;

namespace daybreak::grant {
namespace {

constexpr std::int64_t kDefaultManifestS = 90 * 24 * 3600LL;
constexpr std::int64_t kNsPerUnixS = 1'000'000'000;

// A Python bytes object of so many bytes, to be written before anyone sees it.
class NewBytes {
 public:
  // Nothing when there is no memory.
  std::span<std::uint8_t> make(std::size_t size) {
    object_ = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
    if (!object_.is_valid()) {
      PyErr_Clear();
      return {};
    }
    return {reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(object_.ptr())), size};
  }
  nb::bytes take() { return nb::borrow<nb::bytes>(object_); }

 private:
  nb::object object_;
};

// The bytes of a contiguous buffer (bytes, bytearray, memoryview, an array), held for the call. Only those of a `bytes`
// object are sure not to change meanwhile.
class Borrowed {
 public:
  explicit Borrowed(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  }
  ~Borrowed() { PyBuffer_Release(&view_); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  std::string_view view() const { return {static_cast<const char*>(view_.buf), static_cast<std::size_t>(view_.len)}; }

 private:
  Py_buffer view_{};
};

Manifest make_manifest(const Entity& owner, const std::vector<std::string>& resources, std::uint64_t sequence,
                       std::optional<std::int64_t> valid_from, std::int64_t valid_for, std::int64_t epoch_s) {
  ManifestOptions options;
  options.resources = resources;
  options.sequence = sequence;
  options.epochs = base::value_or_raise(Epochs::make(epoch_s));
  const std::int64_t from = valid_from.value_or(base::Env::real().unix_ns() / kNsPerUnixS);
  options.validity = base::value_or_raise(Validity::make(from, valid_for));
  auto made = [&] {
    const nb::gil_scoped_release release;  // 131,072 keys take seconds
    return Manifest::make(owner, options);
  }();
  return base::value_or_raise(std::move(made));
}

nb::bytes encrypt_in_python(const Manifest& manifest, const std::string& resource, nb::handle data,
                            const std::shared_ptr<Wallet>& author) {
  const Borrowed text(data);
  NewBytes out;
  // The GIL is given up around the work, and taken for the moment in which memory is asked for.
  const base::Status done = [&] {
    const nb::gil_scoped_release release;
    return encrypt_as(*author, manifest, resource, text.view(), [&](std::size_t size) {
      const nb::gil_scoped_acquire acquire;
      return out.make(size);
    });
  }();
  base::value_or_raise(done);
  return out.take();
}

nb::bytes decrypt_in_python(nb::handle given, const std::shared_ptr<Wallet>& wallet, Verifier& verifier) {
  // What lies in memory that others can write to, of a mapped file say, could be another ciphertext when it is opened
  // than when it was verified: it is copied first.
  const nb::object data =
      nb::isinstance<nb::bytes>(given) ? nb::borrow(given) : nb::steal(PyBytes_FromObject(given.ptr()));
  if (!data.is_valid()) throw nb::python_error();
  const Borrowed bytes(data);
  const auto ciphertext = Ciphertext::decode(bytes.view());
  if (!ciphertext) raise_denied({Reason::kMalformed, ciphertext.error().message()});
  NewBytes out;
  const auto room = out.make(ciphertext->text_bytes());
  if (room.size() != ciphertext->text_bytes()) {
    PyErr_NoMemory();
    throw nb::python_error();
  }
  const Checked<void> done = [&] {
    const nb::gil_scoped_release release;
    return decrypt_as(*wallet, *ciphertext, verifier, room);
  }();
  if (!done) raise_denied(done.error());  // and nothing of the text is in `room`
  return out.take();
}

// What anyone can read of a ciphertext.
struct PyLabel {
  std::string namespace_id, resource, author;
  std::int64_t keys_from, keys_until;
  std::size_t size_bytes;
};

PyLabel label_of(nb::handle data) {
  const Borrowed bytes(data);
  const Ciphertext ciphertext = base::value_or_raise(Ciphertext::decode(bytes.view()));
  Hash author = ciphertext.namespace_id();
  if (!ciphertext.author_proof().empty())
    author = base::value_or_raise(Proof::decode(ciphertext.author_proof())).subject().id;
  return {crypto::to_hex(ciphertext.namespace_id()),
          ciphertext.resource().text(),
          crypto::to_hex(author),
          ciphertext.epochs().begin(ciphertext.epoch()),
          ciphertext.epochs().begin(ciphertext.epoch() + 1),
          ciphertext.text_bytes()};
}

void bind_manifest(nb::module_& m) {
  using Self = Manifest;
  nb::class_<Self>(m, "Manifest",
                   "The public keys of a namespace's resources, signed by it: what anyone needs to encrypt to them. "
                   "Take one from elsewhere through ManifestMemory, which knows an old one for what it is.")
      .def(nb::new_([](const nb::bytes& bytes) {
             return std::make_shared<Self>(base::value_or_raise(Self::decode(text_of(bytes))));
           }),
           nb::arg("bytes"), "Well formed and signed by the namespace that it names, or DataLossError.")
      .def_static(
          "create",
          [](const Entity& owner, const std::vector<std::string>& resources, std::uint64_t sequence,
             WholeGiven valid_from, WholeGiven valid_for, WholeGiven epoch_s) {
            return std::make_shared<Self>(
                make_manifest(owner, resources, sequence, whole_or_none_of(valid_from, "valid_from"),
                              whole_of(valid_for, "valid_for"), whole_of(epoch_s, "epoch_s")));
          },
          nb::arg("owner"), nb::arg("resources"), nb::kw_only(), nb::arg("sequence") = 1,
          nb::arg("valid_from").none() = nb::none(), nb::arg("valid_for") = kDefaultManifestS,
          nb::arg("epoch_s") = Epochs{}.seconds(),
          "Of the namespace that `owner` is, for literal resources and every epoch that its validity touches. "
          "`sequence` must be more than that of every manifest before.")
      .def_prop_ro("bytes", [](const Self& self) { return py_bytes(self.encode()); })
      .def_prop_ro("namespace", [](const Self& self) { return crypto::to_hex(self.namespace_id()); })
      .def_prop_ro("sequence", &Self::sequence)
      .def_prop_ro("valid_from", [](const Self& self) { return self.validity().from_s; })
      .def_prop_ro("valid_until", [](const Self& self) { return self.validity().until_s; })
      .def_prop_ro("epoch_s", [](const Self& self) { return self.epochs().seconds(); })
      .def_prop_ro("resources", &Self::resources);

  using Memory = ManifestMemory;
  nb::class_<Memory>(m, "ManifestMemory",
                     "Remembers the newest manifest of each namespace, in memory or in a directory, and refuses an "
                     "older one.")
      .def(nb::new_([](const std::optional<std::filesystem::path>& directory) {
             return std::make_shared<Memory>(directory ? base::given_path(*directory, "directory") : std::string());
           }),
           nb::arg("directory") = nb::none())
      .def(
          "accept",
          [](Memory& self, const nb::bytes& bytes, const std::string& namespace_id) {
            return std::make_shared<Self>(
                base::value_or_raise(self.accept(text_of(bytes), id_of(namespace_id, "namespace"))));
          },
          nb::arg("bytes"), nb::arg("namespace"),
          "FailedPreconditionError when it is rolled back, expired or of another namespace; DataLossError when it is "
          "damaged, or another one of the same sequence number.")
      .def(
          "newest",
          [](const Memory& self, const std::string& namespace_id) {
            return std::make_shared<Self>(base::value_or_raise(self.newest(id_of(namespace_id, "namespace"))));
          },
          nb::arg("namespace"), "NotFoundError when none was seen.");
}

}  // namespace
}  // namespace daybreak::grant

void bind_encryption(nb::module_& m) {
  using namespace daybreak::grant;
  bind_manifest(m);
  nb::class_<PyLabel>(m, "CiphertextLabel", "What anyone can read of a ciphertext. Nothing of it is verified.")
      .def_ro("namespace", &PyLabel::namespace_id)
      .def_ro("resource", &PyLabel::resource)
      .def_ro("author", &PyLabel::author, "The id of the entity that says it made it.")
      .def_ro("keys_from", &PyLabel::keys_from, "It is under the key of the epoch from this unix second on,")
      .def_ro("keys_until", &PyLabel::keys_until, "until this one.")
      .def_ro("size_bytes", &PyLabel::size_bytes, "Of the plaintext.");
  m.def("label", &label_of, nb::arg("ciphertext"), "What anyone can read of a ciphertext.");
  m.def("encrypt", &encrypt_in_python, nb::arg("manifest"), nb::arg("resource"), nb::arg("data"), nb::kw_only(),
        nb::arg("author"),
        "Encrypts bytes to a resource, under its key of the present epoch. `author`: the wallet of whoever publishes; "
        "it must be able to prove `publish` on the resource, or be the namespace's own (PermissionDeniedError). "
        "NotFoundError names what the manifest lacks.");
  m.def("decrypt", &decrypt_in_python, nb::arg("ciphertext"), nb::kw_only(), nb::arg("wallet"), nb::arg("verifier"),
        "The plaintext. Denied unless the author proves `publish` and the wallet's owner `decrypt` on the resource, "
        "both now and unrevoked, and the wallet has the key of its epoch.");
}
