// Ctrl-C, kill and pre-emption, politely: SIGINT, SIGTERM and SIGUSR1 only raise a flag, which the work looks
// at between steps to save and stop. A second SIGINT or SIGTERM ends the program at once. SIGUSR1 never does, and one
// before it counts for nothing: batch systems send it ahead, perhaps again, and SIGTERM when time is up.
#pragma once

namespace mome {

/// From now on SIGINT, SIGTERM and SIGUSR1 raise the flag; it is lowered here.
void catch_interrupts();

/// Whether one came since catch_interrupts().
bool interrupted();

}  // namespace mome
