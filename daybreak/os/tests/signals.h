// A thread that is interrupted while it waits.
#pragma once

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

namespace daybreak::os {

inline std::atomic<int> interruptions{0};

// Runs `blocks` on a thread that gets signals all the while, without SA_RESTART, then `unblock`s it: a call that does
// not go on after EINTR has failed by then.
inline void while_interrupted(const std::function<void()>& blocks, const std::function<void()>& unblock) {
  struct sigaction count = {}, before = {};
  count.sa_handler = [](int) { ++interruptions; };
  ASSERT_EQ(::sigaction(SIGUSR1, &count, &before), 0);
  interruptions = 0;
  std::atomic<bool> began{false}, returned{false};
  std::thread waits([&] {
    began = true;
    blocks();
    returned = true;
  });
  while (!began) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    const int seen = interruptions;
    ASSERT_EQ(::pthread_kill(waits.native_handle(), SIGUSR1), 0);
    // Under ThreadSanitizer the call is interrupted, but the handler runs when the thread next calls what it knows: never here.
    for (int pause = 0; pause < 100 && interruptions == seen && !returned; ++pause) ::usleep(500);
    ::usleep(500);  // back into the call
  }
#if !defined(__SANITIZE_THREAD__)
  EXPECT_GT(interruptions, 0);
#endif
  EXPECT_FALSE(returned) << "a signal ended the wait";
  unblock();
  waits.join();
  ASSERT_EQ(::sigaction(SIGUSR1, &before, nullptr), 0);
}

}  // namespace daybreak::os
