#include "daybreak/crypto/sign.h"

#include <gtest/gtest.h>

#include "daybreak/crypto/tests/vectors.h"

namespace daybreak::crypto {
namespace {

struct SignVector {
  const char *seed, *key, *message, *signature;
};

// RFC 8032, 7.1.
const SignVector kSignVectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246"
     "55141438e7"
     "a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb"
     "00d291612b"
     "b0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc"
     "027beceea1"
     "ec40a"},
};

TEST(Sign, gives_the_signatures_of_rfc_8032) {
  for (const auto& vector : kSignVectors) {
    const SigningKey key = SigningKey::from_seed(secret_of(vector.seed));
    EXPECT_EQ(hex(key.verify_key()), vector.key);
    const std::string message = unhex(vector.message);
    const Signature signature = key.sign(bytes_of(message));
    EXPECT_EQ(hex(signature), vector.signature);
    EXPECT_TRUE(verify(key.verify_key(), bytes_of(message), signature));
  }
}

TEST(Sign, refuses_a_flipped_bit_anywhere) {
  const SigningKey key = SigningKey::from_seed(secret_of(kSignVectors[2].seed));
  std::string message = unhex(kSignVectors[2].message);
  Signature signature = key.sign(bytes_of(message));
  VerifyKey verify_key = key.verify_key();
  const auto flips_are_refused = [&](std::span<std::uint8_t> bytes) {
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      EXPECT_FALSE(verify(verify_key, bytes_of(message), signature)) << bit;
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    }
  };
  flips_are_refused(signature);
  flips_are_refused(verify_key);
  flips_are_refused({reinterpret_cast<std::uint8_t*>(message.data()), message.size()});
  EXPECT_TRUE(verify(verify_key, bytes_of(message), signature));
}

TEST(Sign, refuses_a_number_that_is_not_reduced) {
  const SigningKey key = SigningKey::from_seed(secret_of(kSignVectors[0].seed));
  Signature signature = key.sign({});
  // S + L, the order of the group: the same point, other bytes.
  const auto order = unhex_array<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += signature[32 + i] + order[i];
    signature[32 + i] = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  EXPECT_FALSE(verify(key.verify_key(), {}, signature));
}

TEST(Sign, refuses_keys_of_small_order) {
  // With such a key R = identity, S = 0 verifies under the bare equation, whatever the message (for a part of all
  // messages).
  for (const char* point : {"0100000000000000000000000000000000000000000000000000000000000000",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                            "0000000000000000000000000000000000000000000000000000000000000000",
                            "0000000000000000000000000000000000000000000000000000000000000080",
                            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    Signature signature{};
    signature[0] = 1;
    for (const char* message : {"", "a", "b", "c", "d"}) {
      EXPECT_FALSE(verify(unhex_array<32>(point), bytes_of(message), signature)) << point;
    }
  }
}

}  // namespace
}  // namespace daybreak::crypto
