// Helpers of this room's tests.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "daybreak/base/test_env.h"
#include "daybreak/crypto/hash.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::crypto {

inline std::string unhex(std::string_view text) {
  std::string out(text.size() / 2, '\0');
  EXPECT_TRUE(from_hex(text, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()})) << text;
  return out;
}

template <std::size_t N>
std::array<std::uint8_t, N> unhex_array(std::string_view text) {
  std::array<std::uint8_t, N> out{};
  EXPECT_TRUE(from_hex(text, out)) << text;
  return out;
}

inline Secret<32> secret_of(std::string_view text) {
  return Secret<32>::copy_of(unhex_array<32>(text));
}

inline std::string hex(std::span<const std::uint8_t> bytes) {
  return to_hex(bytes);
}

// Randomness that is these bytes, once.
class GivenRandom : public base::TestEnv {
 public:
  explicit GivenRandom(std::string bytes) : bytes_(std::move(bytes)) {}
  void fill_random(std::span<std::byte> out) override {
    DAYBREAK_CHECK(out.size() == bytes_.size());
    std::copy_n(reinterpret_cast<const std::byte*>(bytes_.data()), out.size(), out.begin());
  }

 private:
  std::string bytes_;
};

}  // namespace daybreak::crypto
