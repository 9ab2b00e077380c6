#include "daybreak/grant/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bitset>
#include <random>

namespace daybreak::grant {
namespace {

using Cells = std::vector<std::string>;

// Another way to decide what a pattern matches: a nondeterministic automaton, one state behind each cell.
bool automaton_matches(const Cells& pattern, const Cells& resource) {
  std::vector<bool> states(pattern.size() + 1);
  const auto close = [&] {
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (states[i] && pattern[i] == "*") states[i + 1] = true;
    }
  };
  states[0] = true;
  close();
  for (const std::string& cell : resource) {
    std::vector<bool> next(states.size());
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (!states[i]) continue;
      if (pattern[i] == "*") next[i] = true;
      if (pattern[i] == "+" || pattern[i] == cell) next[i + 1] = true;
    }
    states = next;
    close();
  }
  return states.back();
}

void words(const Cells& alphabet, std::size_t max_cells, std::vector<Cells>& out) {
  out.push_back({});
  for (std::size_t begin = 0, size = 0; size < max_cells; ++size) {
    const std::size_t end = out.size();
    for (; begin < end; ++begin) {
      for (const std::string& cell : alphabet) {
        Cells longer = out[begin];
        longer.push_back(cell);
        out.push_back(std::move(longer));
      }
    }
  }
}

std::string joined(const Cells& cells) {
  std::string out;
  for (const std::string& cell : cells) out += (out.empty() ? "" : "/") + cell;
  return out;
}

TEST(Pattern, contains_exactly_what_an_automaton_says_over_all_small_patterns) {
  std::vector<Cells> resources, patterns;
  words({"a", "b", "c"}, 6, resources);  // 6: three cells before a '*' and three behind it; c: in no pattern
  words({"a", "b", "+", "*"}, 3, patterns);
  std::erase_if(patterns, [](const Cells& cells) { return cells.empty() || std::ranges::count(cells, "*") > 1; });
  std::vector<Pattern> parsed;
  std::vector<std::bitset<1093>> matched;
  for (const Cells& cells : patterns) {
    parsed.push_back(*Pattern::parse(joined(cells)));
    auto& bits = matched.emplace_back();
    for (std::size_t i = 0; i < resources.size(); ++i) bits[i] = automaton_matches(cells, resources[i]);
  }
  ASSERT_EQ(resources.size(), 1093u);
  ASSERT_EQ(patterns.size(), 73u);
  int over = 0, under = 0, inside = 0;
  for (std::size_t a = 0; a < parsed.size(); ++a) {
    for (std::size_t b = 0; b < parsed.size(); ++b) {
      const bool truth = (matched[b] & ~matched[a]).none();
      inside += truth;
      over += parsed[a].contains(parsed[b]) && !truth;
      under += !parsed[a].contains(parsed[b]) && truth;
    }
  }
  EXPECT_EQ(over, 0);
  EXPECT_EQ(under, 0);
  EXPECT_GT(inside, 73);  // the test sees both answers
}

TEST(Pattern, contains_a_resource_exactly_when_an_automaton_matches_it_at_random) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const Cells alphabet = {"a", "b", "a", "b", "+", "*"};
  for (int round = 0; round < 20'000; ++round) {
    Cells pattern, resource;
    for (std::size_t i = 1 + random() % kMaxCells; i > 0; --i) {
      std::string cell = alphabet[random() % alphabet.size()];
      if (cell == "*" && std::ranges::count(pattern, "*") > 0) cell = "+";
      pattern.push_back(cell);
    }
    for (const std::string& cell : pattern) {  // near the pattern, so that it often matches
      for (std::size_t n = cell == "*" ? random() % 3 : random() % 10 > 0; n > 0; --n) {
        resource.push_back(cell == "*" || cell == "+" || random() % 10 == 0 ? alphabet[random() % 2] : cell);
      }
    }
    if (resource.empty() || resource.size() > kMaxCells) continue;
    EXPECT_EQ(Pattern::parse(joined(pattern))->contains(*Pattern::parse(joined(resource))),
              automaton_matches(pattern, resource))
        << joined(pattern) << " | " << joined(resource);
  }
}

