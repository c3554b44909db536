#include "models/checkpoints/tensors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/common/half.h"
#include "kernels/common/parallel.h"
#include "runtime/core/error.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/torch_file.h"

namespace mome {
namespace {

template <class File>
void take_views(NamedTensors& to, std::shared_ptr<const File> file) {
  for (const TensorView& view : file->tensors()) to.list.push_back({view, file});
}

[[noreturn]] void fail_too_large(const NamedTensors& file, std::string_view name, double value,
                                 std::string_view dtype) {
  fail("{}: tensor `{}`: {} is too large for {}", file.path, name, value, dtype);
}

/// Calls visitor(T{}) with the C++ type of a dtype of floats.
template <class F>
void with_type(const NamedTensors& file, std::string_view name, std::string_view dtype, F visitor) {
  if (dtype == "F32") return visitor(float{});
  if (dtype == "F64") return visitor(double{});
  if (dtype == "F16") return visitor(half{});
  if (dtype == "BF16") return visitor(bf16{});
  fail("{}: tensor `{}` is {}; expected F32, F16, BF16 or F64", file.path, name, dtype);
}

template <class T>
double widen(T value) {
  if constexpr (std::is_same_v<T, double>)
    return value;
  else
    return to_float(value);
}

/// One rounding, to nearest even. From double to 16 bits by way of float there would be two: the
/// float is made odd where it is inexact, which keeps a tie from being one by mistake (Boldo and
/// Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding
/// to odd").
template <class T>
T narrow(double value) {
  if constexpr (std::is_same_v<T, double>) {
    return value;
  } else if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(value);
  } else {
    float rounded = static_cast<float>(value);
    if (std::isfinite(rounded) && rounded != value && (std::bit_cast<uint32_t>(rounded) & 1) == 0) {
      const double direction = value > rounded ? HUGE_VAL : -HUGE_VAL;
      rounded = std::nextafterf(rounded, static_cast<float>(direction));
    }
    return from_float<T>(rounded);
  }
}

/// Elements [begin, begin + count) of a tensor of S, which need not be aligned, as T.
template <class S, class T>
void convert(const NamedTensors& file, const NamedTensor& tensor, const S*, int64_t begin,
             int64_t count, T* out) {
  const std::byte* in = tensor.data + size_t(begin) * sizeof(S);
  constexpr int64_t kGrain = 1 << 16;
  parallel_chunks(count, kGrain, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      S value;
      std::memcpy(&value, in + size_t(i) * sizeof(S), sizeof(S));
      out[i] = static_cast<T>(widen(value));
    }
  });
  if constexpr (sizeof(T) < sizeof(S))
    for (int64_t i = 0; i < count; ++i) {
      S value;
      std::memcpy(&value, in + size_t(i) * sizeof(S), sizeof(S));
      if (std::isinf(out[i]) && !std::isinf(value)) fail_too_large(file, tensor.name, value, "F32");
    }
}

}  // namespace

