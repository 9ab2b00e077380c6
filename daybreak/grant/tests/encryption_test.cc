// Encryption to a resource: key tree, key bundles, manifests, ciphertexts.
#include <gtest/gtest.h>

#include <algorithm>

#include "daybreak/base/file.h"
#include "daybreak/base/test_env.h"
#include "daybreak/crypto/stream.h"
#include "daybreak/grant/encryption/ciphertext.h"
#include "daybreak/grant/encryption/decrypt.h"

namespace daybreak::grant {
namespace {

constexpr std::int64_t kDay = 86'400;

// A namespace "lab", a trainer who may publish, and whoever a test adds. The clock stands at 2026-01-01.
class Encryption : public testing::Test {
 protected:
  Entity entity(bool sealing = true) { return *Entity::create({.sealing = sealing}, env_); }
  std::int64_t now() { return env_.unix_ns() / 1'000'000'000; }
  std::uint64_t epoch() { return epochs_.at(now()); }

  static std::vector<Statement> statements(std::vector<std::string> permissions, std::vector<std::string> resources) {
    std::vector<Statement> out;
    for (const std::string& resource : resources) out.push_back(*Statement::make(permissions, resource));
    return *canonical(out);
  }

  struct Granted {
    Attestation attestation;
    std::string keys;
  };
  // `granter` gives `decrypt` on the resources, with the keys of so many epochs from `first` on.
  base::Result<Granted> give(const Entity& granter, const KeyRing& ring, const Entity& subject,
                             std::vector<std::string> resources, std::uint64_t first, std::size_t count) {
    GrantOptions options;
    options.namespace_id = lab_.id();
    options.statements = statements({"decrypt"}, std::move(resources));
    options.hops = 3;
    DAYBREAK_ASSIGN(std::string keys, seal_keys(ring, granter, subject.record(), lab_.id(), options.statements,
                                                {first, first + count - 1}, env_));
    options.key_bundle = key_bundle_hash(keys);
    DAYBREAK_ASSIGN(Attestation attestation, granter.attest(subject.record(), options, env_));
    return Granted{std::move(attestation), std::move(keys)};
  }
  KeyRing ring_of(const Entity& subject, const Granted& granted) {
    KeyRing ring;
    const auto range = open_keys(subject, granted.attestation, granted.keys, ring);
    EXPECT_TRUE(range.has_value()) << range.error().message();
    return ring;
  }
  KeyRing lab_ring() { return KeyRing::of_namespace(lab_, epochs_); }

  std::string proof_of(const Entity& subject, std::vector<std::string> permissions, std::string resource) {
    GrantOptions options;
    options.namespace_id = lab_.id();
    options.statements = statements(std::move(permissions), {std::move(resource)});
    const Attestation attestation = *lab_.attest(subject.record(), options, env_);
    const EntityRecord records[] = {lab_.record(), subject.record()};
    const std::vector<std::size_t> paths[] = {{0}};
    return Proof::make(records, std::span(&attestation, 1), paths)->bytes();
  }
  Manifest manifest(std::uint64_t sequence = 1,
                    std::vector<std::string> resources = {"models/pong/rl", "models/pong/imitation"}) {
    ManifestOptions options;
    options.resources = std::move(resources);
    options.sequence = sequence;
    options.validity = *Validity::make(now(), 10 * kDay);
    options.epochs = epochs_;
    return *Manifest::make(lab_, options);
  }
  std::string encrypted(std::string_view text, std::string_view resource = "models/pong/rl") {
    auto made =
        encrypt(manifest(), resource, text, trainer_, proof_of(trainer_, {"publish"}, std::string(resource)), env_);
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return *made;
  }
  static base::Result<std::string> text_of(const Ciphertext& ciphertext, const crypto::Secret<32>& key) {
    crypto::SecretBytes text(ciphertext.text_bytes());
    DAYBREAK_TRY(ciphertext.open(key, text.writable()));
    return std::string(text.view());
  }
  static base::Result<std::string> opened(std::string_view bytes, const KeyRing& ring) {
    DAYBREAK_ASSIGN(const Ciphertext ciphertext, Ciphertext::decode(bytes));
    DAYBREAK_ASSIGN(const crypto::KeyPair pair, ring.key(ciphertext.resource().text(), ciphertext.epoch()));
    return text_of(ciphertext, pair.secret_key);
  }

  base::TestEnv env_;
  Epochs epochs_;  // of a day
  Entity lab_ = entity();
  Entity trainer_ = entity();
  Entity friend_ = entity();
};

TEST_F(Encryption, opens_for_who_was_granted_the_resource_before_or_later) {
  const std::string text(200'000, 'w');
  const std::string bytes = encrypted(text);
  const auto granted = give(lab_, lab_ring(), friend_, {"models/pong/rl"}, epoch(), 1);
  ASSERT_TRUE(granted.has_value()) << granted.error().message();
  EXPECT_EQ(opened(bytes, ring_of(friend_, *granted)).value(), text);
  EXPECT_EQ(opened(encrypted(""), ring_of(friend_, *granted)).value(), "");
}

TEST_F(Encryption, body_of_several_threads_and_chunks_is_found_damaged_as_well) {
  const std::string text(1 << 20, 'w');
  std::string bytes = encrypted(text);
  const auto secret = std::move(lab_ring().key("models/pong/rl", epoch())->secret_key);
  EXPECT_EQ(text_of(*Ciphertext::decode(bytes), secret).value(), text);
  for (const std::size_t at : {bytes.size() - 1, bytes.size() - 500'000, bytes.size() - (1 << 20)}) {
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    const auto parsed = Ciphertext::decode(bytes);
    ASSERT_TRUE(parsed.has_value());
    std::string out(parsed->text_bytes(), 'x');
    EXPECT_FALSE(parsed->open(secret, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}).has_value());
    EXPECT_EQ(out, std::string(out.size(), '\0')) << "nothing of a damaged text is handed out";
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
  }
}

TEST_F(Encryption, literal_grant_opens_that_resource_alone) {
  const KeyRing ring = ring_of(friend_, *give(lab_, lab_ring(), friend_, {"models/pong/imitation"}, epoch(), 1));
  EXPECT_TRUE(opened(encrypted("x", "models/pong/imitation"), ring).has_value());
  const auto refused = opened(encrypted("x"), ring);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), base::Code::kPermissionDenied);
  EXPECT_NE(refused.error().message().find("'models/pong/rl'"), std::string::npos) << refused.error().message();
  EXPECT_FALSE(ring.key("models/pong/imitation/deeper", epoch()).has_value());
  EXPECT_FALSE(ring.secret({"models/pong/imitation", true}, epoch()).has_value());
}

TEST_F(Encryption, subtree_grant_opens_all_below_and_the_place_itself_and_nothing_beside) {
  const KeyRing ring = ring_of(friend_, *give(lab_, lab_ring(), friend_, {"models/pong/*"}, epoch(), 1));
  const KeyRing all = lab_ring();
  for (const char* path : {"models/pong", "models/pong/rl", "models/pong/a/b/c"})
    EXPECT_EQ(ring.key(path, epoch())->public_key, all.key(path, epoch())->public_key) << path;
  for (const char* path : {"models", "models/pong2", "models/pon", "other"})
    EXPECT_FALSE(ring.key(path, epoch()).has_value()) << path;
  const KeyRing root = ring_of(friend_, *give(lab_, lab_ring(), friend_, {"*"}, epoch(), 1));
  EXPECT_EQ(root.key("other/x", epoch())->public_key, all.key("other/x", epoch())->public_key);
}

TEST_F(Encryption, holder_of_a_subtree_passes_on_a_part_offline_and_no_more) {
  const KeyRing ring = ring_of(friend_, *give(lab_, lab_ring(), friend_, {"models/pong/*"}, epoch(), 3));
  const Entity other = entity();
  const auto part = give(friend_, ring, other, {"models/pong/rl"}, epoch() + 1, 1);
  ASSERT_TRUE(part.has_value()) << part.error().message();
  const KeyRing narrow = ring_of(other, *part);
  EXPECT_EQ(narrow.key("models/pong/rl", epoch() + 1)->public_key,
            lab_ring().key("models/pong/rl", epoch() + 1)->public_key);
  EXPECT_FALSE(narrow.key("models/pong/rl", epoch()).has_value());
  EXPECT_FALSE(narrow.key("models/pong/imitation", epoch() + 1).has_value());

  for (const auto& [resource, first, count] :
       {std::tuple{"models/*", 0, 1}, {"models/pong/rl", -1, 1}, {"models/pong/rl", 2, 2}}) {
    const auto refused = give(friend_, ring, other, {resource}, epoch() + static_cast<std::uint64_t>(first),
                              static_cast<std::size_t>(count));
    ASSERT_FALSE(refused.has_value()) << resource;
    EXPECT_EQ(refused.error().code(), base::Code::kPermissionDenied);
  }
  // A literal key can be passed on, as it is.
  EXPECT_TRUE(give(other, narrow, lab_, {"models/pong/rl"}, epoch() + 1, 1).has_value());
  EXPECT_FALSE(give(other, narrow, lab_, {"models/pong/rl/*"}, epoch() + 1, 1).has_value());
}

TEST_F(Encryption, epochs_have_keys_of_their_own_and_so_have_lengths_of_epochs) {
  const KeyRing ring = lab_ring();
  const auto today = ring.key("a", epoch())->public_key;
  EXPECT_NE(today, ring.key("a", epoch() + 1)->public_key);
  EXPECT_NE(today, KeyRing::of_namespace(lab_, *Epochs::make(3600)).key("a", epoch())->public_key);
  EXPECT_NE(today, KeyRing::of_namespace(friend_, epochs_).key("a", epoch())->public_key);
}

TEST_F(Encryption, window_is_whole_epochs) {
  const auto range = [&](std::int64_t from, std::int64_t seconds) {
    return EpochRange::covering(epochs_, *Validity::make(from, seconds));
  };
  EXPECT_EQ(range(10 * kDay, kDay), (EpochRange{10, 10}));
  EXPECT_EQ(range(10 * kDay, kDay + 1), (EpochRange{10, 11}));
  EXPECT_EQ(range(10 * kDay - 1, 2), (EpochRange{9, 10}));
}

TEST_F(Encryption, patterns_without_a_node_are_refused) {
  for (const char* pattern : {"models/+/rl", "+", "*/rl", "models/*/rl", "models/+/*", "+/*"}) {
    const auto refused = give(lab_, lab_ring(), friend_, {pattern}, epoch(), 1);
    ASSERT_FALSE(refused.has_value()) << pattern;
    EXPECT_NE(refused.error().message().find(pattern), std::string::npos);
  }
  EXPECT_TRUE(
      seal_keys(lab_ring(), lab_, friend_.record(), lab_.id(), statements({"predict"}, {"apps/+"}), {1, 1}, env_)
          ->empty());
}

TEST_F(Encryption, too_many_keys_a_subject_without_a_key_and_a_ring_without_keys_are_refused) {
  EXPECT_TRUE(give(lab_, lab_ring(), friend_, {"a"}, 0, kMaxEpochsOfGrant).has_value());
  EXPECT_EQ(give(lab_, lab_ring(), friend_, {"a"}, 0, kMaxEpochsOfGrant + 1).error().code(),
            base::Code::kInvalidArgument);
  EXPECT_EQ(give(lab_, lab_ring(), friend_, {"a", "b", "c", "d", "e"}, 0, kMaxKeysOfGrant / 5 + 1).error().code(),
            base::Code::kInvalidArgument);
  EXPECT_EQ(give(lab_, lab_ring(), entity(false), {"a"}, 0, 1).error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(give(lab_, KeyRing(), friend_, {"a"}, 0, 1).error().code(), base::Code::kPermissionDenied);
}

TEST_F(Encryption, key_bundle_is_bound_to_its_attestation_and_its_parties) {
  const Granted granted = *give(lab_, lab_ring(), friend_, {"models/pong/rl"}, epoch(), 1);
  KeyRing ring;
  for (std::size_t i = 0; i < granted.keys.size(); ++i) {
    std::string altered = granted.keys;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(open_keys(friend_, granted.attestation, altered, ring).has_value());
    Attestation fits = granted.attestation;  // as if a granter had named the altered bytes
    fits.terms.key_bundle = key_bundle_hash(altered);
    EXPECT_FALSE(open_keys(friend_, fits, altered, ring).has_value());
  }
  // Genuine keys of the same parties for the same place, that go with another attestation.
  const Granted later = *give(lab_, lab_ring(), friend_, {"models/pong/rl"}, epoch() + 1, 1);
  EXPECT_FALSE(open_keys(friend_, granted.attestation, later.keys, ring).has_value());
  EXPECT_FALSE(open_keys(trainer_, granted.attestation, granted.keys, ring).has_value());
  Attestation other = granted.attestation;
  other.attester = trainer_.id();
  EXPECT_FALSE(open_keys(friend_, other, granted.keys, ring).has_value());
  Attestation wider = granted.attestation;
  wider.terms.statements = statements({"decrypt"}, {"models/pong/*"});
  EXPECT_FALSE(open_keys(friend_, wider, granted.keys, ring).has_value());
  EXPECT_FALSE(ring.epochs().has_value()) << "nothing of a refused bundle stays";
  EXPECT_FALSE(ring.key("models/pong/rl", epoch()).has_value());
}

TEST_F(Encryption, key_bundle_is_what_was_granted_or_a_loss_of_data_whatever_its_sealed_bytes_say) {
  // Whoever grants can seal any bytes. What they say is read in the order of the page: grant-encryption.md.
  const auto made = [](std::uint64_t seconds, std::uint64_t first, std::uint64_t count, std::uint64_t resources,
                       std::string_view resource, std::size_t key_bytes) {
    Writer out;
    out.u8(1).varint(seconds).varint(first).varint(count).varint(resources).text(resource);
    return out.raw(std::string(key_bytes, 'k')).take();
  };
  const std::vector<Statement> granted = statements({"decrypt"}, {"a"});
  KeyRing ring;
  ASSERT_TRUE(read_keys(made(60, 7, 2, 1, "a", 64), granted, ring).has_value());
  ASSERT_TRUE(read_keys(made(kMaxEpochSeconds, kMaxTimeS / kMaxEpochSeconds, 1, 1, "a", 32), granted, ring = {}));

  KeyRing untouched;
  const auto refused = [&](const std::string& plain, std::span<const Statement> said) {
    const auto range = read_keys(plain, said, untouched);
    return !range && range.error().code() == base::Code::kDataLoss;
  };
  const std::string good = made(60, 7, 2, 1, "a", 64);
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_TRUE(refused(good.substr(0, size), granted)) << size;
  std::size_t tried = 0;
  for (const std::string& plain : {
           good + "x",                                             // something follows
           std::string("\2") + good.substr(1),                     // another version
           made(0, 0, 1, 1, "a", 32),                              // no time is in such an epoch
           made(59, 7, 2, 1, "a", 64),                             // below the limit
           made(kMaxEpochSeconds + 1, 0, 1, 1, "a", 32),           // above it
           made(UINT64_MAX, 0, 1, 1, "a", 32),                     //
           made((std::uint64_t{1} << 32) + 60, 7, 2, 1, "a", 64),  // 60 s, if only 32 bits were looked at
           made(60, kMaxTimeS / 60 + 1, 1, 1, "a", 32),            // the first epoch after the last time
           made(60, kMaxTimeS / 60, 2, 1, "a", 64),                // the last one after it
           made(60, UINT64_MAX, 1, 1, "a", 32),                    //
           made(60, 7, 0, 1, "a", 0),                              // no epoch
           made(60, 7, kMaxEpochsOfGrant + 1, 1, "a", 32 * 1025),  // too many
           made(60, 7, UINT64_MAX, 1, "a", 32),                    // more than there is memory
           made(60, 7, std::uint64_t{1} << 59, 1, "a", 32),        // times 32 bytes it is 0
           made(60, 7, 2, 0, "a", 64),
           made(60, 7, 2, 2, "a", 64),  // other resources than were granted
           made(60, 7, 2, 1, "b", 64),
           made(60, 7, 2, 1, "", 64),  //
           made(60, 7, 2, 1, "a", 63),
           std::string("\1\200\200\200\200\200\200\200\200\200\2"),  // 65 bits
           std::string("\1\274\0", 3),                               // 60, not in its shortest form
       }) {
    EXPECT_TRUE(refused(plain, granted)) << tried;
    ++tried;
  }
  // Keys with a grant that has none, and with one of a pattern that no node of the tree stands for.
  EXPECT_TRUE(refused(good, statements({"predict"}, {"a"})));
  EXPECT_TRUE(refused(made(60, 7, 2, 1, "a/*/b", 64), statements({"decrypt"}, {"a/*/b"})));
  EXPECT_FALSE(untouched.epochs().has_value()) << "nothing of a refused bundle stays";
}

TEST_F(Encryption, epochs_of_less_than_a_minute_or_more_than_400_days_cannot_be_made) {
  for (const std::int64_t seconds : {kMinEpochSeconds, kMaxEpochSeconds}) {
    EXPECT_EQ(Epochs::make(seconds)->seconds(), seconds);
  }
  for (const std::int64_t seconds : {INT64_MIN, std::int64_t{-1}, std::int64_t{0}, std::int64_t{59},
                                     std::int64_t{kMaxEpochSeconds} + 1, (std::int64_t{1} << 32) + 60, INT64_MAX}) {
    const auto epochs = Epochs::make(seconds);
    ASSERT_FALSE(epochs);
    EXPECT_EQ(epochs.error().code(), base::Code::kInvalidArgument);
    EXPECT_NE(epochs.error().message().find(std::to_string(seconds)), std::string::npos);
    EXPECT_NE(epochs.error().message().find("60 to 34560000"), std::string::npos);
  }
}

TEST_F(Encryption, manifest_goes_both_ways_and_any_flipped_bit_is_found) {
  const Manifest made = manifest();
  const auto read = Manifest::decode(made.encode());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->encode(), made.encode());
  EXPECT_EQ(read->namespace_id(), lab_.id());
  EXPECT_EQ(read->resources(), (std::vector<std::string>{"models/pong/imitation", "models/pong/rl"}));
  EXPECT_EQ(read->key("models/pong/rl", epoch() + 9).value(),
            lab_ring().key("models/pong/rl", epoch() + 9)->public_key);
  for (std::size_t i = 0; i < made.encode().size(); ++i) {
    std::string altered = made.encode();
    altered[i] = static_cast<char>(altered[i] ^ (1 << (i % 8)));
    const auto damaged = Manifest::decode(altered);
    // A flipped bit in the owner's record makes another owner, whose signature it is not.
    EXPECT_FALSE(damaged.has_value()) << i;
    EXPECT_FALSE(Manifest::decode(std::string_view(made.encode()).substr(0, i)).has_value());
  }
  EXPECT_FALSE(Manifest::decode(made.encode() + '\0').has_value());
}

TEST_F(Encryption, what_a_manifest_lacks_is_named_and_no_ancestors_key_is_taken) {
  const Manifest made = manifest(1, {"models/pong"});
  const auto missing = made.key("models/pong/rl", epoch());
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code(), base::Code::kNotFound);
  EXPECT_NE(missing.error().message().find("'models/pong/rl'"), std::string::npos);
  EXPECT_FALSE(made.key("models/pong", epoch() - 1).has_value());
  EXPECT_FALSE(made.key("models/pong", epoch() + 11).has_value());
  EXPECT_FALSE(encrypt(made, "models/pong/rl", "x", lab_, {}, env_).has_value());
  ManifestOptions pattern;
  pattern.resources = {"models/*"};
  pattern.validity = *Validity::make(now(), 1);
  EXPECT_FALSE(Manifest::make(lab_, pattern).has_value());
}

TEST_F(Encryption, rolled_back_forked_foreign_and_expired_manifests_are_refused) {
  ManifestMemory memory({}, env_);
  const Manifest first = manifest(1), second = manifest(2);
  ASSERT_TRUE(memory.accept(first.encode(), lab_.id()).has_value());
  ASSERT_TRUE(memory.accept(second.encode(), lab_.id()).has_value());
  ASSERT_TRUE(memory.accept(second.encode(), lab_.id()).has_value());
  EXPECT_NE(memory.accept(first.encode(), lab_.id()).error().message().find("rolled back"), std::string::npos);
  EXPECT_EQ(memory.accept(manifest(2, {"models/pong/rl"}).encode(), lab_.id()).error().code(), base::Code::kDataLoss);
  EXPECT_FALSE(memory.accept(second.encode(), friend_.id()).has_value());
  env_.advance_ns(10 * kDay * 1'000'000'000);
  EXPECT_NE(memory.accept(second.encode(), lab_.id()).error().message().find("was valid until"), std::string::npos);
  EXPECT_FALSE(encrypt(second, "models/pong/rl", "x", lab_, {}, env_).has_value());
  env_.jump_ns(-20 * kDay * 1'000'000'000);
  EXPECT_NE(memory.accept(second.encode(), lab_.id()).error().message().find("is valid from"), std::string::npos);
}

TEST_F(Encryption, memory_of_manifests_in_a_directory_outlives_the_process) {
  {
    ManifestMemory memory("/state", env_);
    ASSERT_TRUE(memory.accept(manifest(7).encode(), lab_.id()).has_value());
  }
  ManifestMemory again("/state", env_);
  EXPECT_EQ(again.newest(lab_.id())->sequence(), 7u);
  EXPECT_FALSE(again.accept(manifest(6).encode(), lab_.id()).has_value());
  EXPECT_EQ(again.newest(friend_.id()).error().code(), base::Code::kNotFound);
}

TEST_F(Encryption, processes_that_accept_manifests_at_once_forget_none) {
  // Two memories over one directory, as two processes have them; what each wrote shows to the other.
  ManifestMemory one("/state", env_), other("/state", env_);
  const Manifest seventh = manifest(7), sixth = manifest(6), fork = manifest(7, {"models/pong/rl"});
  ASSERT_TRUE(one.accept(seventh.encode(), lab_.id()).has_value());
  // The other one had looked before the first wrote: its file comes beside the newer one, and is not the newest.
  const auto name = [](const Manifest& made) {
    return fmt::format("/state/{}.{:020}.{}.manifest", crypto::to_hex(made.namespace_id()), made.sequence(),
                       crypto::to_hex(crypto::sha256(made.encode())));
  };
  ASSERT_TRUE(base::write_file_atomically(name(sixth), sixth.encode(), env_).has_value());
  EXPECT_EQ(other.newest(lab_.id())->sequence(), 7u);
  EXPECT_NE(one.accept(sixth.encode(), lab_.id()).error().message().find("rolled back"), std::string::npos);
  ASSERT_TRUE(base::write_file_atomically(name(fork), fork.encode(), env_).has_value());
  for (ManifestMemory* memory : {&one, &other}) {
    EXPECT_EQ(memory->newest(lab_.id()).error().code(), base::Code::kDataLoss);
    EXPECT_EQ(memory->accept(manifest(8).encode(), lab_.id()).error().code(), base::Code::kDataLoss)
        << "a fork is not healed by a newer manifest: a person has to look";
  }
}

TEST_F(Encryption, file_of_a_manifest_that_was_replaced_is_found) {
  ManifestMemory memory("/state", env_);
  ASSERT_TRUE(memory.accept(manifest(7).encode(), lab_.id()).has_value());
  const std::string path = "/state/" + env_.list_directory("/state")->front();
  ASSERT_TRUE(base::write_file_atomically(path, manifest(6).encode(), env_).has_value());
  EXPECT_EQ(memory.newest(lab_.id()).error().code(), base::Code::kDataLoss);
  EXPECT_EQ(memory.accept(manifest(6).encode(), lab_.id()).error().code(), base::Code::kDataLoss);
}

TEST_F(Encryption, wrong_keys_of_a_dishonest_granter_do_not_hide_the_right_one) {
  const std::string bytes = encrypted("text");
  const Entity liar = entity();
  KeyRing lies;
  lies.set_epochs(epochs_);
  lies.add_key("models/pong/rl", epoch(), crypto::Secret<32>::random(env_));
  lies.add_seed("models/pong/rl", epoch(), Seed::random(env_));
  lies.add_seed("models/pong", epoch(), Seed::random(env_));
  for (const char* good : {"models/pong/rl", "models/*"}) {
    for (const bool liar_first : {true, false}) {
      KeyRing ring;
      const auto add = [&](const Entity& granter, const KeyRing& held, const char* resource) {
        ASSERT_TRUE(ring.merge(ring_of(friend_, *give(granter, held, friend_, {resource}, epoch(), 1))).has_value());
      };
      if (!liar_first) add(lab_, lab_ring(), good);
      add(liar, lies, "models/pong/rl");
      add(liar, lies, "models/pong/*");
      if (liar_first) add(lab_, lab_ring(), good);
      const auto keys = ring.rivals("models/pong/rl", epoch());
      ASSERT_TRUE(keys.has_value());
      EXPECT_EQ(keys->size(), 3u);
      EXPECT_EQ(std::ranges::count_if(
                    *keys, [&](const auto& key) { return text_of(*Ciphertext::decode(bytes), key).has_value(); }),
                1);
    }
  }
}

TEST_F(Encryption, ring_keeps_so_many_rivals_and_the_first_come_stay) {
  KeyRing ring = ring_of(friend_, *give(lab_, lab_ring(), friend_, {"a"}, epoch(), 1));
  for (std::size_t i = 0; i < 2 * kMaxRivalKeys; ++i) ring.add_key("a", epoch(), crypto::Secret<32>::random(env_));
  const auto keys = ring.rivals("a", epoch());
  ASSERT_EQ(keys->size(), kMaxRivalKeys);
  EXPECT_EQ(crypto::x25519_public(keys->front()), lab_ring().key("a", epoch())->public_key);
  EXPECT_EQ(ring.key("a", epoch())->public_key, lab_ring().key("a", epoch())->public_key);
  EXPECT_EQ(ring.rivals("b", epoch()).error().code(), base::Code::kPermissionDenied);
}

TEST_F(Encryption, numbers_beyond_time_are_refused) {
  // An epoch that ends behind all times: header and manifest with another varint in its place, of the same length.
  ManifestOptions options;
  options.resources = {"a"};
  options.validity = *Validity::make(now(), 1);
  options.epochs = *Epochs::make(kMaxEpochSeconds);
  EXPECT_TRUE(Manifest::decode(Manifest::make(lab_, options)->encode()).has_value());
  const std::string bytes = encrypted("x");
  Writer before, behind;
  before.varint(epochs_.seconds()).varint(epoch());
  behind.varint(epochs_.seconds()).varint(epochs_.at(kMaxTimeS) + 1);
  const std::size_t at = bytes.find(before.bytes());
  ASSERT_NE(at, std::string::npos);
  std::string altered = bytes;
  altered.replace(at, before.bytes().size(), behind.bytes());
  const auto refused = Ciphertext::decode(altered);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("the epoch is"), std::string::npos) << refused.error().message();
}

TEST_F(Encryption, without_memory_for_it_no_ciphertext_is_made) {
  const auto done = encrypt(
      manifest(), "models/pong/rl", "text", lab_, {}, [](std::size_t) { return std::span<std::uint8_t>(); }, env_);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code(), base::Code::kResourceExhausted);
  const std::string_view endless("x", kMaxBodyBytes + 1);  // refused by its length; never read
  EXPECT_EQ(encrypt(manifest(), "models/pong/rl", endless, lab_, {}, env_).error().code(),
            base::Code::kInvalidArgument);
}

TEST_F(Encryption, opens_only_while_author_and_holder_prove_what_they_must) {
  const std::string bytes = encrypted("text");
  const std::string may_decrypt = proof_of(friend_, {"decrypt"}, "models/pong/rl");
  const KeyRing ring = ring_of(friend_, *give(lab_, lab_ring(), friend_, {"models/pong/rl"}, epoch(), 1));
  auto store = *DirectoryStore::create("/revoked", env_);
  const auto attempt = [&](const std::string& ciphertext, const std::string& proof, const Hash* root = nullptr) {
    const auto verifier = *Verifier::create({.namespace_id = root == nullptr ? lab_.id() : *root,
                                             .server_id = "test",
                                             .revocations = store,
                                             .max_staleness_s = 0},
                                            env_);
    const auto parsed = Ciphertext::decode(ciphertext);
    crypto::SecretBytes out(parsed->text_bytes());
    const auto done = decrypt(*parsed, *verifier, friend_, proof, ring, out.writable(), env_);
    EXPECT_EQ(done.has_value(), out.view() == "text") << "the text, or nothing of it";
    return done ? Reason::kAllowed : done.error().reason;
  };
  EXPECT_EQ(attempt(bytes, may_decrypt), Reason::kAllowed);
  EXPECT_EQ(attempt(bytes, ""), Reason::kNoProof);
  EXPECT_EQ(attempt(bytes, proof_of(trainer_, {"decrypt"}, "models/pong/rl")), Reason::kNotGranted);
  EXPECT_EQ(attempt(bytes, proof_of(friend_, {"publish"}, "models/pong/rl")), Reason::kNotGranted);
  EXPECT_EQ(attempt(bytes, proof_of(friend_, {"decrypt"}, "models/pong/imitation")), Reason::kNotGranted);
  EXPECT_EQ(attempt(bytes, may_decrypt, &friend_.id()), Reason::kNotGranted) << "of another namespace";
  // Between header and body: the author's signature.
  std::string forged = bytes;
  const std::size_t in_signature = bytes.size() - Ciphertext::decode(bytes)->body().size() - 1;
  forged[in_signature] = static_cast<char>(forged[in_signature] ^ 1);
  EXPECT_EQ(attempt(forged, may_decrypt), Reason::kMalformed);

  for (const std::string& proof : {std::string(Ciphertext::decode(bytes)->author_proof()), may_decrypt}) {
    const auto secret = lab_.revocation_secret(Proof::decode(proof)->attestation(0));
    ASSERT_TRUE(store->publish(*secret).has_value());
    EXPECT_EQ(attempt(bytes, may_decrypt), Reason::kRevoked);
    store = *DirectoryStore::create(fmt::format("/another/{}", proof == may_decrypt), env_);
    EXPECT_EQ(attempt(bytes, may_decrypt), Reason::kAllowed);
  }
  env_.advance_ns(31 * kDay * 1'000'000'000);
  EXPECT_EQ(attempt(bytes, may_decrypt), Reason::kExpired);
}

TEST_F(Encryption, stranger_with_a_namespace_of_his_own_plants_nothing) {
  // His manifest names the lab's public keys, so what he encrypts opens with the lab's keys, and he is its owner.
  const Entity stranger = entity();
  std::string body = manifest().encode();
  body.resize(body.size() - 64);
  body.replace(1, lab_.record().encode().size(), stranger.record().encode());
  const auto signature = stranger.sign(std::string(tag("daybreak/grant/manifest/v1")) + body);
  const auto stolen = Manifest::decode(body + std::string(view(signature)));
  ASSERT_TRUE(stolen.has_value()) << stolen.error().message();
  const std::string planted = *encrypt(*stolen, "models/pong/rl", "planted", stranger, {}, env_);
  ASSERT_EQ(opened(planted, lab_ring()).value(), "planted");
  const auto verifier = *Verifier::create({.namespace_id = lab_.id(), .server_id = "test"}, env_);
  crypto::SecretBytes out(7);
  const auto done = decrypt(*Ciphertext::decode(planted), *verifier, lab_, {}, lab_ring(), out.writable(), env_);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().reason, Reason::kNotGranted);

  // Or he puts his record and signature under the header of the lab's own ciphertext.
  const std::string genuine = *encrypt(manifest(), "models/pong/rl", "text", lab_, {}, env_);
  const auto parsed = *Ciphertext::decode(genuine);
  std::string header = parsed.encode_header();
  header.replace(header.size() - lab_.record().encode().size(), std::string::npos, stranger.record().encode());
  const auto again = stranger.sign(std::string(tag("daybreak/grant/ciphertext/v1")) + header);
  const auto refused = Ciphertext::decode(header + std::string(view(again)) + std::string(parsed.body()));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("not the namespace itself"), std::string::npos);
}

