// Every fuzz target as a plain program: feeds it the files of the folders named, and nothing. What it breaks is named
// last.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void feed(const std::vector<char>& input) {
  // A copy that ends where the input ends, so that a sanitizer sees the first byte read behind it.
  const std::vector<char> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(exact.data()), exact.size());
}

}  // namespace

int main(int count, char** arguments) {
  int inputs = 0;
  feed({});
  for (int i = 1; i < count; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      std::printf("%s\n", entry.path().c_str());
      std::fflush(stdout);
      feed({std::istreambuf_iterator<char>(file), {}});
      ++inputs;
    }
  }
  std::printf("Done %d inputs of the corpus\n", inputs);
  return inputs > 0 ? 0 : 1;
}
