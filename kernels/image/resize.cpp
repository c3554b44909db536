#include "kernels/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace mome {
namespace {

// Coefficients have 22 fraction bits: 8 bits of pixel, 2 of head room for the overshoot of the
// cubic.
constexpr int kPrecision = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecision - 1);

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double box_filter(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

// For every output coordinate: the first source coordinate, how many, and their weights.
struct Taps {
  int stride = 0;
  std::vector<int> first, count;
  std::vector<int32_t> weight;  // [out, stride]
};

Taps make_taps(int in_size, float begin, float end, int out_size, ResizeFilter filter) {
  const double scale = double(end - begin) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (filter == ResizeFilter::kBicubic ? 2.0 : 0.5) * filter_scale;
  Taps taps;
  taps.stride = int(std::ceil(support)) * 2 + 1;
  taps.first.resize(out_size);
  taps.count.resize(out_size);
  taps.weight.assign(size_t(out_size) * taps.stride, 0);
  std::vector<double> w(taps.stride);
  for (int i = 0; i < out_size; ++i) {
    const double centre = begin + (i + 0.5) * scale;
    const int first = std::max(0, int(centre - support + 0.5));
    const int count = std::min(in_size, int(centre + support + 0.5)) - first;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      const double x = (k + first - centre + 0.5) * (1.0 / filter_scale);
      w[k] = filter == ResizeFilter::kBicubic ? bicubic(x) : box_filter(x);
      sum += w[k];
    }
    int32_t* out = &taps.weight[size_t(i) * taps.stride];
    for (int k = 0; k < count; ++k) {
      const double v = (sum != 0.0 ? w[k] / sum : w[k]) * (1 << kPrecision);
      out[k] = int32_t(v < 0 ? v - 0.5 : v + 0.5);
    }
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

inline uint8_t clip8(int32_t sum) { return uint8_t(std::clamp(sum >> kPrecision, 0, 255)); }

// Rows are handled kLanes at a time, transposed to [column, channel, lane]: every tap is then a
// multiply-add of kLanes * 3 neighbours by one weight, which vectorises whatever the tap count.
constexpr int kLanes = 16;

// Of two rows of n elements of kBytes: out[i] = in[0, i], in[1, i], for `pairs` pairs of rows; half
// a transposition. Loops over two neighbours are what compilers turn into shuffles; bytes scattered
// one at a time cost more than the filter.
template <int kBytes>
void zip(const uint8_t* in, int pairs, int64_t n, uint8_t* out) {
  for (int p = 0; p < pairs; ++p, in += 2 * n * kBytes, out += 2 * n * kBytes) {
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(out + 2 * i * kBytes, in + i * kBytes, kBytes);
      std::memcpy(out + (2 * i + 1) * kBytes, in + (n + i) * kBytes, kBytes);
    }
  }
}

// And back.
template <int kBytes>
void unzip(const uint8_t* in, int pairs, int64_t n, uint8_t* out) {
  for (int p = 0; p < pairs; ++p, in += 2 * n * kBytes, out += 2 * n * kBytes) {
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(out + i * kBytes, in + 2 * i * kBytes, kBytes);
      std::memcpy(out + (n + i) * kBytes, in + (2 * i + 1) * kBytes, kBytes);
    }
  }
}

// A block of kLanes rows of n bytes, with as much room again: the two take turns.
struct Block {
  explicit Block(int64_t n) : n(n), bytes(size_t(n * kLanes)), other(bytes.size()) {}
  // bytes[kLanes, n] to [n, kLanes].
  void transpose() {
    zip<1>(bytes.data(), 8, n, other.data());
    zip<2>(other.data(), 4, n, bytes.data());
    zip<4>(bytes.data(), 2, n, other.data());
    zip<8>(other.data(), 1, n, bytes.data());
  }
  void transpose_back() {
    unzip<8>(bytes.data(), 1, n, other.data());
    unzip<4>(other.data(), 2, n, bytes.data());
    unzip<2>(bytes.data(), 4, n, other.data());
    unzip<1>(other.data(), 8, n, bytes.data());
  }
  const int64_t n;
  std::vector<uint8_t> bytes, other;
};

