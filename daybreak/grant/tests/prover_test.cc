#include "daybreak/grant/prover.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "daybreak/grant/explain.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

struct Known {
  std::vector<EntityRecord> entities;
  std::vector<Attestation> attestations;
  Graph graph() const { return {entities, attestations}; }
};

Policy policy(std::initializer_list<std::pair<const char*, const char*>> pairs) {
  std::vector<Pair> out;
  for (const auto& [permission, resource] : pairs) out.push_back(Pair::make(permission, resource).value());
  return Policy::make(std::move(out)).value();
}

// A graph of entities e0 (the namespace) to e<n-1>; one-letter permissions on one resource.
Known random_graph(World& world, std::mt19937& random, int entities, int attestations) {
  Known known;
  const auto name = [](unsigned i) { return "e" + std::to_string(i); };
  for (int i = 0; i < entities; ++i) known.entities.push_back(world[name(static_cast<unsigned>(i))].record());
  for (int i = 0; i < attestations; ++i) {
    const unsigned from = random() % static_cast<unsigned>(entities), to = random() % static_cast<unsigned>(entities);
    if (from == to) continue;
    std::vector<std::string> permissions;
    for (const char* permission : {"a", "b", "c", "d"}) {
      if (random() % 2) permissions.emplace_back(permission);
    }
    if (permissions.empty()) permissions.emplace_back("a");
    known.attestations.push_back(
        world.grant(name(from), name(to),
                    world.options({World::statement(permissions, "x")}, static_cast<int>(random() % 4), "e0")));
  }
  return known;
}

// By brute force: the pairs that some simple path brings to the subject.
std::set<std::string> reachable(const Known& known, const Hash& at, const Hash& subject, std::set<std::string> carried,
                                std::set<Hash> seen, std::vector<std::size_t> hops_left) {
  std::set<std::string> out;
  if (at == subject && !hops_left.empty()) out = carried;
  for (const Attestation& one : known.attestations) {
    if (one.attester != at || seen.contains(one.subject) || hops_left.size() == kMaxHops) continue;
    std::vector<std::size_t> left;
    bool allowed = true;
    for (const std::size_t n : hops_left) {
      allowed = allowed && n > 0;
      left.push_back(n - 1);
    }
    if (!allowed) continue;
    left.push_back(one.terms.hops);
    std::set<std::string> on;
    for (const std::string& permission : one.terms.statements[0].permissions) {
      if (carried.contains(permission)) on.insert(permission);
    }
    auto further = seen;
    further.insert(one.subject);
    out.merge(reachable(known, one.subject, subject, on, further, left));
  }
  return out;
}

TEST(Prover, finds_a_proof_exactly_when_there_is_one) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  int found = 0, refused = 0;
  for (int round = 0; round < 60; ++round) {
    World world(random());
    const Known known = random_graph(world, random, 5, 9);
    const Hash root = world["e0"].id(), subject = world["e4"].id();
    const auto truth = reachable(known, root, subject, {"a", "b", "c", "d"}, {root}, {});
    for (unsigned wanted = 1; wanted < 16; ++wanted) {
      std::vector<Pair> pairs;
      bool possible = true;
      for (unsigned bit = 0; bit < 4; ++bit) {
        if (!(wanted >> bit & 1)) continue;
        const std::string permission(1, static_cast<char>('a' + bit));
        pairs.push_back(Pair::make(permission, "x").value());
        possible = possible && truth.contains(permission);
      }
      const Policy asked = *Policy::make(pairs);
      const auto proof = build_proof(known.graph(), root, subject, asked, world.now_s());
      ASSERT_EQ(proof.has_value(), possible) << round << ' ' << wanted << ' ' << (proof ? "" : proof.error().sentence);
      if (!proof) {
        EXPECT_EQ(proof.error().reason, Reason::kNotGranted);
        ++refused;
        continue;
      }
      ++found;
      EXPECT_EQ(reason(authenticate(*proof, root, world.now_s(), nullptr)), Reason::kAllowed);
      EXPECT_EQ(reason(check_policy(*proof, asked)), Reason::kAllowed);
    }
  }
  EXPECT_GT(found, 50);
  EXPECT_GT(refused, 50);
}

// The system that this one follows tried at most two paths at once.
TEST(Prover, combines_as_many_single_grants_as_are_needed) {
  World world;
  Known known;
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < kMaxPaths; ++i) {
    const std::string permission = "p" + std::to_string(i);
    known.attestations.push_back(world.grant("lab", "ann", {permission}, "x"));
    pairs.push_back(*Pair::make(permission, "x"));
  }
  known.attestations.push_back(world.grant("lab", "ann", {"one-more"}, "x"));
  known.entities = world.records();
  const auto proof =
      build_proof(known.graph(), world["lab"].id(), world["ann"].id(), *Policy::make(pairs), world.now_s());
  ASSERT_TRUE(proof) << proof.error().sentence;
  EXPECT_EQ(proof->paths().size(), kMaxPaths);
  pairs.push_back(*Pair::make("one-more", "x"));
  const auto refused =
      build_proof(known.graph(), world["lab"].id(), world["ann"].id(), *Policy::make(pairs), world.now_s());
  EXPECT_NE(refused.error().sentence.find("more than 32 paths"), std::string::npos) << refused.error().sentence;
}

