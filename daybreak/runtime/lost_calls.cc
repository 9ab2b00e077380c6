// Calls of an actor that end without running: it is dead, or it is being restarted.
#include <fmt/format.h>

#include <cstring>

#include "daybreak/runtime/client.h"

namespace daybreak::runtime {

std::string described_actor(const Control& control, const ActorSlot& actor) {
  return fmt::format("actor {} (actor_id={:08x}{:08x}{:08x}{:08x})", actor.class_name, actor.creation.generation,
                     actor.creation.index, 0, control.session >> 32);
}

// The first result last, here and in fail(): who has waited for it finds the others done.
void Client::fail_actor_call(std::uint32_t index) {
  Entry& e = p_.entry(index);
  ActorSlot& actor = p_.control().actor[e.part.actor];
  Entry& creation = p_.entry(actor.creation.index);
  std::vector<Ref> further = p_.further_results(index);
  auto fail_one = [&](std::uint32_t at) {
    // A constructor that failed left its exception with the creation.
    if (creation.error == ErrorKind::kUser && creation.value.where != kNowhere) {
      std::span<const std::byte> text = p_.value(actor.creation.index);
      auto to = p_.set_value(at, text.size(), {}, creation.value.codec);
      if (to) {
        std::memcpy(*to, text.data(), text.size());
        p_.entry(at).error = ErrorKind::kActorDied;
        p_.publish(at, true);
        return;
      }
    }
    p_.publish_error(at, ErrorKind::kActorDied, actor.death);
  };
  for (Ref sibling : further)
    if (p_.claim_pending(sibling)) fail_one(sibling.index);
  fail_one(index);
}

// A call that its actor cannot take now is failed here and goes into no inbox: the actor is dead; or it is being
// restarted, and the call may be tried once only, which this was.
bool Client::refused(std::uint32_t index) {
  const TaskPart& part = p_.entry(index).part;
  const ActorSlot& actor = p_.control().actor[part.actor];
  switch (actor.status.load()) {
    case ActorStatus::kDead: fail_actor_call(index); return true;
    case ActorStatus::kRestarting:
      if (part.retries_left != 0 || actor.terminate.load() == 2) return false;  // killed meanwhile: it will be dead
      fail(index, ErrorKind::kActorDied,
           fmt::format("{} took no call, and max_task_retries=0: {}", described_actor(p_.control(), actor),
                       kActorComesBack));
      return true;
    default: return false;
  }
}

}  // namespace daybreak::runtime
