// A C++ program that calls Python, for test_cpp.py: says what it got, line by line.
#include <daybreak/runtime/api.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <map>
#include <string>
#include <vector>

namespace {

template <typename T>
void say(std::string_view what, const daybreak::Result<T>& value) {
  if (value)
    fmt::print("{}: {}\n", what, *value);
  else
    fmt::print("{}: error {}: {}\n", what, static_cast<int>(value.error().code()), value.error().message());
}

using Text = std::string;

void functions() {
  using daybreak::get, daybreak::py_function;
  say("number", get(py_function<double>("math", "sqrt").remote(2.25)));
  say("nested",
      get(py_function<std::vector<std::vector<Text>>>("json", "loads").remote("[[\"a\"], [], [\"b\", \"c\"]]")));
  say("dict", get(py_function<std::map<Text, std::map<Text, int>>>("json", "loads").remote("{\"x\": {\"y\": 1}}")));
  Text long_text = "[3";
  for (int i = 1; i < 1'000; ++i) long_text += ", 3";
  const auto long_list = get(py_function<std::vector<std::int64_t>>("json", "loads").remote(long_text + "]"));
  say("long", daybreak::Result<std::size_t>(long_list ? long_list->size() : 0));
  say("sum of an array", get(py_function<double>("numpy", "sum").remote(std::vector<double>(200'000, 0.5))));
  say("array", get(py_function<std::vector<double>>("numpy", "ones").remote(3)));
  say("raises", get(py_function<int>("json", "loads").remote("{")));
  say("pickled", get(py_function<std::vector<int>>("builtins", "set").remote(std::vector<Text>{"a"})));
  say("no module", get(py_function<int>("no_such_module", "f").remote()));
  say("no function", get(py_function<int>("math", "no_such_function").remote()));
  say("other type", get(py_function<int>("builtins", "str").remote(5)));
  // The reference of one is the argument of the other, across the languages.
  const auto seven =
      daybreak::task([](int x) { return x + 1; }).remote(py_function<int>("builtins", "int").remote("6"));
  say("chain", get(py_function<Text>("builtins", "str").remote(seven)));
}

void actors() {
  using daybreak::get;
  const auto deque =
      daybreak::py_actor_class("collections", "deque").options({.name = "letters"}).remote(std::vector<Text>{"a"});
  for (const char* letter : {"b", "a"}) deque.task<void>("append").remote(letter);
  say("count", get(deque.task<int>("count").remote("a")));
  say("no method", get(deque.task<int>("no_such_method").remote()));
  say("from a task of C++", get(daybreak::task([] {
                                  return get(daybreak::py_function<int>("builtins", "len").remote("four")).value();
                                }).remote()));
}

}  // namespace

int main() {
  if (auto started = daybreak::init({.num_cpus = 2, .object_store_memory = 256u << 20}); !started) {
    fmt::print("{}\n", started.error().to_string());
    return 1;
  }
  functions();
  actors();
  daybreak::shutdown();
}
