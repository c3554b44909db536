#include "runtime/comm/slurm.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "runtime/core/error.h"

namespace mome {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string first_host_of(const std::string& list) {
  const size_t bracket = list.find_first_of("[,");
  if (bracket == std::string::npos || list[bracket] == ',') return list.substr(0, bracket);
  const size_t number = list.find_first_of("-,]", bracket + 1), close = list.find(']', bracket);
  if (number == std::string::npos || close == std::string::npos) return "";
  const std::string suffix = list.substr(close + 1, list.find(',', close) - close - 1);
  return list.substr(0, bracket) + list.substr(bracket + 1, number - bracket - 1) + suffix;
}

int tasks_of_node(const std::string& list, int node) {
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) {
    const int tasks = std::atoi(part.c_str());
    const size_t times = part.find("(x");
    node -= times == std::string::npos ? 1 : std::atoi(part.c_str() + times + 2);
    if (node < 0) return tasks;
  }
  return 0;
}

std::optional<SlurmStep> slurm_step() {
  constexpr int64_t kMost = 1 << 20;
  const auto size = number_from_environment("SLURM_STEP_NUM_TASKS", 1, kMost);
  const auto rank = number_from_environment("SLURM_PROCID", 0, size.value_or(1) - 1);
  if (!size || !rank) return {};
  SlurmStep step;
  step.size = int(*size);
  step.rank = int(*rank);
  step.local_rank = int(number_from_environment("SLURM_LOCALID", 0, step.rank).value_or(0));
  step.local_size =
      std::max(step.local_rank + 1,
               tasks_of_node(variable("SLURM_STEP_TASKS_PER_NODE"),
                             int(number_from_environment("SLURM_NODEID", 0, kMost).value_or(0))));
  step.first_host = first_host_of(variable("SLURM_STEP_NODELIST"));
  return step;
}

PlainStart meeting_of_step(const SlurmStep& step) {
  PlainStart start;
  start.rank = step.rank;
  start.size = step.size;
  start.local_rank = step.local_rank;
  start.local_size = step.local_size;
  start.address = variable("MASTER_ADDR");
  if (start.address.empty()) start.address = step.first_host;
  if (start.address.empty())
    throw UsageError(
        "srun did not say where its first task runs (SLURM_STEP_NODELIST): set MASTER_ADDR to that "
        "host");
  const int64_t job = number_from_environment("SLURM_JOB_ID", 0, INT64_MAX).value_or(0),
                number = number_from_environment("SLURM_STEP_ID", 0, INT64_MAX).value_or(0);
  start.port = uint16_t(number_from_environment("MASTER_PORT", 1, 65535)
                            .value_or(23000 + (job % 1000 * 8 + number % 8) % 8000));
  return start;
}

}  // namespace mome
