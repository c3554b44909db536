// How ranks on this host are started by OpenMPI's mpirun.
#pragma once
#include <string>
#include <vector>

namespace mome {

/// "mpirun -n RANKS …" up to the program's name. More ranks than cores are allowed, ranks are not
/// bound to cores (each has threads of its own), and root is allowed where the caller is root,
/// since mpirun refuses all three.
std::vector<std::string> mpirun_command(int ranks);

}  // namespace mome