TEST(Prover, takes_the_fewest_hops) {
  World world;
  Known known;
  for (const char* permission : {"a", "b", "c"})
    known.attestations.push_back(world.grant("lab", "ann", {permission}, "x"));
  known.attestations.push_back(world.grant("lab", "bob", {"a", "b", "c"}, "x", 3));
  known.attestations.push_back(world.grant("bob", "ann", {"a", "b", "c"}, "x"));
  known.entities = world.records();
  const auto both = *build_proof(known.graph(), world["lab"].id(), world["ann"].id(),
                                 policy({{"a", "x"}, {"b", "x"}, {"c", "x"}}), world.now_s());
  EXPECT_EQ(both.hops().size(), 2u);
  const auto one =
      *build_proof(known.graph(), world["lab"].id(), world["ann"].id(), policy({{"b", "x"}}), world.now_s());
  EXPECT_EQ(one.hops().size(), 1u);
}

TEST(Prover, ends_at_its_limit_of_steps_and_says_so) {
  World world;
  Known known;
  // 14 layers of parallel edges, each with another half of 28 permissions: ways multiply beyond the limit.
  std::mt19937 random(7);
  std::vector<Pair> pairs;
  for (int i = 0; i < 28; ++i) pairs.push_back(*Pair::make("p" + std::to_string(i), "x"));
  for (int layer = 0; layer < 14; ++layer) {
    for (int copy = 0; copy < 6; ++copy) {
      std::vector<std::string> permissions;
      for (int i = 0; i < 28; ++i) {
        if (random() % 8) permissions.push_back("p" + std::to_string(i));
      }
      known.attestations.push_back(world.grant(layer == 0 ? "lab" : "n" + std::to_string(layer),
                                               "n" + std::to_string(layer + 1), permissions, "x", 15));
    }
  }
  known.entities = world.records();
  const auto refused =
      build_proof(known.graph(), world["lab"].id(), world["n14"].id(), *Policy::make(pairs), world.now_s());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().sentence.find("4194304 steps"), std::string::npos) << refused.error().sentence;
}

TEST(Prover, says_which_link_is_missing) {
  World world;
  Known known;
  const auto why = [&](const char* permission, const char* resource) {
    known.entities = world.records();
    const auto proof = build_proof(known.graph(), world["lab"].id(), world["bob"].id(),
                                   policy({{permission, resource}}), world.now_s());
    return proof ? Denial{Reason::kAllowed, ""} : proof.error();
  };
  std::ignore = world["bob"], std::ignore = world["lab"];
  EXPECT_NE(why("read", "a").sentence.find("nothing there is granted"), std::string::npos);
  known.attestations.push_back(world.grant("ann", "bob", {"read"}, "a/*"));
  EXPECT_NE(why("read", "b").sentence.find("none of the 1 grants"), std::string::npos) << why("read", "b").sentence;
  EXPECT_NE(why("read", "a").sentence.find("ask it for its bundle again"), std::string::npos);
  known.attestations.push_back(world.grant("lab", "ann", {"read"}, "a/*", 0));
  EXPECT_NE(why("read", "a").sentence.find("may not pass it on"), std::string::npos) << why("read", "a").sentence;
  known.attestations.push_back(world.grant("lab", "ann", {"read"}, "a/*", 1));
  EXPECT_EQ(why("read", "a").reason, Reason::kAllowed);
  world.env.advance_ns(31 * kDay * 1'000'000'000);
  EXPECT_EQ(why("read", "a").reason, Reason::kExpired);
  world.env.jump_ns(-40 * kDay * 1'000'000'000);
  EXPECT_EQ(why("read", "a").reason, Reason::kNotYet);
}

TEST(Explain, tells_who_has_it_and_what_breaks) {
  World world;
  Known known;
  known.attestations.push_back(world.grant("lab", "ann", {"read"}, "a/*", 3));
  known.attestations.push_back(world.grant("ann", "bob", {"read"}, "a/b", 0));
  known.attestations.push_back(world.grant("ann", "carl", {"read"}, "a/*", 0));
  known.attestations.push_back(world.grant("lab", "carl", {"read"}, "a/b", 0));
  known.entities = world.records();
  const Hash lab = world["lab"].id();
  const auto holders = *who_has(known.graph(), lab, *Pair::make("read", "a/b"), world.now_s());
  std::map<Hash, std::vector<Hash>> through;
  for (const Holder& holder : holders) through[holder.subject] = holder.through;
  ASSERT_EQ(through.size(), 3u);
  EXPECT_EQ(through[world["bob"].id()], (std::vector<Hash>{lab, world["ann"].id()}));
  EXPECT_EQ(through[world["carl"].id()], (std::vector<Hash>{lab}));
  // Without ann's grant: ann loses all, bob all, carl what he had through ann alone.
  std::set<std::tuple<Hash, std::string>> lost;
  const auto losses = what_breaks(known.graph(), lab, known.attestations[0].terms.revocation, world.now_s());
  ASSERT_TRUE(losses);
  for (const Loss& loss : *losses) {
    lost.emplace(loss.subject, loss.resource);
  }
  EXPECT_EQ(lost, (std::set<std::tuple<Hash, std::string>>{{world["ann"].id(), "a/*"},
                                                           {world["ann"].id(), "a/b"},
                                                           {world["bob"].id(), "a/b"},
                                                           {world["carl"].id(), "a/*"}}));
  EXPECT_EQ(what_breaks(known.graph(), lab, world["ann"].record().revocation, world.now_s())->size(), 4u);
  const std::string words =
      explain(known.graph(), lab, world["bob"].id(), policy({{"read", "a/b"}, {"write", "a/b"}}), world.now_s());
  EXPECT_NE(words.find("granted: 'read' on 'a/b'"), std::string::npos) << words;
  EXPECT_NE(words.find("not_granted: 'write' on 'a/b'"), std::string::npos) << words;
}

}  // namespace
}  // namespace daybreak::grant
