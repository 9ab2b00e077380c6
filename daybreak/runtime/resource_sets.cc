// What a task asks for, as a number that it carries: amounts, its environment, its placement group.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <span>
#include <tuple>

#include "daybreak/runtime/client.h"
#include "daybreak/runtime/robust_guard.h"

namespace daybreak::runtime {

namespace {

constexpr double kMaxAmount = 1e9, kMaxMemoryBytes = 1e14;  // in kResourceUnit it fits 63 bits

base::Result<std::int64_t> units(std::string_view name, double amount) {
  const double most = name == "memory" ? kMaxMemoryBytes : kMaxAmount;
  if (!(amount >= 0) || amount > most)
    return base::fail(base::Code::kInvalidArgument, "{}={} is not an amount: it must be a number between 0 and {:g}",
                      name, amount, most);
  double scaled = amount * kResourceUnit;
  if (std::abs(scaled - std::round(scaled)) > 1e-3)
    return base::fail(base::Code::kInvalidArgument, "{}={} is finer than 1/{}: round it", name, amount, kResourceUnit);
  return static_cast<std::int64_t>(std::llround(scaled));
}

// Under the lock of names. `names` commits.
base::Result<std::uint32_t> number_of_resource(ResourceTable& table, std::string_view name) {
  const std::uint64_t hash = std::hash<std::string_view>()(name);
  const std::uint32_t names = table.names.load();
  const auto known =
      table.name_index.find(hash, [&](std::uint32_t id) { return id < names && name == table.name[id]; });
  if (known) return *known;
  if (names == kMaxResourceNames)
    return base::fail(base::Code::kUnavailable,
                      "resource '{}': {} names of resources are in use, more are not possible in one runtime", name,
                      kMaxResourceNames);
  if (name.empty() || name.size() >= kResourceNameBytes || name.find('\0') != name.npos)
    return base::fail(base::Code::kInvalidArgument, "resource '{}': a name has 1 to {} bytes, none of them NUL", name,
                      kResourceNameBytes - 1);
  std::memcpy(table.name[names], name.data(), name.size());
  table.name[names][name.size()] = 0;
  table.name_index.add(hash, names);
  table.names.store(names + 1);
  return names;
}

std::uint64_t hash_of_set(const ResourceSet& set, std::span<const Amount> custom) {
  std::uint64_t hash = 0;
  auto mix = [&](auto value) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 32;
  };
  mix(set.cpu), mix(set.gpu), mix(set.environment), mix(set.group), mix(set.bundle), mix(set.capture);
  for (const Amount& each : custom) mix(each.name), mix(each.units);
  return hash;
}

bool is_same_set(const ResourceSet& a, const ResourceSet& b) {
  auto fields = [](const ResourceSet& s) {
    return std::tuple(s.cpu, s.gpu, s.environment, s.group, s.bundle, s.capture);
  };
  return fields(a) == fields(b);
}

}  // namespace

// Process + 1 of the attached driver that this process is or works for; 0: the engine's own.
std::uint32_t Client::own_driver() {
  const ProcSlot& slot = p_.slot();
  if (slot.kind == ProcKind::kDriver) return p_.id() >= kFirstProc ? p_.id() + 1 : 0;
  return p_.control().resources.driver_of(slot.environment);
}

// Of a driver that has left, and in which nothing is any more: no process, no actor, no task that is not done. The caller
// has the lock of names. kNone: there is none.
std::uint32_t Client::disused_environment() {
  Control& control = p_.control();
  const ResourceTable& table = control.resources;
  std::vector<bool> used(kMaxEnvironments);
  for (std::uint32_t i = 0; i < kMaxEnvironments; ++i) used[i] = !table.driver_is_gone(i + 1);
  auto use = [&](std::uint32_t environment) {
    if (environment != 0) used[environment - 1] = true;
  };
  for (const ProcSlot& slot : std::span(control.proc, p_.procs_used()))
    if (slot.status.load() != ProcStatus::kFree) use(slot.environment);
  p_.for_each_entry([&](std::uint32_t index) {
    Entry& e = p_.entry(index);
    const Kind kind = e.kind_now();
    if (kind == Kind::kActorCreate || (kind == Kind::kTask && !e.load().done()))
      use(table.set[e.part.resources].environment);
  });
  const auto found = std::ranges::find(used, false);
  return found == used.end() ? kNone : static_cast<std::uint32_t>(found - used.begin());
}

