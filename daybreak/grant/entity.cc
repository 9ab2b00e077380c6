#include "daybreak/grant/entity.h"

#include <algorithm>

#include "daybreak/base/file.h"
#include "daybreak/crypto/kdf.h"
#include "daybreak/crypto/key_file.h"

namespace daybreak::grant {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::uint8_t kRecordVersion = 1;
constexpr std::uint8_t kSecretVersion = 1;
constexpr std::size_t kSecretHeaderBytes = 1 + 32 + 32;  // version, seed, id
constexpr std::int64_t kNsPerSecond = 1'000'000'000;

Hash id_of(std::string_view record) {
  return hash_of(tag("daybreak/grant/entity/v1"), {record});
}

}  // namespace

std::string short_id(const Hash& id) {
  return crypto::to_hex(std::span(id).first(6));
}

Hash revocation_commitment(std::span<const std::uint8_t, 32> secret) {
  return hash_of(tag("daybreak/grant/revocation/v1"), {view(secret)});
}

void EntityRecord::write(Writer& out) const {
  out.u8(kRecordVersion).raw(verify_key).u8(sealing_key.has_value());
  if (sealing_key) out.raw(*sealing_key);
  validity.write(out);
  out.raw(revocation);
}

EntityRecord EntityRecord::read(Reader& in) {
  EntityRecord record;
  const std::size_t begin = in.offset();
  read_version(in, kRecordVersion);
  record.verify_key = in.array<32>();
  const std::uint8_t sealing = in.u8();
  in.require(sealing <= 1, "the sealing key is marked neither there (1) nor absent (0)");
  if (sealing == 1) record.sealing_key = in.array<32>();
  record.validity = Validity::read(in);
  record.revocation = in.array<32>();
  if (in.ok()) record.id = id_of(in.since(begin));
  return record;
}

std::string EntityRecord::encode() const {
  Writer out;
  write(out);
  return out.take();
}

Result<EntityRecord> EntityRecord::decode(std::string_view bytes) {
  Reader in(bytes, "the entity's record");
  EntityRecord record = read(in);
  DAYBREAK_TRY(in.finish());
  return record;
}

Entity::Entity(crypto::Secret<32> seed, bool sealing)
    : seed_(std::move(seed)), signing_(crypto::SigningKey::from_seed(seed_)) {
  record_.verify_key = signing_.verify_key();
  if (sealing) {
    const auto ikm = crypto::hkdf_sha256(seed_.bytes(), crypto::bytes_of(tag("daybreak/grant/sealing-key/v1")));
    sealing_ = crypto::derive_key_pair(ikm.bytes());
    record_.sealing_key = sealing_->public_key;
  }
  record_.revocation = revocation_commitment(revocation_secret().bytes());
}

Result<Entity> Entity::create(const EntityOptions& options, base::Env& env) {
  Entity entity(crypto::Secret<32>::random(env), options.sealing);
  DAYBREAK_ASSIGN(entity.record_.validity,
                  Validity::make(options.valid_from_s.value_or(env.unix_ns() / kNsPerSecond), options.valid_for_s));
  entity.record_.id = id_of(entity.record_.encode());
  return entity;
}

crypto::Secret<32> Entity::revocation_secret() const {
  return crypto::hkdf_sha256(seed_.bytes(), crypto::bytes_of(tag("daybreak/grant/entity-revocation-secret/v1")));
}

Result<crypto::Secret<32>> Entity::revocation_secret(const Attestation& attestation) const {
  std::string info(tag("daybreak/grant/revocation-secret/v1"));
  info += view(attestation.terms.nonce);
  auto secret = crypto::hkdf_sha256(seed_.bytes(), crypto::bytes_of(info));
  if (attestation.attester != id() || revocation_commitment(secret.bytes()) != attestation.terms.revocation) {
    return fail(Code::kInvalidArgument, "the attestation was made by {}, not by {}: only its maker can revoke it",
                short_id(attestation.attester), short_id(id()));
  }
  return secret;
}

Result<Attestation> Entity::attest(const EntityRecord& subject, const GrantOptions& options, base::Env& env) const {
  Attestation made;
  made.attester = id();
  made.subject = subject.id;
  made.namespace_id = options.namespace_id;
  if (subject.id == id()) return fail(Code::kInvalidArgument, "an entity cannot grant to itself ({})", short_id(id()));
  DAYBREAK_ASSIGN(made.terms.statements, canonical(options.statements));
  if (options.hops >= kMaxHops) {
    return fail(Code::kInvalidArgument, "{} further hops asked, at most {} are allowed", int{options.hops},
                kMaxHops - 1);
  }
  made.terms.hops = options.hops;
  DAYBREAK_ASSIGN(made.terms.validity,
                  Validity::make(options.valid_from_s.value_or(env.unix_ns() / kNsPerSecond), options.valid_for_s));
  made.terms.key_bundle = options.key_bundle;
  env.fill_random(std::as_writable_bytes(std::span(made.terms.nonce)));
  std::string info(tag("daybreak/grant/revocation-secret/v1"));
  info += view(made.terms.nonce);
  made.terms.revocation = revocation_commitment(crypto::hkdf_sha256(seed_.bytes(), crypto::bytes_of(info)).bytes());
  Writer terms;
  made.terms.write(terms);
  made.signature = sign(attestation_message(made.attester, made.subject, made.namespace_id, terms.bytes()));
  return made;
}