void resize_rows(const uint8_t* in, int rows, int in_width, int64_t in_stride, const Taps& taps,
                 int out_width, uint8_t* out) {
  const int left = *std::min_element(taps.first.begin(), taps.first.end());
  int right = 0;
  for (int i = 0; i < out_width; ++i) right = std::max(right, taps.first[i] + taps.count[i]);
  right = std::min(right, in_width);
  const int64_t bytes = int64_t(right - left) * 3, out_bytes = int64_t(out_width) * 3;
  Block from(bytes), to(out_bytes);
  for (int y = 0; y < rows; y += kLanes) {
    const int lanes = std::min(kLanes, rows - y);
    for (int r = 0; r < lanes; ++r)
      std::memcpy(from.bytes.data() + r * bytes, in + (y + r) * in_stride + int64_t(left) * 3,
                  size_t(bytes));
    from.transpose();
    for (int i = 0; i < out_width; ++i) {
      int32_t sum[3 * kLanes];
      std::fill(sum, sum + 3 * kLanes, kHalf);
      const int32_t* weight = &taps.weight[size_t(i) * taps.stride];
      const uint8_t* column = from.bytes.data() + int64_t(taps.first[i] - left) * 3 * kLanes;
      for (int k = 0; k < taps.count[i]; ++k, column += 3 * kLanes) {
        const int32_t w = weight[k];
#pragma omp simd
        for (int l = 0; l < 3 * kLanes; ++l) sum[l] += w * column[l];
      }
      uint8_t* pixel = to.bytes.data() + int64_t(i) * 3 * kLanes;
      for (int l = 0; l < 3 * kLanes; ++l) pixel[l] = clip8(sum[l]);
    }
    to.transpose_back();
    std::memcpy(out + y * out_bytes, to.bytes.data(), size_t(lanes * out_bytes));
  }
}

// in[*, width, 3] with row 0 = source row `offset`; in_stride in bytes.
void resize_columns(const uint8_t* in, int offset, int64_t in_stride, int width, const Taps& taps,
                    int out_height, uint8_t* out) {
  const int64_t bytes = int64_t(width) * 3;
  std::vector<int32_t> sum(bytes);
  for (int i = 0; i < out_height; ++i) {
    std::fill(sum.begin(), sum.end(), kHalf);
    const int32_t* weight = &taps.weight[size_t(i) * taps.stride];
    for (int k = 0; k < taps.count[i]; ++k) {
      const int32_t w = weight[k];
      const uint8_t* row = in + (taps.first[i] + k - offset) * in_stride;
      int32_t* s = sum.data();
#pragma omp simd
      for (int64_t j = 0; j < bytes; ++j) s[j] += w * row[j];
    }
    uint8_t* to = out + i * bytes;
    for (int64_t j = 0; j < bytes; ++j) to[j] = clip8(sum[j]);
  }
}

}  // namespace

void resize_rgb(const uint8_t* in, int in_height, int in_width, int64_t in_stride,
                const ResizeBox& box, ResizeFilter filter, int out_height, int out_width,
                uint8_t* out) {
  // A direction that changes nothing is left out: its weights would be 1 and the rounding idle.
  const bool horizontal = out_width != in_width || box.left != 0 || box.right != in_width;
  const bool vertical = out_height != in_height || box.top != 0 || box.bottom != in_height;
  if (!vertical && !horizontal) {
    for (int y = 0; y < in_height; ++y)
      std::memcpy(out + int64_t(y) * in_width * 3, in + y * in_stride, size_t(in_width) * 3);
    return;
  }
  const Taps rows = make_taps(in_height, box.top, box.bottom, out_height, filter);
  if (!horizontal) {
    resize_columns(in, 0, in_stride, in_width, rows, out_height, out);
    return;
  }
  const Taps columns = make_taps(in_width, box.left, box.right, out_width, filter);
  if (!vertical) {
    resize_rows(in, in_height, in_width, in_stride, columns, out_width, out);
    return;
  }
  const int top = rows.first.front();
  const int bottom = rows.first.back() + rows.count.back();
  std::vector<uint8_t> half(size_t(bottom - top) * out_width * 3);
  resize_rows(in + top * in_stride, bottom - top, in_width, in_stride, columns, out_width,
              half.data());
  resize_columns(half.data(), top, int64_t(out_width) * 3, out_width, rows, out_height, out);
}

}  // namespace mome
