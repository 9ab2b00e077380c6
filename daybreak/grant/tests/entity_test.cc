#include "daybreak/grant/entity.h"

#include <gtest/gtest.h>

#include "daybreak/base/file.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

TEST(Entity, is_named_by_its_record) {
  World world;
  const EntityRecord& record = world["ann"].record();
  const auto decoded = EntityRecord::decode(record.encode());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, record);
  std::string bytes = record.encode();
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    const auto altered = EntityRecord::decode(bytes);
    if (altered) {
      EXPECT_NE(altered->id, record.id);
      EXPECT_EQ(altered->encode(), bytes);
    }
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
}

TEST(Entity, without_a_sealing_key_opens_nothing) {
  World world;
  Entity& plain = world.add("ann", {.sealing = false});
  EXPECT_EQ(plain.record().encode().size() + 32, world["bob"].record().encode().size());
  EXPECT_EQ(plain.open("info", "x").error().code(), base::Code::kFailedPrecondition);
}

TEST(Entity, opens_what_is_sealed_to_its_record) {
  World world;
  const auto sealed =
      crypto::seal(*world["ann"].record().sealing_key, crypto::bytes_of("info"), {}, crypto::bytes_of("text"));
  EXPECT_EQ(world["ann"].open("info", *sealed)->view(), "text");
  EXPECT_FALSE(world["bob"].open("info", *sealed));
}

TEST(Entity, survives_its_file_with_and_without_a_passphrase) {
  World world;
  const Entity& ann = world["ann"];
  ASSERT_TRUE(ann.save("ann.key", std::nullopt, world.env));
  ASSERT_TRUE(ann.save("ann.sealed", "open sesame", world.env));
  const auto is_ann = [&](const base::Result<Entity>& loaded) {
    ASSERT_TRUE(loaded) << loaded.error().to_string();
    EXPECT_EQ(loaded->record(), ann.record());
    EXPECT_EQ(loaded->sign("x"), ann.sign("x"));
  };
  is_ann(Entity::load("ann.key", std::nullopt, world.env));
  is_ann(Entity::load("ann.sealed", "open sesame", world.env));
  EXPECT_EQ(Entity::load("ann.sealed", "wrong", world.env).error().code(), base::Code::kUnauthenticated);
}

TEST(Entity, a_flipped_bit_in_its_file_is_found) {
  World world;
  ASSERT_TRUE(world["ann"].save("ann.key", std::nullopt, world.env));
  std::string bytes = *world.env.read_file("ann.key", 1 << 20);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    ASSERT_TRUE(base::write_file_atomically("bad.key", bytes, world.env));
    EXPECT_FALSE(Entity::load("bad.key", std::nullopt, world.env)) << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
}

TEST(Entity, validity_is_bounded) {
  World world;
  EXPECT_FALSE(Entity::create({.valid_from_s = -1}, world.env));
  EXPECT_FALSE(Entity::create({.valid_from_s = kMaxTimeS}, world.env));
  EXPECT_FALSE(Entity::create({.valid_for_s = 0}, world.env));
  EXPECT_EQ(Entity::create({.valid_for_s = INT64_MAX}, world.env)->record().validity.until_s, kMaxTimeS);
}

TEST(Attestation, comes_back_and_is_signed) {
  World world;
  const Attestation made = world.grant("lab", "ann", {"predict", "read"}, "models/pong/*", 3);
  const auto decoded = Attestation::decode(made.encode());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, made);
  EXPECT_TRUE(decoded->is_signed_by(world["lab"].record().verify_key));
  EXPECT_FALSE(decoded->is_signed_by(world["ann"].record().verify_key));
}

TEST(Attestation, a_flipped_bit_anywhere_is_malformed_or_not_signed) {
  World world;
  std::string bytes = world.grant("lab", "ann", {"predict"}, "models/pong/*", 3).encode();
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    const auto altered = Attestation::decode(bytes);
    if (altered) {
      EXPECT_FALSE(altered->is_signed_by(world["lab"].record().verify_key)) << bit;
      EXPECT_EQ(altered->encode(), bytes);
    }
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(Attestation::decode(bytes.substr(0, size)));
  EXPECT_FALSE(Attestation::decode(bytes + "x"));
}

