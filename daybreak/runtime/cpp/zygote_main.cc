#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

#include "daybreak/runtime/cpp/main.h"
#include "daybreak/runtime/native.h"
#include "daybreak/runtime/zygote.h"

namespace daybreak::runtime::cpp {

static bool wrapped = false;

bool main_is_wrapped() {
  return wrapped;
}

void say_main_is_wrapped() {
  wrapped = true;
}

// What `top` calls this process and its workers: the program's name, and not that of the link by which it was started.
static void take_name_of_program() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) prctl(PR_SET_NAME, program.filename().c_str());
}

void be_zygote() {
  take_name_of_program();
  auto segment = Segment::attach(kZygoteControlFd, kZygoteDataFd);
  if (!segment) {
    std::fprintf(stderr, "%s is for the runtime alone, which starts the program so: %s\n", kZygoteArgument.data(),
                 segment.error().to_string().c_str());
    _exit(2);
  }
  auto flush = [] { std::fflush(nullptr); };  // what is buffered is said once, not by each worker
  const std::uint32_t proc = run_zygote({flush, [] {}, [] {}});
  _exit(run_native_worker(**segment, proc));
}

}  // namespace daybreak::runtime::cpp
