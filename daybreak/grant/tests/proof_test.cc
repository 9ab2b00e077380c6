#include "daybreak/grant/proof.h"

#include <gtest/gtest.h>

#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

TEST(Proof, of_one_to_sixteen_hops_is_accepted) {
  World world;
  for (int hops = 1; hops <= static_cast<int>(kMaxHops); ++hops) {
    const auto proof = world.prove(world.chain(hops));
    ASSERT_TRUE(proof) << proof.error().to_string();
    EXPECT_EQ(proof->subject().id, world["p" + std::to_string(hops)].id());
    EXPECT_EQ(reason(world.verify(*proof, "predict", "models/pong/rl")), Reason::kAllowed);
    EXPECT_EQ(reason(world.verify(*proof, "predict", "models/pong/*")), Reason::kAllowed);
    EXPECT_EQ(reason(world.verify(*proof, "predict", "models/other")), Reason::kNotGranted);
    EXPECT_EQ(reason(world.verify(*proof, "train", "models/pong/rl")), Reason::kNotGranted);
    const auto again = Proof::decode(proof->bytes());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->hops(), proof->hops());
    EXPECT_EQ(again->entities(), proof->entities());
  }
}

TEST(Proof, of_seventeen_hops_is_refused) {
  World world;
  auto chain = world.chain(16);
  chain.push_back(world.grant("p16", "p17", {"predict"}, "models/pong/*"));
  EXPECT_FALSE(world.prove(chain));
}

TEST(Proof, takes_at_most_320_bytes_a_hop) {
  World world;
  const std::size_t five = world.prove(world.chain(5))->bytes().size(),
                    six = world.prove(world.chain(6))->bytes().size();
  EXPECT_LE(six - five, 320u);
  EXPECT_LE(five, 5 * 320u);
  RecordProperty("bytes_of_a_hop", static_cast<int>(six - five));
}

// Defect 1 of the system that this one follows: a chain that somebody began on its own for somebody else's namespace.
TEST(Proof, that_begins_at_another_entity_than_the_namespace_is_refused) {
  World world;
  const auto self_made = world.grant("mallory", "eve", {"predict"}, "models/pong/*");  // says: namespace = lab
  EXPECT_FALSE(world.prove({self_made}));  // no path begins at the namespace
  // A proof of mallory's own namespace is a good one, but not for a verifier that expects the lab.
  const auto own =
      world.grant("mallory", "eve", world.options({World::statement({"predict"}, "models/pong/*")}, 0, "mallory"));
  const auto proof = world.prove({own});
  ASSERT_TRUE(proof);
  EXPECT_EQ(reason(world.verify(*proof, "predict", "models/pong/rl", "mallory")), Reason::kAllowed);
  EXPECT_EQ(reason(world.verify(*proof, "predict", "models/pong/rl", "lab")), Reason::kNotGranted);
}

TEST(Proof, signatures_bind_the_namespace) {
  World world;
  // mallory grants in the lab's namespace; in a proof the namespace is the root entity, so it is checked as one of
  // mallory's own.
  const auto for_lab = world.grant("mallory", "eve", {"predict"}, "a");
  Attestation relabelled = for_lab;
  relabelled.namespace_id = world["mallory"].id();
  const auto proof = world.prove({relabelled});
  ASSERT_TRUE(proof);
  EXPECT_EQ(reason(world.verify(*proof, "predict", "a", "mallory")), Reason::kMalformed);
}

// Defect 2: the subject of the last path was never compared.
TEST(Proof, whose_paths_end_at_different_subjects_is_refused) {
  World world;
  const auto to_ann = world.grant("lab", "ann", {"read"}, "a"), to_bob = world.grant("lab", "bob", {"write"}, "a");
  const auto also_ann = world.grant("lab", "ann", {"list"}, "a");
  EXPECT_FALSE(world.prove({to_ann, to_bob}, {{0}, {1}}));
  EXPECT_FALSE(world.prove({to_ann, also_ann, to_bob}, {{0}, {1}, {2}}));
  EXPECT_FALSE(world.prove({to_bob, also_ann, to_ann}, {{0}, {1}, {2}}));
  EXPECT_TRUE(world.prove({to_ann, also_ann}, {{0}, {1}}));
}

