// The 16-bit storage types of the GPU devices: IEEE binary16 (half) and bfloat16, as plain bits, so that host code,
// CUDA compilers and the simt device name the same types. Arithmetic is done in float; these only convert, rounding to
// nearest even.
#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define MOME_HOST_DEVICE __host__ __device__
#else
#define MOME_HOST_DEVICE
#endif

namespace mome {

struct half {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

/// What statistics, losses, parameters' masters and gradients of a kernel over T are held in.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;

namespace half_detail {

/// binary16 of a float without hardware: Giesen, "float->half variants" (2016), round to nearest even.
inline uint16_t round_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u, absolute = bits & 0x7fffffffu;
  if (absolute > 0x7f800000u) return uint16_t(sign | 0x7e00u);   // NaN
  if (absolute >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // rounds to Inf
  if (absolute < 0x38800000u) {  // subnormal: let the float adder round at 2^-24
    const float shifted = std::bit_cast<float>(absolute) + 0.5f;
    return uint16_t(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t odd = (absolute >> 13) & 1;
  return uint16_t(sign | ((absolute - 0x38000000u + 0xfffu + odd) >> 13));
}

inline float widen_half(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = float(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace half_detail

MOME_HOST_DEVICE inline float to_float(float v) { return v; }
MOME_HOST_DEVICE inline float to_float(half v) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(v.bits));
#elif defined(__FLT16_MANT_DIG__) && !defined(__CUDACC__)
  return float(std::bit_cast<_Float16>(v.bits));
#else
  return half_detail::widen_half(v.bits);
#endif
}
MOME_HOST_DEVICE inline float to_float(bf16 v) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(uint32_t(v.bits) << 16);
#else
  return std::bit_cast<float>(uint32_t(v.bits) << 16);
#endif
}

/// Rounds to the storage type T.
template <class T>
MOME_HOST_DEVICE inline T from_float(float v) {
  if constexpr (std::is_same_v<T, half>) {
#if defined(__CUDA_ARCH__)
    return {__half_as_ushort(__float2half_rn(v))};
#elif defined(__FLT16_MANT_DIG__) && !defined(__CUDACC__)
    return {std::bit_cast<uint16_t>(_Float16(v))};
#else
    return {half_detail::round_to_half(v)};
#endif
  } else if constexpr (std::is_same_v<T, bf16>) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return {__bfloat16_as_ushort(__float2bfloat16_rn(v))};
#else
#if defined(__CUDA_ARCH__)
    const uint32_t bits = __float_as_uint(v);
#else
    const uint32_t bits = std::bit_cast<uint32_t>(v);
#endif
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {uint16_t((bits >> 16) | 0x40u)};  // NaN stays NaN
    return {uint16_t((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16)};
#endif
  } else {
    return T(v);
  }
}

}  // namespace mome
