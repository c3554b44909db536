// What the interpreter reports: the text names kernel, block, thread, and the file and line of the access or wait.
#pragma once
#include <stdexcept>
#include <string>

namespace mome::simt {

class Fault : public std::runtime_error {
 public:
  explicit Fault(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace mome::simt
