#include "daybreak/grant/wallet.h"

#include <gtest/gtest.h>

#include "daybreak/base/file.h"
#include "daybreak/grant/encryption/key_ring.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

class Wallets {
 public:
  explicit Wallets(World& world) : world_(world) {}
  Wallet& operator[](const std::string& name) {
    auto& wallet = wallets_[name];
    // The world owns the entity and outlives its wallet.
    if (!wallet)
      wallet = *Wallet::open(std::shared_ptr<const Entity>(std::shared_ptr<void>(), &world_[name]), name, world_.env);
    return *wallet;
  }
  void forget(const std::string& name) { wallets_.erase(name); }
  std::string grant(const std::string& from, const std::string& to, const char* permission, const char* resource,
                    int hops = 0) {
    return (*this)[from]
        .grant(world_[to].record(), world_.options({World::statement({permission}, resource)}, hops))
        .value()
        .bundle;
  }
  Checked<Proof> prove(const std::string& who, const char* permission, const char* resource) {
    return (*this)[who].prove(world_["lab"].id(), *Policy::make({*Pair::make(permission, resource)}));
  }

 private:
  World& world_;
  std::map<std::string, std::shared_ptr<Wallet>> wallets_;
};

TEST(Wallet, proves_what_came_in_a_bundle) {
  World world;
  Wallets wallets(world);
  EXPECT_EQ(*wallets["ann"].add(wallets.grant("lab", "ann", "read", "a/*", 1)), 1u);
  EXPECT_EQ(*wallets["bob"].add(wallets.grant("ann", "bob", "read", "a/b")), 2u);
  const auto proof = wallets.prove("bob", "read", "a/b");
  ASSERT_TRUE(proof) << proof.error().sentence;
  EXPECT_EQ(reason(world.verify(*proof, "read", "a/b")), Reason::kAllowed);
  EXPECT_EQ(reason(wallets.prove("bob", "read", "a/c")), Reason::kNotGranted);
}

TEST(Wallet, takes_bundles_in_any_order_and_twice) {
  World world;
  Wallets wallets(world);
  const std::string first = wallets.grant("lab", "ann", "read", "a", 1),
                    second = wallets.grant("lab", "ann", "write", "a", 1);
  EXPECT_EQ(*wallets["ann"].add(second), 1u);
  EXPECT_EQ(*wallets["ann"].add(first), 1u);
  EXPECT_EQ(*wallets["ann"].add(first), 0u);
  EXPECT_TRUE(wallets.prove("ann", "read", "a"));
  EXPECT_TRUE(wallets.prove("ann", "write", "a"));
}

TEST(Wallet, a_grant_from_above_that_came_late_is_bundled_again) {
  World world;
  Wallets wallets(world);
  ASSERT_TRUE(wallets["bob"].add(wallets.grant("ann", "bob", "read", "a")));  // ann has nothing yet
  const auto denied = wallets.prove("bob", "read", "a");
  ASSERT_EQ(reason(denied), Reason::kNotGranted);
  EXPECT_NE(denied.error().sentence.find("ask it for its bundle again"), std::string::npos);
  ASSERT_TRUE(wallets["ann"].add(wallets.grant("lab", "ann", "read", "a", 1)));
  EXPECT_EQ(*wallets["bob"].add(*wallets["ann"].bundle_again(world["bob"].record())), 1u);
  EXPECT_TRUE(wallets.prove("bob", "read", "a"));
  EXPECT_EQ(wallets["ann"].bundle_again(world["carl"].record()).error().code(), base::Code::kNotFound);
}

