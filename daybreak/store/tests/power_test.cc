// The power fails: what was not synced is gone.
#include <sys/wait.h>
#include <unistd.h>

#include "daybreak/store/tests/failing_power.h"

namespace daybreak::store {
namespace {

// Of the tensor whose versions are differences.
constexpr std::size_t kFloats = 20'000;

TEST(StorePowerFails, at_every_step_what_was_put_or_kept_is_there) {
  std::vector<std::string> values = {csv(3000, 1), random_text(20'000, 2)};
  std::vector<float> weights = noise(kFloats, 3);
  for (std::uint64_t v = 0; v < 3; ++v, weights = moved(weights, v)) values.push_back(container({{"w", weights}}));
  int steps = 1;
  for (bool done = false; !done; ++steps) {
    const TemporaryDirectory dir;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      FailingPower power(steps);
      StoreOptions options = alone();
      options.env = &power;
      fs::create_directories(dir / "s");
      const auto store = open_store(dir / "s", options);
      std::optional<Hash> parent;
      const auto say = [&](char what) {
        if (::write(ends[1], &what, 1) != 1) ::_exit(2);
      };
      for (const std::string& value : values) {
        const auto stored = put_text(*store, value, parent);
        if (!stored) ::_exit(2);
        parent = stored->id;
        say('p');
      }
      // All but the second one, and the third is needed only as the base of the fourth.
      const std::vector<Hash> keep = {crypto::sha256(values[0]), crypto::sha256(values[3]), crypto::sha256(values[4])};
      for (const std::string& value : values) {
        if (!store->release(crypto::sha256(value))) ::_exit(2);
      }
      say('r');
      if (!store->gc([&]() -> base::Result<std::vector<Hash>> { return keep; })) ::_exit(2);
      ::_exit(0);
    }
    ::close(ends[1]);
    std::string said(values.size() + 1, '\0');
    std::size_t n = 0;
    while (const ssize_t got = ::read(ends[0], said.data() + n, said.size() - n)) n += static_cast<std::size_t>(got);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2) << "step " << steps;
    done = WEXITSTATUS(status) == 0;
    const auto store = open_store(dir / "s", alone());
    std::vector<std::pair<Hash, std::string>> there;
    for (std::size_t i = 0; i < std::min(n, values.size()); ++i) {
      if (n > values.size() && (i == 1 || i == 2)) continue;  // a gc was under way
      there.emplace_back(crypto::sha256(values[i]), values[i]);
    }
    SCOPED_TRACE(fmt::format("step {}", steps));
    expect_whole(*store, there);
    EXPECT_TRUE(put_text(*store, "and it goes on"));
    if (done) {
      EXPECT_FALSE(store->info(crypto::sha256(values[1])));
    }
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_GT(steps, 30);
}

}  // namespace
}  // namespace daybreak::store