// Defect 7: no paths, or empty ones.
TEST(Proof, with_no_path_an_empty_or_a_repeated_one_is_refused) {
  World world;
  const auto to_ann = world.grant("lab", "ann", {"read"}, "a");
  EXPECT_FALSE(world.prove({to_ann}, {}));
  EXPECT_FALSE(world.prove({to_ann}, {{}}));
  EXPECT_FALSE(world.prove({to_ann}, {{0}, {}}));
  EXPECT_FALSE(world.prove({to_ann}, {{0}, {0}}));
  EXPECT_FALSE(world.prove({to_ann}, {{7}}));
  // The same on the wire: the last bytes are "one path, one hop, hop 0".
  const std::string good = world.prove({to_ann})->bytes();
  const std::string head = good.substr(0, good.size() - 3);
  ASSERT_TRUE(Proof::decode(head + std::string("\x01\x01\x00", 3)));
  for (const std::string_view bad :
       {std::string_view("\x00", 1), std::string_view("\x01\x00", 2), std::string_view("\x02\x01\x00\x01\x00", 5),
        std::string_view("\x01\x01\x01", 3), std::string_view("\x02\x00\x01\x00", 4),
        std::string_view("\x01\x02\x00\x00", 4)}) {
    const auto refused = Proof::decode(head + std::string(bad));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), base::Code::kDataLoss);
  }
}

TEST(Proof, with_an_attestation_or_an_entity_on_none_of_its_paths_is_refused) {
  World world;
  const auto read = world.grant("lab", "ann", {"read"}, "a"), write = world.grant("lab", "ann", {"write"}, "a");
  std::string bytes = world.prove({read, write}, {{0}, {1}})->bytes();
  ASSERT_TRUE(bytes.ends_with(std::string_view("\x02\x01\x00\x01\x01", 5)));
  bytes.replace(bytes.size() - 5, 5, std::string_view("\x01\x01\x00", 3));  // the first path alone
  const auto unused_hop = Proof::decode(bytes);
  ASSERT_FALSE(unused_hop);
  EXPECT_NE(unused_hop.error().message().find("on none of its paths"), std::string::npos);

  // A third record, behind the two of a good proof so that their places stay.
  const std::string good = world.prove({read})->bytes();
  const auto proof = *Proof::decode(good);
  std::string records;
  for (const EntityRecord& entity : proof.entities()) records += entity.encode();
  EntityRecord third = world["zed"].record();
  for (int i = 0; third.id < proof.entities().back().id; ++i) third = world["zed" + std::to_string(i)].record();
  std::string longer = good.substr(0, 1) + '\x03' + records + third.encode() + good.substr(2 + records.size());
  const auto unused_entity = Proof::decode(longer);
  ASSERT_FALSE(unused_entity);
  EXPECT_NE(unused_entity.error().message().find("an entity is on none"), std::string::npos)
      << unused_entity.error().message();
}

TEST(Proof, with_a_broken_chain_is_refused) {
  World world;
  const auto first = world.grant("lab", "ann", {"read"}, "a", 5), second = world.grant("ann", "bob", {"read"}, "a", 5),
             stray = world.grant("carl", "bob", {"read"}, "a", 5);
  EXPECT_TRUE(world.prove({first, second}));
  EXPECT_FALSE(world.prove({first, stray}));
  EXPECT_FALSE(world.prove({second, first}));
  EXPECT_FALSE(world.prove({second}));
}

TEST(Proof, that_goes_in_a_circle_is_refused) {
  World world;
  const auto there = world.grant("lab", "ann", {"read"}, "a", 9), on = world.grant("ann", "bob", {"read"}, "a", 9),
             back = world.grant("bob", "ann", {"read"}, "a", 9), home = world.grant("ann", "lab", {"read"}, "a", 9);
  EXPECT_FALSE(world.prove({there, on, back}));
  EXPECT_FALSE(world.prove({there, home}));
  EXPECT_FALSE(world.prove({there, on, back}, {{0, 1, 2, 1}}));
}

TEST(Proof, that_is_deeper_than_a_hop_allows_is_refused) {
  World world;
  for (int allowed = 0; allowed < 3; ++allowed) {
    const auto first = world.grant("lab", "ann", {"read"}, "a", allowed),
               second = world.grant("ann", "bob", {"read"}, "a", 9),
               third = world.grant("bob", "carl", {"read"}, "a", 9);
    EXPECT_EQ(reason(world.verify(*world.prove({first}), "read", "a")), Reason::kAllowed);
    EXPECT_EQ(reason(world.verify(*world.prove({first, second}), "read", "a")),
              allowed >= 1 ? Reason::kAllowed : Reason::kNotGranted);
    EXPECT_EQ(reason(world.verify(*world.prove({first, second, third}), "read", "a")),
              allowed >= 2 ? Reason::kAllowed : Reason::kNotGranted);
  }
}

