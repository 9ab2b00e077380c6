// Sessions of gated apps: a challenge, its signed answer for a token, and the end.
#include <algorithm>

#include "daybreak/base/json.h"
#include "daybreak/serve/internal/answers.h"
#include "daybreak/serve/query.h"

namespace daybreak::serve {

using net::Response;

void Query::challenge(const ExchangePtr& exchange) {
  const auto body = base::parse_json(exchange->request().body, {.max_bytes = 4096, .max_depth = 4});
  const auto name = body ? base::json_member<std::string>(*body, "app") : std::unexpected(body.error());
  if (!name) return exchange->respond(refused_response(name.error(), true));
  const AppPtr app = apps_.find(*name);
  if (!app || !app->gate) return exchange->respond(error_response(404, app ? "no_gate" : "no_such_app"));
  const std::string origin(exchange->request().headers.get("Origin"));
  std::uint8_t bytes[32];
  const daybreak_gate_v1& gate = app->gate->raw();
  const int failed = gate.challenge(gate.context, {origin.data(), origin.size()}, {name->data(), name->size()}, bytes);
  if (failed != 0) return exchange->respond(error_response(503, "overloaded"));
  exchange->respond(Response::json(
      200, base::dump_json({{"challenge", encode_base64url({reinterpret_cast<const char*>(bytes), sizeof bytes})},
                            {"server", options_.server_id},
                            {"expires_in_s", 30}})));
}

void Query::open_session(const ExchangePtr& exchange) {
  const auto body = base::parse_json(exchange->request().body, {.max_bytes = 512u << 10, .max_depth = 4});
  const auto member = [&](const char* key) {
    return body ? base::json_member<std::string>(*body, key) : std::unexpected(body.error());
  };
  const auto name = member("app"), proof = member("proof"), challenge = member("challenge"),
             signature = member("signature");
  for (const auto* part : {&name, &proof, &challenge, &signature}) {
    if (!*part) return exchange->respond(refused_response(part->error(), true));
  }
  const AppPtr app = apps_.find(*name);
  if (!app || !app->gate) return exchange->respond(error_response(404, app ? "no_gate" : "no_such_app"));
  Claim claim;
  claim.permission = "predict";
  claim.resource = "apps/" + *name;
  claim.app = *name;
  claim.origin = std::string(exchange->request().headers.get("Origin"));
  if (!decode_base64url(*proof, claim.proof) || !decode_base64url(*challenge, claim.nonce) ||
      !decode_base64url(*signature, claim.signature)) {
    app->metrics->count_gate("malformed");
    return exchange->respond(denied_response(DAYBREAK_GATE_MALFORMED));
  }
  auto open = [app, exchange, claim = std::move(claim), &env = apps_.env()] {
    const daybreak_gate_v1& gate = app->gate->raw();
    const daybreak_gate_request_v1 request = claim.view();
    daybreak_gate_decision_v1 decision{};
    decision.code = DAYBREAK_GATE_NOT_GRANTED;
    std::uint8_t token[32] = {};
    gate.open_session(gate.context, &request, token, &decision);
    app->metrics->count_gate(gate_word(decision.code));
    if (decision.code != DAYBREAK_GATE_ALLOWED) return exchange->respond(denied_response(decision.code));
    const std::int64_t left_s = std::max<std::int64_t>(0, (decision.expires_at_ns - env.unix_ns()) / 1'000'000'000);
    Response response = Response::json(
        200, base::dump_json({{"token", encode_base64url({reinterpret_cast<const char*>(token), sizeof token})},
                              {"expires_in_s", left_s}}));
    response.headers.add("Cache-Control", "no-store");
    exchange->respond(std::move(response));
  };
  if (!gate_worker_.post(exchange->request().remote, std::move(open)))
    exchange->respond(error_response(429, "too_many_proofs"));
}

void Query::close_session(const ExchangePtr& exchange) {
  const Claim claim = claim_of(exchange->request(), "", "", "");
  if (!claim.has_session() || claim.malformed) return exchange->respond(denied_response(DAYBREAK_GATE_NO_PROOF));
  for (const AppPtr& app : apps_.all()) {
    if (app->gate)
      app->gate->raw().close_session(app->gate->raw().context, {claim.session.data(), claim.session.size()});
  }
  exchange->respond({204, "", "", {}});
}

}  // namespace daybreak::serve
