// How a C++ program becomes the process that its own workers are forked from: it is started again with one argument, and its main()
// is not called. The linker's --wrap=main puts main.cc in between, after all namespace-scope variables have been made.
#pragma once

#include <string_view>

namespace daybreak::runtime::cpp {

inline constexpr std::string_view kZygoteArgument = "--daybreak-zygote";

// Whether this program was linked so.
bool main_is_wrapped();
void say_main_is_wrapped();

// Forks workers until the driver is gone. In each of them: its work, then its end.
[[noreturn]] void be_zygote();

}  // namespace daybreak::runtime::cpp
