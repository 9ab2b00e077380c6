#include "daybreak/grant/revocation.h"

#include "daybreak/base/file.h"

namespace daybreak::grant {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::string_view kMarkerName = "daybreak-revocations-v1";
constexpr std::string_view kTemporarySuffix = ".tmp";  // of base::write_file_atomically

}  // namespace

Result<std::shared_ptr<DirectoryStore>> DirectoryStore::create(std::string path, base::Env& env) {
  DAYBREAK_TRY(env.create_directories(path));
  std::shared_ptr<DirectoryStore> store(new DirectoryStore(std::move(path), env));
  if (!store->check_marker()) {
    DAYBREAK_ASSIGN(const auto names, env.list_directory(store->path_));
    if (!names.empty()) {
      return fail(Code::kFailedPrecondition, "'{}' is a directory with other files: take an empty one for a store",
                  store->path_);
    }
    DAYBREAK_TRY(base::write_file_atomically(fmt::format("{}/{}", store->path_, kMarkerName), "", env));
  }
  return store;
}

Result<std::shared_ptr<DirectoryStore>> DirectoryStore::open(std::string path, base::Env& env) {
  std::shared_ptr<DirectoryStore> store(new DirectoryStore(std::move(path), env));
  DAYBREAK_TRY(store->check_marker());
  return store;
}

base::Status DirectoryStore::check_marker() {
  if (!env_.read_file(fmt::format("{}/{}", path_, kMarkerName), 0)) {
    return fail(Code::kNotFound, "'{}' is no store of revocations: it has no file '{}'; is it mounted?", path_,
                kMarkerName);
  }
  return {};
}

Result<std::shared_ptr<const RevokedSet>> DirectoryStore::read_all() {
  const base::MutexLock lock(mutex_);
  DAYBREAK_TRY(check_marker());
  DAYBREAK_ASSIGN(const auto names, env_.list_directory(path_));
  if (names.size() > kMaxRevocations + 1) {
    return fail(Code::kResourceExhausted, "'{}' has {} files, the limit is {} revocations", path_, names.size(),
                kMaxRevocations);
  }
  std::shared_ptr<RevokedSet> grown;  // a copy, made when there is something new
  for (const std::string& name : names) {
    if (name == kMarkerName || name.ends_with(kTemporarySuffix)) continue;
    Hash commitment;
    if (!crypto::from_hex(name, commitment)) {
      return fail(Code::kDataLoss, "'{}/{}' is no revocation: take it away", path_, name);
    }
    if (known_->contains(commitment)) continue;
    DAYBREAK_ASSIGN(const std::string secret, env_.read_file(fmt::format("{}/{}", path_, name), 32));
    if (secret.size() != 32 || revocation_commitment(crypto::bytes_of(secret).first<32>()) != commitment) {
      return fail(Code::kDataLoss, "'{}/{}' is damaged: it does not hold the secret that its name commits to", path_,
                  name);
    }
    if (!grown) grown = std::make_shared<RevokedSet>(*known_);
    grown->insert(commitment);
  }
  if (grown) known_ = std::move(grown);
  return known_;
}

base::Status DirectoryStore::publish(const crypto::Secret<32>& secret) {
  DAYBREAK_TRY(check_marker());
  const std::string path = fmt::format("{}/{}", path_, crypto::to_hex(revocation_commitment(secret.bytes())));
  return base::write_file_atomically(path, view(secret.bytes()), env_);
}

}  // namespace daybreak::grant
