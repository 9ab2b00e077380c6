#include "daybreak/grant/bundle.h"
#include "daybreak/grant/tests/fuzzing.h"
#include "daybreak/grant/tests/world.h"

using namespace daybreak::grant;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world(6);  // that of the golden bytes: its sealed bundle opens
  static const Entity& lab = world["lab"];
  static const Entity& ann = world["ann"];
  std::ignore = lab;
  const std::string_view input = input_of(data, size);
  std::ignore = open_bundle(input, ann);
  if (const auto bundle = Bundle::decode(input)) {
    must(bundle->encode() == input);
    std::ignore = bundle->check_signatures();
    Bundle copy = *bundle;
    must(copy.normalise().has_value() && copy == *bundle);
  }
  return 0;
}