base::Result<std::uint16_t> Client::environment(std::string_view text) {
  if (text.size() >= kEnvironmentBytes)
    return base::fail(base::Code::kInvalidArgument,
                      "runtime_env: its description takes {} bytes, at most {} are possible: shorten the variables",
                      text.size(), kEnvironmentBytes - 1);
  ResourceTable& table = p_.control().resources;
  RobustGuard guard(p_, p_.control().names_lock);
  const std::uint32_t count = table.environments.load();
  for (std::uint32_t i = 0; i < count; ++i)
    if (text == table.environment[i] && table.driver[i].load() == own_driver())
      return static_cast<std::uint16_t>(i + 1);
  const std::uint32_t at = count < kMaxEnvironments ? count : disused_environment();
  if (at == kNone)
    return base::fail(base::Code::kUnavailable,
                      "{} different runtime_envs are in use, more are not possible in one runtime", kMaxEnvironments);
  std::memcpy(table.environment[at], text.data(), text.size());
  table.environment[at][text.size()] = 0;
  table.driver[at].store(own_driver());
  if (at == count) table.environments.store(count + 1);
  return static_cast<std::uint16_t>(at + 1);
}

// Names, amounts and sets are read without the lock, as many as the counts say: a count goes up when what it counts is
// written.
base::Result<std::uint16_t> Client::resource_set(const Resources& resources) {
  ResourceSet set{};
  set.environment = resources.environment;
  set.group = resources.group;
  set.bundle = resources.group != 0 ? resources.bundle : 0;
  set.capture = resources.capture ? 1 : 0;
  DAYBREAK_ASSIGN(set.cpu, units("num_cpus", resources.cpu));
  DAYBREAK_ASSIGN(set.gpu, units("num_gpus", resources.gpu));
  ResourceTable& table = p_.control().resources;
  RobustGuard guard(p_, p_.control().names_lock);
  std::vector<Amount> custom;
  for (const auto& [name, amount] : resources.custom) {
    DAYBREAK_ASSIGN(const std::int64_t value, units(name, amount));
    if (value == 0) continue;
    DAYBREAK_ASSIGN(const std::uint32_t number, number_of_resource(table, name));
    custom.push_back({number, value});
  }
  std::ranges::sort(custom, {}, &Amount::name);
  const std::uint64_t hash = hash_of_set(set, custom);
  const std::uint32_t sets = table.sets.load(), amounts = table.amounts.load();
  const auto known = table.set_index.find(hash, [&](std::uint32_t id) {
    return id < sets && is_same_set(table.set[id], set) && std::ranges::equal(table.custom(table.set[id]), custom);
  });
  if (known) return static_cast<std::uint16_t>(*known);
  if (sets == kMaxResourceSets)
    return base::fail(
        base::Code::kUnavailable,
        "{} different combinations of resources are in use, more are not possible: use the same amounts, or "
        "the same placement groups, again",
        kMaxResourceSets);
  if (custom.size() > kMaxAmounts - amounts)
    return base::fail(
        base::Code::kUnavailable,
        "{} custom resources asked of one task: the combinations in use have {} of them together, at most {} "
        "are possible in one runtime",
        custom.size(), amounts, kMaxAmounts);
  set.first = amounts;
  set.count = static_cast<std::uint32_t>(custom.size());
  std::ranges::copy(custom, table.amount + amounts);
  table.amounts.store(amounts + set.count);
  table.set[sets] = set;
  table.set_index.add(hash, sets);
  table.sets.store(sets + 1);
  return static_cast<std::uint16_t>(sets);
}

base::Status Client::set_resource_total(std::string_view name, double amount) {
  DAYBREAK_ASSIGN(const std::int64_t total, units(name, amount));
  ResourceTable& table = p_.control().resources;
  RobustGuard guard(p_, p_.control().names_lock);
  DAYBREAK_ASSIGN(const std::uint32_t number, number_of_resource(table, name));
  table.total[number] = total;
  table.available[number] = total;
  return {};
}

}  // namespace daybreak::runtime
