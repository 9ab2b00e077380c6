#include "daybreak/crypto/hpke.h"

#include <gtest/gtest.h>

#include "daybreak/crypto/kdf.h"
#include "daybreak/crypto/tests/vectors.h"

namespace daybreak::crypto {
namespace {

// Points of low order, and one that is not reduced (Wycheproof, x25519).
const char* const kLowOrder[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

TEST(X25519, agrees_with_rfc_7748) {
  const auto shared = x25519(secret_of("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                             unhex_array<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"));
  ASSERT_TRUE(shared);
  EXPECT_EQ(hex(shared->bytes()), "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
}

TEST(X25519, refuses_points_of_low_order) {
  const auto key = Secret<32>::random();
  for (const char* point : kLowOrder) EXPECT_FALSE(x25519(key, unhex_array<32>(point))) << point;
}

TEST(Hkdf, agrees_with_rfc_5869) {
  const std::string input(22, '\x0b'), salt = unhex("000102030405060708090a0b0c"), info = unhex("f0f1f2f3f4f5f6f7f8f9");
  const auto key = hkdf_extract(bytes_of(salt), bytes_of(input));
  EXPECT_EQ(hex(key.bytes()), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  std::array<std::uint8_t, 42> out{};
  hkdf_expand(key.bytes(), bytes_of(info), out);
  EXPECT_EQ(hex(out), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST(Hkdf, takes_no_salt_and_no_info_as_test_case_3_of_rfc_5869) {
  const std::string input(22, '\x0b');
  std::array<std::uint8_t, 42> out{};
  hkdf_expand(hkdf_extract({}, bytes_of(input)).bytes(), {}, out);
  EXPECT_EQ(hex(out), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

// RFC 9180, A.2.1: mode base, first message.
constexpr char kInfo[] = "4f6465206f6e2061204772656369616e2055726e";
constexpr char kIkmE[] = "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
constexpr char kIkmR[] = "1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df";
constexpr char kSkR[] = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
constexpr char kPkR[] = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
constexpr char kEnc[] = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
constexpr char kAad[] = "436f756e742d30";
constexpr char kText[] = "4265617574792069732074727574682c20747275746820626561757479";
constexpr char kCiphertext[] =
    "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";

TEST(Hpke, derives_the_key_pair_of_rfc_9180) {
  const std::string seed = unhex(kIkmR);
  const KeyPair pair = derive_key_pair(bytes_of(seed));
  EXPECT_EQ(hex(pair.secret_key.bytes()), kSkR);
  EXPECT_EQ(hex(pair.public_key), kPkR);
}

TEST(Hpke, seals_and_opens_as_rfc_9180) {
  GivenRandom env(unhex(kIkmE));
  const std::string info = unhex(kInfo), aad = unhex(kAad), text = unhex(kText);
  const auto sealed = seal(unhex_array<32>(kPkR), bytes_of(info), bytes_of(aad), bytes_of(text), env);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(hex(bytes_of(*sealed)), std::string(kEnc) + kCiphertext);
  const auto opened = open(secret_of(kSkR), bytes_of(info), bytes_of(aad), bytes_of(*sealed));
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->view(), text);
}

TEST(Hpke, refuses_a_flipped_bit_another_info_and_a_cut) {
  const KeyPair pair = derive_key_pair(bytes_of("seed"));
  std::string sealed = *seal(pair.public_key, bytes_of("info"), bytes_of("aad"), bytes_of("text"));
  ASSERT_TRUE(open(pair.secret_key, bytes_of("info"), bytes_of("aad"), bytes_of(sealed)));
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    sealed[bit / 8] = static_cast<char>(sealed[bit / 8] ^ 1 << bit % 8);
    const auto opened = open(pair.secret_key, bytes_of("info"), bytes_of("aad"), bytes_of(sealed));
    ASSERT_FALSE(opened) << bit;
    EXPECT_EQ(opened.error().code(), base::Code::kDataLoss);
    sealed[bit / 8] = static_cast<char>(sealed[bit / 8] ^ 1 << bit % 8);
  }
  EXPECT_FALSE(open(pair.secret_key, bytes_of("inf"), bytes_of("oaad"), bytes_of(sealed)));
  EXPECT_FALSE(open(pair.secret_key, bytes_of("info"), bytes_of(""), bytes_of(sealed)));
  EXPECT_FALSE(
      open(derive_key_pair(bytes_of("other")).secret_key, bytes_of("info"), bytes_of("aad"), bytes_of(sealed)));
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(open(pair.secret_key, bytes_of("info"), bytes_of("aad"), bytes_of(sealed.substr(0, size))));
  }
}

TEST(Hpke, refuses_points_of_low_order_on_both_sides) {
  const KeyPair pair = derive_key_pair(bytes_of("seed"));
  const std::string sealed = *seal(pair.public_key, {}, {}, {});
  for (const char* point : kLowOrder) {
    const auto refused = seal(unhex_array<32>(point), {}, {}, bytes_of("text"));
    ASSERT_FALSE(refused) << point;
    EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
    EXPECT_FALSE(open(pair.secret_key, {}, {}, bytes_of(unhex(point) + sealed.substr(32))));
  }
}

TEST(Hpke, no_text_and_the_same_text_twice_differ_only_in_the_one_time_key) {
  const KeyPair pair = derive_key_pair(bytes_of("seed"));
  EXPECT_EQ(open(pair.secret_key, {}, {}, bytes_of(*seal(pair.public_key, {}, {}, {})))->size(), 0u);
  EXPECT_NE(*seal(pair.public_key, {}, {}, bytes_of("x")), *seal(pair.public_key, {}, {}, bytes_of("x")));
}

}  // namespace
}  // namespace daybreak::crypto
