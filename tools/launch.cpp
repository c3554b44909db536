// `mome launch -n RANKS SUBCOMMAND …`: starts the ranks of one host.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include "runtime/comm/local_ranks.h"
#include "runtime/comm/mpirun.h"
#include "runtime/core/device.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  int ranks = 1;
  bool plain = false, mpi = false;
};

bool has_gpu() {
#if defined(MOME_WITH_CUDA)
  return cuda::device_count() > 0;
#else
  return false;
#endif
}

bool in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  return false;
}

/// Becomes mpirun, to whom signals and the exit status are left.
[[noreturn]] void exec_mpirun(int ranks, const std::vector<std::string>& command) {
  std::vector<std::string> words = mpirun_command(ranks);
  if (!in_path(words[0]))
    throw UsageError(fmt::format("{} is not in PATH: install openmpi-bin{}", words[0],
                                 has_gpu() ? ", or use --plain" : ""));
  words.insert(words.end(), command.begin(), command.end());
  fmt::print(stderr, "mome launch: {}\n", fmt::join(words, " "));
  std::fflush(stderr);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  fail("{}: {}", words[0], std::strerror(errno));
}

}  // namespace

void add_launch_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "launch", "Start the ranks of this host: mome launch -n 8 pretrain RECIPE …");
  auto o = std::make_shared<Options>();
  command->add_option("-n,--ranks", o->ranks, "How many")->required()->check(CLI::Range(1, 4096));
  auto* plain = command->add_flag(
      "--plain", o->plain,
      "Start them here, with the variables that torchrun sets (RANK, …); each line of output "
      "behind "
      "\"[rank] \"; the default where this program has the cuda device and there is a GPU");
  command->add_flag("--mpi", o->mpi, "Start them by mpirun; the default elsewhere")
      ->excludes(plain);
  command->prefix_command();  // the rest is the ranks' command line
  command->footer("COMMAND: a subcommand of mome with its arguments, the same for all ranks.");
  command->callback([o, command] {
    std::vector<std::string> words = command->remaining();
    if (words.empty())
      throw UsageError(
          "launch: a subcommand for the ranks is required, e.g. mome launch -n 8 pretrain RECIPE");
    if (words[0] == "launch") throw UsageError("launch: ranks cannot launch ranks");
    words.insert(words.begin(), std::filesystem::read_symlink("/proc/self/exe").string());
    // Ranks share the cores: OpenMP would give all of them to each.
    setenv("OMP_NUM_THREADS",
           std::to_string(std::max(1u, std::thread::hardware_concurrency() / unsigned(o->ranks)))
               .c_str(),
           0);
    if (!o->plain && (o->mpi || !has_gpu())) exec_mpirun(o->ranks, words);
    const int status = run_local_ranks(o->ranks, words);
    if (status != 0) throw CLI::RuntimeError(status);
  });
}

}  // namespace mome