TEST(Wallet, is_there_again_after_a_restart) {
  World world;
  Wallets wallets(world);
  ASSERT_TRUE(wallets["ann"].add(wallets.grant("lab", "ann", "read", "a", 1)));
  wallets.forget("ann");
  wallets.forget("lab");
  EXPECT_TRUE(wallets.prove("ann", "read", "a"));
  EXPECT_TRUE(wallets["lab"].bundle_again(world["ann"].record()));  // the granter remembers too
  wallets.forget("ann");
  const std::string name = world.env.list_directory("ann")->front();
  std::string bytes = *world.env.read_file("ann/" + name, 1 << 20);
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  ASSERT_TRUE(base::write_file_atomically("ann/" + name, bytes, world.env));
  const auto damaged = Wallet::open(std::make_shared<const Entity>(*Entity::create({}, world.env)), "ann", world.env);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code(), base::Code::kDataLoss);
}

TEST(Bundle, is_for_its_subject_alone_and_unaltered) {
  World world;
  Wallets wallets(world);
  std::string sealed = wallets.grant("lab", "ann", "read", "a");
  EXPECT_EQ(wallets["bob"].add(sealed).error().code(), base::Code::kPermissionDenied);
  EXPECT_EQ(sealed.find(std::string(view(world["lab"].id()))), std::string::npos);  // nothing to read for others
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    sealed[bit / 8] = static_cast<char>(sealed[bit / 8] ^ 1 << bit % 8);
    ASSERT_FALSE(wallets["ann"].add(sealed)) << bit;
    sealed[bit / 8] = static_cast<char>(sealed[bit / 8] ^ 1 << bit % 8);
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) ASSERT_FALSE(wallets["ann"].add(sealed.substr(0, size)));
  EXPECT_TRUE(wallets["ann"].add(sealed));
}

TEST(Bundle, with_a_grant_that_nobody_signed_is_refused) {
  World world;
  Wallets wallets(world);
  Bundle bundle;
  bundle.attestations.push_back({world.grant("lab", "ann", {"read"}, "a"), {}});
  bundle.attestations[0].attestation.terms.statements = {World::statement({"write"}, "a")};
  bundle.entities = {world["lab"].record(), world["ann"].record()};
  ASSERT_TRUE(bundle.normalise());
  const auto refused = wallets["ann"].add(*seal_bundle(bundle, world["ann"].record(), world.env));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("not signed"), std::string::npos);
}

// Keys of "a" for one epoch, sealed by the lab.
std::string keys_for(World& world, const std::string& subject) {
  const std::vector<Statement> statements = {World::statement({"decrypt"}, "a")};
  return *seal_keys(KeyRing::of_namespace(world["lab"], {}), world["lab"], world[subject].record(), world["lab"].id(),
                    statements, {20'000, 20'000}, world.env);
}

TEST(Bundle, carries_a_key_bundle_that_its_attestation_names_and_no_other) {
  World world;
  Wallets wallets(world);
  const std::string keys = keys_for(world, "ann");
  const auto granted =
      *wallets["lab"].grant(world["ann"].record(), world.options({World::statement({"decrypt"}, "a")}, 1), keys);
  EXPECT_EQ(granted.attestation.terms.key_bundle, key_bundle_hash(keys));
  EXPECT_NE(key_bundle_hash(keys), crypto::sha256(keys)) << "hashes begin with a tag";
  ASSERT_TRUE(wallets["ann"].add(granted.bundle));
  EXPECT_EQ(wallets["ann"].key_bundle(granted.attestation), keys);
  wallets.forget("ann");
  EXPECT_EQ(wallets["ann"].key_bundle(granted.attestation), keys);
  // It is not for those below.
  ASSERT_TRUE(wallets["bob"].add(wallets.grant("ann", "bob", "decrypt", "a")));
  EXPECT_EQ(wallets["bob"].key_bundle(granted.attestation), "");
  Bundle other{{world["lab"].record(), world["ann"].record()}, {{granted.attestation, "other keys"}}};
  EXPECT_FALSE(other.normalise());
}

