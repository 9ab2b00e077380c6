#include "daybreak/runtime/cpp/main.h"

#include <string_view>

extern "C" {
// The linker's names.
int __real_main(int argc, char** argv, char** environment);  // NOLINT(bugprone-reserved-identifier)
int __wrap_main(int argc, char** argv, char** environment);  // NOLINT(bugprone-reserved-identifier)

int __wrap_main(int argc, char** argv, char** environment) {  // NOLINT(bugprone-reserved-identifier)
  namespace cpp = daybreak::runtime::cpp;
  if (argc == 2 && argv[1] == cpp::kZygoteArgument) cpp::be_zygote();
  cpp::say_main_is_wrapped();
  return __real_main(argc, argv, environment);
}
}
