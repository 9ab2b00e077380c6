#include "daybreak/grant/reason.h"

namespace daybreak::grant {

std::string_view reason_name(Reason reason) {
  switch (reason) {
    case Reason::kAllowed: return "allowed";
    case Reason::kNoProof: return "no_proof";
    case Reason::kNotGranted: return "not_granted";
    case Reason::kExpired: return "expired";
    case Reason::kNotYet: return "not_yet";
    case Reason::kRevoked: return "revoked";
    case Reason::kRevocationStale: return "revocation_stale";
    case Reason::kReplayed: return "replayed";
    case Reason::kMalformed: return "malformed";
  }
  return "malformed";
}

}  // namespace daybreak::grant
