// `mome watch` on made-up runs: what it draws, that it follows and ends, and what it says of bad
// folders.
#include <fmt/format.h>
#include <pty.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "tests/tools/program.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

class Watch : public ProgramTest {
 protected:
  void append(const std::string& line) { std::ofstream(path("log.jsonl"), std::ios::app) << line; }
  void entry(const std::string& stage, int step, double loss, const std::string& more = "") {
    append(fmt::format("{{\"step\":{},\"stage\":\"{}\",\"stage_step\":{},\"loss\":{}{}}}\n", step,
                       stage, step, loss, more));
  }
  Result once(const std::string& width = "60") {
    return mome({"watch", folder_, "--once", "--width", width});
  }
  static int columns(const std::string& text) {
    return int(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  }
  static std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  /// What is on the file until `part` is; fails after ten seconds.
  std::string wait_for(const std::string& file, const std::string& part) {
    for (int i = 0; i < 500; ++i) {
      const std::string text = fs::exists(file) ? read_file(file) : "";
      if (text.find(part) != std::string::npos) return text;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ADD_FAILURE() << "no " << part;
    return "";
  }
};

TEST_F(Watch, DrawsEveryStageAndTheLatestFigures) {
  for (int i = 0; i < 300; ++i) entry("image", i, 2 - i / 200.0);
  for (int i = 0; i < 100; ++i)
    entry("pairs", i, 7 * std::exp(-i / 30.0),
          fmt::format(",\"itc\":{},\"lr\":0.0002,\"grad_norm\":0.75,\"samples_per_s\":61.8,\"mfu\":"
                      "0.412,\"input_wait\":0.003,"
                      "\"comm_wait\":0.0125,\"loss_scale\":65536,\"memory_mib\":2048,\"loss_z\":{}",
                      4 - i / 50.0, i == 50 ? 8.5 : 0.1));
  const Result r = once();
  ASSERT_EQ(r.code, 0) << r.err;
  for (const char* part : {"image, step 299: loss 0.505", "pairs, step 99: loss 0.258", "lr 0.0002",
                           "grad norm 0.75", "samples/s 61.8", "MFU 41.2 %", "input wait 0.3 %",
                           "communication wait 1.25 %", "loss scale 65536", "device memory 2 GiB",
                           "1 outlier: step 50 (loss_z +8.5)", "itc █", "4 → 2.02"})
    EXPECT_NE(r.out.find(part), std::string::npos) << part << "\n" << r.out;
  EXPECT_EQ(r.out.find('\x1b'), std::string::npos);
  for (const std::string& line : lines(r.out)) EXPECT_LE(columns(line), 60) << line;
}

// A falling line in dots: rows of braille from the upper left to the lower right.
TEST_F(Watch, ALineIsALine) {
  for (int i = 0; i < 64; ++i) entry("image", i, 63 - i);
  const Result r = mome({"watch", folder_, "--once", "--width", "20", "--height", "4"});
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(r.out,
            "image, step 63: loss 0\n"
            "63 ┤⠙⠲⢤⣀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀\n"
            "   │⠀⠀⠀⠈⠙⠒⠤⣀⠀⠀⠀⠀⠀⠀⠀⠀\n"
            "   │⠀⠀⠀⠀⠀⠀⠀⠀⠉⠒⠤⣄⡀⠀⠀⠀\n"
            " 0 ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠉⠓⠦⣄\n"
            "    0             63\n");
}

TEST_F(Watch, FollowsUntilTheRunEnds) {
  entry("image", 0, 3);
  const std::string out = path("out");
  const pid_t child = start({"watch", folder_, "--every", "0.05", "--idle", "0.8"}, out);
  wait_for(out, "image step 0  loss 3");
  append("{\"step\":1,\"stage\":\"image\",\"lo");  // not whole yet
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  append("ss\":2}\n");
  wait_for(out, "image step 1  loss 2");
  std::ofstream(path("image.safetensors")) << "x";
  entry("pairs", 0, 9);  // the next stage has begun: the first one's checkpoint ends nothing
  wait_for(out, "pairs step 0  loss 9");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  // A resumed run cuts its log and goes on.
  std::ofstream(path("log.jsonl")) << "";
  entry("image", 0, 4);
  wait_for(out, "image step 0  loss 4");
  const Result r = finish(child, out);
  EXPECT_EQ(r.code, 0) << r.err;
}

TEST_F(Watch, CtrlCEndsIt) {
  entry("image", 0, 3);
  const std::string out = path("out");
  const pid_t child = start({"watch", folder_, "--every", "60"}, out);
  wait_for(out, "image step 0");
  kill(child, SIGINT);
  EXPECT_EQ(finish(child, out).code, 0);
}

TEST_F(Watch, ATerminalIsRedrawnInPlace) {
  for (int i = 0; i < 10; ++i) entry("image", i, 10 - i);
  winsize size{24, 50, 0, 0};
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) {
    execl(MOME_PROGRAM, MOME_PROGRAM, "watch", folder_.c_str(), "--every", "0.05", nullptr);
    _exit(127);
  }
  std::string seen;
  char buffer[4096];
  const auto until = [&](const std::string& part) {
    while (seen.find(part) == std::string::npos) {
      const ssize_t n = ::read(terminal, buffer, sizeof buffer);
      if (n <= 0) break;
      seen.append(buffer, size_t(n));
    }
    return seen.find(part) != std::string::npos;
  };
  EXPECT_TRUE(until("image, step 9: loss 1"));
  entry("image", 10, 0.5);
  EXPECT_TRUE(until("image, step 10: loss 0.5"));
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  close(terminal);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_NE(seen.find("\x1b[10A\r\x1b[J"), std::string::npos)
      << seen;  // a title, eight rows, the steps
}

TEST_F(Watch, BadFoldersAreNamed) {
  const auto expect = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const Result r = mome(arguments);
    EXPECT_EQ(r.code, 1);
    EXPECT_NE(r.err.find(part), std::string::npos) << r.err;
  };
  expect({"watch", path("none")}, "none: no such folder");
  expect({"watch", folder_}, "no log.jsonl in it");
  append("{\"stage\": \"image\", \"st");
  expect({"watch", folder_, "--once"}, "nothing is logged yet");
  append("ep\": 1}\nnonsense\n{}\n");
  expect({"watch", folder_, "--once"}, "log.jsonl: line 2: expected a JSON object");
}

}  // namespace
}  // namespace mome