TEST_F(Encryption, reader_who_knows_the_content_key_cannot_put_another_body_under_the_authors_header) {
  std::string bytes = encrypted("text");
  const auto parsed = *Ciphertext::decode(bytes);
  const std::size_t body_bytes = parsed.body().size();
  Writer fields;
  fields.text("models/pong/rl").varint(epochs_.seconds()).varint(epoch());
  const std::size_t bound = 1 + 32 + fields.bytes().size();
  const std::string info = std::string(tag("daybreak/grant/content-key/v1")) + bytes.substr(0, bound);
  const auto secret = std::move(lab_ring().key("models/pong/rl", epoch())->secret_key);
  const auto key = crypto::open(secret, crypto::bytes_of(info), {}, crypto::bytes_of(bytes.substr(bound, 80)));
  ASSERT_TRUE(key.has_value());
  const std::string other = crypto::encrypt_stream(crypto::Secret<32>::copy_of(key->bytes().first<32>()),
                                                   crypto::bytes_of(info), crypto::bytes_of("evil"));
  bytes.replace(bytes.size() - body_bytes, body_bytes, other);
  const auto altered = *Ciphertext::decode(bytes);
  EXPECT_TRUE(altered.check_signature(trainer_.record().verify_key).has_value());
  const auto refused = text_of(altered, secret);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("not the one that its author signed"), std::string::npos);
}