TEST(Attestation, cannot_be_made_for_oneself_or_beyond_the_limits) {
  World world;
  const auto options = world.options({World::statement({"read"}, "a")}, 0);
  EXPECT_FALSE(world["ann"].attest(world["ann"].record(), options, world.env));
  auto deep = options;
  deep.hops = kMaxHops - 1;
  EXPECT_TRUE(world["ann"].attest(world["bob"].record(), deep, world.env));
  deep.hops = kMaxHops;
  EXPECT_FALSE(world["ann"].attest(world["bob"].record(), deep, world.env));
  auto empty = options;
  empty.statements.clear();
  EXPECT_FALSE(world["ann"].attest(world["bob"].record(), empty, world.env));
}

TEST(Attestation, the_place_of_a_permission_set_is_reserved) {
  World world;
  std::string bytes = world.grant("lab", "ann", {"read"}, "a").encode();
  const std::size_t place = 1 + 3 * 32 + 1;
  ASSERT_EQ(bytes[place], 0);
  const std::string with_set = bytes.substr(0, place) + "\x01" + std::string(32, 'p') + bytes.substr(place + 1);
  const auto refused = Attestation::decode(with_set);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("reserved"), std::string::npos);
}

TEST(Attestation, only_its_maker_has_the_secret_that_revokes_it) {
  World world;
  const Attestation made = world.grant("lab", "ann", {"read"}, "a");
  const auto secret = world["lab"].revocation_secret(made);
  ASSERT_TRUE(secret);
  EXPECT_EQ(revocation_commitment(secret->bytes()), made.terms.revocation);
  EXPECT_FALSE(world["ann"].revocation_secret(made));
  const Attestation other = world.grant("lab", "ann", {"read"}, "a");
  EXPECT_NE(other.terms.revocation, made.terms.revocation);
  EXPECT_EQ(revocation_commitment(world["lab"].revocation_secret().bytes()), world["lab"].record().revocation);
}

TEST(Attestation, golden_bytes_do_not_change) {
  base::TestEnv env(3);
  const auto lab = Entity::create({}, env), ann = Entity::create({.sealing = false}, env);
  GrantOptions options;
  options.namespace_id = lab->id();
  options.statements = {World::statement({"predict", "decrypt"}, "models/pong/*"),
                        World::statement({"read"}, "logs/+")};
  options.hops = 2;
  EXPECT_EQ(crypto::to_hex(lab->id()), "b4623733257965dd5487c5716599dfc1e0130d6defa15344082e7c5ef049ac53");
  EXPECT_EQ(crypto::to_hex(crypto::bytes_of(lab->record().encode())),
            "017e12bc540da5e86dc1376477657a873555d16fa1ecaa0be8c3da13d75668b58e01222e322f6d09d6f2c8971dcde8a29249"
            "ec61f022cea605aaeab23fb5ec18a83e80f2d6ca0680d9dbd906a6d4e291c0a34a071c476db0221e6ee828aa0fe2670f4eed"
            "6d0d24c29e13b26b");
  EXPECT_EQ(crypto::to_hex(crypto::bytes_of(ann->record().encode())),
            "01665c579695baef161ab77f264aa72f9a942f6c6ce6bdc25de169f0156289ded30080f2d6ca0680d9dbd906e663405bf7ab"
            "cec66aa78afdada22ef5fa41249ecdd82324ae42ed6d4d5a00f1");
  EXPECT_EQ(crypto::to_hex(crypto::bytes_of(lab->attest(ann->record(), options, env)->encode())),
            "01b4623733257965dd5487c5716599dfc1e0130d6defa15344082e7c5ef049ac53ddb732c8c8267c5acc0e5f81ca464ba106"
            "0a4d0a821fed78eabd9213b327bb3bb4623733257965dd5487c5716599dfc1e0130d6defa15344082e7c5ef049ac53020001"
            "0472656164066c6f67732f2b0002076465637279707407707265646963740d6d6f64656c732f706f6e672f2a0280f2d6ca06"
            "808cf5cb06d2105183f6a85779e6be13697c8a4973d05ac894cd3e93d927626e8aec3420f80024b17ee100e656b786286143"
            "0c0a1f2e33fe70b35560abd8c9406dcf54576ac8ccb83d5b6aef536b52e618b12169b9a29b9be281a261f4f574aaa0b3a846"
            "152b9ad0d66d709e7e848db6133e826bf806");
}

}  // namespace
}  // namespace daybreak::grant
