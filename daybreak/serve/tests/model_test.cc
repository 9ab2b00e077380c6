#include "daybreak/serve/model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "daybreak/base/test_env.h"

namespace daybreak::serve {
namespace {

using std::chrono::milliseconds;

// A model whose replicas the test is, on a clock that stands still.
class ModelQueue : public testing::Test {
 protected:
  void SetUp() override {
    model_ = *Model::create("m", registry_, {[](Nanos) {}, nullptr, &env_});
    auto config = std::make_shared<AppConfig>();
    config->name = "a";
    config->default_output = "-1";
    config->slo_ns = 10'000'000'000;
    app_ = config;
    metrics_ = std::make_shared<AppMetrics>(registry_, "a");
  }

  struct Side {
    std::uint64_t id;
    std::unique_ptr<ReplicaSide> side;
    std::size_t take() {
      EXPECT_EQ(side->take(0), ReplicaSide::Took::kBatch);
      return side->inputs().size();
    }
    void answer(std::string_view text = "1") {
      for (const Input& input : side->inputs()) side->results().set(input.index, ResultStatus::kJson, text);
      side->complete();
    }
  };

  void add_version(const std::string& name, std::uint32_t batch_size = 0) {
    VersionConfig config;
    config.name = name;
    config.batch_size = batch_size;
    ASSERT_TRUE(model_->add_version(std::move(config)));
  }

  Side add_replica(const std::string& version, bool ready = true) {
    auto mapping = *ChannelMapping::create();
    auto event = *os::make_event();
    const int bell = event.get();
    const std::uint64_t id = ++last_id_;
    EXPECT_TRUE(model_->add_replica(version, std::make_shared<Replica>(id, mapping, std::move(event))));
    if (ready) model_->replica_ready(id, 1);
    const Slab& slab = *model_->slab();
    return {id, std::make_unique<ReplicaSide>(mapping, std::span(slab.data(), slab.size_bytes()), bell, env_)};
  }

  // One input of one number. What became of it is in outcomes_[its place].
  std::size_t ask(const std::optional<std::string>& version = {}, Nanos slo_ns = 0) {
    auto config = std::make_shared<AppConfig>(*app_);
    if (slo_ns > 0) config->slo_ns = slo_ns;
    auto call = std::make_shared<Call>();
    call->app = slo_ns > 0 ? config : app_;
    call->metrics = metrics_;
    call->parsed.block = std::move(*model_->slab()->allocate(8));
    call->parsed.inputs = {{0, 8}};
    call->items.resize(1);
    call->admitted_ns = env_.monotonic_ns();
    call->deadline_ns = call->admitted_ns + call->app->slo_ns;
    const std::size_t number = outcomes_.size();
    outcomes_.push_back("waits");
    call->answer = [this, number](Call& done) {
      EXPECT_EQ(outcomes_[number], "waits");  // once
      outcomes_[number] = done.items[0].reason == Reason::kAnswered ? done.version + ":" + done.items[0].output
                                                                    : std::string(reason_name(done.items[0].reason));
    };
    const auto submitted = model_->submit(call, version);
    if (!submitted) outcomes_[number] = submitted.error().message();
    return number;
  }

  Nanos expire() { return model_->expire(env_.monotonic_ns()); }
  // Until the removal of the only replica has begun.
  void wait_for_draining() {
    while (model_->replicas().at(0).state != ReplicaState::kDraining) std::this_thread::yield();
  }

