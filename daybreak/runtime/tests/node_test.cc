// The whole runtime without Python: a node whose workers run C++ functions. This program is its own zygote.
#include "daybreak/runtime/node.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>

#include "daybreak/runtime/native.h"

namespace daybreak::runtime {
namespace {

base::Status add(NativeCall& call) {
  std::int64_t sum = 0;
  DAYBREAK_ASSIGN(const std::vector<NativeValue> arguments, call.arguments());
  for (const NativeValue& value : arguments) sum += std::get<std::int64_t>(value);
  call.set_result(sum);
  return {};
}

base::Status scale(NativeCall& call) {
  DAYBREAK_ASSIGN(const std::vector<NativeValue> arguments, call.arguments());
  const TensorView& in = std::get<TensorView>(arguments[0]);
  double factor = std::get<double>(arguments[1]);
  static std::vector<float> out;
  out.resize(in.data.size() / sizeof(float));
  std::memcpy(out.data(), in.data.data(), in.data.size());
  for (float& x : out) x *= static_cast<float>(factor);
  call.set_result(TensorView{'f', in.shape, std::as_bytes(std::span(out))});
  return {};
}

base::Status die(NativeCall&) {
  raise(SIGKILL);
  return {};
}

base::Status fail_with_reason(NativeCall&) {
  return base::fail(base::Code::kOutOfRange, "seven is too many");
}

base::Status sleep_ms(NativeCall& call) {
  DAYBREAK_ASSIGN(const std::vector<NativeValue> arguments, call.arguments());
  std::this_thread::sleep_for(std::chrono::milliseconds(std::get<std::int64_t>(arguments[0])));
  call.set_result(static_cast<std::int64_t>(getpid()));
  return {};
}

// Submits and awaits a task of its own: more of these than there are CPUs must not deadlock.
base::Status nest(NativeCall& call) {
  DAYBREAK_ASSIGN(const std::vector<NativeValue> given, call.arguments());
  const std::int64_t depth = std::get<std::int64_t>(given[0]);
  if (depth == 0) {
    call.set_result(std::int64_t{0});
    return {};
  }
  Client& client = call.client();
  Ref function = client.process().entry(Client::current_task - 1).part.function;
  NativeArguments arguments;
  arguments.add(depth - 1);
  std::vector<Ref> refs;
  DAYBREAK_TRY(client.submit({.function = function}, arguments.payload(), refs));
  while (client.wait(refs[0], -1) == WaitResult::kInterrupted) {
  }
  auto value = native_value(client, refs[0]);
  client.process().release(refs[0]);
  if (!value) return std::unexpected(std::move(value).error());
  call.set_result(std::get<std::int64_t>(*value) + 1);
  return {};
}

const NativeRegistration registrations[] = {
    {"add", add}, {"scale", scale}, {"die", die}, {"fail", fail_with_reason}, {"sleep_ms", sleep_ms}, {"nest", nest}};

// Before main: in the zygote and its forks nothing of the test program is to run.
bool become_zygote() {
  if (std::getenv("DAYBREAK_TEST_ZYGOTE") == nullptr) return false;
  auto segment = Segment::attach(kZygoteControlFd, kZygoteDataFd);
  if (!segment) _exit(1);
  std::uint32_t proc = run_zygote({[] {}, [] {}, [] {}});
  run_native_worker(**segment, proc);
  _exit(0);
}
const bool is_zygote = become_zygote();

class NodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("DAYBREAK_TEST_ZYGOTE", "1", 1);
    node_ = Node::start({.num_cpus = 2,
                         .num_gpus = 2,
                         .resources = {{"license", 1.0}},
                         .object_store_bytes = 64u << 20,
                         .command = {"/proc/self/exe"}})
                .value();
    unsetenv("DAYBREAK_TEST_ZYGOTE");
  }

  Ref function(std::string_view name) { return put_native(node_->client(), name).value(); }

  Ref submit(Ref f, std::vector<NativeValue> values, TaskSpec spec = {}) {
    NativeArguments arguments;
    for (NativeValue& value : values) arguments.add(value);
    spec.function = f;
    std::vector<Ref> refs;
    EXPECT_TRUE(node_->client().submit(spec, arguments.payload(), refs));
    return refs.at(0);
  }

  base::Result<NativeValue> await(Ref ref) {
    std::int64_t deadline = Client::now_ns() + 30'000'000'000;
    EXPECT_EQ(node_->client().wait(ref, deadline), WaitResult::kDone);
    return native_value(node_->client(), ref);
  }

