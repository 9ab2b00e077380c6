// net's part of daybreak._core: a WebSocket's client. Python has HTTP clients of its own.
#include "daybreak/base/bind.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "daybreak/net/client.h"
#include "daybreak/net/server.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using daybreak::net::WebSocketClient;
namespace base = daybreak::base;

// Runs without the GIL; raises what went wrong with it.
template <typename F>
auto waiting(F&& what) {
  auto result = [&] {
    const nb::gil_scoped_release release;
    return what();
  }();
  return base::value_or_raise(std::move(result));
}

}  // namespace

void bind_net(nb::module_& m) {
  m.def(
      "resolve", [](const std::string& name) { return waiting([&] { return daybreak::net::resolve(name); }); },
      "name"_a, "The addresses of a name, IPv4 first. InvalidArgumentError when it has none.");
  nb::class_<WebSocketClient>(m, "WebSocketClient",
                              "A WebSocket's client that waits for its answers. One thread at a time.")
      .def(nb::new_([](const std::string& host, int port, const std::string& target,
                       const std::map<std::string, std::string>& headers, double timeout_s, const std::string& ca_file,
                       bool tls) {
             if (port < 1 || port > 65535 || timeout_s <= 0)
               base::raise(
                   base::Error(base::Code::kInvalidArgument,
                               fmt::format("port={} (1 to 65535), timeout_s={} (more than 0)", port, timeout_s)));
             daybreak::net::Headers all;
             for (const auto& [name, value] : headers) all.add(name, value);
             daybreak::net::ClientOptions options;
             options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(timeout_s * 1000));
             options.tls = tls;
             options.ca_file = ca_file;
             return waiting([&] {
               return WebSocketClient::connect(host, static_cast<std::uint16_t>(port), target, all, options);
             });
           }),
           "host"_a, "port"_a, "target"_a, nb::kw_only(), "headers"_a = std::map<std::string, std::string>{},
           "timeout_s"_a = 10.0, "ca_file"_a = "", "tls"_a = false,
           "PermissionDeniedError, with status and body, when the server does not open it.")
      .def(
          "send",
          [](WebSocketClient& self, const std::string& text) { waiting([&] { return self.send({text, true}); }); },
          "text"_a)
      .def(
          "receive", [](WebSocketClient& self) { return waiting([&] { return self.receive(); }).bytes; },
          "The next message. UnavailableError when it is closed: close_code and close_reason say why.")
      .def("close", &WebSocketClient::close, nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("close_code", &WebSocketClient::close_code)
      .def_prop_ro("close_reason", &WebSocketClient::close_reason);
}