TEST(Wallet, refuses_a_bundle_whose_keys_are_not_what_is_granted_and_keeps_nothing_of_it) {
  World world;
  Wallets wallets(world);
  const auto keys_of_nothing =
      *wallets["lab"].grant(world["ann"].record(), world.options({World::statement({"decrypt"}, "a")}, 0), "no keys");
  EXPECT_EQ(wallets["ann"].add(keys_of_nothing.bundle).error().code(), base::Code::kDataLoss);
  const auto of_another = *wallets["lab"].grant(
      world["ann"].record(), world.options({World::statement({"decrypt"}, "b")}, 0), keys_for(world, "ann"));
  EXPECT_EQ(wallets["ann"].add(of_another.bundle).error().code(), base::Code::kDataLoss);
  EXPECT_EQ(reason(wallets.prove("ann", "decrypt", "a")), Reason::kNotGranted);
  EXPECT_TRUE(wallets["ann"].known().attestations.empty());
}

TEST(Wallet, keeps_no_keys_that_are_for_somebody_else) {
  World world;
  Wallets wallets(world);
  Bundle bundle;
  auto for_bob = world.options({World::statement({"decrypt"}, "a")}, 0);
  const std::string keys = keys_for(world, "bob");
  for_bob.key_bundle = key_bundle_hash(keys);
  const Attestation to_bob = world.grant("lab", "bob", for_bob);
  bundle.attestations = {{world.grant("lab", "ann", {"read"}, "a"), {}}, {to_bob, keys}};
  bundle.entities = world.records();
  ASSERT_TRUE(bundle.normalise());
  ASSERT_TRUE(wallets["ann"].add(*seal_bundle(bundle, world["ann"].record(), world.env)));
  EXPECT_EQ(wallets["ann"].key_bundle(to_bob), "");
}

TEST(Wallet, that_could_not_keep_a_bundle_does_not_know_it_and_takes_it_again) {
  World world;
  Wallets wallets(world);
  const std::string bundle = wallets.grant("lab", "ann", "read", "a");
  ASSERT_FALSE(wallets.prove("ann", "read", "a"));  // opens the wallet
  world.env.fail_next_sync();
  EXPECT_FALSE(wallets["ann"].add(bundle));
  EXPECT_FALSE(wallets.prove("ann", "read", "a"));
  EXPECT_EQ(*wallets["ann"].add(bundle), 1u);
  wallets.forget("ann");
  EXPECT_TRUE(wallets.prove("ann", "read", "a"));
}

TEST(Wallet, a_bundle_with_keys_that_comes_again_takes_no_room) {
  World world;
  Wallets wallets(world);
  const auto granted = *wallets["lab"].grant(
      world["ann"].record(), world.options({World::statement({"decrypt"}, "a")}, 0), keys_for(world, "ann"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*wallets["ann"].add(granted.bundle), i == 0 ? 1u : 0u);
  EXPECT_EQ(world.env.list_directory("ann")->size(), 1u);
}

TEST(Bundle, for_an_entity_without_a_sealing_key_is_in_the_clear_and_holds_no_keys) {
  World world;
  Wallets wallets(world);
  world.add("ann", {.sealing = false});
  EXPECT_EQ(*wallets["ann"].add(wallets.grant("lab", "ann", "read", "a")), 1u);
  EXPECT_TRUE(wallets.prove("ann", "read", "a"));
  const auto refused =
      wallets["lab"].grant(world["ann"].record(), world.options({World::statement({"decrypt"}, "a")}, 0), "keys");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
}

// Defect 6: points were taken unchecked.
TEST(Bundle, is_not_sealed_to_a_key_of_low_order) {
  World world;
  Wallets wallets(world);
  EntityRecord record = world["ann"].record();
  record.sealing_key = crypto::PublicKey{};
  const auto refused = wallets["lab"].grant(EntityRecord::decode(record.encode()).value(),
                                            world.options({World::statement({"read"}, "a")}, 0));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("low order"), std::string::npos);
}

