// Core and AdminRequest for Python.
#include "daybreak/serve/core.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "daybreak/base/bind.h"
#include "daybreak/base/json.h"
#include "daybreak/serve/report.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace daybreak::serve {
namespace {

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::clamp(seconds, 0.0, 1e6) * 1000));
}

// The struct in a capsule, or in the capsule that `method()` of an object gives. The capsule is kept in `hold`.
template <typename Struct>
const Struct* capsule_of(const nb::object& object, const char* name, const char* method, nb::object& hold) {
  hold = PyCapsule_CheckExact(object.ptr()) ? object
         : nb::hasattr(object, method)      ? object.attr(method)()
                                            : nb::object();
  if (!hold.is_valid() || !PyCapsule_IsValid(hold.ptr(), name))
    base::raise(base::Error(base::Code::kInvalidArgument,
                            fmt::format("a capsule '{}' or an object with {}() expected", name, method)));
  return static_cast<const Struct*>(PyCapsule_GetPointer(hold.ptr(), name));
}

std::shared_ptr<Gate> gate_of(const std::optional<nb::object>& object) {
  if (!object || object->is_none()) return nullptr;
  nb::object hold;
  const auto* gate = capsule_of<daybreak_gate_v1>(*object, DAYBREAK_GATE_V1, "__daybreak_gate_v1__", hold);
  return base::value_or_raise(Gate::hold(gate));
}

std::uint16_t port_of(int port) {
  if (port < 0 || port > 65535)
    base::raise(base::Error(base::Code::kInvalidArgument, fmt::format("port {}: 0 (any) to 65535", port)));
  return static_cast<std::uint16_t>(port);
}

using SiteFiles = std::map<std::string, std::pair<std::string, nb::bytes>>;

std::unique_ptr<Core> start_core(const std::string& host, int query_port, int admin_port, int metrics_port,
                                 const std::string& admin_token,
                                 const std::optional<std::pair<std::string, std::string>>& tls,
                                 const std::vector<std::string>& hosts, const std::vector<std::string>& origins,
                                 const SiteFiles& site, const std::map<std::string, std::string>& site_headers,
                                 int threads, std::size_t body_bytes, const std::string& server_id,
                                 const std::optional<nb::object>& deploy_gate, bool access_log) {
  CoreOptions options;
  options.host = host;
  options.query_port = port_of(query_port);
  options.admin_port = port_of(admin_port);
  options.metrics_port = port_of(metrics_port);
  options.admin_token = admin_token;
  if (tls) options.tls = net::TlsOptions{tls->first, tls->second};
  options.hosts = hosts;
  options.origins = origins;
  for (const auto& [path, file] : site)
    options.query.site[path] = {file.first, std::string(file.second.c_str(), file.second.size())};
  options.query.site_headers = site_headers;
  options.query.server_id = server_id;
  options.threads = threads;
  options.body_bytes = body_bytes;
  options.deploy_gate = gate_of(deploy_gate);
  options.access_log = access_log;
  const nb::gil_scoped_release release;
  auto core = Core::start(std::move(options));
  if (!core) {
    const nb::gil_scoped_acquire acquire;
    base::raise(core.error());
  }
  return std::move(*core);
}

// Runs without the GIL; raises what went wrong with it.
template <typename F>
auto without_gil(F&& what) {
  auto result = [&] {
    const nb::gil_scoped_release release;
    return what();
  }();
  return base::value_or_raise(std::move(result));
}

class AdminRequest {
 public:
  explicit AdminRequest(std::shared_ptr<net::Exchange> exchange) : exchange_(std::move(exchange)) {}
  const net::Request& request() const { return exchange_->request(); }
  void respond(int status, const std::string& content_type, const nb::bytes& body) {
    exchange_->respond({status, content_type, std::string(body.c_str(), body.size()), {}});
  }

 private:
  std::shared_ptr<net::Exchange> exchange_;
};

nb::list replica_list(Core& core) {
  std::vector<ReplicaInfo> all;
  {
    const nb::gil_scoped_release release;
    for (const auto& model : core.apps().models()) {
      for (ReplicaInfo& info : model->replicas()) all.push_back(std::move(info));
    }
  }
  nb::list list;
  for (const ReplicaInfo& info : all) {
    nb::dict dict;
    dict["id"] = info.id;
    dict["model"] = info.model;
    dict["version"] = info.version;
    dict["kind"] = info.native ? "native" : "process";
    dict["state"] = std::string(replica_state_name(info.state));
    dict["pid"] = info.pid;
    dict["batches"] = info.batches;
    dict["last_error"] = info.last_error;
    dict["under_way"] = info.under_way;
    list.append(std::move(dict));
  }
  return list;
}

