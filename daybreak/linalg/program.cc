#include "daybreak/linalg/program.h"

#include <algorithm>

namespace daybreak::linalg {

namespace {

std::unexpected<base::Error> no_value(const char* what) {
  return base::fail(
      base::Code::kInvalidArgument,
      "{} of a tile program has no value: a division by zero, the logarithm of what is not positive, or a "
      "step of 0",
      what);
}

}  // namespace

int Program::add(Step step) {
  const int number = static_cast<int>(steps_.size());
  if (open_.empty()) {
    top_.push_back(number);
  } else {
    Step& around = steps_[static_cast<std::size_t>(open_.back())];
    (around.in_otherwise ? around.otherwise : around.body).push_back(number);
  }
  steps_.push_back(std::move(step));
  return number;
}

void Program::begin_loop(int variable, Expression first, Expression last, Expression step) {
  Step made;
  made.kind = Step::kLoop;
  made.variable = variable;
  made.expressions = {std::move(first), std::move(last), std::move(step)};
  open_.push_back(add(std::move(made)));
}

void Program::begin_if(Expression condition) {
  Step made;
  made.kind = Step::kIf;
  made.expressions = {std::move(condition)};
  open_.push_back(add(std::move(made)));
}

base::Status Program::otherwise() {
  if (open_.empty() || steps_[static_cast<std::size_t>(open_.back())].kind != Step::kIf) {
    return base::fail(base::Code::kInvalidArgument, "an else without an if");
  }
  steps_[static_cast<std::size_t>(open_.back())].in_otherwise = true;
  return {};
}

base::Status Program::end() {
  if (open_.empty()) return base::fail(base::Code::kInvalidArgument, "an end without a beginning");
  open_.pop_back();
  return {};
}

base::Status Program::call(Call call) {
  Way way;
  int loops = 0;
  for (const int step : open_) {
    way.steps.emplace_back(step, steps_[static_cast<std::size_t>(step)].in_otherwise);
    loops += steps_[static_cast<std::size_t>(step)].kind == Step::kLoop;
  }
  if (loops > kMaxVariables) {
    return base::fail(base::Code::kInvalidArgument, "{} loops around one call: at most {}", loops, kMaxVariables);
  }
  Step made;
  made.variable = static_cast<int>(calls_.size());
  way.steps.emplace_back(add(std::move(made)), false);
  calls_.push_back(std::move(call));
  ways_.push_back(std::move(way));
  return {};
}

base::Status Program::walk_steps(const std::vector<int>& steps, std::vector<std::int64_t>& variables,
                                 const std::function<base::Status(int, std::span<const std::int64_t>)>& each) const {
  for (const int number : steps) {
    const Step& step = steps_[static_cast<std::size_t>(number)];
    if (step.kind == Step::kCall) {
      DAYBREAK_TRY(each(step.variable, variables));
    } else if (step.kind == Step::kIf) {
      const auto holds = step.expressions[0].value(variables);
      if (!holds) return no_value("a condition");
      DAYBREAK_TRY(walk_steps(*holds ? step.body : step.otherwise, variables, each));
    } else {
      const auto first = step.expressions[0].value(variables);
      const auto last = step.expressions[1].value(variables);
      const auto by = step.expressions[2].value(variables);
      if (!first || !last || !by || *by == 0) return no_value("a loop's range");
      variables.push_back(0);
      for (std::int64_t v = *first; *by > 0 ? v < *last : v > *last; v += *by) {
        variables.back() = v;
        DAYBREAK_TRY(walk_steps(step.body, variables, each));
      }
      variables.pop_back();
    }
  }
  return {};
}

base::Status Program::walk(const std::function<base::Status(int, std::span<const std::int64_t>)>& each) const {
  std::vector<std::int64_t> variables;
  variables.reserve(kMaxVariables);
  return walk_steps(top_, variables, each);
}

base::Result<std::vector<TileName>> Program::tiles(const Reference& reference,
                                                   std::span<const std::int64_t> variables) const {
  std::vector<TileName> found{{reference.matrix, {}}};
  for (const Index& index : reference.indices) {
    const auto first = index.first.value(variables);
    const auto last = index.last ? index.last->value(variables) : first ? std::optional(*first + 1) : std::nullopt;
    if (!first || !last) return no_value("a tile's index");
    if (*last - *first > kMaxCalls)
      return base::fail(base::Code::kInvalidArgument, "a range of {} tiles", *last - *first);
    std::vector<TileName> longer;
    for (const TileName& name : found) {
      for (std::int64_t at = *first; at < *last; ++at) {
        longer.push_back(name);
        longer.back().indices.push_back(at);
      }
    }
    found = std::move(longer);
  }
  return found;
}

// A walk along the way of one call: each loop either has its variable fixed by an index of the tile that is looked for,
// or is gone through.
struct Program::Search {
  const Program& program;
  const Reference& reference;
  const TileName& tile;
  const Way& way;
  int call;
  std::vector<std::int64_t> variables;
  std::vector<Instance> found;

  // The value that an index demands of variable v when all before it are known and none after it matters.
  std::optional<std::int64_t> fixed(int v, bool& impossible) const {
    for (std::size_t axis = 0; axis < reference.indices.size(); ++axis) {
      const Index& index = reference.indices[axis];
      if (index.last || !index.first.linear()) continue;
      const auto& form = *index.first.linear();
      bool later = false;
      for (int other = v + 1; other < kMaxVariables; ++other) later = later || form.of[other] != 0;
      if (later || form.of[v] == 0) continue;
      std::int64_t rest = tile.indices[axis] - form.constant;
      for (int other = 0; other < v; ++other) rest -= form.of[other] * variables[static_cast<std::size_t>(other)];
      impossible = rest % form.of[v] != 0;
      return rest / form.of[v];
    }
    return std::nullopt;
  }

