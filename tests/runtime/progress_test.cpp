#include "runtime/log/progress.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>
#include <vector>

#include "runtime/log/interrupt.h"

namespace mome {
namespace {

/// A progress bar whose output is read back and whose time is set by hand.
class ProgressTest : public testing::Test {
 protected:
  ~ProgressTest() override { std::fclose(file_); }
  ProgressOptions options(bool terminal) {
    ProgressOptions o;
    o.out = file_;
    o.terminal = terminal;
    o.width = 60;
    o.redraw_seconds = 0.5;
    o.line_seconds = 10;
    o.clock = [this] { return now_; };
    return o;
  }
  std::string output() {
    std::string text(static_cast<size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    EXPECT_EQ(std::fread(text.data(), 1, text.size(), file_), text.size());
    std::fseek(file_, 0, SEEK_END);
    return text;
  }
  std::FILE* file_ = std::tmpfile();
  double now_ = 1000;
};

TEST_F(ProgressTest, PlainLinesComeSeldomAndOnceAtTheEnd) {
  {
    Progress progress("pairs", 1000, 100, options(false));
    for (int step = 101; step <= 145; ++step) {
      now_ += 0.5;
      progress.update(step, "loss 2.5");
    }
    progress.note("saved");
    progress.update(146);
  }
  EXPECT_EQ(output(),
            "pairs  [##..................]   120/1000   12%  2.0/s  ETA 7:20  loss 2.5\n"
            "pairs  [##..................]   140/1000   14%  2.0/s  ETA 7:10  loss 2.5\n"
            "saved\n"
            "pairs  [##..................]   146/1000   14%  2.0/s  in 0:23  loss 2.5\n");
}

TEST_F(ProgressTest, ATerminalRedrawsOneLineThatNeverWraps) {
  {
    Progress progress("p", 4, 0, options(true));
    now_ += 0.4;
    progress.update(1);  // Too soon.
    now_ += 0.4;
    progress.update(2, "m\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
    progress.note("warning");
    progress.finish();
    progress.update(3);  // After the end: nothing.
  }
  const std::string status = "p  [##########..........]  2/4   50%  2.5/s  ";
  EXPECT_EQ(output(),
            "\rp  [....................]  0/4    0%  0.0/s\x1b[K"
            "\r" +
                status +
                "ETA 0:01  m\xc3\xa4\xc3\xa4\xc3\xa4\x1b[K"
                "\rwarning\x1b[K\n"
                "\r" +
                status +
                "ETA 0:01  m\xc3\xa4\xc3\xa4\xc3\xa4\x1b[K"
                "\r" +
                status + "in 0:01  m\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\x1b[K\n");
}

TEST_F(ProgressTest, UnknownTotalsAndSlowWork) {
  {
    Progress progress("files", 0, 0, options(false));
    now_ += 30;
    progress.update(3);
  }
  EXPECT_EQ(output(), "files  3  10.0 s each\nfiles  3  10.0 s each  in 0:30\n");
}

TEST_F(ProgressTest, ThreadsNeverMixTheirLines) {
  ProgressOptions always = options(false);
  always.line_seconds = 0;
  {
    Progress progress("t", 100, 0, always);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) progress.update(50, "text"), progress.note("note");
      });
    for (auto& thread : threads) thread.join();
  }
  const std::string line = "t  [##########..........]   50/100   50%  0.0/s  text\n";
  std::string text = output();
  int lines = 0, notes = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin) + 1;
    const std::string one = text.substr(begin, end - begin);
    if (one == line) ++lines;
    if (one == "note\n") ++notes;
    begin = end;
  }
  EXPECT_EQ(lines, 200);
  EXPECT_EQ(notes, 200);
}

TEST(FormatDuration, Examples) {
  EXPECT_EQ(format_duration(7.4), "0:07");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(754), "12:34");
  EXPECT_EQ(format_duration(11100), "3:05:00");
  EXPECT_EQ(format_duration(-1), "0:00");
}

// In a child each: the second SIGINT or SIGTERM ends the process; SIGUSR1 before it, however often, does not count.
TEST(Interrupt, TheFirstSignalRaisesTheFlagAndTheSecondKills) {
  for (const std::vector<int>& signals : {std::vector<int>{SIGINT}, {SIGTERM}, {SIGUSR1, SIGUSR1, SIGTERM}}) {
    const pid_t child = fork();
    if (child == 0) {
      catch_interrupts();
      if (interrupted()) _exit(10);
      for (const int signal : signals) {
        raise(signal);
        if (!interrupted()) _exit(11);
      }
      raise(SIGINT);
      _exit(12);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGINT);
  }
}

}  // namespace
}  // namespace mome
