// What the tests of the run log share.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "daybreak/base/temp_dir.h"
#include "daybreak/track/log/run.h"
#include "daybreak/track/log/writer.h"

namespace daybreak::track {

inline std::uint64_t log_test_seed() {
  const char* text = std::getenv("DAYBREAK_TEST_SEED");
  const std::uint64_t seed =
      text != nullptr ? std::strtoull(text, nullptr, 10)
                      : static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  std::printf("DAYBREAK_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}
inline void spit(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A tracking root in a directory of its own.
class RunLog : public testing::Test {
 protected:
  WriterOptions options() const {
    WriterOptions options;
    options.root = root_;
    options.run = run_;
    options.owner = true;
    options.keeper = false;
    return options;
  }
  std::shared_ptr<Writer> writer(const WriterOptions& options) const {
    auto opened = Writer::open(options);
    if (!opened) ADD_FAILURE() << opened.error().to_string();
    return opened ? *opened : nullptr;
  }
  RunReader reader() const {
    auto opened = RunReader::open(root_, run_);
    if (!opened) {
      ADD_FAILURE() << opened.error().to_string();
      std::abort();
    }
    return std::move(*opened);
  }
  static std::vector<Sample> all(const RunReader& reader, const std::string& name, const std::string& context = "") {
    auto series = reader.read({name, context});
    std::vector<Sample> samples;
    for (;;) {
      const auto more = series.next(1000, samples);
      if (!more) ADD_FAILURE() << more.error().to_string();
      if (!more || !*more) return samples;
    }
  }
  static base::Status say(Writer& writer, EventKind kind, std::vector<std::string_view> fields) {
    return writer.event(kind, fields);
  }
  std::string directory() const { return root_ + "/runs/" + run_.to_string(); }
  std::vector<std::string> files(const std::string& suffix) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
      if (entry.path().string().ends_with(suffix)) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  const base::TempDir directory_ = base::TempDir::create().value();
  std::string root_ = directory_.path();
  RunId run_ = RunId::make();
};

}  // namespace daybreak::track
