// What happens to long runs: kill -9 at any instant, pre-emption, damaged files, a full disk. In
// each case the run that goes on ends with the bits of the one that nothing happened to.
//
// The kills are six in the short form. tools/fault_check.sh runs the long one: MOME_FAULT_INSTANTS
// of them over a run ten times as long, with a line each in the file MOME_FAULT_RESULTS.
#include <signal.h>
#include <sys/mount.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "kernels/common/philox.h"
#include "runtime/io/safetensors.h"
#include "tests/tools/small_run.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

class FaultTest : public SmallRun {
 protected:
  ~FaultTest() override {
    if (mounted_) umount2(path("disk").c_str(), MNT_DETACH);
  }
  std::vector<std::string> names(const std::string& folder) const {
    std::vector<std::string> out;
    std::error_code ignored;
    for (const auto& e : fs::directory_iterator(path(folder), ignored))
      out.push_back(e.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }
  // Files that are being written now.
  std::vector<std::string> unfinished(const std::string& output) const {
    std::vector<std::string> out;
    for (const char* folder : {"", "/image", "/text", "/pairs"})
      for (const std::string& name : names(output + folder))
        if (name.ends_with(".tmp")) out.push_back(name);
    return out;
  }
  // Whether the last stage has so many resume points, or has ended.
  bool has_points(const std::string& output, int points) const {
    int weights = 0;
    for (const std::string& name : names(output + "/pairs"))
      weights += name.ends_with(".safetensors") && name.find("state") == std::string::npos;
    return weights >= points || fs::exists(path(output + "/pairs.safetensors"));
  }
  // Starts the program and sends it the signal as soon as the last stage has so many points.
  Result stop_by(int signal, const std::vector<std::string>& c, const std::string& output,
                 int points = 1, int times = 1) {
    const pid_t child = start(c);
    siginfo_t info{};
    while (!has_points(output, points) && info.si_pid == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      waitid(P_PID, id_t(child), &info, WEXITED | WNOHANG | WNOWAIT);  // finish() gets its status
    }
    for (int i = 0; i < times; ++i) {
      kill(child, signal);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return finish(child);
  }
  bool mount_disk(const std::string& size, unsigned long flags = 0) {
    fs::create_directories(path("disk"));
    const bool ok =
        mount("tmpfs", path("disk").c_str(), "tmpfs", flags, ("size=" + size).c_str()) == 0;
    mounted_ = mounted_ || ok;
    return ok;
  }
  // The step that the program said it went on at; "" if it said none.
  static std::string resumed_at(const Result& r) {
    const std::string words = ": going on at step ";
    const size_t at = r.err.find(words);
    return at == std::string::npos
               ? ""
               : r.err.substr(at + words.size(),
                              r.err.find(' ', at + words.size()) - at - words.size());
  }

  bool mounted_ = false;
};

const std::vector<std::string> kLong = {"--set", "stages.image.steps=70",
                                        "--set", "stages.text.steps=70",
                                        "--set", "stages.pairs.steps=90"};

TEST_F(FaultTest, KilledAtRandomInstants) {
  const char* given = std::getenv("MOME_FAULT_INSTANTS");
  const int instants = given ? std::atoi(given) : 6;
  ASSERT_GT(instants, 0);
  std::vector<std::string> more = {"--set", "save_every=1"};
  if (given) more.insert(more.end(), kLong.begin(), kLong.end());
  const auto begin = Clock::now();
  const Result whole = mome(command("whole", more));
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  ASSERT_EQ(whole.code, 0) << whole.err;

  std::ofstream results;
  if (const char* file = std::getenv("MOME_FAULT_RESULTS")) {
    results.open(file);
    ASSERT_TRUE(results) << file;
    results << "kill,seconds,files_in_writing,resumed_at,weights_and_log\n";
  }
  int killed = 0;
  for (int i = 0; killed < instants; ++i) {
    ASSERT_LT(i, 4 * instants) << "only " << killed << " runs were killed before they ended";
    const double at = RandomStream(1, uint64_t(i), Purpose::kTest, 0).uniform(0, seconds);
    const std::string output = fmt::format("killed{}", i);
    const pid_t child = start(command(output, more));
    std::this_thread::sleep_for(std::chrono::duration<double>(at));
    kill(child, SIGKILL);
    const bool in_time = finish(child).code == -SIGKILL;
    const size_t writing = unfinished(output).size();
    const Result resumed = mome(command(output, more));
    ASSERT_EQ(resumed.code, 0) << at << " s\n" << resumed.err;
    EXPECT_EQ(resumed.err.find("broken"), std::string::npos)  // killed writers break nothing
        << at << " s\n"
        << resumed.err;
    expect_same_run("whole", output);
    if (in_time) {
      ++killed;
      results << fmt::format("{},{:.3f},{},{},{}\n", killed, at, writing, resumed_at(resumed),
                             HasFailure() ? "differ" : "same");
    }
    fs::remove_all(path(output));
  }
}

TEST_F(FaultTest, PreemptionSavesAndExitsWithoutError) {
  const std::vector<std::string> more = {"--set", "stages.pairs.steps=400", "--set",
                                         "save_every=50"};
  ASSERT_EQ(mome(command("whole", more)).code, 0);
  for (const auto& [signal, times] : {std::pair(SIGTERM, 1), {SIGUSR1, 3}}) {
    const std::string output = fmt::format("stopped{}", signal);
    const Result stopped = stop_by(signal, command(output, more), output, 1, times);
    EXPECT_EQ(stopped.code, 0) << stopped.err;
    EXPECT_NE(stopped.err.find("stopped and saved; the same command goes on from there"),
              std::string::npos)
        << stopped.err;
    EXPECT_TRUE(unfinished(output).empty());
    const Result resumed = mome(command(output, more));
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_NE(resumed_at(resumed), "") << resumed.err;
    expect_same_run("whole", output);
  }
}

TEST_F(FaultTest, PointsByTheClock) {
  const std::vector<std::string> more = {"--set", "stages.pairs.steps=400", "--set", "save_every=0",
                                         "--set", "save_minutes=0.0005"};
  ASSERT_EQ(mome(command("whole", more)).code, 0);
  const Result killed = stop_by(SIGKILL, command("killed", more), "killed");
  EXPECT_EQ(killed.code, -SIGKILL);
  const Result resumed = mome(command("killed", more));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed_at(resumed), "") << resumed.err;
  expect_same_run("whole", "killed");
}

TEST_F(FaultTest, DamagedPointsArePassedOver) {
  const std::vector<std::string> more = {"--set", "stages.pairs.steps=200", "--set",
                                         "save_every=10"};
  ASSERT_EQ(mome(command("whole", more)).code, 0);
  ASSERT_EQ(stop_by(SIGTERM, command("damaged", more), "damaged", 2).code, 0);
  fs::rename(path("damaged"), path("good"));
  const std::vector<std::string> files = names("good/pairs");
  ASSERT_GE(files.size(), 4u);  // two points, each of weights and state
  for (size_t i = files.size() - 2; i < files.size(); ++i)
    for (const bool cut : {false, true}) {
      fs::remove_all(path("damaged"));
      fs::copy(path("good"), path("damaged"), fs::copy_options::recursive);
      const std::string file = path("damaged/pairs/" + files[i]);
      std::string bytes = read_file(file);
      if (cut)
        bytes.resize(bytes.size() * 2 / 3);
      else
        bytes[bytes.size() * 2 / 3] ^= 0x10;
      std::ofstream(file, std::ios::binary) << bytes;
      const Result info = mome({"info", file});
      EXPECT_EQ(info.code, 1);
      EXPECT_NE(info.err.find(file), std::string::npos) << info.err;
      const Result resumed = mome(command("damaged", more));
      EXPECT_EQ(resumed.code, 0) << resumed.err;
      EXPECT_NE(resumed.err.find("a broken checkpoint was passed over: " + file), std::string::npos)
          << resumed.err;
      EXPECT_EQ(std::atoll(resumed_at(resumed).c_str()),
                std::atoll(files[files.size() - 4].c_str() + 5))
          << resumed.err;
      expect_same_run("whole", "damaged");
    }
  const Result info = mome({"info", path("good/pairs/" + files.back())});
  EXPECT_EQ(info.code, 0) << info.err;
  EXPECT_NE(info.out.find("checksum: fits"), std::string::npos) << info.out;
}

TEST_F(FaultTest, AFullDiskStopsTheRunAndItGoesOnWhenThereIsRoom) {
  ASSERT_EQ(mome(command("whole", {"--stage", "image"})).code, 0);
  // Room for one point and half of another: a point is a state of three times the weights' size at
  // most, and the weights.
  const size_t weights = fs::file_size(path("whole/image.safetensors"));
  if (!mount_disk(fmt::format("{}k", weights * 9 / 2 / 1024)))
    GTEST_SKIP() << "mounting a small file system is not allowed here";
  const std::vector<std::string> c = command("disk/run", {"--stage", "image"});
  const Result full = mome(c);
  EXPECT_EQ(full.code, 1);
  EXPECT_NE(full.err.find("disk/run/image/step-0000000"), std::string::npos) << full.err;
  EXPECT_NE(full.err.find("cannot write; the old file is kept: No space left on device"),
            std::string::npos)
      << full.err;
  // The point before is whole, and nothing else is there.
  EXPECT_EQ(names("disk/run/image"), (std::vector<std::string>{"step-00000002.safetensors",
                                                               "step-00000002.state.safetensors"}));
  for (const std::string& name : names("disk/run/image"))
    EXPECT_EQ(SafeTensors(path("disk/run/image/" + name)).checksum(), Checksum::kFits) << name;
  ASSERT_TRUE(mount_disk("100m", MS_REMOUNT));
  const Result resumed = mome(c);
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(resumed_at(resumed), "2") << resumed.err;
  EXPECT_TRUE(read_file(path("whole/image.safetensors")) ==
              read_file(path("disk/run/image.safetensors")));
  EXPECT_EQ(log_of("whole"), log_of("disk/run"));
}

}  // namespace
}  // namespace mome
