// What a trace writes: named tensors in F32, or F64 where double is computed in; integers are I64.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/tensors.h"
#include "runtime/core/device.h"

namespace mome {

/// The values of a tensor on a device, whatever its floating dtype.
std::vector<double> values_of(Device& device, const Tensor& tensor);

/// Rows of a matrix [R, width] in another order: row at[i], or zeros where at[i] is -1 (padding).
std::vector<double> unpacked(const std::vector<double>& rows, int64_t width,
                             const std::vector<int64_t>& at);

class TraceOutput {
 public:
  /// compute: what the pass computes in.
  explicit TraceOutput(DType compute) : dtype_(compute == DType::kF64 ? "F64" : "F32") {
    tensors_.path = "trace";
  }
  void add(std::string name, std::vector<int64_t> shape, const std::vector<double>& values);
  void add_scalar(std::string name, double value) { add(std::move(name), {}, {value}); }
  void add_integers(std::string name, std::vector<int64_t> shape, std::vector<int64_t> values);
  NamedTensors take() { return std::move(tensors_); }

 private:
  std::string dtype_;
  NamedTensors tensors_;
};

}  // namespace mome