  base::TestEnv env_;
  base::Registry registry_;
  std::shared_ptr<Model> model_;
  std::shared_ptr<const AppConfig> app_;
  std::shared_ptr<AppMetrics> metrics_;
  std::vector<std::string> outcomes_;
  std::uint64_t last_id_ = 0;
};

TEST_F(ModelQueue, without_a_replica_the_answer_is_no_model_at_once) {
  EXPECT_EQ(outcomes_[ask()], "no_model");
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  EXPECT_EQ(outcomes_[ask()], "no_model");
}

TEST_F(ModelQueue, requests_wait_for_a_replica_that_starts) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1", false);
  const auto first = ask();
  EXPECT_EQ(outcomes_[first], "waits");
  model_->replica_ready(side.id, 1);
  EXPECT_EQ(side.take(), 1u);
  side.answer();
  model_->replica_rang(side.id);
  EXPECT_EQ(outcomes_[first], "1:1");
}

TEST_F(ModelQueue, what_waits_goes_into_one_batch) {
  add_version("1", 100);
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  ask();
  EXPECT_EQ(side.take(), 1u);
  for (int i = 0; i < 50; ++i) ask();
  side.answer();
  model_->replica_rang(side.id);
  EXPECT_EQ(side.take(), 50u);
  side.answer();
  model_->replica_rang(side.id);
  for (const std::string& outcome : outcomes_) EXPECT_EQ(outcome, "1:1");
  EXPECT_EQ(model_->slab()->used_bytes(), 0u);
  EXPECT_EQ(model_->outstanding(), 0u);
}

TEST_F(ModelQueue, the_earliest_deadline_is_computed_first) {
  add_version("1", 1);
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  ask();  // computed
  side.take();
  ask();  // in the open batch
  const auto late = ask({}, 9'000'000'000), early = ask({}, 1'000'000'000);
  for (int i = 0; i < 3; ++i) {
    side.answer();
    model_->replica_rang(side.id);
    side.take();
    if (i == 1) {
      EXPECT_EQ(outcomes_[early], "waits");
    }
  }
  EXPECT_EQ(outcomes_[early], "1:1");
  EXPECT_EQ(outcomes_[late], "waits");
  side.answer();
  model_->replica_rang(side.id);
  EXPECT_EQ(outcomes_[late], "1:1");
}

TEST_F(ModelQueue, at_the_deadline_the_reason_is_given_and_a_late_result_is_dropped) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  const auto first = ask({}, 1'000'000), second = ask({}, 1'000'000);
  EXPECT_EQ(side.take(), 2u);
  const Nanos deadline = env_.monotonic_ns() + 1'000'000;
  env_.advance_ns(999'999);
  EXPECT_EQ(expire(), deadline);
  EXPECT_EQ(outcomes_[first], "waits");
  env_.advance_ns(1);
  EXPECT_GT(expire(), deadline);  // nobody waits any more
  EXPECT_EQ(outcomes_[first], "deadline");
  EXPECT_EQ(outcomes_[second], "deadline");
  side.answer();
  model_->replica_rang(side.id);
  EXPECT_EQ(model_->slab()->used_bytes(), 0u);
}

TEST_F(ModelQueue, an_input_whose_deadline_has_passed_is_not_computed) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  ask({}, 1'000'000);
  env_.advance_ns(1'000'000);
  expire();
  EXPECT_EQ(side.take(), 0u);
}

TEST_F(ModelQueue, a_batch_of_a_dead_replica_is_computed_once_more_and_then_fails) {
  add_version("1", 10);
  ASSERT_TRUE(model_->set_current("1"));
  Side first = add_replica("1");
  const auto begun = ask();
  first.take();
  const auto open = ask();
  Side second = add_replica("1");
  ASSERT_TRUE(model_->replica_died(first.id, "killed"));
  EXPECT_EQ(outcomes_[begun], "waits");
  EXPECT_EQ(second.take(), 2u);
  ASSERT_TRUE(model_->replica_died(second.id, "killed"));
  EXPECT_EQ(outcomes_[begun], "model_error");  // the second time
  EXPECT_EQ(outcomes_[open], "waits");         // it had been begun once only
  Side third = add_replica("1");
  EXPECT_EQ(third.take(), 1u);
  third.answer();
  model_->replica_rang(third.id);
  EXPECT_EQ(outcomes_[open], "1:1");
  EXPECT_FALSE(model_->replica_died(first.id, "again"));
}

TEST_F(ModelQueue, requests_wait_while_the_only_replica_is_being_replaced) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side first = add_replica("1");
  ASSERT_TRUE(model_->replica_died(first.id, "killed"));
  const auto waits = ask();
  EXPECT_EQ(outcomes_[waits], "waits");
  Side second = add_replica("1");
  EXPECT_EQ(second.take(), 1u);
  second.answer();
  model_->replica_rang(second.id);
  EXPECT_EQ(outcomes_[waits], "1:1");
  model_->remove_replica(second.id, milliseconds(0));  // on purpose: nobody replaces it
  EXPECT_EQ(outcomes_[ask()], "no_model");
}

TEST_F(ModelQueue, a_new_current_version_takes_over_what_waits) {
  add_version("1", 1);
  add_version("2", 10);
  ASSERT_TRUE(model_->set_current("1"));
  Side one = add_replica("1"), two = add_replica("2");
  ask();
  ask();
  one.take();
  const auto waits = ask(), pinned = ask("1");
  ASSERT_TRUE(model_->set_current("2"));
  EXPECT_EQ(two.take(), 1u);
  two.answer();
  model_->replica_rang(two.id);
  EXPECT_EQ(outcomes_[waits], "2:1");
  for (int i = 0; i < 3; ++i) {
    one.answer();
    model_->replica_rang(one.id);
    if (i < 2) one.take();
  }
  EXPECT_EQ(outcomes_[pinned], "1:1");
  EXPECT_EQ(outcomes_[0], "1:1");
  EXPECT_FALSE(model_->set_current("3"));
}

TEST_F(ModelQueue, an_unknown_version_is_clippers_sentence) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  EXPECT_EQ(outcomes_[ask("9")], "Requested version: 9 does not exist for model: m");
}

