// A tensor is a view: a pointer, a dtype and a matrix shape [rows, cols], rows contiguous.
// Packed tokens need no more axes; a vector is [1, n]. Whoever made the memory owns it (an arena, a
// parameter set, a batch), and knows the device that it lies on; copying a Tensor copies the view.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/common/half.h"
#include "runtime/core/error.h"

namespace mome {

enum class DType : uint8_t { kF32, kF64, kI32, kU8, kF16, kBF16, kI64 };

constexpr size_t size_of(DType t) {
  switch (t) {
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kF64:
    case DType::kI64: return 8;
    case DType::kF16:
    case DType::kBF16: return 2;
    case DType::kU8: return 1;
  }
  return 0;
}

template <class T> constexpr DType dtype_of();
template <> constexpr DType dtype_of<float>() { return DType::kF32; }
template <> constexpr DType dtype_of<double>() { return DType::kF64; }
template <> constexpr DType dtype_of<int32_t>() { return DType::kI32; }
template <> constexpr DType dtype_of<uint8_t>() { return DType::kU8; }
template <> constexpr DType dtype_of<int64_t>() { return DType::kI64; }
template <> constexpr DType dtype_of<half>() { return DType::kF16; }
template <> constexpr DType dtype_of<bf16>() { return DType::kBF16; }

/// The dtype of Real<T>: parameters, statistics and losses of a computation in `t`.
constexpr DType real_dtype(DType t) { return t == DType::kF64 ? t : DType::kF32; }

struct Tensor {
  void* data = nullptr;
  int64_t rows = 0, cols = 0;
  DType dtype = DType::kF32;

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

}  // namespace mome
