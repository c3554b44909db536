// A Slurm cluster of one node, this machine: munged, slurmctld and slurmd in a folder of their own,
// ended with the object.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/comm/socket.h"
#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome::testing {

class SlurmCluster {
 public:
  /// Why there can be none on this machine; empty: there can.
  static std::string missing() {
    if (geteuid() != 0) return "Slurm's daemons want root";
    for (const char* program : {"munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol"})
      if (std::system(
              fmt::format("PATH=$PATH:/usr/sbin command -v {} > /dev/null", program).c_str()) != 0)
        return fmt::format("{} is not installed (packages slurm-wlm and munge)", program);
    return "";
  }

  SlurmCluster() {
    namespace fs = std::filesystem;
    fs::remove_all(folder_);
    for (const char* sub : {"", "/state", "/spool"}) fs::create_directories(folder_ + sub);
    std::random_device random;
    {
      std::ofstream key(path("munge.key"), std::ios::binary);
      for (int i = 0; i < 1024; ++i) key.put(char(random()));
    }
    fs::permissions(path("munge.key"), fs::perms::owner_read);
    std::ofstream(path("slurm.conf")) << configuration();
    setenv("SLURM_CONF", path("slurm.conf").c_str(), 1);
    setenv("PATH", (std::string(std::getenv("PATH")) + ":/usr/sbin").c_str(), 1);
    start({"munged", "--foreground", "--force", "--key-file=" + path("munge.key"),
           "--socket=" + path("munge.socket"), "--pid-file=" + path("munged.pid"),
           "--log-file=" + path("munged.log"), "--seed-file=" + path("munged.seed")});
    for (const auto until = after(10);
         !fs::exists(path("munge.socket")) && seconds_until(until) > 0;)
      pause();
    start({"slurmctld", "-D"});
    start({"slurmd", "-D"});
  }
  ~SlurmCluster() {
    run("scancel --user=root --full --signal=KILL; scancel --user=root");
    for (auto pid = daemons_.rbegin(); pid != daemons_.rend(); ++pid) {
      kill(*pid, SIGTERM);
      const auto until = after(5);
      while (waitpid(*pid, nullptr, WNOHANG) == 0) {
        if (seconds_until(until) == 0) kill(*pid, SIGKILL);
        pause();
      }
    }
    std::filesystem::remove_all(folder_);
  }
  SlurmCluster(const SlurmCluster&) = delete;

  /// Whether its node came up; else what the daemons say.
  std::string wait_until_idle(double seconds) {
    for (const auto until = after(seconds); seconds_until(until) > 0; pause())
      if (run("sinfo --noheader --format=%t").out.find("idle") == 0) return "";
    return read_file(path("slurmctld.log")) + read_file(path("slurmd.log")) +
           read_file(path("daemons.log"));
  }

  struct Ended {
    int code;
    std::string out;  // standard output and error
  };
  static Ended run(const std::string& command) {
    Ended ended{-1, ""};
    FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
    std::array<char, 4096> part;
    while (const size_t got = fread(part.data(), 1, part.size(), pipe))
      ended.out.append(part.data(), got);
    const int status = pclose(pipe);
    ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ended;
  }
  static void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  std::string configuration() const {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    std::string name = host;
    name = name.substr(0, name.find('.'));
    std::string text;
    const auto set = [&](const char* key, const std::string& value) {
      text += fmt::format("{}={}\n", key, value);
    };
    set("ClusterName", "mometest");
    set("SlurmctldHost", name + "(127.0.0.1)");
    set("SlurmctldPort", std::to_string(port_of(listen_on(0))));
    set("SlurmdPort", std::to_string(port_of(listen_on(0))));
    set("AuthType", "auth/munge");
    set("AuthInfo", "socket=" + path("munge.socket"));
    set("SlurmUser", "root");
    set("StateSaveLocation", path("state"));
    set("SlurmdSpoolDir", path("spool"));
    for (const char* daemon : {"Slurmctld", "Slurmd"}) {
      std::string file = daemon;
      file[0] = 's';
      set(fmt::format("{}PidFile", daemon).c_str(), path(file + ".pid"));
      set(fmt::format("{}LogFile", daemon).c_str(), path(file + ".log"));
    }
    // Nothing that wants cgroups: this may be a container.
    set("ProctrackType", "proctrack/linuxproc");
    set("TaskPlugin", "task/none");
    set("JobAcctGatherType", "jobacct_gather/none");
    set("SelectType", "select/cons_tres");
    set("SelectTypeParameters", "CR_CPU");
    set("SlurmdParameters", "config_overrides");  // four CPUs, whatever there is
    set("SchedulerParameters", "sched_interval=1,sched_min_interval=0,bf_interval=1");
    set("ReturnToService", "2");
    set("NodeName", name + " NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN");
    set("PartitionName", "main Nodes=" + name + " Default=YES MaxTime=INFINITE State=UP");
    return text;
  }

  void start(const std::vector<std::string>& command) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int log = open(path("daemons.log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(open("/dev/null", O_RDONLY), 0);
      dup2(log, 1);
      dup2(log, 2);
      std::vector<char*> argv;
      for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      execvp(argv[0], argv.data());
      _exit(127);
    }
    daemons_.push_back(child);
  }

  const std::string folder_ = fmt::format("{}mome_slurm_{}", ::testing::TempDir(), getpid());
  std::vector<pid_t> daemons_;
};

}  // namespace mome::testing