  bool here() const {
    for (std::size_t axis = 0; axis < reference.indices.size(); ++axis) {
      const Index& index = reference.indices[axis];
      const auto first = index.first.value(variables);
      if (!first) return false;
      const auto last = index.last ? index.last->value(variables) : std::optional(*first + 1);
      if (!last || tile.indices[axis] < *first || tile.indices[axis] >= *last) return false;
    }
    return true;
  }

  base::Status from(std::size_t depth) {
    const auto [number, otherwise] = way.steps[depth];
    const Step& step = program.steps_[static_cast<std::size_t>(number)];
    if (step.kind == Step::kCall) {
      if (here()) found.push_back({call, variables});
      return {};
    }
    if (step.kind == Step::kIf) {
      const auto holds = step.expressions[0].value(variables);
      if (!holds) return no_value("a condition");
      return (*holds != 0) != otherwise ? from(depth + 1) : base::Status{};
    }
    const auto first = step.expressions[0].value(variables);
    const auto last = step.expressions[1].value(variables);
    const auto by = step.expressions[2].value(variables);
    if (!first || !last || !by || *by == 0) return no_value("a loop's range");
    const auto inside = [&](std::int64_t v) {
      return (*by > 0 ? v >= *first && v < *last : v <= *first && v > *last) && (v - *first) % *by == 0;
    };
    bool impossible = false;
    const auto only = fixed(static_cast<int>(variables.size()), impossible);
    if (impossible || (only && !inside(*only))) return {};
    variables.push_back(0);
    for (std::int64_t v = only.value_or(*first); only ? v == *only : inside(v); v += *by) {
      variables.back() = v;
      DAYBREAK_TRY(from(depth + 1));
    }
    variables.pop_back();
    return {};
  }
};

base::Result<std::vector<Instance>> Program::touching(const TileName& tile, int modes) const {
  std::vector<Instance> all;
  for (std::size_t number = 0; number < calls_.size(); ++number) {
    for (const Reference& reference : calls_[number].references) {
      if (reference.matrix != tile.matrix || (static_cast<int>(reference.mode) & modes) == 0) continue;
      if (reference.indices.size() != tile.indices.size()) continue;
      Search search{*this, reference, tile, ways_[number], static_cast<int>(number), {}, {}};
      DAYBREAK_TRY(search.from(0));
      all.insert(all.end(), search.found.begin(), search.found.end());
    }
  }
  std::sort(all.begin(), all.end(), [this](const Instance& a, const Instance& b) { return before(a, b); });
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

bool Program::before(const Instance& a, const Instance& b) const {
  const Way& way_a = ways_[static_cast<std::size_t>(a.call)];
  const Way& way_b = ways_[static_cast<std::size_t>(b.call)];
  std::size_t loop = 0;
  for (std::size_t depth = 0; depth < std::min(way_a.steps.size(), way_b.steps.size()); ++depth) {
    const auto [step_a, else_a] = way_a.steps[depth];
    const auto [step_b, else_b] = way_b.steps[depth];
    // Steps are numbered in the order of the text.
    if (step_a != step_b) return step_a < step_b;
    if (steps_[static_cast<std::size_t>(step_a)].kind == Step::kLoop) {
      if (a.variables[loop] != b.variables[loop]) {
        std::vector<std::int64_t> outer(a.variables.begin(), a.variables.begin() + static_cast<std::ptrdiff_t>(loop));
        const auto by = steps_[static_cast<std::size_t>(step_a)].expressions[2].value(outer);
        return (a.variables[loop] < b.variables[loop]) == (by.value_or(1) > 0);
      }
      ++loop;
    }
    if (else_a != else_b) return else_b;
  }
  return false;
}

base::Result<std::vector<Instance>> Program::parents(const Instance& instance) const {
  std::vector<Instance> all;
  for (const Reference& reference : calls_[static_cast<std::size_t>(instance.call)].references) {
    if (reference.mode == Mode::kWrite) continue;
    DAYBREAK_ASSIGN(const auto names, tiles(reference, instance.variables));
    for (const TileName& name : names) {
      DAYBREAK_ASSIGN(const auto writers, touching(name, static_cast<int>(Mode::kWrite)));
      const Instance* last = nullptr;
      for (const Instance& writer : writers) {
        if (before(writer, instance)) last = &writer;
      }
      if (last != nullptr) all.push_back(*last);
    }
  }
  std::sort(all.begin(), all.end(), [this](const Instance& a, const Instance& b) { return before(a, b); });
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

base::Result<std::vector<Instance>> Program::children(const Instance& instance) const {
  std::vector<Instance> all;
  for (const Reference& reference : calls_[static_cast<std::size_t>(instance.call)].references) {
    if (reference.mode == Mode::kRead) continue;
    DAYBREAK_ASSIGN(const auto names, tiles(reference, instance.variables));
    for (const TileName& name : names) {
      DAYBREAK_ASSIGN(const auto readers, touching(name, static_cast<int>(Mode::kRead)));
      DAYBREAK_ASSIGN(const auto writers, touching(name, static_cast<int>(Mode::kWrite)));
      const auto next = std::find_if(writers.begin(), writers.end(),
                                     [&](const Instance& writer) { return before(instance, writer); });
      for (const Instance& reader : readers) {
        if (before(instance, reader) && (next == writers.end() || !before(*next, reader))) all.push_back(reader);
      }
    }
  }
  std::sort(all.begin(), all.end(), [this](const Instance& a, const Instance& b) { return before(a, b); });
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace daybreak::linalg
