#include "models/objectives/codebook.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"
#include "kernels/common/philox.h"
#include "runtime/io/safetensors.h"

namespace mome {
namespace {

constexpr int64_t kBlock = 1024;  // rows whose distances to all entries are held at a time

std::vector<float> half_norms(int64_t entries, int64_t width, const float* e) {
  std::vector<float> out(static_cast<size_t>(entries));
  for (int64_t k = 0; k < entries; ++k) {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += double(e[k * width + i]) * e[k * width + i];
    out[size_t(k)] = float(sum / 2);
  }
  return out;
}

// Nearest entry of each row: argmax of <x, c> - |c|^2 / 2, the first of equals. margin[r], if
// wanted, is the squared distance to it.
void assign(int64_t rows, int64_t width, const float* x, int64_t entries, const float* e,
            const float* half, int32_t* code, float* distance) {
  std::vector<float> products(size_t(std::min(rows, kBlock) * entries));
  for (int64_t begin = 0; begin < rows; begin += kBlock) {
    const int64_t n = std::min(kBlock, rows - begin);
    gemm<float>(cpu, Trans::kNo, Trans::kYes, n, entries, width, 1, x + begin * width, width, e,
                width, 0, products.data(), entries);
    parallel_chunks(n, 32, [&](int64_t b, int64_t end) {
      for (int64_t r = b; r < end; ++r) {
        const float* p = products.data() + r * entries;
        int32_t best = 0;
        for (int64_t k = 1; k < entries; ++k)
          if (p[k] - half[k] > p[best] - half[best]) best = int32_t(k);
        code[begin + r] = best;
        if (distance) {
          double d = 0;
          for (int64_t i = 0; i < width; ++i) {
            const double v = double(x[(begin + r) * width + i]) - e[int64_t(best) * width + i];
            d += v * v;
          }
          distance[begin + r] = float(d);
        }
      }
    });
  }
}

}  // namespace

Codebook::Codebook(const std::string& path) : path_(path) {
  const SafeTensors file(path);
  const auto* t = file.find("codebook");
  if (!t) fail("{}: has no tensor \"codebook\"; expected a file of `mome data codebook`", path);
  if (t->dtype != "F32" || t->shape.size() != 2 || t->shape[0] < 1 || t->shape[1] < 1)
    fail("{}: tensor \"codebook\" is {} [{}]; expected F32 [entries, 3 patch^2]", path, t->dtype,
         fmt::join(t->shape, ", "));
  size_ = t->shape[0];
  width_ = t->shape[1];
  entries_.resize(size_t(size_ * width_));
  std::memcpy(entries_.data(), t->data, entries_.size() * sizeof(float));
  half_norms_ = half_norms(size_, width_, entries_.data());
}

std::vector<int32_t> Codebook::codes(Tensor patches) const {
  if (patches.cols != width_)
    fail("{}: entries have {} values; patches of this model have {}", path_, width_, patches.cols);
  std::vector<int32_t> out(static_cast<size_t>(patches.rows));
  assign(patches.rows, width_, patches.as<float>(), size_, entries_.data(), half_norms_.data(),
         out.data(), nullptr);
  return out;
}

std::vector<float> learn_codebook(int64_t rows, int64_t width, const float* x, int64_t entries,
                                  int64_t iterations, uint64_t seed,
                                  const std::function<void(int64_t done)>& progress) {
  MOME_CHECK(entries >= 1 && rows >= entries);
  std::vector<float> e(size_t(entries * width)), distance(static_cast<size_t>(rows), 0);
  const auto take = [&](int64_t entry, int64_t row) {
    std::memcpy(&e[size_t(entry * width)], x + row * width, size_t(width) * sizeof(float));
  };
  // k-means++ (Arthur & Vassilvitskii 2007): the next entry is a row drawn with probability
  // proportional to its squared distance to the nearest entry so far.
  RandomStream random(seed, 0, Purpose::kCluster, 0);
  take(0, random.below(uint32_t(rows)));
  for (int64_t k = 1; k < entries; ++k) {
    const float* last = &e[size_t((k - 1) * width)];
    parallel_chunks(rows, 256, [&](int64_t b, int64_t end) {
      for (int64_t r = b; r < end; ++r) {
        float d = 0;
        for (int64_t i = 0; i < width; ++i)
          d += (x[r * width + i] - last[i]) * (x[r * width + i] - last[i]);
        distance[size_t(r)] = k == 1 ? d : std::min(distance[size_t(r)], d);
      }
    });
    double total = 0;
    for (float d : distance) total += d;
    double mark = random.uniform() * total;
    int64_t row = 0;
    while (row + 1 < rows && (mark -= distance[size_t(row)]) >= 0) ++row;
    take(k, row);
    if (progress) progress(k + 1);
  }
  std::vector<int32_t> code(static_cast<size_t>(rows));
  for (int64_t it = 0; it < iterations; ++it) {
    const std::vector<float> half = half_norms(entries, width, e.data());
    assign(rows, width, x, entries, e.data(), half.data(), code.data(), distance.data());
    // Sums in row order: entries are few and this pass is a small part, so one thread an entry
    // range is not worth it.
    std::vector<double> sum(size_t(entries * width), 0.0);
    std::vector<int64_t> count(static_cast<size_t>(entries), 0);
    for (int64_t r = 0; r < rows; ++r) {
      ++count[size_t(code[size_t(r)])];
      double* s = &sum[size_t(code[size_t(r)] * width)];
      for (int64_t i = 0; i < width; ++i) s[i] += x[r * width + i];
    }
    for (int64_t k = 0; k < entries; ++k) {
      if (count[size_t(k)] == 0) {
        const int64_t far = std::max_element(distance.begin(), distance.end()) - distance.begin();
        take(k, far);
        distance[size_t(far)] = 0;
        continue;
      }
      for (int64_t i = 0; i < width; ++i)
        e[size_t(k * width + i)] = float(sum[size_t(k * width + i)] / double(count[size_t(k)]));
    }
    if (progress) progress(entries + it + 1);
  }
  return e;
}

}  // namespace mome
