#include "daybreak/runtime/output_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include "daybreak/base/temp_dir.h"

namespace daybreak::runtime {
namespace {

std::string kept_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(OutputLog, keeps_each_line_with_who_said_it) {
  const base::TempDir dir = base::TempDir::create().value();
  OutputLog log(dir.path());
  log.append(1'700'000'000'123, 17, 1, "worker", "a\tb");
  log.append(1'700'000'000'124, 18, 2, "Counter", "");
  ASSERT_TRUE(log.flush().has_value());
  log.append(1'700'000'000'125, 17, 1, "worker", "\xff");
  ASSERT_TRUE(log.flush().has_value());
  EXPECT_EQ(
      kept_in(dir / "output"),
      "1700000000123\t17\t1\tworker\ta\tb\n1700000000124\t18\t2\tCounter\t\n1700000000125\t17\t1\tworker\t\xff\n");
}

TEST(OutputLog, keeps_the_last_of_what_is_too_much_and_no_more) {
  const base::TempDir dir = base::TempDir::create().value();
  OutputLog log(dir.path());
  const std::string line(10'000, 'x');
  for (int i = 0; i < 2'000; ++i) {
    log.append(i, 1, 1, "worker", line);
    ASSERT_TRUE(log.flush().has_value());
  }
  const std::string old = kept_in(dir / "output.1");
  const std::string now = kept_in(dir / "output");
  EXPECT_LE(old.size(), OutputLog::kFileBytes);
  EXPECT_LE(now.size(), OutputLog::kFileBytes);
  EXPECT_GT(old.size() + now.size(), OutputLog::kFileBytes);
  EXPECT_TRUE(now.ends_with("\n"));
  EXPECT_NE(now.rfind("1999\t1\t1\tworker\t"), std::string::npos);
  // Nothing is missing where one file ends and the next begins.
  const std::size_t first = std::stoul(now.substr(0, now.find('\t')));
  const std::size_t last = old.rfind('\n', old.size() - 2) + 1;
  EXPECT_EQ(std::stoul(old.substr(last, old.find('\t', last) - last)) + 1, first);
}

TEST(OutputLog, that_cannot_be_written_says_so_once_and_begins_anew) {
  const base::TempDir dir = base::TempDir::create().value();
  const std::string folder = dir / "gone";
  OutputLog log(folder);
  log.append(1, 1, 1, "worker", "lost");
  const base::Status first = log.flush();
  ASSERT_FALSE(first.has_value());
  EXPECT_NE(first.error().to_string().find("daybreak logs"), std::string::npos);
  log.append(2, 1, 1, "worker", "lost too");
  EXPECT_TRUE(log.flush().has_value());
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  log.append(3, 1, 1, "worker", "kept");
  EXPECT_TRUE(log.flush().has_value());
  EXPECT_EQ(kept_in(folder + "/output"), "3\t1\t1\tworker\tkept\n");
}

}  // namespace
}  // namespace daybreak::runtime
