// Equal lines of several processes: the first is printed, those of others within a few seconds are counted, and the count is
// printed after that time. What a hundred workers say at once is read once. A process that repeats itself is not folded.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace daybreak::runtime {

class FoldedLines {
 public:
  static constexpr std::int64_t kWindowNs = 5'000'000'000;  // unless somebody says another
  static constexpr std::size_t kMaxLines = 1000;            // that are remembered; others are printed as they come

  struct Repeated {
    int fd;
    std::string name;  // of who said it last
    std::string line;
    std::uint32_t times;
    std::size_t processes;
  };

  explicit FoldedLines(std::int64_t window_ns = kWindowNs) : window_ns_(window_ns) {}

  // False: another process has said the same a moment ago.
  bool is_new(int fd, std::string_view name, std::string_view line, std::int32_t pid, std::int64_t now_ns);
  // What is to be printed of lines whose time is over; INT64_MAX: of all.
  std::vector<Repeated> over(std::int64_t now_ns);
  // When the next one is.
  std::optional<std::int64_t> next_ns() const;

 private:
  struct Line {
    int fd;
    std::string text;
    std::string name;
    std::int64_t until_ns;
    std::int32_t first;  // pid
    std::uint32_t times = 0;
    std::set<std::int32_t> others;
  };

  const std::int64_t window_ns_;
  std::unordered_map<std::string, Line> lines_;  // by descriptor and text
};

}  // namespace daybreak::runtime
