// Every bound of the room, in one place. Each is checked before any memory is taken or any signature is looked at, and
// each is tested at its edge. They bound the work for what comes from outside by count, never by time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace daybreak::grant {

inline constexpr std::size_t kMaxHops = 16;        // attestations on one path
inline constexpr std::size_t kMaxPairs = 64;       // (permission, resource) in a grant, in a request
inline constexpr std::size_t kMaxStatements = 16;  // in one attestation
inline constexpr std::size_t kMaxPermissionBytes = 64;
inline constexpr std::size_t kMaxPatternBytes = 255;
inline constexpr std::size_t kMaxCells = 16;
inline constexpr std::size_t kMaxPaths = 32;         // in one proof
inline constexpr std::size_t kMaxAttestations = 64;  // in one proof: so many signatures are checked at most, about 4 ms
inline constexpr std::size_t kMaxEntities = kMaxAttestations + 1;
inline constexpr std::size_t kMaxProofBytes = 128 * 1024;
inline constexpr std::size_t kMaxKeyBundleBytes = 256 * 1024;  // sealed keys beside one attestation
inline constexpr std::size_t kMaxBundleAttestations = 256;
inline constexpr std::size_t kMaxBundleEntities = kMaxBundleAttestations + 1;
inline constexpr std::size_t kMaxBundleBytes = 4 << 20;
inline constexpr std::size_t kMaxWalletBundles = 4096;
inline constexpr std::size_t kMaxWalletAttestations = 16384;
inline constexpr std::size_t kMaxSearchSteps = 1 << 22;  // of the prover: comparisons of ways; tens of milliseconds
inline constexpr std::size_t kMaxRevocations = 1 << 20;  // in one store
inline constexpr std::size_t kMaxRemembered = 1 << 24;   // decisions, sessions, nonces of a verifier, each
inline constexpr std::size_t kMaxAudienceBytes = 255;    // server id, origin, app, each
inline constexpr std::size_t kMaxMethodBytes = 32;
inline constexpr std::size_t kMaxTargetBytes = 8192;      // path and query
inline constexpr std::int64_t kMaxTimeS = 9'000'000'000;  // year 2255: in nanoseconds it still fits into 63 bits

}  // namespace daybreak::grant