TEST(Pattern, refuses_what_is_outside_its_alphabet_and_limits) {
  for (const char* bad : {"", "/", "a/", "/a", "a//b", "*/*", "a/*/b/*", "a+", "a*", "++", "**", "ä", "a b", "a\n",
                          "a%2f", "a/?/b", "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"}) {
    const auto parsed = Pattern::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code(), base::Code::kInvalidArgument);
  }
  EXPECT_FALSE(Pattern::parse(std::string_view("a\0b", 3)));
  EXPECT_FALSE(Pattern::parse(std::string(kMaxPatternBytes + 1, 'a')));
  EXPECT_TRUE(Pattern::parse(std::string(kMaxPatternBytes, 'a')));
  EXPECT_TRUE(Pattern::parse("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16"));
  EXPECT_TRUE(Pattern::parse("A-Za-z0-9-_,()./+/*"));
}

TEST(Pattern, refuses_empty_cells_and_those_that_are_steps_in_a_tree) {
  for (const std::string step : {".", "..", ""}) {
    for (const std::string& text : {step, "a/" + step, step + "/a", "a/" + step + "/b", "a/*/" + step, "+/" + step}) {
      EXPECT_FALSE(Pattern::parse(text)) << text;
      EXPECT_FALSE(Statement::make({"predict"}, text)) << text;
      EXPECT_FALSE(Pair::make("predict", text)) << text;
    }
    EXPECT_FALSE(check_permission(step));
  }
  for (const char* text : {"a/...", "a/.b", "a/b.", "a/..b", "v1.2"}) EXPECT_TRUE(Pattern::parse(text)) << text;
}

TEST(Pattern, knows_a_plain_resource) {
  EXPECT_TRUE(Pattern::parse("a/b")->is_literal());
  EXPECT_FALSE(Pattern::parse("a/+")->is_literal());
  EXPECT_FALSE(Pattern::parse("*")->is_literal());
}

TEST(Policy, is_a_set_and_its_hash_names_it) {
  const auto pair = [](const char* permission, const char* resource) {
    return Pair::make(permission, resource).value();
  };
  const auto one = *Policy::make({pair("read", "a"), pair("write", "b"), pair("read", "a")});
  const auto other = *Policy::make({pair("write", "b"), pair("read", "a")});
  EXPECT_EQ(one.pairs().size(), 2u);
  EXPECT_EQ(one.hash(), other.hash());
  EXPECT_NE(one.hash(), Policy::make({pair("read", "a")})->hash());
  EXPECT_FALSE(Policy::make({}));
  std::vector<Pair> many;
  for (std::size_t i = 0; i < kMaxPairs; ++i) many.push_back(pair("read", std::to_string(i).c_str()));
  EXPECT_TRUE(Policy::make(many));
  many.push_back(pair("read", "x"));
  EXPECT_FALSE(Policy::make(many));
}

TEST(Statement, set_is_canonical_and_bounded) {
  const auto make = [](std::vector<std::string> permissions, const char* resource) {
    return Statement::make(std::move(permissions), resource).value();
  };
  const auto merged = *canonical({make({"write", "read"}, "b"), make({"x"}, "a"), make({"read", "admin"}, "b")});
  ASSERT_EQ(merged.size(), 2u);
  EXPECT_EQ(merged[0].resource.text(), "a");
  EXPECT_EQ(merged[1].permissions, (std::vector<std::string>{"admin", "read", "write"}));
  EXPECT_FALSE(canonical({}));
  EXPECT_FALSE(Statement::make({}, "a"));
  EXPECT_FALSE(Statement::make({""}, "a"));
  EXPECT_FALSE(Statement::make({"a/b"}, "a"));
  EXPECT_FALSE(Statement::make({std::string(kMaxPermissionBytes + 1, 'a')}, "a"));
  std::vector<Statement> many;
  for (std::size_t i = 0; i < kMaxStatements; ++i)
    many.push_back(make({"a", "b", "c", "d"}, std::to_string(i).c_str()));
  EXPECT_TRUE(canonical(many));  // 64 pairs
  many[0] = make({"a", "b", "c", "d", "e"}, "0");
  EXPECT_FALSE(canonical(many));
  many[0] = make({"a"}, "0");
  many.push_back(make({"a"}, "x"));
  EXPECT_FALSE(canonical(many));
}

}  // namespace
}  // namespace daybreak::grant
