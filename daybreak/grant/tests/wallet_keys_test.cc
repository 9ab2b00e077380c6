// Wallets with keys, when not every granter is honest.
#include "daybreak/grant/encryption/wallet_keys.h"

#include <gtest/gtest.h>

#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

constexpr std::string_view kModel = "models/pong/rl";

class WalletKeys : public testing::Test {
 protected:
  Wallet& wallet(const std::string& name) {
    auto& held = wallets_[name];
    // The world owns the entity and outlives its wallet.
    if (!held) held = *Wallet::open(std::shared_ptr<const Entity>(std::shared_ptr<void>(), &world_[name]), "", env_);
    return *held;
  }
  std::uint64_t epoch() { return Epochs{}.at(world_.now_s()); }

  void give(const std::string& from, const std::string& to, const char* permission, std::string_view resource,
            int hops = 0) {
    const auto made = grant_with_keys(wallet(from), world_[to].record(),
                                      world_.options({World::statement({permission}, resource)}, hops), {}, env_);
    ASSERT_TRUE(made.has_value()) << made.error().message();
    ASSERT_TRUE(wallet(to).add(made->granted.bundle).has_value());
  }
  // A grant of `decrypt` whose keys are made up, for epochs of this length.
  void lie(const std::string& from, const std::string& to, Epochs epochs = {}) {
    KeyRing made_up;
    made_up.set_epochs(epochs);
    const std::uint64_t now = epochs.at(world_.now_s());
    made_up.add_key(kModel, now, crypto::Secret<32>::random(env_));
    GrantOptions options = world_.options({World::statement({"decrypt"}, kModel)}, 3);
    const std::string sealed = *seal_keys(made_up, world_[from], world_[to].record(), options.namespace_id,
                                          options.statements, {now, now}, env_);
    ASSERT_TRUE(wallet(to).add(wallet(from).grant(world_[to].record(), options, sealed)->bundle).has_value());
  }
  std::size_t keys_held(const std::string& who, Epochs epochs = {}) {
    const auto keys = keys_of(wallet(who), world_["lab"].id(), epochs).rivals(kModel, epochs.at(world_.now_s()));
    return keys ? keys->size() : 0;
  }
  Reason opens(const std::string& who) {
    if (ciphertext_.empty()) {
      ManifestOptions options;
      options.resources = {std::string(kModel)};
      options.validity = *Validity::make(world_.now_s(), kDay);
      const auto manifest = Manifest::make(world_["lab"], options);
      ciphertext_ = *encrypt(*manifest, kModel, "weights", world_["lab"], {}, env_);
    }
    const auto verifier = *Verifier::create({.namespace_id = world_["lab"].id(), .server_id = "test"}, env_);
    const auto parsed = Ciphertext::decode(ciphertext_);
    crypto::SecretBytes out(parsed->text_bytes());
    const auto done = decrypt_as(wallet(who), *parsed, *verifier, out.writable(), env_);
    EXPECT_EQ(done.has_value(), out.view() == "weights");
    return done ? Reason::kAllowed : done.error().reason;
  }

  World world_;
  base::TestEnv& env_ = world_.env;
  std::map<std::string, std::shared_ptr<Wallet>> wallets_;
  std::string ciphertext_;
};

TEST_F(WalletKeys, of_a_granter_whom_the_namespace_never_reached_are_not_looked_at) {
  lie("stranger", "friend");
  EXPECT_EQ(keys_held("friend"), 0u);
  EXPECT_EQ(opens("friend"), Reason::kNotGranted);
  give("lab", "friend", "decrypt", kModel);
  EXPECT_EQ(keys_held("friend"), 1u);
  EXPECT_EQ(opens("friend"), Reason::kAllowed);
}

