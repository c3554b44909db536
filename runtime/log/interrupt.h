// Ctrl-C and kill, politely: the first SIGINT or SIGTERM only raises a flag, which the work looks
// at between steps to save and stop. The next one ends the program at once.
#pragma once

namespace mome {

/// From now on SIGINT and SIGTERM raise the flag; it is lowered here.
void catch_interrupts();

/// Whether one came since catch_interrupts().
bool interrupted();

}  // namespace mome
