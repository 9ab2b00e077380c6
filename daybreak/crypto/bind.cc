// crypto's part of daybreak._core: HPKE, so that other implementations can be held against ours.
#include "daybreak/base/bind.h"

#include <nanobind/nanobind.h>

#include <algorithm>

#include "daybreak/crypto/hpke.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace dc = daybreak::crypto;

namespace {

std::span<const std::uint8_t> view(const nb::bytes& bytes) {
  return {static_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

nb::bytes bytes_from(std::span<const std::uint8_t> bytes) {
  return nb::bytes(bytes.data(), bytes.size());
}

template <std::size_t N>
std::span<const std::uint8_t, N> exactly(const nb::bytes& bytes, const char* what) {
  if (bytes.size() != N) {
    base::raise(
        base::Error(base::Code::kInvalidArgument, fmt::format("{} has {} bytes, not {}", what, N, bytes.size())));
  }
  return std::span<const std::uint8_t, N>(static_cast<const std::uint8_t*>(bytes.data()), N);
}

}  // namespace

void bind_crypto(nb::module_& m) {
  m.def(
      "derive_key_pair",
      [](const nb::bytes& seed) {
        const dc::KeyPair pair = dc::derive_key_pair(view(seed));
        return nb::typed<nb::tuple, nb::bytes, nb::bytes>(
            nb::make_tuple(bytes_from(pair.secret_key.bytes()), bytes_from(pair.public_key)));
      },
      nb::arg("seed"), "(secret key, public key) by RFC 9180's DeriveKeyPair for X25519.");
  m.def(
      "seal",
      [](const nb::bytes& public_key, const nb::bytes& info, const nb::bytes& aad, const nb::bytes& text) {
        dc::PublicKey to;
        std::ranges::copy(exactly<32>(public_key, "a public key"), to.begin());
        const std::string sealed = base::value_or_raise(dc::seal(to, view(info), view(aad), view(text)));
        return nb::bytes(sealed.data(), sealed.size());
      },
      nb::arg("public_key"), nb::arg("info"), nb::arg("aad"), nb::arg("text"),
      "The one-time public key (32 bytes) followed by the ciphertext.");
  m.def(
      "open",
      [](const nb::bytes& secret_key, const nb::bytes& info, const nb::bytes& aad, const nb::bytes& sealed) {
        const auto key = dc::Secret<32>::copy_of(exactly<32>(secret_key, "a secret key"));
        return bytes_from(base::value_or_raise(dc::open(key, view(info), view(aad), view(sealed))).bytes());
      },
      nb::arg("secret_key"), nb::arg("info"), nb::arg("aad"), nb::arg("sealed"), "What seal() sealed.");
}