const NamedTensor* NamedTensors::find(std::string_view name) const {
  for (const NamedTensor& tensor : list)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

const NamedTensor& NamedTensors::at(std::string_view name) const {
  if (const NamedTensor* tensor = find(name)) return *tensor;
  fail("{}: tensor `{}` is missing", path, name);
}

void NamedTensors::put(NamedTensor tensor) {
  for (NamedTensor& old : list)
    if (old.name == tensor.name) {
      old = std::move(tensor);
      return;
    }
  list.push_back(std::move(tensor));
}

void NamedTensors::remove(std::string_view name) {
  std::erase_if(list, [&](const NamedTensor& tensor) { return tensor.name == name; });
}

NamedTensors read_tensors(const std::string& path, bool verify) {
  NamedTensors tensors;
  tensors.path = path;
  if (looks_like_torch(path)) {
    const auto file = std::make_shared<const TorchFile>(path);
    if (verify) file->verify();
    tensors.wrapper = file->wrapper();
    tensors.ignored = file->ignored();
    take_views(tensors, file);
  } else {
    const auto file = std::make_shared<const SafeTensors>(path);
    if (verify && file->checksum() == Checksum::kDiffers)
      fail("{}: its checksum does not fit: damaged, or changed by a program that kept the metadata entry `{}`",
           path, kChecksumKey);
    tensors.metadata = file->metadata();
    take_views(tensors, file);
  }
  return tensors;
}

void strip_prefixes(NamedTensors& tensors) {
  constexpr std::string_view kPrefixes[] = {"module.", "_forward_module.", "model."};
  for (bool again = !tensors.list.empty(); again;) {
    again = false;
    for (const std::string_view prefix : kPrefixes) {
      if (!std::all_of(tensors.list.begin(), tensors.list.end(),
                       [&](const NamedTensor& t) { return t.name.starts_with(prefix); }))
        continue;
      for (NamedTensor& tensor : tensors.list) tensor.name.erase(0, prefix.size());
      again = true;
    }
  }
}

bool is_float(std::string_view dtype) {
  return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

std::vector<double> float_values(const NamedTensors& file, const NamedTensor& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.elements));
  with_type(file, tensor.name, tensor.dtype, [&]<class T>(T value) {
    for (size_t i = 0; i < values.size(); ++i) {
      std::memcpy(&value, tensor.data + i * sizeof value, sizeof value);
      values[i] = widen(value);
    }
  });
  return values;
}

NamedTensor make_floats(const NamedTensors& file, std::string name, const std::string& dtype,
                        std::vector<int64_t> shape, const std::vector<double>& values) {
  NamedTensor result;
  with_type(file, name, dtype, [&]<class T>(T) {
    std::vector<T> rounded(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      rounded[i] = narrow<T>(values[i]);
      if (std::isinf(widen(rounded[i])) && !std::isinf(values[i]))
        fail_too_large(file, name, values[i], dtype);
    }
    result = make_tensor(std::move(name), dtype, std::move(shape), std::move(rounded));
  });
  return result;
}

NamedTensor cast(const NamedTensors& file, const NamedTensor& tensor, const std::string& dtype) {
  if (tensor.dtype == dtype) return tensor;
  return make_floats(file, tensor.name, dtype, tensor.shape, float_values(file, tensor));
}

NamedTensor first_rows(const NamedTensor& tensor, int64_t rows) {
  MOME_CHECK(!tensor.shape.empty() && rows <= tensor.shape[0] && rows > 0);
  NamedTensor first = tensor;
  first.bytes = tensor.bytes / size_t(tensor.shape[0]) * size_t(rows);
  first.elements = tensor.elements / tensor.shape[0] * rows;
  first.shape[0] = rows;
  return first;
}

void copy_values(const NamedTensors& file, const NamedTensor& tensor, Tensor to, Device& device) {
  MOME_CHECK(to.count() <= tensor.elements);
  with_type(file, tensor.name, tensor.dtype, [&]<class S>(S) {
    dispatch(to.dtype, [&]<class T>() {
      if constexpr (std::is_same_v<S, T>) {
        if (device.is_host())
          std::memcpy(to.data, tensor.data, to.bytes());
        else
          device.upload(to.data, tensor.data, to.bytes());
      } else {
        constexpr int64_t kPiece = int64_t{1} << 20;
        std::vector<T> staged(device.is_host() ? 0 : size_t(std::min(to.count(), kPiece)));
        for (int64_t begin = 0; begin < to.count(); begin += kPiece) {
          const int64_t count = std::min(to.count() - begin, kPiece);
          T* piece = device.is_host() ? to.as<T>() + begin : staged.data();
          convert(file, tensor, static_cast<const S*>(nullptr), begin, count, piece);
          if (!device.is_host())
            device.upload(to.as<T>() + begin, piece, size_t(count) * sizeof(T));
        }
      }
    });
  });
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace mome
