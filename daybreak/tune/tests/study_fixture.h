// Studies in temporary folders, and processes beside the test's.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/temp_dir.h"
#include "daybreak/tune/study.h"

namespace daybreak::tune {

template <typename T>
T good(base::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());  // fails the test
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

inline std::unique_ptr<Study> study_in_file(const std::string& path, StudyOptions options = {}) {
  options.name = "s";
  options.load_if_exists = true;
  return good(Study::create(good(Storage::open(path)), std::move(options)));
}

// A child that says lines; its end is waited for.
class ChildProcess {
 public:
  using Say = std::function<void(const std::string& line)>;
  explicit ChildProcess(const std::function<void(const Say& say)>& body) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      const auto write = [&](const std::string& line) {
        const std::string text = line + "\n";
        if (::write(ends[1], text.data(), text.size()) < 0) ::_exit(3);
      };
      try {
        body(write);
      } catch (const std::exception& error) {
        write(std::string("error: ") + error.what());
        ::_exit(2);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    said_ = ends[0];
  }
  ~ChildProcess() {
    if (said_ < 0) return;
    kill();
    end();
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void kill() { ::kill(pid_, SIGKILL); }
  std::string line() {  // waits for the next one
    std::string text;
    char c = 0;
    while (::read(said_, &c, 1) == 1 && c != '\n') text += c;
    return text;
  }
  void kill_and_wait() {  // reads nothing: a child of it may hold the pipe
    kill();
    ::close(std::exchange(said_, -1));
    ::waitpid(pid_, nullptr, 0);
  }
  int end() {  // its wait status; lines: the rest of what it has said
    for (std::string text = line(); !text.empty(); text = line()) lines.push_back(text);
    ::close(std::exchange(said_, -1));
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return status;
  }
  std::vector<std::string> lines;

 private:
  pid_t pid_ = 0;
  int said_ = -1;
};

inline bool ended_well(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace daybreak::tune
