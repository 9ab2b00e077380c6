// grant's part of daybreak._core: entities, attestations, wallets. The verifier's is in python/verifier.cc.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/tuple.h>

#include "daybreak/grant/encryption/wallet_keys.h"
#include "daybreak/grant/explain.h"
#include "daybreak/grant/python/convert.h"
#include "daybreak/grant/wallet.h"

void bind_verifier(nanobind::module_&);
void bind_encryption(nanobind::module_&);

namespace nb = nanobind;
namespace base = daybreak::base;

namespace daybreak::grant {

Hash id_of(const std::string& hex, const char* what) {
  Hash id;
  if (!crypto::from_hex(hex, id)) {
    base::raise(
        base::Error(base::Code::kInvalidArgument, fmt::format("{} is not an id of 64 hexadecimal digits", what)));
  }
  return id;
}

std::int64_t whole_of(WholeGiven given, const char* name) {
  const nb::object found = nb::module_::import_("daybreak.base.numbers").attr("integer")(given.value, name);
  int overflow = 0;
  const std::int64_t whole = PyLong_AsLongLongAndOverflow(found.ptr(), &overflow);
  if (overflow != 0) {
    base::raise(base::Error(base::Code::kInvalidArgument,
                            fmt::format("{}={} does not fit into 64 bits", name, nb::str(found).c_str())));
  }
  return whole;
}

nb::bytes bytes_of(BytesGiven given, const char* name) {
  if (nb::isinstance<nb::bytes>(given.value)) return nb::borrow<nb::bytes>(given.value);
  if (PyObject_CheckBuffer(given.value.ptr()) != 0) {
    const nb::object copy = nb::steal(PyBytes_FromObject(given.value.ptr()));
    if (!copy.is_valid()) throw nb::python_error();
    return nb::borrow<nb::bytes>(copy);
  }
  throw nb::type_error(fmt::format("{} is a {}: bytes are needed{}", name,
                                   nb::str(given.value.type().attr("__name__")).c_str(),
                                   nb::isinstance<Entity>(given.value) ? ", such as entity.public" : "")
                           .c_str());
}

EntityRecord record_of(BytesGiven record, const char* name) {
  return base::value_or_raise(EntityRecord::decode(text_of(bytes_of(record, name))));
}

std::vector<Statement> statements_of(StatementsGiven given) {
  PyStatements statements;
  if (!nb::try_cast(given.value, statements)) {
    throw nb::type_error(
        fmt::format("statements={}: a list of (permissions, resource) is needed, such as [(['predict'], "
                    "'models/pong/*')]",
                    nb::repr(given.value).c_str())
            .c_str());
  }
  std::vector<Statement> out;
  for (const auto& [permissions, resource] : statements) {
    out.push_back(base::value_or_raise(Statement::make(permissions, resource)));
  }
  return out;
}

Policy policy_of(const PyPairs& pairs) {
  std::vector<Pair> out;
  for (const auto& [permission, resource] : pairs)
    out.push_back(base::value_or_raise(Pair::make(permission, resource)));
  return base::value_or_raise(Policy::make(std::move(out)));
}

std::optional<std::string_view> passphrase_of(const std::optional<std::string>& passphrase) {
  if (!passphrase) return std::nullopt;
  return std::string_view(*passphrase);
}

void raise_denied(const Denial& denial) {
  const nb::object kind = nb::module_::import_("daybreak.grant.errors").attr("Denied");
  const nb::object error = kind(std::string(reason_name(denial.reason)), denial.sentence);
  PyErr_SetObject(kind.ptr(), error.ptr());
  throw nb::python_error();
}

namespace {

constexpr std::int64_t kDefaultGrantS = 30 * 24 * 3600LL;
// What a grant gives to its maker.
struct PyGranted {
  Attestation attestation;
  std::string bundle;
  std::int64_t keys_from;
  std::int64_t keys_until;
};

constexpr std::int64_t kDefaultEntityS = 365 * 24 * 3600LL;

std::int64_t unix_s() {
  return base::Env::real().unix_ns() / 1'000'000'000;
}

GrantOptions grant_options(const std::string& namespace_id, StatementsGiven statements, WholeGiven hops_given,
                           WholeGiven valid_from, WholeGiven valid_for) {
  const std::int64_t hops = whole_of(hops_given, "hops");
  if (hops < 0 || hops >= static_cast<std::int64_t>(kMaxHops)) {
    base::raise(base::Error(base::Code::kInvalidArgument,
                            fmt::format("hops={}: allowed are 0 (may not be passed on) to {}", hops, kMaxHops - 1)));
  }
  GrantOptions options;
  options.namespace_id = id_of(namespace_id, "namespace");
  options.statements = statements_of(statements);
  options.hops = static_cast<std::uint8_t>(hops);
  options.valid_from_s = whole_or_none_of(valid_from, "valid_from");
  options.valid_for_s = whole_of(valid_for, "valid_for");
  return options;
}

void bind_entity(nb::module_& m) {
  using Self = Entity;
  nb::class_<Self>(m, "Entity",
                   "Whoever grants, holds or proves: a key pair with a validity. Its `id` names its public record.")
      .def_static(
          "create",
          [](WholeGiven valid_from, WholeGiven valid_for, bool sealing) {
            return std::make_shared<Self>(base::value_or_raise(
                Self::create({whole_or_none_of(valid_from, "valid_from"), whole_of(valid_for, "valid_for"), sealing})));
          },
          nb::kw_only(), nb::arg("valid_from").none() = nb::none(), nb::arg("valid_for") = kDefaultEntityS,
          nb::arg("sealing") = true,
          "A new one, valid from a unix second (now) for so many seconds. `sealing=False`: without the key to which "
          "bundles are sealed.")
      .def_static(
          "load",
          [](const std::filesystem::path& path, const std::optional<std::string>& passphrase) {
            const std::string file = base::given_path(path, "path");
            return std::make_shared<Self>(base::value_or_raise(Self::load(file, passphrase_of(passphrase))));
          },
          nb::arg("path"), nb::arg("passphrase") = nb::none(),
          "From its file. UnauthenticatedError for a wrong passphrase.")
      .def(
          "save",
          [](const Self& self, const std::filesystem::path& path, const std::optional<std::string>& passphrase,
             bool replace) {
            const std::string file = base::given_path(path, "path");
            base::value_or_raise(self.save(file, passphrase_of(passphrase), base::Env::real(), replace));
          },
          nb::arg("path"), nb::arg("passphrase") = nb::none(), nb::kw_only(), nb::arg("replace") = false,
          "Into a file that its owner alone can read, optionally under a passphrase (argon2id). A file that holds "
          "anything but this entity's own key is AlreadyExistsError: `replace=True` writes over it.")
      .def_prop_ro("id", [](const Self& self) { return crypto::to_hex(self.id()); })
      .def_prop_ro(
          "public", [](const Self& self) { return py_bytes(self.record().encode()); },
          "The public record, for whoever grants to it.")
      .def(
          "attest",
          [](const Self& self, BytesGiven subject, const std::string& namespace_id, StatementsGiven statements,
             WholeGiven hops, WholeGiven valid_from, WholeGiven valid_for) {
            return base::value_or_raise(self.attest(
                record_of(subject, "subject"), grant_options(namespace_id, statements, hops, valid_from, valid_for)));
          },
          nb::arg("subject"), nb::kw_only(), nb::arg("namespace"), nb::arg("statements"), nb::arg("hops") = 0,
          nb::arg("valid_from").none() = nb::none(), nb::arg("valid_for") = kDefaultGrantS,
          "Signs that the subject (its public record) may do what the statements say, each (permissions, resource "
          "pattern).");
  m.def(
      "entity_id", [](BytesGiven record) { return crypto::to_hex(record_of(record, "record").id); }, nb::arg("record"),
      "The id of a public record.");
}

void bind_attestation(nb::module_& m) {
  using Self = Attestation;
  nb::class_<Self>(m, "Attestation", "One entity signs that another may do something in a namespace.")
      .def_static(
          "decode", [](const nb::bytes& bytes) { return base::value_or_raise(Self::decode(text_of(bytes))); },
          nb::arg("bytes"), "Well formed, or DataLossError. The signature is not checked: a verifier does.")
      .def("encode", [](const Self& self) { return py_bytes(self.encode()); })
      .def_prop_ro("id", [](const Self& self) { return crypto::to_hex(self.id()); })
      .def_prop_ro("attester", [](const Self& self) { return crypto::to_hex(self.attester); })
      .def_prop_ro("subject", [](const Self& self) { return crypto::to_hex(self.subject); })
      .def_prop_ro("namespace", [](const Self& self) { return crypto::to_hex(self.namespace_id); })
      .def_prop_ro("hops", [](const Self& self) { return int{self.terms.hops}; })
      .def_prop_ro("valid_from", [](const Self& self) { return self.terms.validity.from_s; })
      .def_prop_ro("valid_until", [](const Self& self) { return self.terms.validity.until_s; })
      .def_prop_ro("statements", [](const Self& self) {
        PyStatements out;
        for (const Statement& statement : self.terms.statements)
          out.emplace_back(statement.permissions, statement.resource.text());
        return out;
      });
}

// What is revoked in the store; nullptr when none is given.
std::shared_ptr<const RevokedSet> revoked_in(DirectoryStore* revocations) {
  if (revocations == nullptr) return nullptr;
  return base::value_or_raise(revocations->read_all());
}

std::vector<std::tuple<std::string, std::string, std::string>> losses_of(const Wallet& wallet, const Hash& namespace_id,
                                                                         const Hash& commitment,
                                                                         DirectoryStore* revocations) {
  const Wallet::Known known = wallet.known();
  const auto revoked = revoked_in(revocations);
  std::vector<std::tuple<std::string, std::string, std::string>> out;
  for (const Loss& loss :
       value_or_denied(what_breaks(known.graph(), namespace_id, commitment, unix_s(), revoked.get()))) {
    out.emplace_back(crypto::to_hex(loss.subject), loss.permission, loss.resource);
  }
  return out;
}

using PyHolders = std::vector<std::pair<std::string, std::vector<std::string>>>;

PyHolders holders_of(const Wallet& wallet, const std::string& permission, const std::string& resource,
                     const Hash& namespace_id, DirectoryStore* revocations) {
  const Wallet::Known known = wallet.known();
  const auto revoked = revoked_in(revocations);
  const Pair pair = base::value_or_raise(Pair::make(permission, resource));
  PyHolders out;
  for (const Holder& holder : value_or_denied(who_has(known.graph(), namespace_id, pair, unix_s(), revoked.get()))) {
    std::vector<std::string> through;
    through.reserve(holder.through.size());
    for (const Hash& id : holder.through) through.push_back(crypto::to_hex(id));
    out.emplace_back(crypto::to_hex(holder.subject), std::move(through));
  }
  return out;
}

void bind_wallet_grants(nb::class_<Wallet>& cls) {
  using Self = Wallet;
  cls.def(
         "grant",
         [](Self& self, BytesGiven subject, const std::string& namespace_id, StatementsGiven statements,
            WholeGiven hops, WholeGiven valid_from, WholeGiven valid_for, WholeGiven keys_from, WholeGiven epoch_s) {
           auto made = base::value_or_raise(
               grant_with_keys(self, record_of(subject, "subject"),
                               grant_options(namespace_id, statements, hops, valid_from, valid_for),
                               {base::value_or_raise(Epochs::make(whole_of(epoch_s, "epoch_s"))),
                                whole_or_none_of(keys_from, "keys_from")}));
           return PyGranted{std::move(made.granted.attestation), std::move(made.granted.bundle), made.keys_from_s,
                            made.keys_until_s};
         },
         nb::arg("subject"), nb::kw_only(), nb::arg("namespace"), nb::arg("statements"), nb::arg("hops") = 0,
         nb::arg("valid_from").none() = nb::none(), nb::arg("valid_for") = kDefaultGrantS,
         nb::arg("keys_from").none() = nb::none(), nb::arg("epoch_s") = Epochs{}.seconds(),
         "Grants to the subject (its public record) and keeps the attestation. The result's `bundle` is for the "
         "subject: the attestation and all chains above it that are known, sealed to the subject, and for statements "
         "that say `decrypt` the keys of every epoch that the validity touches (`keys_from`, `keys_until` of the "
         "result show the rounding). keys_from: a unix second in the past from which on keys are handed over too. "
         "epoch_s: of the manifest, when the owner is the namespace; others hand on keys as they got them. 60 s to 400 "
         "days, else InvalidArgumentError. "
         "PermissionDeniedError when the owner does not hold the keys.")
      .def(
          "bundle",
          [](Self& self, BytesGiven subject) {
            return py_bytes(base::value_or_raise(self.bundle_again(record_of(subject, "subject"))));
          },
          nb::arg("subject"),
          "All that was granted to the subject, again, with the chains above as they are known now.")
      .def(
          "add",
          [](Self& self, BytesGiven bundle) {
            return base::value_or_raise(self.add(text_of(bytes_of(bundle, "bundle"))));
          },
          nb::arg("bundle"), "Takes a bundle, in any order. Returns how many attestations in it are new.")
      .def(
          "issued",
          [](const Self& self, const std::optional<std::string>& subject) {
            std::vector<Attestation> out = self.known().attestations;
            std::erase_if(out, [&](const Attestation& one) {
              return one.attester != self.owner().id() || (subject && crypto::to_hex(one.subject) != *subject);
            });
            return out;
          },
          nb::arg("subject") = nb::none(), "The attestations that the owner made, or those to one id.")
      .def("attestations", [](const Self& self) { return self.known().attestations; }, "All that are known.");
}

void bind_wallet(nb::module_& m) {
  using Self = Wallet;
  nb::class_<PyGranted>(m, "Granted", "An attestation and its bundle, made by Wallet.grant().")
      .def_ro("attestation", &PyGranted::attestation, "To be named when it is revoked.")
      .def_prop_ro(
          "bundle", [](const PyGranted& self) { return py_bytes(self.bundle); }, "To be sent to the subject.")
      .def_ro("keys_from", &PyGranted::keys_from, "Keys are handed over from this unix second on; 0 without keys.")
      .def_ro("keys_until", &PyGranted::keys_until, "And until this one, which is not in it.");
  nb::class_<Self> cls(m, "Wallet",
                       "What one entity knows: grants to it, the chains above them, and the grants that it made.");
  cls.def(nb::new_([](std::shared_ptr<Entity> entity, const std::optional<std::filesystem::path>& directory) {
            const std::string where = directory ? base::given_path(*directory, "directory") : std::string();
            return base::value_or_raise(Self::open(std::move(entity), where));
          }),
          nb::arg("entity"), nb::arg("directory") = nb::none(),
          "In memory, or in a directory of files that only their owner can read.");
  bind_wallet_grants(cls);
  cls.def(
         "prove",
         [](const Self& self, const PyPairs& required, const std::string& namespace_id,
            const std::optional<std::string>& subject, DirectoryStore* revocations) {
           const Policy policy = policy_of(required);
           const Hash root = id_of(namespace_id, "namespace");
           const Hash whose = subject ? id_of(*subject, "subject") : self.owner().id();
           const auto revoked = revoked_in(revocations);
           Checked<Proof> proof = [&] {
             const nb::gil_scoped_release release;
             return self.prove(root, policy, &whose, revoked.get());
           }();
           return py_bytes(value_or_denied(std::move(proof)).bytes());
         },
         nb::arg("required"), nb::kw_only(), nb::arg("namespace"), nb::arg("subject") = nb::none(),
         nb::arg("revocations") = nb::none(),
         "A proof that the owner has all (permission, resource) pairs, by grants that are not revoked in the store; or "
         "that another subject (an id) has them, who alone can use it. Denied says which link is missing.")
      .def(
          "explain",
          [](const Self& self, const PyPairs& required, const std::string& namespace_id,
             const std::optional<std::string>& subject, DirectoryStore* revocations) {
            const Wallet::Known known = self.known();
            const auto revoked = revoked_in(revocations);
            return explain(known.graph(), id_of(namespace_id, "namespace"),
                           subject ? id_of(*subject, "subject") : self.owner().id(), policy_of(required), unix_s(),
                           revoked.get());
          },
          nb::arg("required"), nb::kw_only(), nb::arg("namespace"), nb::arg("subject") = nb::none(),
          nb::arg("revocations") = nb::none(),
          "One line for each pair: the chain that gives it, or the code and the missing link.")
      .def(
          "who_has",
          [](const Self& self, const std::string& permission, const std::string& resource,
             const std::string& namespace_id, DirectoryStore* revocations) {
            return holders_of(self, permission, resource, id_of(namespace_id, "namespace"), revocations);
          },
          nb::arg("permission"), nb::arg("resource"), nb::kw_only(), nb::arg("namespace"),
          nb::arg("revocations") = nb::none(),
          "Everyone who has it: (id, ids of the attesters above, the namespace first). Over what this wallet knows.")
      .def(
          "what_breaks",
          [](const Self& self, const Attestation& attestation, DirectoryStore* revocations) {
            return losses_of(self, attestation.namespace_id, attestation.terms.revocation, revocations);
          },
          nb::arg("attestation"), nb::kw_only(), nb::arg("revocations") = nb::none(),
          "(id, permission, resource pattern) of all that revoking the attestation would end.")
      .def(
          "what_breaks",
          [](const Self& self, const nb::bytes& entity, const std::string& namespace_id, DirectoryStore* revocations) {
            return losses_of(self, id_of(namespace_id, "namespace"), record_of({entity}, "entity").revocation,
                             revocations);
          },
          nb::arg("entity"), nb::kw_only(), nb::arg("namespace"), nb::arg("revocations") = nb::none(),
          "The same for revoking an entity (its public record).");
}

}  // namespace
}  // namespace daybreak::grant

void bind_grant(nb::module_& m) {
  using namespace daybreak::grant;
  bind_entity(m);
  bind_attestation(m);
  bind_wallet(m);
  bind_verifier(m);
  bind_encryption(m);
}
