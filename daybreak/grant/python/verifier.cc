// The verifier, revocation and possession from Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>

#include "daybreak/grant/gate.h"
#include "daybreak/grant/python/convert.h"

namespace nb = nanobind;
namespace base = daybreak::base;

namespace daybreak::grant {
namespace {

struct PyDecision {
  std::string subject;
  std::int64_t expires;
};

// What a client sends beside its request.
struct PySignedRequest {
  std::string proof;
  SignedRequest signed_part;
};

std::vector<Need> needs_of(const PyPairs& pairs) {
  std::vector<Need> out;
  out.reserve(pairs.size());
  for (const auto& [permission, resource] : pairs) out.push_back({permission, resource});
  return out;
}

PyDecision decision_of(const Verdict& verdict) {
  if (!verdict.allowed()) raise_denied({verdict.reason, verdict.sentence});
  return {crypto::to_hex(verdict.subject), verdict.expires_at_s};
}

void bind_store(nb::module_& m) {
  using Self = DirectoryStore;
  nb::class_<Self>(m, "RevocationStore",
                   "A directory in which revocations are published, one file each. It is trusted to keep all of them.")
      .def(nb::new_([](const std::filesystem::path& directory) {
             return base::value_or_raise(Self::open(base::given_path(directory, "directory")));
           }),
           nb::arg("directory"),
           "One that is there: an empty directory is none (NotFoundError), so that a disk that is not mounted is no "
           "amnesty.")
      .def_static(
          "create",
          [](const std::filesystem::path& directory) {
            return base::value_or_raise(Self::create(base::given_path(directory, "directory")));
          },
          nb::arg("directory"), "Makes it in an empty directory, or opens it.")
      .def(
          "__len__", [](Self& self) { return base::value_or_raise(self.read_all())->size(); },
          "How many revocations there are.");
  m.def(
      "revoke",
      [](Self& store, const Entity& entity, const Attestation* attestation) {
        base::value_or_raise(store.publish(attestation == nullptr
                                               ? entity.revocation_secret()
                                               : base::value_or_raise(entity.revocation_secret(*attestation))));
      },
      nb::arg("store"), nb::arg("entity"), nb::arg("attestation") = nb::none(),
      "Revokes an attestation that the entity made, or the entity itself, for ever.");
}

void bind_possession(nb::module_& m) {
  using Self = PySignedRequest;
  nb::class_<Self>(m, "SignedRequest",
                   "What goes beside a request: the proof, and the subject's signature over this very request.")
      .def(
          "__init__",
          [](Self* self, BytesGiven given_proof, std::int64_t issued_at_ns, BytesGiven given_nonce,
             BytesGiven given_signature) {
            const nb::bytes proof = bytes_of(given_proof, "proof");
            const nb::bytes nonce = bytes_of(given_nonce, "nonce");
            const nb::bytes signature = bytes_of(given_signature, "signature");
            new (self) Self{
                std::string(text_of(proof)),
                {issued_at_ns, array_of<kRequestNonceBytes>(nonce, "nonce"), array_of<64>(signature, "signature")}};
          },
          nb::arg("proof"), nb::arg("issued_at_ns"), nb::arg("nonce"), nb::arg("signature"))
      .def_prop_ro("proof", [](const Self& self) { return py_bytes(self.proof); })
      .def_prop_ro("issued_at_ns", [](const Self& self) { return self.signed_part.issued_at_ns; })
      .def_prop_ro("nonce", [](const Self& self) { return py_bytes(self.signed_part.nonce); })
      .def_prop_ro("signature", [](const Self& self) { return py_bytes(self.signed_part.signature); });
  m.def(
      "sign_request",
      [](const Entity& entity, BytesGiven given_proof, const std::string& server, const std::string& method,
         const std::string& path, BytesGiven given_body, const std::string& origin, const std::string& app) {
        const nb::bytes proof = bytes_of(given_proof, "proof");
        const nb::bytes body = bytes_of(given_body, "body");
        const Hash body_hash = crypto::sha256(text_of(body));
        return Self{
            std::string(text_of(proof)),
            base::value_or_raise(sign_request(entity, {server, origin, app}, method, path, body_hash, text_of(proof)))};
      },
      nb::arg("entity"), nb::arg("proof"), nb::kw_only(), nb::arg("server"), nb::arg("method"), nb::arg("path"),
      nb::arg("body") = nb::bytes("", 0), nb::arg("origin") = "", nb::arg("app") = "",
      "Signs one request, good once, within 30 s, and at this server alone. `path` is path and query.");
  m.def(
      "sign_challenge",
      [](const Entity& entity, BytesGiven given_proof, BytesGiven given_challenge, const std::string& server,
         const std::string& origin, const std::string& app) {
        const nb::bytes proof = bytes_of(given_proof, "proof");
        const nb::bytes challenge = bytes_of(given_challenge, "challenge");
        return py_bytes(base::value_or_raise(
            sign_session(entity, {server, origin, app}, array_of<32>(challenge, "challenge"), text_of(proof))));
      },
      nb::arg("entity"), nb::arg("proof"), nb::arg("challenge"), nb::kw_only(), nb::arg("server"),
      nb::arg("origin") = "", nb::arg("app") = "", "The answer to Verifier.challenge().");
}

void bind_verifier_sessions(nb::class_<Verifier>& cls) {
  using Self = Verifier;
  cls.def(
         "challenge",
         [](Self& self, const std::string& origin, const std::string& app) {
           return py_bytes(self.challenge(origin, app));
         },
         nb::arg("origin") = "", nb::arg("app") = "", "32 bytes, good once and for 30 s.")
      .def(
          "open_session",
          [](Self& self, BytesGiven given_proof, BytesGiven given_challenge, BytesGiven given_signature,
             const PyPairs& required, const std::string& origin, const std::string& app) {
            const nb::bytes proof = bytes_of(given_proof, "proof");
            const nb::bytes challenge = bytes_of(given_challenge, "challenge");
            const nb::bytes signature = bytes_of(given_signature, "signature");
            SessionToken token;
            const auto needs = needs_of(required);
            const auto decision =
                decision_of(self.open_session(array_of<32>(challenge, "challenge"), text_of(proof),
                                              array_of<64>(signature, "signature"), needs, origin, app, token));
            return std::pair<nb::bytes, PyDecision>(py_bytes(token.bytes()), decision);
          },
          nb::arg("proof"), nb::arg("challenge"), nb::arg("signature"), nb::arg("required"), nb::arg("origin") = "",
          nb::arg("app") = "",
          "A token of 32 bytes and its decision: for at most 5 minutes, and never beyond the proof.")
      .def(
          "check_session",
          [](Self& self, BytesGiven given_token, const PyPairs& required, const std::string& origin,
             const std::string& app) {
            const nb::bytes token = bytes_of(given_token, "token");
            return decision_of(self.check_session(text_of(token), needs_of(required), origin, app));
          },
          nb::arg("token"), nb::arg("required"), nb::arg("origin") = "", nb::arg("app") = "",
          "Whether the session may do this: any that its proof gives.")
      .def(
          "close_session",
          [](Self& self, BytesGiven given_token) {
            const nb::bytes token = bytes_of(given_token, "token");
            self.close_session(text_of(token));
          },
          nb::arg("token"));
}

// Of arguments as Python gives them.
auto create_verifier(const std::string& namespace_id, const std::string& server,
                     std::shared_ptr<DirectoryStore> revocations, WholeGiven max_staleness_s, std::size_t max_sessions,
                     std::size_t max_nonces) {
  VerifierOptions options;
  options.namespace_id = id_of(namespace_id, "namespace");
  options.server_id = server;
  options.revocations = std::move(revocations);
  options.max_staleness_s = whole_of(max_staleness_s, "max_staleness_s");
  options.max_sessions = max_sessions;
  options.max_nonces = max_nonces;
  return base::value_or_raise(Verifier::create(std::move(options)));
}

void release_gate(void* capsule_pointer) noexcept {
  auto* gate = static_cast<daybreak_gate_v1*>(capsule_pointer);
  gate->release(gate->context);
}

}  // namespace
}  // namespace daybreak::grant

