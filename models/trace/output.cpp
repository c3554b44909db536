#include "models/trace/output.h"

#include <algorithm>
#include <numeric>

namespace mome {
namespace {

size_t count_of(const std::vector<int64_t>& shape) {
  return size_t(std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>()));
}

}  // namespace

std::vector<double> values_of(Device& device, const Tensor& tensor) {
  std::vector<double> values(size_t(tensor.count()));
  dispatch(device, tensor.dtype, [&]<class T>(auto& queue) {
    std::vector<T> host(values.size());
    queue.download(host.data(), tensor.data, tensor.bytes());
    if constexpr (std::is_same_v<T, double>)
      values = std::move(host);
    else
      std::transform(host.begin(), host.end(), values.begin(),
                     [](T value) { return double(to_float(value)); });
  });
  return values;
}

std::vector<double> unpacked(const std::vector<double>& rows, int64_t width,
                             const std::vector<int64_t>& at) {
  std::vector<double> out(at.size() * size_t(width), 0.0);
  for (size_t i = 0; i < at.size(); ++i)
    if (at[i] >= 0)
      std::copy_n(rows.begin() + at[i] * width, width, out.begin() + int64_t(i) * width);
  return out;
}

void TraceOutput::add(std::string name, std::vector<int64_t> shape,
                      const std::vector<double>& values) {
  MOME_CHECK(values.size() == count_of(shape));
  tensors_.list.push_back(make_floats(tensors_, std::move(name), dtype_, std::move(shape), values));
}

void TraceOutput::add_integers(std::string name, std::vector<int64_t> shape,
                               std::vector<int64_t> values) {
  MOME_CHECK(values.size() == count_of(shape));
  tensors_.list.push_back(make_tensor(std::move(name), "I64", std::move(shape), std::move(values)));
}

}  // namespace mome
