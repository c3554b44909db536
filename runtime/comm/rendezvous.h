// A start by the plain variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and
// MASTER_PORT. Rank 0 listens at the master's address, the others connect, and one small text
// (NCCL's identifier) goes from rank 0 to all.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace mome {

struct PlainStart {
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // on this host; LOCAL_WORLD_SIZE, where it is set
  std::string address;                 // of rank 0
  uint16_t port = 0;
};

/// Nothing where RANK is not set. UsageError, naming the variable and its value, where one is
/// missing or senseless. Under torchrun itself (TORCHELASTIC_USE_AGENT_STORE) its own store listens
/// at MASTER_PORT: the next port is taken.
std::optional<PlainStart> plain_start();

/// The value of an environment variable as a number of [least, most]; nothing where it is not set
/// or empty, else UsageError.
std::optional<int64_t> number_from_environment(const char* name, int64_t least, int64_t most);

/// Rank 0's `text` (up to 64 KiB), on every rank. Waits for the others `seconds` long: then Error
/// says who is missing. UsageError where two ranks have one number or the ranks differ about
/// WORLD_SIZE. Who connects but does not speak as a rank does is ignored.
std::string from_rank_0(const PlainStart& start, const std::string& text, double seconds = 120);

}  // namespace mome
