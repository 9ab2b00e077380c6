// People of the tests: entities by name with seeds that follow from the name, and chains of grants between them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daybreak/base/test_env.h"
#include "daybreak/grant/proof.h"

namespace daybreak::grant {

inline constexpr std::int64_t kDay = 24 * 3600;

class World {
 public:
  explicit World(std::uint64_t seed = 1) : env(seed) {}

  std::int64_t now_s() { return env.unix_ns() / 1'000'000'000; }

  Entity& operator[](const std::string& name) {
    auto& entity = people_[name];
    if (!entity) entity = std::make_unique<Entity>(std::move(*Entity::create({}, env)));
    return *entity;
  }
  // An entity with other options, before its first use.
  Entity& add(const std::string& name, const EntityOptions& options) {
    return *(people_[name] = std::make_unique<Entity>(std::move(*Entity::create(options, env))));
  }

  static Statement statement(std::vector<std::string> permissions, std::string_view resource) {
    return Statement::make(std::move(permissions), resource).value();
  }

  GrantOptions options(std::vector<Statement> statements, int hops, const std::string& root = "lab") {
    GrantOptions made;
    made.namespace_id = (*this)[root].id();
    made.statements = std::move(statements);
    made.hops = static_cast<std::uint8_t>(hops);
    return made;
  }
  Attestation grant(const std::string& from, const std::string& to, const GrantOptions& options) {
    return std::move(*(*this)[from].attest((*this)[to].record(), options, env));
  }
  Attestation grant(const std::string& from, const std::string& to, std::vector<std::string> permissions,
                    std::string_view resource, int hops = 0) {
    return grant(from, to, options({statement(std::move(permissions), resource)}, hops));
  }

  std::vector<EntityRecord> records() {
    std::vector<EntityRecord> out;
    for (auto& [name, entity] : people_) out.push_back(entity->record());
    return out;
  }
  base::Result<Proof> prove(const std::vector<Attestation>& attestations,
                            const std::vector<std::vector<std::size_t>>& paths) {
    return Proof::make(records(), attestations, paths);
  }
  // One path over all of them.
  base::Result<Proof> prove(const std::vector<Attestation>& attestations) {
    std::vector<std::size_t> path(attestations.size());
    for (std::size_t i = 0; i < path.size(); ++i) path[i] = i;
    return prove(attestations, {path});
  }
  // lab -> p1 -> ... -> p<hops>, each on "models/pong/*".
  std::vector<Attestation> chain(int hops) {
    std::vector<Attestation> out;
    for (int i = 0; i < hops; ++i) {
      out.push_back(grant(i == 0 ? "lab" : "p" + std::to_string(i), "p" + std::to_string(i + 1), {"predict"},
                          "models/pong/*", hops - 1 - i));
    }
    return out;
  }

  Checked<std::int64_t> authenticate(const Proof& proof, const RevokedSet* revoked = nullptr,
                                     const std::string& root = "lab") {
    return grant::authenticate(proof, (*this)[root].id(), now_s(), revoked);
  }
  Checked<void> verify(const Proof& proof, std::string_view permission, std::string_view resource,
                       const std::string& root = "lab") {
    if (auto genuine = authenticate(proof, nullptr, root); !genuine) return std::unexpected(genuine.error());
    return check_policy(proof, *Policy::make({*Pair::make(permission, resource)}));
  }

  base::TestEnv env;

 private:
  std::map<std::string, std::unique_ptr<Entity>> people_;
};

template <typename T>
Reason reason(const Checked<T>& checked) {
  return checked ? Reason::kAllowed : checked.error().reason;
}

}  // namespace daybreak::grant