  std::unique_ptr<Node> node_;
};

TEST_F(NodeTest, functions_in_cpp_run_as_tasks) {
  Ref f = function("add");
  for (std::int64_t i = 0; i < 500; ++i) {
    Ref ref = submit(f, {i, std::int64_t{5}});
    auto value = await(ref);
    ASSERT_TRUE(value) << value.error().to_string();
    EXPECT_EQ(std::get<std::int64_t>(*value), i + 5);
    node_->process().release(ref);
  }
}

TEST_F(NodeTest, raw_tensors_go_in_and_come_out) {
  std::vector<float> in(10'000);
  std::iota(in.begin(), in.end(), 0.0f);
  Ref ref = submit(function("scale"), {TensorView{'f', {100, 100}, std::as_bytes(std::span(in))}, 2.0});
  auto value = await(ref);
  const TensorView& out = std::get<TensorView>(*value);
  EXPECT_EQ(out.shape, (std::vector<std::int64_t>{100, 100}));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(out.data.data()) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<const float*>(out.data.data())[9'999], 19'998.0f);
}

TEST_F(NodeTest, failures_carry_their_reason) {
  auto failed = await(submit(function("fail"), {}));
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message().find("seven is too many"), std::string::npos);
  auto dead = await(submit(function("die"), {}, {.max_retries = 1}));
  ASSERT_FALSE(dead);
  EXPECT_NE(dead.error().message().find("signal 9"), std::string::npos);
  auto unknown = await(submit(function("nowhere"), {}));
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message().find("nowhere"), std::string::npos);
}

TEST_F(NodeTest, nesting_deeper_than_the_cpus_does_not_deadlock) {
  EXPECT_EQ(std::get<std::int64_t>(await(submit(function("nest"), {std::int64_t{20}})).value()), 20);
}

TEST_F(NodeTest, resources_are_granted_in_turns_and_come_back) {
  Client& client = node_->client();
  auto set = client.resource_set({.cpu = 0.5, .gpu = 1, .custom = {{"license", 1}}});
  ASSERT_TRUE(set);
  std::vector<Ref> refs;
  for (int i = 0; i < 4; ++i) refs.push_back(submit(function("sleep_ms"), {std::int64_t{30}}, {.resources = *set}));
  std::int64_t start = Client::now_ns();
  for (Ref ref : refs) EXPECT_TRUE(await(ref));
  EXPECT_GE(Client::now_ns() - start, 100'000'000);  // one license: one at a time
  ResourceTable& table = node_->process().control().resources;
  for (int i = 0; i < 2000 && table.available[2].load() != kResourceUnit; ++i) usleep(1000);
  EXPECT_EQ(table.available[2].load(), kResourceUnit);
  EXPECT_EQ(table.available[1].load(), 2 * kResourceUnit);
  auto greedy = client.resource_set({.cpu = 3});
  EXPECT_FALSE(await(submit(function("add"), {}, {.resources = *greedy})));
  EXPECT_FALSE(client.resource_set({.cpu = 0.00001}));
  EXPECT_FALSE(client.resource_set({.cpu = -1}));
}

TEST_F(NodeTest, threads_of_the_driver_submit_at_once_while_workers_are_killed) {
  Ref f = function("add");
  std::atomic<bool> stop{false};
  std::atomic<int> right{0};
  std::thread killer([&] {
    while (!stop) {
      for (const Node::ProcessInfo& process : node_->processes()) kill(process.pid, SIGKILL);
      // Only when something has been done since: where a worker needs more than that to start (TSan), none would ever
      // come to its first task.
      for (const int before = right; !stop && right == before;) usleep(1000);
      usleep(20'000);
    }
  });
  std::vector<std::thread> threads;
  for (std::int64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (std::int64_t i = 0; i < 100; ++i) {
        NativeArguments arguments;
        arguments.add(t).add(i);
        std::vector<Ref> refs;
        if (!node_->client().submit({.function = f, .max_retries = -1}, arguments.payload(), refs)) continue;
        while (node_->client().wait(refs[0], -1) == WaitResult::kInterrupted) {
        }
        auto value = native_value(node_->client(), refs[0]);
        if (value && std::get<std::int64_t>(*value) == t + i) ++right;
        node_->process().release(refs[0]);
      }
    });
  for (auto& thread : threads) thread.join();
  stop = true;
  killer.join();
  EXPECT_EQ(right.load(), 300);
}

}  // namespace
}  // namespace daybreak::runtime
