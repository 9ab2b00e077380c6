// The background thread of a process's writers.
#pragma once

#include "daybreak/track/log/writer.h"

namespace daybreak::track {

// One for the process. It knows all writers, because of fork; its thread runs while there are some that want ticks.
// Order of locks: the keeper's list, a writer's mutex, the keeper's sleep.
class Keeper {
 public:
  static Keeper& of_process();

  void add(Writer* writer);
  // Returns when the keeper does not touch it any more.
  void remove(Writer* writer);
  // After a fork the child has no thread until one of its writers asks for it.
  void ensure_thread();
  // A tick soon instead of at the next second.
  void wake();

 private:
  Keeper();
  void run();
  static void before_fork();
  static void after_fork_in_parent();
  static void after_fork_in_child();
  struct State;
  State* state_;  // never freed: the process's threads may outlive static objects
};

}  // namespace daybreak::track
