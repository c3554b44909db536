// Runs a shell command for its output.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace mome {

/// Runs `command` by /bin/sh and writes what it prints to the open file `to`; returns how many
/// bytes. Its standard input is empty. `stop` is asked every 50 ms, and before the start: once it
/// says true the command and all it started are killed. Throws Error, which does not name the
/// command, if it cannot be started, ends with anything but exit status 0, is stopped, or if `to`
/// cannot be written; the last lines that the command wrote to its standard error stand in the
/// message.
uint64_t run_command(const std::string& command, int to, const std::function<bool()>& stop);

}  // namespace mome
