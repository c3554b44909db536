// A tensor is a view: a pointer, a dtype, a device and a matrix shape [rows, cols], rows contiguous.
// Packed tokens need no more axes; a vector is [1, n]. Whoever made the memory owns it (an arena, a
// parameter set, a batch); copying a Tensor copies the view.
#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/core/error.h"

namespace mome {

enum class DType : uint8_t { kF32, kF64, kI32, kU8 };  // f16 and bf16 come with the cuda device
enum class Device : uint8_t { kCpu };                  // cuda and simt are to follow

constexpr size_t size_of(DType t) {
  switch (t) {
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kF64: return 8;
    case DType::kU8: return 1;
  }
  return 0;
}

template <class T> constexpr DType dtype_of();
template <> constexpr DType dtype_of<float>() { return DType::kF32; }
template <> constexpr DType dtype_of<double>() { return DType::kF64; }
template <> constexpr DType dtype_of<int32_t>() { return DType::kI32; }
template <> constexpr DType dtype_of<uint8_t>() { return DType::kU8; }

struct Tensor {
  void* data = nullptr;
  int64_t rows = 0, cols = 0;
  DType dtype = DType::kF32;
  Device device = Device::kCpu;

  explicit operator bool() const { return data != nullptr; }
  int64_t count() const { return rows * cols; }
  size_t bytes() const { return size_t(count()) * size_of(dtype); }

  /// Typed pointer; null for an absent tensor, which is how kernels take "not wanted".
  template <class T>
  T* as() const {
    MOME_CHECK(!data || dtype == dtype_of<T>());
    return static_cast<T*>(data);
  }

  /// Rows [begin, begin + count) as a view.
  Tensor slice(int64_t begin, int64_t count) const {
    MOME_CHECK(begin >= 0 && count >= 0 && begin + count <= rows);
    Tensor t = *this;
    t.data = static_cast<char*>(data) + size_t(begin) * size_t(cols) * size_of(dtype);
    t.rows = count;
    return t;
  }
};

/// Calls f.template operator()<float>() or <double>(): the one place where a floating dtype becomes a type.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32: return f.template operator()<float>();
    case DType::kF64: return f.template operator()<double>();
    default: throw std::logic_error("a floating dtype was expected");
  }
}

}  // namespace mome
