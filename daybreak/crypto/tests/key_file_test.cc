#include "daybreak/crypto/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "daybreak/base/temp_dir.h"
#include "daybreak/base/test_env.h"
#include "daybreak/crypto/tests/vectors.h"

namespace daybreak::crypto {
namespace {

constexpr PassphraseCost kCheap{1, 8};  // a test need not be slow to guess

TEST(KeyFile, comes_back_with_and_without_a_passphrase) {
  base::TestEnv env;
  const SecretBytes secret = SecretBytes::copy_of("the seed");
  ASSERT_TRUE(write_key_file("plain", secret, std::nullopt, env));
  EXPECT_EQ(read_key_file("plain", std::nullopt, env)->view(), "the seed");
  ASSERT_TRUE(write_key_file("sealed", secret, "open sesame", env, kCheap));
  EXPECT_EQ(read_key_file("sealed", "open sesame", env)->view(), "the seed");
  EXPECT_EQ(env.read_file("sealed", 1 << 20)->find("the seed"), std::string::npos);
}

TEST(KeyFile, is_for_its_owner_alone) {
  const base::TempDir folder = base::TempDir::create().value();
  const std::string path = folder / "key";
  ASSERT_TRUE(write_key_file(path, SecretBytes::copy_of("x"), std::nullopt));
  struct stat about{};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST(KeyFile, refuses_wrong_missing_and_empty_passphrases) {
  base::TestEnv env;
  ASSERT_TRUE(write_key_file("sealed", SecretBytes::copy_of("x"), "right", env, kCheap));
  EXPECT_EQ(read_key_file("sealed", "wrong", env).error().code(), base::Code::kUnauthenticated);
  EXPECT_EQ(read_key_file("sealed", std::nullopt, env).error().code(), base::Code::kUnauthenticated);
  EXPECT_EQ(write_key_file("y", SecretBytes::copy_of("x"), "", env).error().code(), base::Code::kInvalidArgument);
  ASSERT_TRUE(write_key_file("plain", SecretBytes::copy_of("x"), std::nullopt, env));
  EXPECT_EQ(read_key_file("plain", "right", env).error().code(), base::Code::kInvalidArgument);
}

TEST(KeyFile, refuses_a_flipped_bit_and_a_cut_anywhere) {
  const SecretBytes secret = SecretBytes::copy_of("the seed");
  const SecretBytes file = std::move(*encode_key_file(secret, "right", base::Env::real(), kCheap));
  std::string bytes(file.view());
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    // A flip that makes a cost of gigabytes is refused for that; the others do not open.
    const auto kind = static_cast<std::size_t>(14);
    const auto read = decode_key_file(bytes, "right");
    EXPECT_FALSE(read) << bit;
    EXPECT_TRUE(bit / 8 != kind || read.error().code() != base::Code::kUnauthenticated);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_key_file(bytes.substr(0, size), "right")) << size;
}

TEST(KeyFile, a_file_cannot_ask_for_all_memory) {
  std::string bytes(std::move(*encode_key_file(SecretBytes::copy_of("x"), "right", base::Env::real(), kCheap)).view());
  bytes[19] = bytes[20] = bytes[21] = bytes[22] = '\xff';
  const auto read = decode_key_file(bytes, "right");
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message().find("1048576 KiB"), std::string::npos);
}

TEST(KeyFile, golden_bytes_do_not_change) {
  EXPECT_EQ(hex(encode_key_file(SecretBytes::copy_of("seed"), std::nullopt)->bytes()),
            "646179627265616b2d6b657900010073656564");
  base::TestEnv env(5);
  EXPECT_EQ(
      hex(encode_key_file(SecretBytes::copy_of("seed"), "right", env, kCheap)->bytes()),
      "646179627265616b2d6b65790001010100000008000000b66068e2f4d1c369386c9aafbd6689292565fd30ba046a06068b2e5aea7e8be9"
      "ca13fed752c8e3552abd0c4ba3d7acb3b90c6b123698eaeafac9bab7");
}

TEST(KeyFile, a_full_disk_keeps_the_old_one) {
  base::TestEnv env;
  ASSERT_TRUE(write_key_file("key", SecretBytes::copy_of("old"), std::nullopt, env));
  env.set_free_bytes(4);
  EXPECT_EQ(write_key_file("key", SecretBytes::copy_of("new"), std::nullopt, env).error().code(),
            base::Code::kResourceExhausted);
  EXPECT_EQ(read_key_file("key", std::nullopt, env)->view(), "old");
}

}  // namespace
}  // namespace daybreak::crypto
