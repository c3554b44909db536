// Tensors by name, whatever kind of file they came from: what the steps of a conversion work on.
#pragma once
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/device.h"
#include "runtime/io/tensor_view.h"

namespace mome {

/// A tensor and what keeps its bytes alive: the mapped file, or memory that was made for it.
struct NamedTensor : TensorView {
  std::shared_ptr<const void> owner;
};

/// The tensors of a checkpoint in their order. Names are unique.
struct NamedTensors {
  std::string path;     ///< for messages
  std::string wrapper;  ///< of a PyTorch file: the key that the state dict lay under; else ""
  std::map<std::string, std::string> metadata;  ///< of a safetensors file
  std::vector<std::string> ignored;             ///< of a PyTorch file: entries that are no tensors
  std::vector<NamedTensor> list;

  /// Null if there is none of this name. Linear in the number of tensors, a few hundred.
  const NamedTensor* find(std::string_view name) const;
  /// The same; Error if there is none.
  const NamedTensor& at(std::string_view name) const;
  /// In place of the tensor of this name, or at the end.
  void put(NamedTensor tensor);
  void remove(std::string_view name);
};

/// Reads a file of either kind by its content: safetensors, or what torch.save wrote. Nothing but
/// headers is read until a tensor is. `verify`: compares the file's checksums where it has some,
/// which reads all of it. Errors as of SafeTensors and TorchFile.
NamedTensors read_tensors(const std::string& path, bool verify = false);

/// Takes off what a training framework put before every name ("module." of DeepSpeed and
/// DistributedDataParallel, "_forward_module." of Lightning, "model."), as often as all names begin
/// with it.
void strip_prefixes(NamedTensors& tensors);

/// A tensor of its own memory; `values` holds product(shape) elements of the dtype.
template <class T>
NamedTensor make_tensor(std::string name, std::string dtype, std::vector<int64_t> shape,
                        std::vector<T> values) {
  auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  const auto* data = reinterpret_cast<const std::byte*>(owner->data());
  const size_t bytes = owner->size() * sizeof(T);
  const auto elements = static_cast<int64_t>(owner->size());
  return {{std::move(name), std::move(dtype), std::move(shape), data, bytes, elements}, owner};
}

bool is_float(std::string_view dtype);  ///< "F64", "F32", "F16" or "BF16"
/// The values of a tensor of floats, exactly. Error for another dtype.
std::vector<double> float_values(const NamedTensors& file, const NamedTensor& tensor);
/// The same tensor of floats in another dtype of floats, rounded to nearest even; itself if it has
/// that dtype. Error if a finite value becomes infinite.
NamedTensor cast(const NamedTensors& file, const NamedTensor& tensor, const std::string& dtype);
/// A tensor of floats from values, rounded to the dtype.
NamedTensor make_floats(const NamedTensors& file, std::string name, const std::string& dtype,
                        std::vector<int64_t> shape, const std::vector<double>& values);

/// The first `rows` rows of a tensor that has more, without copying.
NamedTensor first_rows(const NamedTensor& tensor, int64_t rows);

/// Copies the first to.count() elements of a tensor of floats over `to`, which lies on the device,
/// rounding to its dtype (F32 or F64) to nearest even. On the way to another device, and where the
/// dtypes differ, no more than a piece of some megabytes is held. Errors as of cast.
void copy_values(const NamedTensors& file, const NamedTensor& tensor, Tensor to, Device& device);

std::string shape_text(const std::vector<int64_t>& shape);  ///< "[2, 3]"

}  // namespace mome
