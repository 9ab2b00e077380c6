// The runtime as a C++ program uses it. This program is its own workers: it is linked with --wrap=main.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "daybreak/base/temp_dir.h"
#include "daybreak/runtime/cpp/remote.h"

namespace daybreak::runtime::cpp {
namespace {

using namespace std::chrono_literals;

struct Point {
  double x = 0, y = 0;
  std::string label;
  static constexpr auto daybreak_fields() { return fields("x", &Point::x, "y", &Point::y, "label", &Point::label); }
  bool operator==(const Point&) const = default;
};

struct Foreign {  // as if it were somebody else's
  std::optional<int> maybe;
  std::vector<Point> points;
  bool operator==(const Foreign&) const = default;
};
constexpr auto daybreak_fields(std::type_identity<Foreign>) {
  return fields("maybe", &Foreign::maybe, "points", &Foreign::points);
}

enum class Colour : std::uint8_t { kRed = 3, kBlue = 200 };

// What a value becomes when it is sent and comes back.
template <typename T>
T echoed(const T& value) {
  return get(task([](const T& same) { return same; }).remote(value)).value();
}

std::int64_t plus(std::int64_t a, std::int64_t b) {
  return a + b;
}
std::int8_t as_small(std::int8_t value) {
  return value;
}
double sum_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}
std::string throwing(int which) {
  if (which == 0) throw std::runtime_error("the reason");
  if (which == 1) throw std::system_error(ENOSPC, std::generic_category(), "writing");
  if (which == 2) throw std::out_of_range("far away");
  if (which == 3) throw 7;
  return get(task(throwing).remote(which - 10)).value();  // the error of the inner task ends this one
}
base::Result<int> checked_half(int value) {
  if (value % 2 != 0) return base::fail(base::Code::kFailedPrecondition, "{} is odd", value);
  return value / 2;
}

class Account {
 public:
  explicit Account(int first, std::string owner = "nobody") : balance_(first), owner_(std::move(owner)) {
    if (first < 0) throw std::invalid_argument("no debts");
  }
  virtual ~Account() = default;
  int add(int amount) { return balance_ += amount; }
  int balance() const { return balance_; }
  std::string owner() const noexcept { return owner_; }
  virtual std::string kind() const { return "plain"; }
  int pid() const { return getpid(); }
  void die() { raise(SIGKILL); }
  void refuse() { throw std::logic_error("no"); }
  std::vector<double> history(int days) const { return std::vector<double>(static_cast<std::size_t>(days), balance_); }

  static constexpr auto daybreak_methods() { return methods("add", &Account::add, "balance", &Account::balance); }

 private:
  std::atomic<int> balance_;  // with max_concurrency several threads call it
  std::string owner_;
};
class Savings : public Account {
 public:
  using Account::Account;
  std::string kind() const override { return "savings"; }
};

class ApiTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto started = init({.num_cpus = 2, .resources = {{"license", 1}}, .object_store_memory = 128u << 20});
    ASSERT_TRUE(started) << started.error().to_string();
  }
  static void TearDownTestSuite() { shutdown(); }
};