TEST(Proof, a_hop_wider_than_its_parent_adds_nothing) {
  World world;
  const auto narrow = world.grant("lab", "ann", {"read"}, "models/pong", 1),
             wide = world.grant("ann", "bob", {"read", "write"}, "*");
  const auto proof = *world.prove({narrow, wide});
  EXPECT_EQ(reason(world.verify(proof, "read", "models/pong")), Reason::kAllowed);
  EXPECT_EQ(reason(world.verify(proof, "write", "models/pong")), Reason::kNotGranted);
  EXPECT_EQ(reason(world.verify(proof, "read", "models")), Reason::kNotGranted);
  const auto denied = world.verify(proof, "read", "models/other");
  EXPECT_NE(
      denied.error().sentence.find(short_id(world["lab"].id()) + " does not give it to " + short_id(world["ann"].id())),
      std::string::npos)
      << denied.error().sentence;
}

TEST(Proof, one_statement_of_each_hop_must_hold_the_whole_pair) {
  World world;
  const auto split =
      world.grant("lab", "ann", world.options({World::statement({"read"}, "a"), World::statement({"write"}, "b")}, 0));
  const auto proof = *world.prove({split});
  EXPECT_EQ(reason(world.verify(proof, "read", "a")), Reason::kAllowed);
  EXPECT_EQ(reason(world.verify(proof, "write", "a")), Reason::kNotGranted);
  // Two statements that together hold a pattern do not hold it in one.
  EXPECT_EQ(reason(world.verify(proof, "read", "+")), Reason::kNotGranted);
}

TEST(Proof, three_single_grants_combine) {
  World world;
  const std::vector<Attestation> grants = {world.grant("lab", "ann", {"a"}, "x"), world.grant("lab", "ann", {"b"}, "x"),
                                           world.grant("lab", "bob", {"c"}, "x", 1),
                                           world.grant("bob", "ann", {"c"}, "x")};
  const auto proof = *world.prove(grants, {{0}, {1}, {2, 3}});
  ASSERT_EQ(reason(world.authenticate(proof)), Reason::kAllowed);
  const auto policy = [](std::initializer_list<const char*> permissions) {
    std::vector<Pair> pairs;
    for (const char* permission : permissions) pairs.push_back(*Pair::make(permission, "x"));
    return *Policy::make(std::move(pairs));
  };
  EXPECT_EQ(reason(check_policy(proof, policy({"a", "b", "c"}))), Reason::kAllowed);
  EXPECT_EQ(reason(check_policy(proof, policy({"a", "b", "c", "d"}))), Reason::kNotGranted);
}

// Defect 10: nothing looked at times or revocations.
TEST(Proof, holds_only_while_every_entity_and_hop_is_in_time) {
  World world;
  const std::int64_t now = world.now_s();
  for (int late = 0; late < 2; ++late) {
    const std::int64_t from = late ? now + 10 : now - 20;
    for (int which = 0; which < 5; ++which) {  // lab, ann, bob, first grant, second grant
      World people(static_cast<std::uint64_t>(which) + 2);
      const char* const names[] = {"lab", "ann", "bob"};
      for (int i = 0; i < 3; ++i) {
        people.add(names[i], i == which ? EntityOptions{.valid_from_s = from, .valid_for_s = 20} : EntityOptions{});
      }
      auto first = people.options({World::statement({"read"}, "a")}, 1), second = first;
      if (which == 3) first.valid_from_s = from, first.valid_for_s = 20;
      if (which == 4) second.valid_from_s = from, second.valid_for_s = 20;
      const auto proof = *people.prove({people.grant("lab", "ann", first), people.grant("ann", "bob", second)});
      EXPECT_EQ(reason(people.verify(proof, "read", "a")), late ? Reason::kNotYet : Reason::kExpired) << which;
      if (late) {
        people.env.advance_ns(9'999'999'999);
        EXPECT_EQ(reason(people.verify(proof, "read", "a")), Reason::kNotYet) << which;
        people.env.advance_ns(1);
        EXPECT_EQ(*people.authenticate(proof), now + 30) << which;
        people.env.advance_ns(20'000'000'000);
        EXPECT_EQ(reason(people.verify(proof, "read", "a")), Reason::kExpired) << which;
      }
    }
  }
}

TEST(Proof, ends_when_any_entity_or_hop_of_it_is_revoked) {
  World world;
  const auto chain = world.chain(3);
  const auto proof = *world.prove(chain);
  RevokedSet none;
  EXPECT_EQ(reason(world.authenticate(proof, &none)), Reason::kAllowed);
  for (const Attestation& attestation : chain) {
    const RevokedSet revoked = {attestation.terms.revocation};
    EXPECT_EQ(reason(world.authenticate(proof, &revoked)), Reason::kRevoked);
  }
  for (const char* name : {"lab", "p1", "p2", "p3"}) {
    const RevokedSet revoked = {world[name].record().revocation};
    EXPECT_EQ(reason(world.authenticate(proof, &revoked)), Reason::kRevoked) << name;
  }
  const RevokedSet other = {world.grant("lab", "p1", {"x"}, "y").terms.revocation};
  EXPECT_EQ(reason(world.authenticate(proof, &other)), Reason::kAllowed);
}

TEST(Proof, a_flipped_bit_anywhere_is_refused) {
  World world;
  std::string bytes = world.prove(world.chain(2))->bytes();
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    const auto altered = Proof::decode(bytes);
    if (altered) {
      EXPECT_NE(reason(world.verify(*altered, "predict", "models/pong/rl")), Reason::kAllowed) << bit;
    }
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) ASSERT_FALSE(Proof::decode(bytes.substr(0, size)));
  EXPECT_FALSE(Proof::decode(bytes + std::string(1, '\0')));
}

TEST(Proof, too_many_bytes_are_refused_before_they_are_read) {
  const auto refused = Proof::decode(std::string(kMaxProofBytes + 1, '\x01'));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("the limit is 131072"), std::string::npos);
}

