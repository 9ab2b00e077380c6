// Placement groups and environments: what of the binding is theirs.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "daybreak/runtime/python/common.h"

namespace nb = nanobind;

namespace daybreak::runtime::python {

[[noreturn]] void throw_error(const base::Error& error);
Client& client_or_throw();
Client& running_client();

// The set as a dict of names and amounts.
nb::dict amounts(const ResourceTable& table, const ResourceSet& set) {
  nb::dict result;
  if (set.cpu > 0) result["CPU"] = static_cast<double>(set.cpu) / kResourceUnit;
  if (set.gpu > 0) result["GPU"] = static_cast<double>(set.gpu) / kResourceUnit;
  for (const auto [name, units] : table.custom(set))
    result[table.name[name]] = static_cast<double>(units) / kResourceUnit;
  return result;
}

namespace {

// Placement groups. One is known by its slot and its entry: (slot, generation, index).

Client::Group group_of(nb::tuple id) {
  Client::Group group{.ready = {.index = nb::cast<std::uint32_t>(id[2]), .generation = nb::cast<std::uint32_t>(id[1])},
                      .slot = nb::cast<std::uint32_t>(id[0])};
  if (group.slot >= kMaxGroups || group.ready.index >= kMaxObjects)
    throw nb::value_error("this placement group is of another runtime");
  return group;
}

nb::object group_found(const Client::Group& group) {
  nb::object ref = nb::steal(make_object_ref(group.ready));
  return nb::make_tuple(nb::make_tuple(group.slot, group.ready.generation, group.ready.index), ref);
}

// Its id, and the reference to what _start_group gives it.
nb::object reserve_group(const std::vector<std::uint16_t>& bundles, std::uint32_t strategy, bool detached,
                         const std::string& name) {
  State& s = state();
  auto group = client_or_throw().reserve_group({.bundles = bundles,
                                                .strategy = strategy,
                                                .creator = s.in_actor ? s.actor_slot + 1 : 0,
                                                .detached = detached,
                                                .name = name});
  if (!group) throw_error(group.error());
  return group_found(*group);
}

void start_group(nb::tuple id, nb::handle value) {
  Encoder encoder;
  if (!encoder.item(value.ptr())) throw nb::python_error();
  Client& client = running_client();
  const Client::Group group = group_of(id);
  const Payload& payload = encoder.finish(kCodecItem);
  auto started = [&] {
    nb::gil_scoped_release released;
    return client.start_group(group, payload);
  }();
  if (!started) throw_error(started.error());
}

nb::object find_group(const std::string& name) {
  auto group = client_or_throw().find_group(name);
  if (!group) throw_error(group.error());
  return group_found(*group);
}

// The reference to its value, None when it is removed.
nb::object hold_group(nb::tuple id) {
  std::optional<Ref> ref = client_or_throw().hold_group(group_of(id));
  return ref ? nb::steal(make_object_ref(*ref)) : nb::none();
}

// Those that are there and the last that were removed: (id, status, strategy, bundles, name).
nb::list groups() {
  Control& control = client_or_throw().process().control();
  nb::list result;
  for (std::uint32_t slot = 0; slot < kMaxGroups; ++slot) {
    const PlacementGroup& group = control.group[slot];
    const GroupStatus status = group.status.load();
    if (status == GroupStatus::kFree || status == GroupStatus::kReserved) continue;
    nb::list bundles;
    for (std::uint32_t i = 0; i < group.bundles; ++i)
      bundles.append(amounts(control.resources, control.resources.set[group.bundle[i]]));
    result.append(nb::make_tuple(nb::make_tuple(slot, group.ready.generation, group.ready.index),
                                 static_cast<std::uint32_t>(status), group.strategy, bundles, std::string(group.name)));
  }
  return result;
}

// Slot + 1 of the placement group that whatever runs here submits into, unless it says otherwise; 0: none.
std::uint32_t captured_group() {
  State& s = state();
  if (s.binding == s.session) return 0;
  return static_cast<std::uint32_t>(s.binding ^ s.session);
}

std::uint16_t environment(const std::string& text) {
  auto number = client_or_throw().environment(text);
  if (!number) throw_error(number.error());
  return *number;
}

// Maps the segment whose descriptors this process was started with.
void attach() {
  auto segment = Segment::attach(kZygoteControlFd, kZygoteDataFd);
  if (!segment) throw_error(segment.error());
  state().segment = std::move(*segment);
}

// The text of the environment that the process in this slot is to have; empty: as the zygote's.
std::string environment_text(std::uint32_t proc) {
  const Control& control = state().segment->control();
  const std::uint32_t number = proc < kMaxProcs ? control.proc[proc].environment.load() : 0;
  return number == 0 ? "" : control.resources.environment[number - 1];
}

}  // namespace

void bind_groups(nb::module_& m) {
  m.def("_environment", environment, nb::arg("text"));
  m.def("_reserve_group", reserve_group, nb::arg("bundles"), nb::arg("strategy"), nb::arg("detached"), nb::arg("name"));
  m.def("_start_group", start_group, nb::arg("id"), nb::arg("value"));
  m.def("_find_group", find_group, nb::arg("name"));
  m.def("_hold_group", hold_group, nb::arg("id"));
  m.def("_remove_group", [](nb::tuple id) { client_or_throw().remove_group(group_of(id)); }, nb::arg("id"));
  m.def("_groups", groups);
  m.def("_captured_group", captured_group);
  m.def("_attach", attach);
  m.def("_environment_text", environment_text, nb::arg("proc"));
}

}  // namespace daybreak::runtime::python
