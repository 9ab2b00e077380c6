#include "daybreak/grant/revocation.h"

#include <gtest/gtest.h>

#include "daybreak/base/file.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

TEST(DirectoryStore, gives_all_that_was_published) {
  World world;
  const auto store = *DirectoryStore::create("revoked", world.env);
  EXPECT_TRUE((*store->read_all())->empty());
  const auto grant = world.grant("lab", "ann", {"read"}, "a");
  ASSERT_TRUE(store->publish(*world["lab"].revocation_secret(grant)));
  ASSERT_TRUE(store->publish(world["ann"].revocation_secret()));
  ASSERT_TRUE(store->publish(world["ann"].revocation_secret()));
  const auto other = *DirectoryStore::open("revoked", world.env);
  const auto revoked = *other->read_all();
  EXPECT_EQ(*revoked, (RevokedSet{grant.terms.revocation, world["ann"].record().revocation}));
}

TEST(DirectoryStore, an_empty_directory_is_none) {
  World world;
  EXPECT_EQ(DirectoryStore::open("empty", world.env).error().code(), base::Code::kNotFound);
  const auto store = *DirectoryStore::create("revoked", world.env);
  ASSERT_TRUE(world.env.remove_file("revoked/daybreak-revocations-v1"));  // the disk was unmounted
  EXPECT_EQ(store->read_all().error().code(), base::Code::kNotFound);
  EXPECT_FALSE(store->publish(world["lab"].revocation_secret()));
}

TEST(DirectoryStore, a_damaged_or_foreign_file_is_an_error_not_a_gap) {
  World world;
  const auto store = *DirectoryStore::create("revoked", world.env);
  const auto name = crypto::to_hex(world["lab"].record().revocation);
  // Nobody but the lab has the secret: what another one writes there revokes nothing.
  for (const std::string& bytes : {std::string(), std::string(32, 'x'), std::string(33, 'x')}) {
    ASSERT_TRUE(base::write_file_atomically("revoked/" + name, bytes, world.env));
    EXPECT_FALSE(store->read_all()) << bytes.size();
  }
  ASSERT_TRUE(store->publish(world["lab"].revocation_secret()));
  EXPECT_TRUE(store->read_all());
  ASSERT_TRUE(base::write_file_atomically("revoked/notes.txt", "x", world.env));
  EXPECT_EQ(store->read_all().error().code(), base::Code::kDataLoss);
  ASSERT_TRUE(world.env.remove_file("revoked/notes.txt"));
  EXPECT_TRUE(store->read_all());
}

TEST(DirectoryStore, what_was_seen_revoked_stays_so) {
  World world;
  const auto store = *DirectoryStore::create("revoked", world.env);
  ASSERT_TRUE(store->publish(world["lab"].revocation_secret()));
  ASSERT_EQ((*store->read_all())->size(), 1u);
  ASSERT_TRUE(world.env.remove_file("revoked/" + crypto::to_hex(world["lab"].record().revocation)));
  EXPECT_EQ((*store->read_all())->size(), 1u);
}

TEST(DirectoryStore, is_not_made_among_other_files) {
  World world;
  ASSERT_TRUE(base::write_file_atomically("home/letter.txt", "x", world.env));
  EXPECT_EQ(DirectoryStore::create("home", world.env).error().code(), base::Code::kFailedPrecondition);
}

TEST(DirectoryStore, a_publication_that_fails_is_reported) {
  World world;
  const auto store = *DirectoryStore::create("revoked", world.env);
  world.env.set_free_bytes(5);
  EXPECT_EQ(store->publish(world["lab"].revocation_secret()).error().code(), base::Code::kResourceExhausted);
  EXPECT_TRUE((*store->read_all())->empty());
}

}  // namespace
}  // namespace daybreak::grant
