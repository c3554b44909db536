#include "runtime/io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "runtime/core/error.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("mome_atomic_file_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  int files() const { return std::distance(fs::directory_iterator(folder_), {}); }
  fs::path folder_;
};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST_F(AtomicFileTest, WritesReplacesAndReadsBack) {
  const std::string binary("a\0b\n\xff", 5);
  write_file_atomic(path("deep/er/file"), binary);
  EXPECT_EQ(read_file(path("deep/er/file")), binary);
  write_file_atomic(path("deep/er/file"), "");
  EXPECT_EQ(read_file(path("deep/er/file")), "");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "deep/er"), {}), 1);
}

TEST_F(AtomicFileTest, ManyWritesOfEverySizeArriveInOrder) {
  std::string expected;
  AtomicFile file(path("f"));
  for (size_t bytes : {1, 100000, 262143, 262144, 262145, 0, 7, 700000, 200000, 200000}) {
    const std::string piece(bytes, static_cast<char>('a' + expected.size() % 26));
    file.write(piece);
    expected += piece;
  }
  EXPECT_FALSE(fs::exists(path("f"))) << "visible before commit";
  file.commit();
  EXPECT_EQ(read_file(path("f")), expected);
}

TEST_F(AtomicFileTest, WithoutCommitTheOldFileStays) {
  write_file_atomic(path("f"), "old");
  { AtomicFile(path("f")).write("new"); }
  EXPECT_EQ(read_file(path("f")), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, TakesOverWhatAKilledWriterLeft) {
  write_file_atomic(path("f"), "old");
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile file(path("f"));
    file.write(std::string(1 << 20, 'x'));
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_file(path("f")), "old");
  EXPECT_EQ(files(), 2) << "the child did write something";
  write_file_atomic(path("f"), "new");
  EXPECT_EQ(read_file(path("f")), "new");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, TwoWritersOfOneFileAreKeptApart) {
  AtomicFile first(path("f"));
  first.write("first");
  EXPECT_EQ(message_of([&] { AtomicFile second(path("f")); }),
            path("f") + ": another writer is writing this file");
  first.commit();
  EXPECT_EQ(read_file(path("f")), "first");
}

TEST_F(AtomicFileTest, SymbolicLinkStaysALink) {
  write_file_atomic(path("target"), "old");
  fs::create_symlink("target", path("link"));
  write_file_atomic(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read_file(path("target")), "new");
}

// The limit on file size makes the kernel write a part of the bytes and then refuse the rest, as a
// disk does that fills up in the middle of a write.
TEST_F(AtomicFileTest, ShortWriteLeavesTheOldFileWhole) {
  const std::string old(300000, 'o');
  write_file_atomic(path("f"), old);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{500000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string at_once =
      message_of([&] { write_file_atomic(path("f"), std::string(1 << 20, 'n')); });
  const std::string in_pieces = message_of([&] {
    AtomicFile file(path("f"));
    for (int i = 0; i < 1000; ++i) file.write(std::string(1000, 'n'));
    file.commit();
  });
  // 400,000 bytes fit, but only the flush at commit reaches 600,000.
  const std::string at_commit = message_of([&] {
    AtomicFile file(path("f"));
    file.write(std::string(400000, 'n'));
    file.write(std::string(200000, 'n'));
    file.commit();
  });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  const std::string expected = path("f") + ": cannot write; the old file is kept: File too large";
  EXPECT_EQ(at_once, expected);
  EXPECT_EQ(in_pieces, expected);
  EXPECT_EQ(at_commit, expected);
  EXPECT_EQ(read_file(path("f")), old);
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, FullDeviceIsAnError) {
  if (!fs::is_character_file("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  EXPECT_EQ(message_of([] { write_file_atomic("/dev/full", "x"); }),
            "/dev/full: cannot write: No space left on device");
  EXPECT_TRUE(fs::is_character_file("/dev/full")) << "a device is never replaced";
}

TEST_F(AtomicFileTest, ErrorsNameTheFileAndTheReason) {
  EXPECT_EQ(message_of([&] { read_file(path("absent")); }),
            path("absent") + ": cannot open for reading: No such file or directory");
  EXPECT_EQ(message_of([&] { read_file(folder_.string()); }),
            folder_.string() + ": cannot read: Is a directory");
  EXPECT_EQ(message_of([&] { write_file_atomic(folder_.string(), "x"); }),
            folder_.string() + ": cannot write: it is a folder; expected a file");
  write_file_atomic(path("plain"), "x");
  EXPECT_EQ(message_of([&] { write_file_atomic(path("plain/below"), "x"); }),
            path("plain/below") + ": cannot make its folder: Not a directory");
  EXPECT_EQ(read_file(path("plain")), "x");
  if (geteuid() == 0) return;  // Permissions do not bind root.
  fs::create_directories(path("locked"));
  fs::permissions(path("locked"), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(message_of([&] { write_file_atomic(path("locked/f"), "x"); }),
            path("locked/f") + ": cannot create its temporary file: Permission denied");
  fs::permissions(path("locked"), fs::perms::owner_all);
}

}  // namespace
}  // namespace mome