void bind_registry(nb::class_<Core>& cls) {
  cls.def(
         "add_app",
         [](Core& self, const std::string& name, const std::string& input_type,
            const std::optional<std::string>& default_output, std::int64_t slo_us, const std::string& overload,
            const std::optional<nb::object>& gate) {
           if (overload != "default" && overload != "503")
             base::raise(
                 base::Error(base::Code::kInvalidArgument, fmt::format("overload='{}': 'default' or '503'", overload)));
           const AppOptions options{name, input_type, default_output, slo_us, overload == "503", gate_of(gate)};
           without_gil([&] { return self.apps().add(options); });
         },
         "name"_a, nb::kw_only(), "input_type"_a, "default_output"_a.none(), "slo_us"_a, "overload"_a = "default",
         "gate"_a = nb::none(), "AlreadyExistsError; InvalidArgumentError for a bad name, type or time.")
      .def(
          "delete_app",
          [](Core& self, const std::string& name) { without_gil([&] { return self.apps().remove(name); }); }, "name"_a,
          "NotFoundError when there is none.")
      .def(
          "link",
          [](Core& self, const std::string& app, const std::string& model) {
            without_gil([&] { return self.apps().link(app, model); });
          },
          "app"_a, "model"_a)
      .def(
          "unlink",
          [](Core& self, const std::string& app, const std::string& model) {
            without_gil([&] { return self.apps().unlink(app, model); });
          },
          "app"_a, "model"_a)
      .def(
          "add_version",
          [](Core& self, const std::string& model, const std::string& version, const std::string& input_type,
             int batch_size, const std::string& lineage) {
            if (batch_size != -1 && (batch_size < 1 || batch_size > static_cast<int>(kMaxBatch)))
              base::raise(base::Error(base::Code::kInvalidArgument,
                                      fmt::format("batch_size={}: 1 to {}, or -1 (adaptive)", batch_size, kMaxBatch)));
            if (lineage.size() > (64u << 10))
              base::raise(base::Error(base::Code::kInvalidArgument,
                                      fmt::format("lineage of {} bytes: at most 65536", lineage.size())));
            base::value_or_raise(base::parse_json(lineage));
            VersionConfig config;
            config.name = version;
            config.input_type = base::value_or_raise(parse_input_type(input_type));
            config.batch_size = batch_size < 0 ? 0 : static_cast<std::uint32_t>(batch_size);
            config.lineage = lineage;
            without_gil([&] { return self.apps().add_version(model, std::move(config)); });
          },
          "model"_a, "version"_a, nb::kw_only(), "input_type"_a, "batch_size"_a = -1, "lineage"_a = "null",
          "Not current by itself. AlreadyExistsError; InvalidArgumentError when the type is another than the model's.")
      .def(
          "delete_version",
          [](Core& self, const std::string& model, const std::string& version) {
            without_gil([&] { return self.apps().delete_version(model, version); });
          },
          "model"_a, "version"_a, "FailedPreconditionError while it has replicas.")
      .def(
          "set_current",
          [](Core& self, const std::string& model, const std::string& version) {
            without_gil([&] { return self.apps().set_current(model, version); });
          },
          "model"_a, "version"_a, "Requests that come from now on, and those that wait, go there.");
}

