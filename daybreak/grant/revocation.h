// Where revocations are published and read.
//
// A store is trusted for completeness: one that keeps a revocation back is not found out (SECURITY.md). What it says is
// checked: only the secret behind a commitment revokes, so it cannot revoke what nobody revoked.
#pragma once

#include <memory>
#include <string>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/crypto/secret.h"
#include "daybreak/grant/proof.h"

namespace daybreak::grant {

// Any thread may call any function.
class RevocationStore {
 public:
  virtual ~RevocationStore() = default;
  // All commitments whose secret has been published, each checked. An error when not all could be read: a part would
  // look like less revocations than there are.
  virtual base::Result<std::shared_ptr<const RevokedSet>> read_all() = 0;
  // For ever. Publishing again does nothing.
  virtual base::Status publish(const crypto::Secret<32>& secret) = 0;
};

// A directory, perhaps on a shared disk or synchronised by other means: one file for each revocation, named by the
// commitment and holding the secret, and the file `daybreak-revocations-v1`, without which a directory is no store (an
// empty mount point is not "no revocations"). Format: docs/formats/grant-revocations.md.
class DirectoryStore : public RevocationStore {
 public:
  // Makes the directory and its marker when they are not there.
  static base::Result<std::shared_ptr<DirectoryStore>> create(std::string path, base::Env& env = base::Env::real());
  // kNotFound when there is no such store.
  static base::Result<std::shared_ptr<DirectoryStore>> open(std::string path, base::Env& env = base::Env::real());

  // Lists the directory; a file is read once. A file that is damaged, or of another name, makes it an error.
  base::Result<std::shared_ptr<const RevokedSet>> read_all() override;
  base::Status publish(const crypto::Secret<32>& secret) override;

 private:
  DirectoryStore(std::string path, base::Env& env) : path_(std::move(path)), env_(env) {}
  base::Status check_marker();

  const std::string path_;
  base::Env& env_;
  base::Mutex mutex_;
  // What was found revoked stays so, even if its file goes away.
  std::shared_ptr<const RevokedSet> known_ DAYBREAK_GUARDED_BY(mutex_) = std::make_shared<RevokedSet>();
};

}  // namespace daybreak::grant