TEST_F(ApiTest, functions_and_lambdas_run_in_other_processes) {
  EXPECT_EQ(get(task(plus).remote(2, 3)).value(), 5);
  const int pid = get(task([] { return static_cast<int>(getpid()); }).remote()).value();
  EXPECT_NE(pid, getpid());
  std::vector<ObjectRef<std::int64_t>> refs;
  refs.reserve(1'000);
  for (std::int64_t i = 0; i < 1'000; ++i) refs.push_back(task(plus).remote(i, 1));
  const auto values = get(refs).value();
  for (std::int64_t i = 0; i < 1'000; ++i) ASSERT_EQ(values[static_cast<std::size_t>(i)], i + 1);
}

TEST_F(ApiTest, values_of_every_kind_come_back_as_they_were) {
  EXPECT_EQ(echoed(true), true);
  EXPECT_EQ(echoed<std::uint8_t>(255), 255);
  EXPECT_EQ(echoed('x'), 'x');
  EXPECT_EQ(echoed(std::numeric_limits<std::int64_t>::min()), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(echoed(2.5f), 2.5f);
  EXPECT_EQ(echoed(Colour::kBlue), Colour::kBlue);
  EXPECT_EQ(echoed(std::string(2'000, 'a')), std::string(2'000, 'a'));
  EXPECT_EQ(echoed(std::vector<std::byte>(3, std::byte{9})), std::vector<std::byte>(3, std::byte{9}));
  EXPECT_EQ(echoed(std::vector<int>{1, -2}), (std::vector<int>{1, -2}));
  EXPECT_EQ(echoed(std::vector<int>{}), std::vector<int>{});
  EXPECT_EQ(echoed(std::vector<bool>{true, false}), (std::vector<bool>{true, false}));
  const std::vector<std::vector<std::string>> nested{{"a", "b"}, {}, {"c"}};
  EXPECT_EQ(echoed(nested), nested);
  const std::map<std::string, std::vector<double>> map{{"x", {1, 2}}, {"y", {}}};
  EXPECT_EQ(echoed(map), map);
  const std::unordered_map<int, std::string> unordered{{1, "one"}, {2, "two"}};
  EXPECT_EQ(echoed(unordered), unordered);
  const std::tuple<int, std::string, std::optional<double>> tuple{1, "b", std::nullopt};
  EXPECT_EQ(echoed(tuple), tuple);
  EXPECT_EQ(echoed(std::pair<int, bool>{4, false}), (std::pair<int, bool>{4, false}));
  EXPECT_EQ(echoed(std::array<std::string, 2>{"a", "b"}), (std::array<std::string, 2>{"a", "b"}));
  const Foreign foreign{.maybe = 7, .points = {{1, 2, "p"}, {3, 4, "q"}}};
  EXPECT_EQ(echoed(foreign), foreign);
}

TEST_F(ApiTest, what_does_not_fit_is_refused_with_its_value_and_its_place) {
  const auto cut = get(task(as_small).remote(300));
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code(), base::Code::kOutOfRange);
  EXPECT_NE(cut.error().message().find("argument 1: the int 300 does not fit: between -128 and 127"), std::string::npos)
      << cut.error().message();
  const auto large = get(task([](std::uint64_t value) { return value; }).remote(std::uint64_t{1} << 63));
  ASSERT_FALSE(large);
  EXPECT_NE(large.error().to_string().find("9223372036854775808"), std::string::npos) << large.error().to_string();
  // A struct of which the other side knows another version.
  const auto half = task([](const Point& point) { return point.x; });
  const ObjectRef<Point> dict(put(std::map<std::string, double>{{"x", 1}, {"y", 2}}).handle());
  EXPECT_NE(get(half.remote(dict)).error().message().find("lacks the struct's field 'label'"), std::string::npos);
  const ObjectRef<Point> more(put(std::map<std::string, double>{{"z", 1}}).handle());
  EXPECT_NE(get(half.remote(more)).error().message().find("the struct has no field 'z'"), std::string::npos);
  const auto text = get(ObjectRef<int>(put(std::string("seven")).handle()));
  EXPECT_EQ(text.error().message(), "an int expected, the text 'seven' found");
}

TEST_F(ApiTest, tensors_are_views_of_the_store_as_arguments_and_as_values) {
  std::vector<double> values(100'000);
  std::iota(values.begin(), values.end(), 0.0);
  const auto tensor = Tensor<double>::make({100, 1'000}, values).value();
  const auto ref = put(tensor);
  const Tensor<double> one = get(ref).value(), same = get(ref).value();
  EXPECT_EQ(one.data(), same.data());
  EXPECT_NE(one.data(), tensor.data());
  EXPECT_EQ(one.shape(), (std::vector<std::int64_t>{100, 1'000}));
  const double sum = 99'999.0 * 100'000 / 2;
  EXPECT_EQ(get(task(sum_of).remote(ref)).value(), sum);
  EXPECT_EQ(get(task(sum_of).remote(values)).value(), sum);  // large: it becomes an object
  EXPECT_EQ(get(task(sum_of).remote(std::vector<double>{1, 2})).value(), 3);
  EXPECT_FALSE(Tensor<double>::make({3, 3}, {1, 2}));
  EXPECT_FALSE(Tensor<double>::make({-1}, {}));
}

TEST_F(ApiTest, a_tensor_lives_longer_than_its_reference) {
  Tensor<int> kept;
  {
    const auto ref = put(Tensor<int>(std::vector<int>(50'000, 7)));
    kept = get(ref).value();
  }
  std::vector<ObjectRef<Tensor<int>>> others;  // which would take its place
  others.reserve(20);
  for (int i = 0; i < 20; ++i) others.push_back(put(Tensor<int>(std::vector<int>(50'000, i))));
  EXPECT_EQ(std::accumulate(kept.values().begin(), kept.values().end(), 0), 350'000);
}

TEST_F(ApiTest, references_are_values_as_arguments_and_stay_references_in_a_vector) {
  const auto first = task(plus).remote(1, 2);
  EXPECT_EQ(get(task(plus).remote(first, task(plus).remote(3, 4))).value(), 10);
  const auto of_all = task([](const std::vector<ObjectRef<std::int64_t>>& refs) {
    std::int64_t sum = 0;
    for (const auto& ref : refs) sum += get(ref).value();
    return sum;
  });
  EXPECT_EQ(get(of_all.remote(std::vector{first, task(plus).remote(5, 6)})).value(), 14);
  const auto given = task([] { return std::vector{task(plus).remote(20, 1), put(std::int64_t{2})}; });
  const auto refs = get(given.remote()).value();
  EXPECT_EQ(get(refs).value(), (std::vector<std::int64_t>{21, 2}));
}

TEST_F(ApiTest, exceptions_arrive_with_text_place_and_the_code_that_fits) {
  const auto plain = get(task(throwing).options({.name = "load"}).remote(0));
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code(), base::Code::kUnknown);
  EXPECT_TRUE(plain.error().message().starts_with("load() (pid=")) << plain.error().message();
  EXPECT_NE(plain.error().message().find("std::runtime_error: the reason"), std::string::npos);
  EXPECT_EQ(get(task(throwing).remote(1)).error().code(), base::Code::kResourceExhausted);
  EXPECT_EQ(get(task(throwing).remote(2)).error().code(), base::Code::kOutOfRange);
  EXPECT_NE(get(task(throwing).remote(3)).error().message().find("class int"), std::string::npos);
  const auto inner = get(task(throwing).remote(12));
  EXPECT_EQ(inner.error().code(), base::Code::kOutOfRange);
  EXPECT_NE(inner.error().message().find("far away"), std::string::npos);
  EXPECT_EQ(get(task(checked_half).remote(8)).value(), 4);
  const auto odd = get(task(checked_half).remote(7));
  EXPECT_EQ(odd.error().code(), base::Code::kFailedPrecondition);
  EXPECT_NE(odd.error().message().find("7 is odd"), std::string::npos);
  // The error of an argument's task is that of the task.
  const auto passed_on = get(task(plus).remote(task(checked_half).remote(7), 1));
  EXPECT_EQ(passed_on.error().code(), base::Code::kFailedPrecondition);
  EXPECT_NE(passed_on.error().message().find("7 is odd"), std::string::npos);
}

TEST_F(ApiTest, a_task_whose_worker_dies_runs_again_and_one_that_fails_where_it_was_asked_for) {
  const base::TempDir folder = base::TempDir::create().value();
  const auto attempts = [](const std::string& file, bool kill_it) {
    FILE* log = std::fopen(file.c_str(), "a+e");
    std::fputc('x', log);
    std::fflush(log);
    std::fseek(log, 0, SEEK_END);
    const long count = std::ftell(log);
    std::fclose(log);
    if (count < 3 && kill_it) raise(SIGKILL);
    if (count < 3) throw std::runtime_error("not yet");
    return count;
  };
  EXPECT_EQ(get(task(attempts).remote(folder / "a", true)).value(), 3);
  EXPECT_EQ(get(task(attempts).options({.retry_exceptions = true}).remote(folder / "b", false)).value(), 3);
  EXPECT_FALSE(get(task(attempts).remote(folder / "c", false)));
  const auto dead = get(task(attempts).options({.max_retries = 0}).remote(folder / "d", true));
  EXPECT_EQ(dead.error().code(), base::Code::kAborted);
  EXPECT_NE(dead.error().message().find("signal 9"), std::string::npos) << dead.error().message();
}

TEST_F(ApiTest, actors_keep_state_and_run_calls_in_order) {
  const auto account = actor<Account>(5, "ada").remote();
  std::vector<ObjectRef<int>> refs;
  for (int i = 1; i <= 100; ++i) refs.push_back(account.task(&Account::add).remote(i));
  const auto values = get(refs).value();
  EXPECT_EQ(values.front(), 6);
  EXPECT_EQ(values.back(), 5'055);
  EXPECT_EQ(get(account.task(&Account::owner).remote()).value(), "ada");
  EXPECT_EQ(get(account.task(&Account::refuse).remote()).error().code(), base::Code::kUnknown);
  EXPECT_EQ(get(account.task(&Account::balance).remote()).value(), 5'055);  // it lives on
  const auto savings = actor<Savings>(1).remote();
  EXPECT_EQ(get(savings.task(&Account::kind).remote()).value(), "savings");  // virtual, and of the class above
  EXPECT_EQ(get(savings.task(&Account::add).remote(2)).value(), 3);
}

TEST_F(ApiTest, a_constructor_that_throws_is_the_error_of_every_call) {
  const auto broken = actor<Account>(-1).remote();
  const auto value = get(broken.task(&Account::balance).remote());
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message().find("no debts"), std::string::npos) << value.error().message();
}

TEST_F(ApiTest, an_actor_that_dies_starts_again_as_often_as_it_may) {
  const auto account = actor<Account>(5).options({.max_restarts = 1, .max_task_retries = 1}).remote();
  const int before = get(account.task(&Account::pid).remote()).value();
  EXPECT_EQ(get(account.task(&Account::add).remote(10)).value(), 15);
  EXPECT_TRUE(kill(account, false));
  EXPECT_EQ(get(account.task(&Account::balance).remote(), 30s).value(), 5);  // made anew
  EXPECT_NE(get(account.task(&Account::pid).remote()).value(), before);
  EXPECT_TRUE(kill(account));
  const auto gone = get(account.task(&Account::balance).remote());
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), base::Code::kAborted);
}

TEST_F(ApiTest, named_actors_are_found_by_their_class_and_handles_travel) {
  const auto account = actor<Account>(7).options({.name = "till"}).remote();
  const auto found = get_actor<Account>("till");
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_EQ(get(found->task(&Account::balance).remote()).value(), 7);
  const auto wrong = get_actor<Savings>("till");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message().find("Account, not "), std::string::npos) << wrong.error().message();
  EXPECT_EQ(get_actor<Account>("nobody").error().code(), base::Code::kNotFound);
  const auto again = actor<Account>(1).options({.name = "till"}).remote();
  ASSERT_NE(again.refusal(), nullptr);
  EXPECT_EQ(again.refusal()->code(), base::Code::kAlreadyExists);
  EXPECT_EQ(get(again.task(&Account::balance).remote()).error().code(), base::Code::kAlreadyExists);
  const auto through = task([](const ActorHandle<Account>& handle, int amount) {
    return get(handle.task(&Account::add).remote(amount)).value() +
           get(get_actor<Account>("till")->task(&Account::balance).remote()).value();
  });
  EXPECT_EQ(get(through.remote(account, 3)).value(), 20);
}

// ray-project/ray#29847: large vectors of an actor ended the process.
TEST_F(ApiTest, large_vectors_come_from_an_actor_again_and_again_and_go_on_to_a_task) {
  const auto account = actor<Account>(3).remote();
  for (int round = 0; round < 20; ++round) {
    const auto days = account.task(&Account::history).remote(500'000);  // 4 MB
    EXPECT_EQ(get(task([](const std::vector<double>& all) { return all.size(); }).remote(days)).value(), 500'000u);
    EXPECT_EQ(get(days).value().back(), 3.0);
  }
}

// ray-project/ray#47280: what to run was known at run time only, and was not found.
TEST_F(ApiTest, a_function_that_is_chosen_at_run_time_is_a_task) {
  const std::array<int (*)(int), 2> known = {+[](int x) { return x + 1; }, +[](int x) { return x * x; }};
  for (std::size_t i = 0; i < known.size(); ++i) {
    int (*chosen)(int) = known[i];
    EXPECT_EQ(get(task(chosen).remote(7)).value(), i == 0 ? 8 : 49);
  }
}

TEST_F(ApiTest, wait_splits_the_done_from_the_others) {
  const auto gate = actor<Account>(0).options({.max_concurrency = 2}).remote();
  const auto until_positive = task([](const ActorHandle<Account>& handle) {
    while (get(handle.task(&Account::balance).remote()).value() == 0) std::this_thread::yield();
    return std::int64_t{1};
  });
  const std::vector refs{until_positive.remote(gate), task(plus).remote(1, 1)};
  auto some = wait(refs, 1).value();
  ASSERT_EQ(some.ready.size(), 1u);
  EXPECT_EQ(get(some.ready[0]).value(), 2);
  EXPECT_EQ(wait(refs, 2, 1ms).value().unready.size(), 1u);
  EXPECT_EQ(get(refs[0], 1ms).error().code(), base::Code::kDeadlineExceeded);
  EXPECT_FALSE(wait(refs, 3));
  EXPECT_FALSE(wait(refs, 0));
  EXPECT_FALSE(get(refs[1], -1ms));
  get(gate.task(&Account::add).remote(1)).value();
  EXPECT_EQ(wait(refs, 2).value().ready.size(), 2u);
}

TEST_F(ApiTest, a_cancelled_task_never_starts_or_is_told) {
  const base::TempDir folder = base::TempDir::create().value();
  const auto told = task([](const std::string& file) {
    std::fclose(std::fopen(file.c_str(), "we"));
    while (!cancelled()) std::this_thread::yield();
    if (auto value = get(put(1)); value) throw std::runtime_error("it saw that it is to stop");
    return 0;
  });
  const std::string file = folder / "started";
  const auto running = told.remote(file);
  while (access(file.c_str(), F_OK) != 0) std::this_thread::yield();
  EXPECT_FALSE(cancel(running).value());
  EXPECT_EQ(get(running).error().code(), base::Code::kCancelled);
  const auto busy = told.options({.resources = {{"license", 1}}}).remote(folder / "busy");
  while (access((folder / "busy").c_str(), F_OK) != 0) std::this_thread::yield();
  const auto waiting = told.options({.resources = {{"license", 1}}}).remote(folder / "never");
  EXPECT_TRUE(cancel(waiting));
  EXPECT_EQ(get(waiting).error().code(), base::Code::kCancelled);
  EXPECT_NE(access((folder / "never").c_str(), F_OK), 0);
  EXPECT_TRUE(cancel(busy, {.force = true}));
  EXPECT_EQ(get(busy).error().code(), base::Code::kCancelled);
}

TEST_F(ApiTest, options_out_of_range_are_refused_by_name) {
  EXPECT_NE(get(task(plus).options({.num_cpus = -1}).remote(1, 2)).error().message().find("num_cpus"),
            std::string::npos);
  EXPECT_NE(get(task(plus).options({.max_retries = -2}).remote(1, 2)).error().message().find("max_retries=-2"),
            std::string::npos);
  const auto threads = actor<Account>(1).options({.max_concurrency = 65}).remote();
  EXPECT_NE(threads.refusal()->message().find("max_concurrency=65: between 1 and 64"), std::string::npos);
  EXPECT_FALSE(get(ObjectRef<int>()));
  EXPECT_FALSE(kill(ActorHandle<Account>()));
  const auto twice = init();
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message().find("runs already"), std::string::npos);
}

TEST_F(ApiTest, threads_of_an_actor_run_its_calls_at_once) {
  struct Pair {
    std::atomic<int> inside{0};
    int meet() {
      ++inside;
      while (inside.load() < 2) std::this_thread::yield();
      return inside.load();
    }
  };
  const auto pair = actor<Pair>().options({.max_concurrency = 2}).remote();
  const auto values = get(std::vector{pair.task(&Pair::meet).remote(), pair.task(&Pair::meet).remote()}, 60s);
  ASSERT_TRUE(values) << values.error().to_string();
}

// Functions and methods that know of no runtime, in a library that the program is linked with.
TEST_F(ApiTest, functions_of_shared_libraries_are_tasks_too) {
  EXPECT_EQ(get(task(static_cast<long (*)(long) noexcept>(std::labs)).remote(-5)).value(), 5);
  const auto wrong = get(task(static_cast<long (*)(long) noexcept>(std::labs)).remote(task(checked_half).remote(1)));
  EXPECT_NE(wrong.error().message().find("1 is odd"), std::string::npos);
  const auto text = actor<std::string>("abc").remote();  // its size() may lie in libstdc++, or here
  EXPECT_EQ(
      get(text.task(static_cast<std::size_t (std::string::*)() const noexcept>(&std::string::size)).remote()).value(),
      3u);
}

TEST_F(ApiTest, a_name_of_another_build_is_refused) {
  const auto session = current_session();
  Client& client = client_of(*session);
  const Ref function = put_native(client, "other\n00112233445566778899aabbccddeeff00112233\n10\n").value();
  NativeArguments arguments;
  std::vector<Ref> refs;
  ASSERT_TRUE(client.submit({.function = function}, arguments.payload(), refs));
  const auto value = get(ObjectRef<int>(std::make_shared<const Held>(session, refs[0])));
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message().find("of the build 00112233445566778899aabbccddeeff00112233"), std::string::npos)
      << value.error().message();
  client.process().release(function);
}

TEST_F(ApiTest, a_python_function_without_an_interpreter_says_what_is_missing) {
  shutdown();
  ASSERT_TRUE(init({.num_cpus = 1, .object_store_memory = 64u << 20, .python = "no-such-interpreter"}));
  const auto value = get(py_function<double>("math", "sqrt").remote(2.0), 60s);
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message().find("no-such-interpreter"), std::string::npos) << value.error().message();
  EXPECT_EQ(get(task(plus).remote(1, 2)).value(), 3);  // the others go on
}

TEST(ApiLifeTest, what_is_left_of_an_engine_that_has_ended_is_safe_and_refused) {
  shutdown();  // nothing
  EXPECT_FALSE(is_initialized());
  EXPECT_NE(get(task(plus).remote(1, 2)).error().message().find("daybreak::init()"), std::string::npos);
  ObjectRef<Tensor<int>> ref;
  Tensor<int> tensor;
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(init({.num_cpus = 1, .object_store_memory = 64u << 20}));
    EXPECT_TRUE(is_initialized());
    ref = put(Tensor<int>(std::vector<int>(100'000, round)));
    tensor = get(ref).value();
    shutdown();
    EXPECT_EQ(tensor.values()[99'999], round);
    EXPECT_NE(get(ref).error().message().find("shut down"), std::string::npos);
  }
  EXPECT_FALSE(init({.num_cpus = 5'000}));
  EXPECT_FALSE(init({.num_gpus = -1}));
  EXPECT_FALSE(init({.object_store_memory = 10}));
}

TEST(ApiLifeTest, who_waits_while_the_engine_ends_is_told) {
  ASSERT_TRUE(init({.num_cpus = 1, .object_store_memory = 64u << 20}));
  const auto endless = task([] {
    while (true) pause();
    return 1;
  });
  const auto ref = endless.remote();
  std::atomic<bool> waits{false};
  std::thread waiter([&] {
    waits = true;
    const auto value = get(ref);
    EXPECT_FALSE(value);
  });
  while (!waits) std::this_thread::yield();
  shutdown();
  waiter.join();
}

TEST(ApiLifeTest, a_fork_of_the_driver_is_no_driver) {
  ASSERT_TRUE(init({.num_cpus = 1, .object_store_memory = 64u << 20}));
  const auto ref = put(5);
  const pid_t child = fork();
  if (child == 0) _exit(is_initialized() ? 1 : 0);
  int status = 1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(get(ref).value(), 5);
  shutdown();
}

}  // namespace
}  // namespace daybreak::runtime::cpp
