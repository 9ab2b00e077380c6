// The way into an engine, and what is seen from there.
#include "daybreak/runtime/door.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "daybreak/base/temp_dir.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/view.h"

namespace daybreak::runtime {
namespace {

using base::Code;

class Doors : public testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_RUNTIME_DIR", scratch_.path().c_str(), 1);
    root_ = scratch_.path() + "/daybreak";
    segment_ = Segment::create({.data_capacity = 64 << 20, .num_cpus = 3}).value();
  }
  void TearDown() override { unsetenv("XDG_RUNTIME_DIR"); }

  std::unique_ptr<Door> open() {
    return Door::open(segment_->control().session, segment_->control_fd(), segment_->data_fd()).value();
  }

  base::TempDir scratch_ = base::TempDir::create().value();
  std::string root_;
  std::unique_ptr<Segment> segment_;
};

TEST_F(Doors, who_knocks_reads_the_engine_s_memory) {
  const auto door = open();
  std::thread answers([&] {
    while (access(door->path().c_str(), F_OK) == 0 && segment_->control().stopping.load() == 0) {
      door->answer();
      std::this_thread::yield();
    }
  });
  const auto view = View::of(door->path());
  segment_->control().stopping.store(1);
  answers.join();
  ASSERT_TRUE(view) << view.error().to_string();
  EXPECT_EQ(view->session(), View(*segment_).session());
  EXPECT_EQ(view->store_bytes(), segment_->control().data_capacity);
  std::size_t left_out = 1;
  EXPECT_TRUE(view->tasks(10, left_out).empty());
  EXPECT_EQ(left_out, 0u);
}

TEST_F(Doors, the_directory_is_this_user_s_alone_and_goes_with_the_engine) {
  auto door = open();
  for (const std::string& path : {root_, door->path()}) {
    struct stat found{};
    ASSERT_EQ(stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, 0700u) << path;
  }
  ASSERT_EQ(running_engines()->size(), 1u);
  EXPECT_EQ(running_engines()->front().pid, getpid());
  EXPECT_EQ(running_engines()->front().path, door->path());
  door.reset();
  EXPECT_TRUE(running_engines()->empty());
  EXPECT_TRUE(std::filesystem::is_empty(root_));
}

TEST_F(Doors, what_a_killed_engine_left_is_removed_by_whoever_looks) {
  const pid_t child = fork();
  if (child == 0) {
    const auto door = Door::open(7, 0, 0);
    _exit(door ? 0 : 1);  // no destructor
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_FALSE(std::filesystem::is_empty(root_));
  EXPECT_TRUE(running_engines()->empty());
  EXPECT_TRUE(std::filesystem::is_empty(root_));
}

TEST_F(Doors, a_child_of_a_fork_does_not_close_its_parent_s) {
  auto door = open();
  const pid_t child = fork();
  if (child == 0) {
    door.reset();
    _exit(0);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(running_engines()->size(), 1u);
}

TEST_F(Doors, a_root_that_others_may_write_is_refused_by_name) {
  ASSERT_EQ(mkdir(root_.c_str(), 0700), 0);
  ASSERT_EQ(chmod(root_.c_str(), 0777), 0);
  const auto door = Door::open(1, 0, 0);
  ASSERT_FALSE(door);
  EXPECT_EQ(door.error().code(), Code::kPermissionDenied);
  EXPECT_NE(door.error().to_string().find(root_), std::string::npos);
  std::filesystem::remove(root_);
  std::filesystem::create_directory(scratch_.path() + "/other");
  std::filesystem::create_symlink(scratch_.path() + "/other", root_);
  EXPECT_EQ(Door::open(1, 0, 0).error().code(), Code::kPermissionDenied);
}

TEST_F(Doors, a_name_that_is_too_long_for_a_socket_is_refused_by_name) {
  const std::string deep = scratch_.path() + "/" + std::string(100, 'x');
  std::filesystem::create_directory(deep);
  setenv("XDG_RUNTIME_DIR", deep.c_str(), 1);
  const auto door = Door::open(1, 0, 0);
  ASSERT_FALSE(door);
  EXPECT_EQ(door.error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(std::filesystem::is_empty(deep + "/daybreak"));
}

TEST_F(Doors, nobody_and_a_stranger_behind_the_door_are_told_apart) {
  EXPECT_EQ(knock(scratch_.path()).error().code(), Code::kNotFound);
  // Something else listens, and says nothing of ours.
  const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (scratch_.path() + "/socket").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(socket, 1), 0);
  std::thread stranger([&] {
    const int guest = accept4(socket, nullptr, nullptr, SOCK_CLOEXEC);
    EXPECT_EQ(send(guest, "hello", 5, 0), 5);
    close(guest);
  });
  EXPECT_EQ(knock(scratch_.path()).error().code(), Code::kDataLoss);
  stranger.join();
  close(socket);
}

TEST_F(Doors, a_view_shows_objects_and_who_holds_them) {
  Process driver(*segment_, kDriverProc);
  segment_->control().proc[kDriverProc].pid = 4711;
  segment_->control().proc[kDriverProc].status.store(ProcStatus::kAlive);
  const Ref ref = driver.create(Kind::kValue).value();
  auto to = driver.set_value(ref.index, 1000, {}, 0);
  ASSERT_TRUE(to);
  std::memset(*to, 1, 1000);
  driver.publish(ref.index, false);
  const View view(*segment_);
  std::size_t left_out = 0;
  const auto objects = view.objects(10, left_out);
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(objects[0].ref, ref);
  EXPECT_EQ(objects[0].size_bytes, 1000u);
  EXPECT_EQ(objects[0].phase, Phase::kReady);
  EXPECT_EQ(objects[0].pids, std::vector<std::int32_t>{4711});
  EXPECT_TRUE(view.objects(0, left_out).empty());
  EXPECT_EQ(left_out, 1u);
  driver.release(ref);
  EXPECT_TRUE(view.objects(10, left_out).empty());
}

}  // namespace
}  // namespace daybreak::runtime