// Whoever has a stranger's public record can send this: it needs no grant above.
TEST_F(WalletKeys, that_are_malformed_are_refused_and_change_nothing_in_the_wallet) {
  const auto reader = std::shared_ptr<const Entity>(std::shared_ptr<void>(), &world_["reader"]);
  const auto held = *Wallet::open(reader, "/wallet", env_);
  const auto files = [&] { return *env_.list_directory("/wallet"); };
  const auto genuine = grant_with_keys(wallet("lab"), reader->record(),
                                       world_.options({World::statement({"decrypt"}, kModel)}, 0), {}, env_);
  ASSERT_TRUE(held->add(genuine->granted.bundle).has_value());
  const auto before = held->known().attestations;
  const auto files_before = files();

  std::vector<std::string> plains = {
      "", std::string(1, '\0'), "\1", std::string("\1\0\0\1\1", 5), "\1\36\7\1\1", std::string(300, '\377')};
  Writer thirty;  // what grant(epoch_s=30) used to make
  thirty.u8(1).varint(30).varint(world_.now_s() / 30).varint(1).varint(1).text(kModel).raw(std::string(32, 'k'));
  plains.push_back(thirty.take());
  for (const std::string& plain : plains) {
    const GrantOptions options = world_.options({World::statement({"decrypt"}, kModel)}, 0);
    std::string info("daybreak/grant/key-bundle/v1\0", 29);
    for (const Hash& id : {world_["stranger"].id(), reader->id(), options.namespace_id}) info.append(view(id));
    const std::string sealed =
        *crypto::seal(*reader->record().sealing_key, crypto::bytes_of(info), {}, crypto::bytes_of(plain), env_);
    const auto sent = wallet("stranger").grant(reader->record(), options, sealed);
    const auto added = held->add(sent->bundle);
    ASSERT_FALSE(added.has_value());
    EXPECT_EQ(added.error().code(), base::Code::kDataLoss) << added.error().message();
  }
  EXPECT_EQ(held->known().attestations, before);
  EXPECT_EQ(files(), files_before);
  EXPECT_TRUE(Wallet::open(reader, "/wallet", env_)) << "and it opens again";
}

TEST_F(WalletKeys, that_a_member_made_up_stop_neither_opening_nor_handing_on) {
  for (const bool liar_first : {true, false}) {
    const std::string suffix = liar_first ? " 1" : " 2", friend_name = "friend" + suffix, other = "other" + suffix;
    give("lab", "member", "predict", "apps/*", 3);
    if (liar_first) lie("member", friend_name);
    give("lab", friend_name, "decrypt", kModel, 1);
    if (!liar_first) lie("member", friend_name);
    EXPECT_EQ(keys_held(friend_name), 2u);
    EXPECT_EQ(opens(friend_name), Reason::kAllowed);
    give(friend_name, other, "decrypt", kModel);
    EXPECT_EQ(opens(other), Reason::kAllowed) << "what is nearest to the namespace is handed on";
  }
}

TEST_F(WalletKeys, of_other_epochs_from_a_stranger_do_not_change_what_is_handed_on) {
  give("lab", "friend", "decrypt", "models/*", 1);
  lie("stranger", "friend", *Epochs::make(3600));
  give("friend", "other", "decrypt", kModel);
  EXPECT_EQ(keys_held("other"), 1u);
  EXPECT_EQ(keys_held("other", *Epochs::make(3600)), 0u);
  EXPECT_EQ(opens("other"), Reason::kAllowed);
}

TEST_F(WalletKeys, are_not_granted_by_who_has_none_and_then_nothing_is_granted) {
  give("lab", "friend", "predict", "apps/*", 1);
  const auto refused = grant_with_keys(wallet("friend"), world_["other"].record(),
                                       world_.options({World::statement({"decrypt"}, kModel)}, 0), {}, env_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), base::Code::kPermissionDenied);
  EXPECT_EQ(wallet("friend").known().attestations.size(), 1u);
}

TEST_F(WalletKeys, cover_every_epoch_that_the_grant_touches_and_earlier_ones_on_request) {
  const auto made = [&](KeyOptions keys) {
    GrantOptions options = world_.options({World::statement({"decrypt"}, kModel)}, 0);
    options.valid_for_s = 1;
    return *grant_with_keys(wallet("lab"), world_["friend"].record(), options, keys, env_);
  };
  const std::int64_t today = world_.now_s() / kDay * kDay;
  EXPECT_EQ(made({}).keys_from_s, today);
  EXPECT_EQ(made({}).keys_until_s, today + kDay);
  EXPECT_EQ(made({.from_s = today - 1}).keys_from_s, today - kDay);
  EXPECT_EQ(made({.from_s = today + 5 * kDay}).keys_from_s, today) << "never later than the grant";
  const KeyOptions hourly{.epochs = *Epochs::make(3600)};
  EXPECT_EQ(made(hourly).keys_until_s - made(hourly).keys_from_s, 3600);
}

}  // namespace
}  // namespace daybreak::grant