TEST(Proof, the_most_attestations_fit_and_one_more_does_not) {
  World world;
  std::vector<Attestation> grants;
  std::vector<std::vector<std::size_t>> paths;
  const auto add_two_hops = [&](int i) {
    const std::string middle = "m" + std::to_string(i);
    grants.push_back(world.grant("lab", middle, {"a"}, "x", 1));
    grants.push_back(world.grant(middle, "ann", {"a"}, "x"));
    paths.push_back({grants.size() - 2, grants.size() - 1});
  };
  for (int i = 0; i < 32; ++i) add_two_hops(i);
  const auto full = world.prove(grants, paths);
  ASSERT_TRUE(full) << full.error().to_string();
  EXPECT_EQ(full->hops().size(), kMaxAttestations);
  EXPECT_EQ(reason(world.verify(*full, "a", "x")), Reason::kAllowed);
  add_two_hops(32);
  EXPECT_FALSE(world.prove(grants, paths));
}

TEST(Proof, golden_bytes_do_not_change) {
  World world(4);
  world.add("lab", {.sealing = false});
  const auto first = world.grant("lab", "ann", {"read"}, "a/*", 1), second = world.grant("ann", "bob", {"read"}, "a/b");
  EXPECT_EQ(crypto::to_hex(crypto::bytes_of(world.prove({first, second})->bytes())),
            "010301872d907047e068a17b1f43f0f4d6f2e6d3264348983c86445ec8c86fb6eaf9b50126ebc4b2782f5c9e1f6c8551cc27"
            "aed16ddd99be71223ac029da966f93ee394080f2d6ca0680d9dbd90668809babb6154e2f9f4745f16e69d61c04fbda351b94"
            "f13cb39085b8fab642da019e30ef7155d6e8354f7f6dd8e3207ad5f8d4a99731c899dc7c53f3a5b1a6298e01081951f99475"
            "b30661a90f4bd9f43deab74b70841afcfa628ac7e1708a20232880f2d6ca0680d9dbd906f55f67e6958f86d15c823aad0a39"
            "6cb052a4667c0358e8074192cedead6ee91c010b9cb9570899df512f3c0ce1838eec1f1d228b2978079c1c7fb1b2f9c5a321"
            "df0080f2d6ca0680d9dbd906505cbfb4acad778850a259106524dc9eb99c5abfe9d72f083727f60556452f1e020200010100"
            "01047265616403612f620080f2d6ca06808cf5cb0671a912b482457aa7412517d743d0f410480ee3bb592e093acbe84e7630"
            "203d7d006b4410b34b74980b349a63ef940b262ef379d555f9b9db723eff6eaa80e723b9125483eefd34b75dbbf70962283a"
            "0df501dcd41f05393819ddf0f4f69f6a010f69e9208509e74e75e80addbcbbad68020200010001047265616403612f2a0180"
            "f2d6ca06808cf5cb0671f4041d3d92179ccf67b8843bdc31efe18666ea32a962b20824da1f14a77e3c00b5131c2a620e3345"
            "14834f4e284788a29cf235ff662ebc8f4b61fcf8e149c68fae067e78340975fff4515f94fcaade02e5c86a8f85432474705b"
            "b6bb5ec410e6c8e8d7417f46818b0dd5f356f2207b0001020100");
}

}  // namespace
}  // namespace daybreak::grant
