#include "daybreak/runtime/folded_lines.h"

#include <algorithm>
#include <utility>

namespace daybreak::runtime {

bool FoldedLines::is_new(int fd, std::string_view name, std::string_view line, std::int32_t pid, std::int64_t now_ns) {
  if (line.empty()) return true;
  std::string key = std::to_string(fd);
  key.append(line);
  auto found = lines_.find(key);
  if (found != lines_.end() && found->second.times == 0 && found->second.until_ns <= now_ns) {
    lines_.erase(found);
    found = lines_.end();
  }
  if (found == lines_.end()) {
    if (lines_.size() >= kMaxLines)
      std::erase_if(lines_, [&](const auto& item) { return item.second.times == 0 && item.second.until_ns <= now_ns; });
    if (lines_.size() < kMaxLines)
      lines_.emplace(std::move(key), Line{.fd = fd,
                                          .text = std::string(line),
                                          .name = std::string(name),
                                          .until_ns = now_ns + window_ns_,
                                          .first = pid,
                                          .others = {}});
    return true;
  }
  Line& known = found->second;
  if (known.first == pid) return true;
  ++known.times;
  known.others.insert(pid);
  known.name = name;
  return false;
}

std::vector<FoldedLines::Repeated> FoldedLines::over(std::int64_t now_ns) {
  std::vector<Repeated> found;
  for (const auto& [key, line] : lines_)
    if (line.times > 0 && line.until_ns <= now_ns)
      found.push_back({line.fd, line.name, line.text, line.times, line.others.size()});
  std::erase_if(lines_, [&](const auto& item) { return item.second.until_ns <= now_ns; });
  return found;
}

std::optional<std::int64_t> FoldedLines::next_ns() const {
  std::optional<std::int64_t> next;
  for (const auto& [key, line] : lines_)
    if (line.times > 0) next = std::min(next.value_or(line.until_ns), line.until_ns);
  return next;
}

}  // namespace daybreak::runtime