TEST(Bundle, with_nothing_for_its_subject_is_refused) {
  World world;
  Wallets wallets(world);
  Bundle bundle{{world["lab"].record(), world["bob"].record()}, {{world.grant("lab", "bob", {"read"}, "a"), {}}}};
  ASSERT_TRUE(bundle.normalise());
  EXPECT_EQ(wallets["ann"].add(*seal_bundle(bundle, world["ann"].record(), world.env)).error().code(),
            base::Code::kInvalidArgument);
}

TEST(Bundle, decodes_to_what_encodes_to_it_and_refuses_the_rest) {
  World world;
  Bundle bundle;
  for (const Attestation& attestation : world.chain(2)) bundle.attestations.push_back({attestation, {}});
  bundle.entities = world.records();
  ASSERT_TRUE(bundle.normalise());
  const std::string bytes = bundle.encode();
  EXPECT_EQ(*Bundle::decode(bytes), bundle);
  EXPECT_FALSE(Bundle::decode(bytes + "x"));
  for (std::size_t size = 0; size < bytes.size(); ++size) ASSERT_FALSE(Bundle::decode(bytes.substr(0, size)));
  std::string altered = bytes;
  for (std::size_t bit = 0; bit < 8 * altered.size(); ++bit) {
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ 1 << bit % 8);
    const auto decoded = Bundle::decode(altered);
    if (decoded) {
      EXPECT_EQ(decoded->encode(), altered);
      EXPECT_FALSE(decoded->check_signatures()) << bit;
    }
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ 1 << bit % 8);
  }
  Bundle without = bundle;
  without.entities.pop_back();
  EXPECT_FALSE(without.normalise());
}

TEST(Bundle, golden_bytes_do_not_change) {
  World world(6);
  Bundle bundle;
  bundle.attestations.push_back({world.grant("lab", "ann", {"read"}, "a"), {}});
  bundle.entities = world.records();
  ASSERT_TRUE(bundle.normalise());
  EXPECT_EQ(crypto::to_hex(crypto::bytes_of(bundle.encode())),
            "0102018d89cc9fb89aa427bfe751d203ebb2ce0d12c9826783c81e6de63e8c2aed458a010e3ff19385262cecb805a1ccacf1"
            "253878e4828fd00922cce0143995f87e9f0a80f2d6ca0680d9dbd906fe0d342dc4f15a8b027c5c448917b12a1ac45712b461"
            "853569a4571dee93728701d37a7e6bdcf300d8b5bf49ccbfc7b4924f30d840bd6e97da0f5e5facb39dfb0f0117e4d24384f3"
            "253d2d94c421977aaeb4b4680a034aa4d108237693306c31841f80f2d6ca0680d9dbd906ce7af64951eb51fce7df150ec2f8"
            "ad995ebb49050cb5e6cfd519f321e161ec500101d563a92b13ef4a2976cbb7c64950443b55de2980e1c1f8715cf0e65915e2"
            "979fa4d63308325c546329f14459c972d46dee5de3bba14c4130279ce2e28ecc5923d563a92b13ef4a2976cbb7c64950443b"
            "55de2980e1c1f8715cf0e65915e2979f010001047265616401610080f2d6ca06808cf5cb061abeb1a872ef7efa08ae084814"
            "0d483ecfd36d3914d2ff6bd7de09a9cb44306b00ba0400c85c8a44861d78e976f8d6c208a5d886eec0be9797195f8b46a439"
            "53a2bfb161602065d6302904f586a5537504de85d3c9e8dffa71154b5aa697642c48368e2bdff8d8a07f133ff854b2704206"
            "00");
  EXPECT_EQ(crypto::to_hex(crypto::sha256(*seal_bundle(bundle, world["ann"].record(), world.env))),
            "4879000da660ea3c85be194d20d51c695e57444b69238084037891772a7d5284");
}

}  // namespace
}  // namespace daybreak::grant