void bind_replicas(nb::class_<Core>& cls) {
  cls.def(
         "add_native_replica",
         [](Core& self, const std::string& model, const std::string& version, const nb::object& native) {
           nb::object hold;
           const auto* held = capsule_of<daybreak_model_v1>(native, DAYBREAK_MODEL_V1, "__daybreak_model_v1__", hold);
           return without_gil([&] { return self.replicas().add_native(model, version, held); });
         },
         "model"_a, "version"_a, "native"_a, "A thread of this process. Returns its id.")
      .def(
          "add_channel",
          [](Core& self, const std::string& model, const std::string& version) {
            const Replicas::Channel channel = without_gil([&] { return self.replicas().add_process(model, version); });
            return nb::make_tuple(channel.id, channel.address);
          },
          "model"_a, "version"_a, nb::sig("def add_channel(self, model: str, version: str) -> tuple[int, str]"),
          "A replica that another process will be: its id, and the address for replica_attach(), a secret that is good "
          "once.")
      .def(
          "remove_replica",
          [](Core& self, std::uint64_t id, double drain_s) {
            const nb::gil_scoped_release release;
            return self.replicas().remove(id, milliseconds_of(drain_s));
          },
          "id"_a, "drain_s"_a = 5.0, "False when it was cut short, or is not there.")
      .def("replicas", replica_list, nb::sig("def replicas(self) -> list[dict]"))
      .def(
          "wait_event",
          [](Core& self, double timeout_s) -> nb::object {
            std::optional<ReplicaEvent> event;
            {
              const nb::gil_scoped_release release;
              event = self.replicas().wait_event(milliseconds_of(timeout_s));
            }
            if (!event) return nb::none();
            return nb::make_tuple(event->what, event->id);
          },
          "timeout_s"_a, nb::sig("def wait_event(self, timeout_s: float) -> tuple[str, int] | None"),
          "The next ('ready' | 'dead', replica id).");
}

}  // namespace
}  // namespace daybreak::serve

void bind_core(nb::module_& m) {
  using namespace daybreak::serve;
  namespace base = daybreak::base;
  nb::class_<AdminRequest>(m, "AdminRequest", "A request to the admin port whose caller may ask. Answer it once.")
      .def_prop_ro("method", [](const AdminRequest& self) { return self.request().method; })
      .def_prop_ro("path", [](const AdminRequest& self) { return std::string(self.request().path()); })
      .def_prop_ro("query", [](const AdminRequest& self) { return std::string(self.request().query()); })
      .def_prop_ro("remote", [](const AdminRequest& self) { return self.request().remote; })
      .def_prop_ro(
          "body",
          [](const AdminRequest& self) { return nb::bytes(self.request().body.data(), self.request().body.size()); })
      .def(
          "header",
          [](const AdminRequest& self, const std::string& name) {
            return std::string(self.request().headers.get(name));
          },
          "name"_a, "Its value, or an empty text.")
      .def("respond", &AdminRequest::respond, "status"_a, "content_type"_a, "body"_a);
  nb::class_<Core> cls(m, "Core", "The server: apps, models, queues, replicas. Any thread may call any function.");
  cls.def(nb::new_(&start_core), nb::kw_only(), "host"_a = "127.0.0.1", "query_port"_a = 0, "admin_port"_a = 0,
          "metrics_port"_a = 0, "admin_token"_a, "tls"_a = nb::none(), "hosts"_a = std::vector<std::string>{},
          "origins"_a = std::vector<std::string>{}, "site"_a = nb::dict(), "site_headers"_a = nb::dict(),
          "threads"_a = 0, "body_bytes"_a = 16u << 20, "server_id"_a = "", "deploy_gate"_a = nb::none(),
          "access_log"_a = false, "Listens when it returns. UnavailableError when a port is taken.")
      .def_prop_ro("query_port", &Core::query_port)
      .def_prop_ro("admin_port", &Core::admin_port)
      .def_prop_ro("metrics_port", &Core::metrics_port);
  bind_registry(cls);
  bind_replicas(cls);
  cls.def(
         "next_admin_request",
         [](Core& self, double timeout_s) -> std::optional<AdminRequest> {
           std::shared_ptr<daybreak::net::Exchange> exchange;
           {
             const nb::gil_scoped_release release;
             exchange = self.admin().next(milliseconds_of(timeout_s));
           }
           if (!exchange) return std::nullopt;
           return AdminRequest(std::move(exchange));
         },
         "timeout_s"_a)
      .def(
          "stats",
          [](Core& self) {
            std::string text;
            {
              const nb::gil_scoped_release release;
              text = base::dump_json(describe_all(self.apps()));
            }
            return nb::module_::import_("json").attr("loads")(text);
          },
          nb::sig("def stats(self) -> dict"), "Apps and models, with what was counted.")
      .def(
          "drain",
          [](Core& self, double timeout_s) {
            const nb::gil_scoped_release release;
            return self.drain(milliseconds_of(timeout_s));
          },
          "timeout_s"_a, "Takes nothing new, answers what is here. False when that took longer.")
      .def("stop", &Core::stop, nb::call_guard<nb::gil_scoped_release>());
}
