// Why something is denied: one of eight codes and a sentence.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace daybreak::grant {

// The numbers are those of daybreak_gate_code in base/capsule.h.
enum class Reason : std::uint8_t {
  kAllowed = 0,
  kNoProof = 1,     // nothing, or not enough, was presented
  kNotGranted = 2,  // what was presented is genuine and does not reach so far
  kExpired = 3,
  kNotYet = 4,
  kRevoked = 5,
  kRevocationStale = 6,  // the revocations could not be read recently enough
  kReplayed = 7,         // a nonce seen before, or a request outside its time window
  kMalformed = 8,        // not what it says it is: bad bytes, a broken chain, a wrong signature
};

// "not_granted"; "allowed" for kAllowed.
std::string_view reason_name(Reason reason);

// The sentence names entities by the first 12 digits of their ids and never holds a secret, a token or a nonce.
struct Denial {
  Reason reason;
  std::string sentence;
};

template <typename T>
using Checked = std::expected<T, Denial>;

template <typename... Args>
std::unexpected<Denial> deny(Reason reason, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected<Denial>(Denial{reason, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace daybreak::grant
