#include "runtime/log/run_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

class RunLogTest : public testing::Test {
 protected:
  ~RunLogTest() override { std::filesystem::remove_all(folder_); }
  const std::string folder_ = testing::TempDir() + "mome_run_log_" + std::to_string(getpid());
  const std::string path_ = folder_ + "/deep/log.jsonl";
};

TEST_F(RunLogTest, NumbersRoundTripAndKeysKeepTheirOrder) {
  RunLog log = RunLog::open(path_, 0);
  const double values[] = {1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0};
  for (double value : values) log.write(1, {{"z", value}, {"a", INT64_MAX}});
  log.write(2, {{"loss", std::numeric_limits<double>::quiet_NaN()}, {"file", "\xff\n"}});
  const std::string text = read_file(path_);
  EXPECT_EQ(text.find("{\"step\":1,\"z\":0.333"), 0u) << text;
  std::istringstream lines(text);
  std::string line;
  for (double value : values) {
    std::getline(lines, line);
    const auto entry = nlohmann::json::parse(line);
    EXPECT_EQ(entry["z"].get<double>(), value);
    EXPECT_EQ(std::signbit(entry["z"].get<double>()), std::signbit(value));
    EXPECT_EQ(entry["a"].get<int64_t>(), INT64_MAX);
  }
  std::getline(lines, line);
  EXPECT_TRUE(nlohmann::json::parse(line)["loss"].is_null());
}

TEST_F(RunLogTest, AResumedLogEqualsAnUninterruptedOne) {
  const auto write = [](RunLog& log, int from, int to) {
    for (int step = from; step < to; ++step) log.write(step, {{"loss", 1.0 / (1 + step)}});
  };
  {
    RunLog log = RunLog::open(path_, 0);
    write(log, 0, 10);
  }
  const std::string whole = read_file(path_);
  // Killed at every byte, resumed from the checkpoint of step 4.
  const size_t at_step_4 = whole.find("{\"step\":4,");
  for (size_t bytes = at_step_4; bytes <= whole.size(); bytes += 3) {
    write_file_atomic(path_, whole.substr(0, bytes));
    RunLog log = RunLog::open(path_, 4);
    EXPECT_EQ(read_file(path_), whole.substr(0, at_step_4)) << bytes;
    write(log, 4, 10);
    EXPECT_EQ(read_file(path_), whole) << bytes;
  }
  RunLog::open(path_, 0);
  EXPECT_EQ(read_file(path_), "") << "from the start: everything goes";
}

TEST_F(RunLogTest, ATornLastLineIsDroppedAndOthersStay) {
  const std::string good = "{\"event\":\"start\"}\n{\"step\":1}\n";
  for (const std::string& torn : {std::string("{\"step\":2"), std::string("{\"step\":2}"),
                                  std::string("{\"st\n"), std::string(3, '\0')}) {
    write_file_atomic(path_, good + torn);
    RunLog::open(path_, 100);
    EXPECT_EQ(read_file(path_), good) << torn;
  }
}

TEST_F(RunLogTest, AForeignFileIsAnErrorAndStaysWhole) {
  write_file_atomic(path_, "{\"step\":1}\nmy notes\n{\"step\":2}\n");
  try {
    RunLog::open(path_, 2);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(),
              path_ + ":2: expected a JSON object, as this program's logs have on every line");
  }
  EXPECT_EQ(read_file(path_), "{\"step\":1}\nmy notes\n{\"step\":2}\n");
}

TEST_F(RunLogTest, AFullDiskLeavesWholeLines) {
  RunLog log = RunLog::open(path_, 0);
  log.write(0, {{"text", std::string(100, 'a')}});
  const std::string before = read_file(path_);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{before.size() + 50, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    log.write(1, {{"text", std::string(100, 'b')}});
  } catch (const Error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, path_ + ": cannot write: File too large");
  EXPECT_EQ(read_file(path_), before);
  log.write(1, {{"text", "c"}});
  EXPECT_EQ(read_file(path_), before + "{\"step\":1,\"text\":\"c\"}\n");
}

}  // namespace
}  // namespace mome