crypto::Secret<32> Entity::derive_secret(std::string_view info) const {
  return crypto::hkdf_sha256(seed_.bytes(), crypto::bytes_of(info));
}

Result<crypto::SecretBytes> Entity::open(std::string_view info, std::string_view sealed) const {
  if (!sealing_) {
    return fail(Code::kFailedPrecondition, "entity {} has no key to open with: it was made without one",
                short_id(id()));
  }
  return crypto::open(sealing_->secret_key, crypto::bytes_of(info), {}, crypto::bytes_of(sealed));
}

base::Status Entity::check_may_replace(const std::string& path, std::optional<std::string_view> passphrase,
                                       base::Env& env) const {
  DAYBREAK_ASSIGN(const base::Place place, base::place_of(path));
  const bool is_file = place.kind == base::FileKind::kRegular;
  if ((!is_file && place.kind != base::FileKind::kNothing) || (is_file && place.size_bytes == 0)) return {};
  const auto refuse = [&](std::string_view what) {
    return fail(Code::kAlreadyExists, "'{}' holds {}: name another file, or say replace=True to write over it", path,
                what);
  };
  auto secret = crypto::read_key_file(path, std::nullopt, env);
  const bool is_open = secret.has_value();
  if (!is_open) {
    const Code code = secret.error().code();
    if (code == Code::kNotFound) return {};
    if (code == Code::kDataLoss || code == Code::kResourceExhausted) return refuse("something that is no key");
    if (code != Code::kUnauthenticated) return std::unexpected(std::move(secret).error());
    if (passphrase) secret = crypto::read_key_file(path, passphrase, env);
    if (!secret) return refuse("a key under another passphrase, whose cannot be seen");
  }
  const auto bytes = secret->bytes();
  if (bytes.size() < kSecretHeaderBytes || bytes[0] != kSecretVersion) return refuse("a key of something else");
  if (!std::ranges::equal(bytes.subspan<33, 32>(), id())) return refuse("the key of another entity");
  if (is_open && passphrase && place.names > 1) {
    return fail(Code::kFailedPrecondition,
                "'{}' holds this key open and has {} names (hard links): the others would keep it open; remove them "
                "first",
                path, place.names);
  }
  return {};
}

base::Status Entity::save(const std::string& path, std::optional<std::string_view> passphrase, base::Env& env,
                          bool replace) const {
  if (!replace) DAYBREAK_TRY(check_may_replace(path, passphrase, env));
  const std::string record = record_.encode();
  crypto::SecretBytes secret(kSecretHeaderBytes + record.size());
  secret.writable()[0] = kSecretVersion;
  std::ranges::copy(seed_.bytes(), secret.writable().begin() + 1);
  std::ranges::copy(id(), secret.writable().begin() + 33);  // so that a damaged file is not another entity
  std::ranges::copy(record, secret.writable().begin() + kSecretHeaderBytes);
  return crypto::write_key_file(path, secret, passphrase, env);
}

Result<Entity> Entity::load(const std::string& path, std::optional<std::string_view> passphrase, base::Env& env) {
  DAYBREAK_ASSIGN(const crypto::SecretBytes secret, crypto::read_key_file(path, passphrase, env));
  const auto bytes = secret.bytes();
  if (bytes.size() < kSecretHeaderBytes || bytes[0] != kSecretVersion) {
    return fail(Code::kDataLoss, "'{}' holds no entity of version {}: is it the right file?", path,
                int{kSecretVersion});
  }
  DAYBREAK_ASSIGN(EntityRecord record, EntityRecord::decode(secret.view().substr(kSecretHeaderBytes)));
  Entity entity(crypto::Secret<32>::copy_of(bytes.subspan<1, 32>()), record.sealing_key.has_value());
  entity.record_.validity = record.validity;
  entity.record_.id = record.id;
  if (entity.record_ != record || !std::ranges::equal(bytes.subspan<33, 32>(), record.id))
    return fail(Code::kDataLoss, "'{}' is damaged: its seed and its record do not belong together", path);
  return entity;
}

}  // namespace daybreak::grant