TEST_F(Encryption, owner_as_author_is_refused_when_revoked_or_out_of_time) {
  const std::string bytes = *encrypt(manifest(), "models/pong/rl", "text", lab_, {}, env_);
  const auto store = *DirectoryStore::create("/revoked", env_);
  const auto verifier = *Verifier::create(
      {.namespace_id = lab_.id(), .server_id = "test", .revocations = store, .max_staleness_s = 0}, env_);
  const auto attempt = [&] {
    const auto parsed = Ciphertext::decode(bytes);
    crypto::SecretBytes out(parsed->text_bytes());
    const auto done = decrypt(*parsed, *verifier, lab_, {}, lab_ring(), out.writable(), env_);
    return done ? Reason::kAllowed : done.error().reason;
  };
  EXPECT_EQ(attempt(), Reason::kAllowed);
  ASSERT_TRUE(store->publish(lab_.revocation_secret()).has_value());
  EXPECT_EQ(attempt(), Reason::kRevoked);
  ASSERT_TRUE(env_.remove_file("/revoked/daybreak-revocations-v1").has_value());
  EXPECT_EQ(attempt(), Reason::kRevocationStale);
  env_.advance_ns(366 * kDay * 1'000'000'000);
  EXPECT_EQ(attempt(), Reason::kExpired);
  env_.jump_ns(-400 * kDay * 1'000'000'000);
  EXPECT_EQ(attempt(), Reason::kNotYet);
}

TEST_F(Encryption, key_bundle_of_a_body_and_of_a_place_cannot_take_each_others_part) {
  // The same content key sealed for another epoch length, namespace or place does not open: all of it is in `info`.
  const std::string bytes = encrypted("x");
  const auto key = std::move(lab_ring().key("models/pong/rl", epoch())->secret_key);
  Writer from, to;
  from.varint(epochs_.seconds()).varint(epoch());
  to.varint(epochs_.seconds()).varint(epoch() + 1);
  const std::size_t at = bytes.find(from.bytes());
  ASSERT_NE(at, std::string::npos);
  std::string other_epoch = bytes, other_place = bytes, other_namespace = bytes;
  other_epoch.replace(at, from.bytes().size(), to.bytes());
  other_place.replace(bytes.find("models/pong/rl"), 14, "models/pong/rm");
  other_namespace[1] = static_cast<char>(other_namespace[1] ^ 1);
  EXPECT_TRUE(text_of(*Ciphertext::decode(bytes), key).has_value());
  for (const std::string& altered : {other_epoch, other_place, other_namespace}) {
    const auto parsed = Ciphertext::decode(altered);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
    EXPECT_FALSE(text_of(*parsed, key).has_value()) << "with the right private key, and any signature";
  }
}

TEST_F(Encryption, any_flipped_bit_of_a_ciphertext_is_found) {
  const std::string bytes = encrypted("some weights");
  const auto& key = trainer_.record().verify_key;
  const auto secret = std::move(lab_ring().key("models/pong/rl", epoch())->secret_key);
  ASSERT_TRUE(Ciphertext::decode(bytes)->check_signature(key).has_value());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string altered = bytes;
    altered[i] = static_cast<char>(altered[i] ^ (1 << (i % 8)));
    const auto parsed = Ciphertext::decode(altered);
    EXPECT_FALSE(parsed.has_value() && parsed->check_signature(key).has_value() && text_of(*parsed, secret).has_value())
        << i;
    EXPECT_FALSE(Ciphertext::decode(std::string_view(bytes).substr(0, i)).has_value());
  }
  EXPECT_FALSE(Ciphertext::decode(bytes + "x").has_value());
}

TEST_F(Encryption, author_needs_a_proof_of_his_own_for_this_resource) {
  const Manifest published = manifest();
  const auto attempt = [&](const Entity& author, const std::string& proof) {
    return encrypt(published, "models/pong/rl", "x", author, proof, env_);
  };
  EXPECT_TRUE(attempt(lab_, "").has_value()) << "the namespace itself needs none";
  EXPECT_EQ(attempt(trainer_, "").error().code(), base::Code::kPermissionDenied);
  EXPECT_EQ(attempt(friend_, proof_of(trainer_, {"publish"}, "models/pong/rl")).error().code(),
            base::Code::kPermissionDenied);
  EXPECT_EQ(attempt(trainer_, proof_of(trainer_, {"publish"}, "models/pong/imitation")).error().code(),
            base::Code::kPermissionDenied);
  EXPECT_EQ(attempt(trainer_, proof_of(trainer_, {"decrypt"}, "models/pong/rl")).error().code(),
            base::Code::kPermissionDenied);
  EXPECT_TRUE(attempt(trainer_, proof_of(trainer_, {"publish"}, "models/*")).has_value());
}

TEST_F(Encryption, ciphertext_moved_to_another_resource_does_not_open) {
  // A stranger who may publish elsewhere re-signs a header that names another place: the content key is bound to the
  // first.
  const std::string bytes = encrypted("x");
  const KeyRing all = lab_ring();
  const auto parsed = Ciphertext::decode(bytes);
  EXPECT_FALSE(text_of(*parsed, all.key("models/pong/imitation", epoch())->secret_key).has_value());
  EXPECT_FALSE(text_of(*parsed, all.key("models/pong/rl", epoch() + 1)->secret_key).has_value());
  EXPECT_TRUE(text_of(*parsed, all.key("models/pong/rl", epoch())->secret_key).has_value());
}

TEST_F(Encryption, keys_are_those_of_the_published_scheme) {
  // Golden: changing a derivation would lose every key that was ever granted.
  Seed seed;
  std::ranges::fill(seed.writable(), std::uint8_t{7});
  EXPECT_EQ(crypto::to_hex(crypto::PublicKey(node_key(descend(seed, "models/pong/rl")).public_key)),
            "7c61005fbe2b7db22ed2ba3d31156d2741cf59d58f8379cf0bc807770302f21a");
  EXPECT_EQ(crypto::to_hex(crypto::PublicKey(node_key(epoch_seed(seed, {}, 20'000)).public_key)),
            "c33e47ff8ec4b57603f6b42b934b89b5a84753a660945f2f4ddffa8f7b268e64");
}

std::string hex_of(std::string_view bytes) {
  return crypto::to_hex(crypto::bytes_of(bytes));
}

TEST(EncryptionFormat, golden_bytes) {
  base::TestEnv env(7);
  const Entity owner = *Entity::create({}, env);
  const Entity reader = *Entity::create({}, env);
  ManifestOptions options;
  options.resources = {"models/pong"};
  options.sequence = 3;
  options.validity = Validity{20'454 * kDay, 20'456 * kDay};
  const Manifest manifest = *Manifest::make(owner, options);
  EXPECT_EQ(hex_of(manifest.encode()),
            "0101bdd79b817ce39a63682bedcf14a329deb5cd6ef7d663f57446ae5bc23b9c6144010d84dfc80e25ad281d10"
            "5a3d7436053150cb2707905986163e776bcfc9c5af7780f2d6ca0680d9dbd906aadb9dc2714a5b7b8e8a29f808"
            "aa406e186b9489d9892de2edc8d56d28e4da830380f2d6ca0680b8e1ca0680a305010b6d6f64656c732f706f6e"
            "67e69f010246c56d2cb5fa4a213dc14b68f2c766cf0863e26d5d431e692eacfd33b49a1e3384502e3fb2ae4065"
            "027f29a4efbdc409dcdadc2034cea84f1f25f772c8a968497a91c45c5067bbf6fe775d8f3167db0eb9f8399fca"
            "125218cdabe086de78d6a5ff8a7c08945b359e3154ab1f39b57577fd8d8484de94bcbbd90461d4259e6f01");

  const std::string bundle = *seal_keys(KeyRing::of_namespace(owner, {}), owner, reader.record(), owner.id(),
                                        std::vector{*Statement::make({"decrypt"}, "models/*")}, {20'454, 20'454}, env);
  EXPECT_EQ(hex_of(bundle),
            "a197f8536773105403ec9ff1c036aefad23873c166bf9076adc56a543a6b9a1c5c87d6eca0dd0930d53f927998"
            "a3fd1eb1c2d9ec6842f94c215547f422b291fef1984d92753c0e9f323e6f254325174f2f6fe76bec7f5c96dc24"
            "71e07c07866b0f46");
  const std::string ciphertext = *encrypt(manifest, "models/pong", "weights", owner, {}, env);
  const std::string golden =
      "01c4b672c844277c2d9b6a8026968c0fd626dd3ceb53355b4b845f64c62491c1a60b6d6f64656c732f706f6e67"
      "80a305e69f01d232ce7c812c7494b19891e2a36f1a160297ba233cb6964c50fba9f6be89044f54f339f6def968"
      "f56a9e1444be2f7bcda37581bc68c589084c1fc8bc0c9aaaab898339a8f2233be8716b1421eafa333630088b90"
      "1d7b594511f527295d7d753661ed7cf0159261e5a95926535ce8d146310001bdd79b817ce39a63682bedcf14a3"
      "29deb5cd6ef7d663f57446ae5bc23b9c6144010d84dfc80e25ad281d105a3d7436053150cb2707905986163e77"
      "6bcfc9c5af7780f2d6ca0680d9dbd906aadb9dc2714a5b7b8e8a29f808aa406e186b9489d9892de2edc8d56d28"
      "e4da83b3f92ab8db46a4643760e4a2062d67942c91299f2326d92e957dd658da3c31664bad6fa9eda0d97508e2"
      "29fb5f706b018044ab3113b9b2938c4d05deb4498d090e64dcf9c53e63fb084e416203a2082eac82fc66ab14c7"
      "15cda28e4ce81848f0037e187023c09ad75844beda46d955c1";
  std::string bytes(golden.size() / 2, '\0');
  ASSERT_TRUE(crypto::from_hex(golden, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()}));
  const auto parsed = Ciphertext::decode(bytes);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_TRUE(parsed->check_signature(owner.record().verify_key).has_value());
  const auto key = KeyRing::of_namespace(owner, {}).key("models/pong", parsed->epoch());
  std::string text(parsed->text_bytes(), '\0');
  EXPECT_TRUE(parsed->open(key->secret_key, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}).has_value());
  EXPECT_EQ(text, "weights");
  // Drawn anew for each ciphertext, by libsodium: the header of the stream, and all that is encrypted and signed with
  // it.
  EXPECT_EQ(hex_of(ciphertext).substr(0, 2 * 132), golden.substr(0, 2 * 132));
}

}  // namespace
}  // namespace daybreak::grant
