// The example's functions and its class for Python: symbols with C linkage.
#include "sampling.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED daybreak::Status mean_of(daybreak::NativeCall& call) {
  return daybreak::run(call, mean);
}

EXPORTED daybreak::Status merged(daybreak::NativeCall& call) {
  return daybreak::run(call, merge);
}

EXPORTED daybreak::Status root_of(daybreak::NativeCall& call) {
  return daybreak::run(call, root);
}

EXPORTED daybreak::Status counter(daybreak::NativeCall& call) {
  return daybreak::construct<Counter, std::int64_t>(call);
}