TEST_F(ModelQueue, a_version_with_replicas_is_not_deleted_and_what_waits_for_it_moves_on) {
  add_version("1");
  add_version("2");
  ASSERT_TRUE(model_->set_current("1"));
  Side one = add_replica("1", false);
  EXPECT_EQ(model_->delete_version("1").error().code(), base::Code::kFailedPrecondition);
  const auto waits = ask(), pinned = ask("1");
  EXPECT_TRUE(model_->remove_replica(one.id, milliseconds(0)));
  ASSERT_TRUE(model_->set_current("2"));
  Side two = add_replica("2");
  ASSERT_TRUE(model_->delete_version("1"));
  EXPECT_EQ(outcomes_[pinned], "no_model");
  EXPECT_EQ(two.take(), 1u);
  two.answer("7");
  model_->replica_rang(two.id);
  EXPECT_EQ(outcomes_[waits], "2:7");
}

TEST_F(ModelQueue, removing_waits_for_what_the_replica_computes) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  const auto first = ask();
  side.take();
  std::thread thread([&] {
    wait_for_draining();
    side.answer();
    model_->replica_rang(side.id);
  });
  EXPECT_TRUE(model_->remove_replica(side.id, milliseconds(5000)));
  thread.join();
  EXPECT_EQ(outcomes_[first], "1:1");
  EXPECT_TRUE(model_->replicas().empty());
}

TEST_F(ModelQueue, a_replica_that_does_not_end_in_time_is_cut_short) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  const auto first = ask();
  side.take();
  std::thread thread([&] {
    wait_for_draining();
    env_.advance_ns(5'000'000'000);
    model_->replica_rang(side.id);  // with nothing: whoever waits looks at the clock again
  });
  EXPECT_FALSE(model_->remove_replica(side.id, milliseconds(5000)));
  thread.join();
  EXPECT_TRUE(model_->replicas().empty());
  EXPECT_EQ(outcomes_[first], "waits");  // for another replica, until its deadline
  env_.advance_ns(5'000'000'000);
  expire();
  EXPECT_EQ(outcomes_[first], "deadline");
}

TEST_F(ModelQueue, a_slow_first_batch_does_not_have_the_second_refused) {
  add_version("1", 1);
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  ask({}, 200'000'000);
  side.take();
  env_.advance_ns(190'000'000);  // it loads its libraries
  side.answer();
  model_->replica_rang(side.id);
  const auto second = ask({}, 200'000'000), third = ask({}, 200'000'000);
  EXPECT_EQ(outcomes_[second], "waits");
  EXPECT_EQ(outcomes_[third], "waits");
}

TEST_F(ModelQueue, more_than_can_be_done_in_time_is_refused_at_once) {
  add_version("1", 1);
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  // One batch, of one input, takes 20 ms.
  for (int i = 0; i < 4; ++i) {
    ask();
    side.take();
    env_.advance_ns(20'000'000);
    side.answer();
    model_->replica_rang(side.id);
  }
  std::size_t admitted = 0, refused = 0;
  for (int i = 0; i < 40; ++i) {
    const auto number = ask({}, 200'000'000);
    (outcomes_[number] == "overloaded" ? refused : admitted) += 1;
  }
  EXPECT_EQ(admitted, 9u);  // 9 times 20 ms is within 92% of 200 ms
  EXPECT_EQ(refused, 31u);
}

TEST_F(ModelQueue, a_model_error_is_an_outcome_and_is_kept_for_its_owner) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  const auto first = ask();
  side.take();
  side.side->results().fail(0, "ValueError: no");
  side.side->complete();
  model_->replica_rang(side.id);
  EXPECT_EQ(outcomes_[first], "model_error");
  EXPECT_EQ(model_->replicas()[0].last_error, "ValueError: no");
}

TEST_F(ModelQueue, inputs_that_a_model_kept_are_not_used_again_while_it_lives) {
  add_version("1");
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  ask();
  side.take();
  side.side->results().keep(0);
  side.answer();
  model_->replica_rang(side.id);
  EXPECT_EQ(outcomes_[0], "1:1");
  EXPECT_GT(model_->slab()->used_bytes(), 0u);
  model_->remove_replica(side.id, milliseconds(0));
  EXPECT_EQ(model_->slab()->used_bytes(), 0u);
}

TEST_F(ModelQueue, inputs_of_another_length_are_refused_when_the_model_says_what_it_takes) {
  add_version("1");
  model_->set_input_elements("1", 8);
  ASSERT_TRUE(model_->set_current("1"));
  Side side = add_replica("1");
  EXPECT_EQ(outcomes_[ask()], "model 'm' takes 8 numbers, 1 came");
}

}  // namespace
}  // namespace daybreak::serve
