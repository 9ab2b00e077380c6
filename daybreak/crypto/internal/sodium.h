// libsodium, initialised once: every function of it that this room calls goes through here first.
#pragma once

namespace daybreak::crypto::internal {

void ensure_sodium();

}  // namespace daybreak::crypto::internal
