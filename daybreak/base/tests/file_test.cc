#include "daybreak/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "daybreak/base/temp_dir.h"
#include "daybreak/base/test_env.h"

namespace daybreak::base {
namespace {

class FileTest : public testing::Test {
 protected:
  std::string path(const char* name) const { return directory_ / name; }
  std::size_t files() const {
    const std::filesystem::directory_iterator all(directory_.path());
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  const TempDir directory_ = TempDir::create().value();
};

TEST_F(FileTest, written_bytes_are_read_back_and_private) {
  const std::string bytes("a\0b", 3);
  ASSERT_TRUE(write_file_atomically(path("x"), bytes));
  EXPECT_EQ(read_file(path("x"), 3).value(), bytes);
  struct stat about{};
  ASSERT_EQ(::stat(path("x").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, a_second_write_replaces_the_first) {
  ASSERT_TRUE(write_file_atomically(path("x"), "long first text"));
  ASSERT_TRUE(write_file_atomically(path("x"), "second"));
  EXPECT_EQ(read_file(path("x"), 100).value(), "second");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, a_failed_rename_leaves_nothing_behind) {
  std::filesystem::create_directory(path("x"));
  EXPECT_FALSE(write_file_atomically(path("x"), "bytes"));
  EXPECT_EQ(files(), 1u);
  EXPECT_TRUE(std::filesystem::is_directory(path("x")));
}

TEST_F(FileTest, a_missing_directory_is_named) {
  const auto written = write_file_atomically(path("no/x"), "bytes");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kNotFound);
  EXPECT_NE(written.error().message().find(path("no/x")), std::string::npos);
}

TEST_F(FileTest, reading_stops_at_the_limit) {
  ASSERT_TRUE(write_file_atomically(path("x"), "12345"));
  EXPECT_EQ(read_file(path("x"), 4).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(read_file(path("x"), 5));
  EXPECT_EQ(read_file(path("y"), 5).error().code(), Code::kNotFound);
}

TEST_F(FileTest, a_name_of_255_bytes_is_written_and_one_of_256_is_refused_with_the_limit) {
  for (const std::size_t size : {240u, 250u, 254u, 255u}) {
    const std::string name(size, 'n');
    ASSERT_TRUE(write_file_atomically(path(name.c_str()), "bytes"));
    EXPECT_EQ(read_file(path(name.c_str()), 9).value(), "bytes");
  }
  const auto written = write_file_atomically(path(std::string(256, 'n').c_str()), "bytes");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message().find("256 bytes, the limit is 255"), std::string::npos);
  EXPECT_EQ(files(), 4u);
}

TEST_F(FileTest, a_temporary_name_is_short_and_not_cut_within_a_character) {
  EXPECT_EQ(temporary_name("d/x", 1), "d/x.0000000000000001.tmp");
  EXPECT_EQ(temporary_name("x", 1), "x.0000000000000001.tmp");
  std::string umlauts = "n";
  for (int i = 0; i < 120; ++i) umlauts += "\xc3\xbc";
  EXPECT_EQ(temporary_name("d/" + umlauts, 1), "d/" + umlauts.substr(0, 99) + ".0000000000000001.tmp");
}

TEST_F(FileTest, a_name_that_is_no_utf8_is_kept) {
  ASSERT_TRUE(write_file_atomically(path("\xff\xfe"), "bytes"));
  EXPECT_EQ(read_file(path("\xff\xfe"), 9).value(), "bytes");
}

TEST_F(FileTest, a_symbolic_link_is_written_through_and_stays) {
  std::filesystem::create_directory(path("sub"));
  std::filesystem::create_symlink("sub/real", path("link"));
  std::filesystem::create_symlink("link", path("second"));
  ASSERT_TRUE(write_file_atomically(path("second"), "made"));  // what it points at was not there
  EXPECT_EQ(read_file(path("sub/real"), 9).value(), "made");
  ASSERT_TRUE(write_file_atomically(path("link"), "replaced"));
  EXPECT_EQ(read_file(path("sub/real"), 9).value(), "replaced");
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_TRUE(std::filesystem::is_symlink(path("second")));
  EXPECT_EQ(files(), 3u);
}

TEST_F(FileTest, a_loop_of_links_is_an_error) {
  std::filesystem::create_symlink("b", path("a"));
  std::filesystem::create_symlink("a", path("b"));
  EXPECT_FALSE(write_file_atomically(path("a"), "bytes"));
  EXPECT_FALSE(read_file(path("a"), 9));
  EXPECT_EQ(files(), 2u);
}

TEST_F(FileTest, a_pipe_is_written_into_and_read_to_its_end_and_stays_a_pipe) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const std::string bytes(300'000, 'x');  // more than a pipe holds
  std::thread writer([&] { EXPECT_TRUE(write_file_atomically(path("pipe"), bytes)); });
  const auto read = read_file(path("pipe"), bytes.size());
  writer.join();
  EXPECT_EQ(read.value(), bytes);
  EXPECT_TRUE(std::filesystem::is_fifo(path("pipe")));
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, a_pipe_without_a_reader_is_given_up) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  TestEnv env;  // whose sleep takes no time
  const auto written = write_file_atomically(path("pipe"), "bytes", env);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(env.monotonic_ns(), kPipePatienceNs);
}

TEST_F(FileTest, devices_and_open_descriptors_are_written_into_and_not_replaced) {
  ASSERT_TRUE(write_file_atomically("/dev/null", "bytes"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_EQ(read_file("/dev/null", 9).value(), "");
  // A file that somebody else has open, as a shell's "> out": what comes later must not go into a file without a name.
  const int fd = ::open(path("out").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::write(fd, "one ", 4), 4);
  ASSERT_TRUE(write_file_atomically(fmt::format("/proc/self/fd/{}", fd), "two "));
  ASSERT_TRUE(write_file_atomically(fmt::format("/dev/fd/{}", fd), "three "));
  ASSERT_EQ(::write(fd, "four", 4), 4);
  ::close(fd);
  EXPECT_EQ(read_file(path("out"), 99).value(), "one two three four");
}

TEST_F(FileTest, a_file_without_a_size_is_read_to_its_end) {
  EXPECT_TRUE(read_file("/proc/self/status", 1 << 20).value().starts_with("Name:"));
  EXPECT_FALSE(readable("/proc/self/status")->size_is_known);
  ASSERT_TRUE(write_file_atomically(path("x"), "bytes"));
  EXPECT_TRUE(readable(path("x"))->size_is_known);
}

TEST_F(FileTest, what_is_no_file_is_refused_with_what_it_is) {
  const auto told = [](const auto& result) { return result ? std::string("done") : result.error().message(); };
  EXPECT_NE(told(write_file_atomically(directory_.path(), "bytes")).find("is a directory"), std::string::npos);
  EXPECT_NE(told(read_file(directory_.path(), 9)).find("is a directory"), std::string::npos);
  EXPECT_NE(told(read_file("/dev/zero", 9)).find("is a device"), std::string::npos);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = path("socket");
  ASSERT_LT(name.size(), sizeof address.sun_path);
  name.copy(address.sun_path, name.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_NE(told(write_file_atomically(name, "bytes")).find("is a socket"), std::string::npos);
  EXPECT_NE(told(read_file(name, 9)).find("is a socket"), std::string::npos);
  ::close(fd);
}

TEST_F(FileTest, a_read_only_file_is_refused_and_stays) {
  ASSERT_TRUE(write_file_atomically(path("x"), "kept"));
  ASSERT_EQ(::chmod(path("x").c_str(), 0444), 0);
  const auto written = write_file_atomically(path("x"), "bytes");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kPermissionDenied);
  EXPECT_EQ(read_file(path("x"), 9).value(), "kept");
}

TEST_F(FileTest, a_path_that_is_empty_or_has_a_zero_byte_is_refused) {
  EXPECT_EQ(write_file_atomically("", "bytes").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(write_file_atomically(path("x") + std::string("\0y", 2), "bytes").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(read_file(path("x") + std::string("\0y", 2), 9).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(files(), 0u);
}

}  // namespace
}  // namespace daybreak::base
