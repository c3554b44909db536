// Ranks as threads of one process: each call is a meeting at a barrier, where everybody shows its buffers, takes what it
// needs from the others' and meets once more before anybody goes on. For tests, and to be read: it is what the calls mean.
#pragma once
#include <functional>

#include "runtime/comm/communicator.h"

namespace mome {

/// Runs body(communicator) on `ranks` threads and joins them. device_of(rank) outlives the call. An exception of one rank
/// wakes the others, whose calls then fail too; the first one is rethrown here.
void run_threads(int ranks, const std::function<Device&(int rank)>& device_of, const std::function<void(Communicator&)>& body);
/// All on the CPU.
void run_threads(int ranks, const std::function<void(Communicator&)>& body);

}  // namespace mome