void bind_verifier(nb::module_& m) {
  using namespace daybreak::grant;
  using Self = Verifier;
  bind_store(m);
  bind_possession(m);
  nb::class_<PyDecision>(m, "Decision", "Allowed: who proved it (id), and the unix second at which the decision ends.")
      .def_ro("subject", &PyDecision::subject)
      .def_ro("expires", &PyDecision::expires);
  nb::class_<Self> cls(m, "Verifier", "What a server asks before it does something. Any thread may use it.");
  cls.def(nb::new_(&create_verifier), nb::kw_only(), nb::arg("namespace"), nb::arg("server"),
          nb::arg("revocations").none(), nb::arg("max_staleness_s") = 60, nb::arg("max_sessions") = 4096,
          nb::arg("max_nonces") = 65536,
          "For one namespace, under this server's own name. `revocations=None` looks at none. When the store has not "
          "been read completely "
          "for `max_staleness_s`, all is denied as revocation_stale.");
  cls.def(
         "verify",
         [](Self& self, BytesGiven given_proof, const PyPairs& required, const std::optional<std::string>& subject,
            const std::string& origin, const std::string& app) {
           const nb::bytes proof = bytes_of(given_proof, "proof");
           Hash expected;
           if (subject) expected = id_of(*subject, "subject");
           const auto needs = needs_of(required);
           const Verdict verdict = [&] {
             const nb::gil_scoped_release release;
             return self.verify(text_of(proof), needs, subject ? &expected : nullptr, origin, app);
           }();
           return decision_of(verdict);
         },
         nb::arg("proof"), nb::arg("required"), nb::arg("subject") = nb::none(), nb::arg("origin") = "",
         nb::arg("app") = "",
         "Whether the proof gives all (permission, resource) pairs to its subject. It does not say who presents it: "
         "for a request use "
         "check_request() or a session. Denied has the code and the sentence.")
      .def(
          "check_request",
          [](Self& self, const PySignedRequest& request, const PyPairs& required, const std::string& method,
             const std::string& path, BytesGiven given_body, const std::string& origin, const std::string& app) {
            const nb::bytes body = bytes_of(given_body, "body");
            const auto needs = needs_of(required);
            const Verdict verdict = [&] {
              const nb::gil_scoped_release release;
              const auto& [issued_at_ns, nonce, signature] = request.signed_part;
              return self.check_request({method, path, daybreak::crypto::sha256(text_of(body)), request.proof,
                                         issued_at_ns, nonce, signature},
                                        needs, origin, app);
            }();
            return decision_of(verdict);
          },
          nb::arg("request"), nb::arg("required"), nb::kw_only(), nb::arg("method"), nb::arg("path"),
          nb::arg("body") = nb::bytes("", 0), nb::arg("origin") = "", nb::arg("app") = "",
          "The same for whoever signed this very request, which must be new: 30 s either way, and used once.")
      .def(
          "refresh", [](Self& self) { base::value_or_raise(self.refresh()); }, "Reads the store of revocations now.")
      .def(
          "gate",
          [](std::shared_ptr<Self> self) {
            return nb::capsule(make_gate(std::move(self)), DAYBREAK_GATE_V1, release_gate);
          },
          "As the capsule daybreak.gate.v1, for native code of other rooms.")
      .def(
          "__daybreak_gate_v1__",
          [](std::shared_ptr<Self> self) {
            return nb::capsule(make_gate(std::move(self)), DAYBREAK_GATE_V1, release_gate);
          },
          "gate(), under the name by which other rooms ask for it.");
  bind_verifier_sessions(cls);
}
