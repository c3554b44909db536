// Few queries: dot products, row by row; the rows are read once, and memory sets the pace (4 N D
// bytes, 2 Q N D FLOPs). Many: the same FLOPs as matrix products, a block of queries times a piece
// of rows, which is several times as fast but rounds differently from call to call. So products
// only choose candidates, somewhat more than k; dot products give them their scores; and where the
// rounding of products could have cost a row its place (Higham, Accuracy and Stability of Numerical
// Algorithms, 2nd ed., section 3.1), the query is asked again by dot products alone.
#include "models/evaluation/nearest.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/attention/small_product.h"
#include "kernels/common/gemm.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

using small_product::load;
using Vec = small_product::Memory<float>::type;
constexpr int64_t kVector = small_product::kLanes<float>;

constexpr int64_t kPiece = 1024;      // rows that one thread takes at a time
constexpr int64_t kQueryBlock = 256;  // queries for which the rows are read once
constexpr int64_t kFewQueries = 8;    // for up to these, dot products are the faster way
constexpr int64_t kMoreCandidates = 16;

bool better(const Neighbour& a, const Neighbour& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

float sum_lanes(const Vec& v) {
  std::array<float, kVector> x;
  for (int64_t l = 0; l < kVector; ++l) x[size_t(l)] = v[l];
  for (size_t half = x.size() / 2; half > 0; half /= 2)
    for (size_t l = 0; l < half; ++l) x[l] += x[l + half];
  return x[0];
}

/// out[q * ld + r] = <row r, query q>; row and query: contiguous [R, dim] and [Q, dim]. The order
/// of a sum does not depend on R and Q.
template <int R, int Q>
void dot_tile(int64_t dim, const float* row, const float* query, float* out, int64_t ld) {
  Vec sum[R][Q] = {};
  const auto add = [&](const auto& x_at, const auto& y_at) {
    Vec x[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) x[r] = x_at(row + r * dim);
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      const Vec y = y_at(query + q * dim);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[r][q] += x[r] * y;
    }
  };
  int64_t i = 0;
  for (; i + kVector <= dim; i += kVector) {
    const auto whole = [i](const float* p) -> Vec { return load(p + i); };
    add(whole, whole);
  }
  if (i < dim) {
    const auto rest = [i, dim](const float* p) {
      Vec v = {};
      for (int64_t l = 0; i + l < dim; ++l) v[l] = p[i + l];
      return v;
    };
    add(rest, rest);
  }
  for (int r = 0; r < R; ++r)
    for (int q = 0; q < Q; ++q) out[q * ld + r] = sum_lanes(sum[r][q]);
}

/// score[q * n + r] of all pairs of n rows and the queries.
void dot_products(int64_t n, int64_t dim, const float* rows, int64_t queries, const float* query,
                  float* score) {
  constexpr int kTile = 4;
  int64_t r = 0;
  const auto strip = [&]<int R>(std::integral_constant<int, R>) {
    int64_t q = 0;
    for (; q + kTile <= queries; q += kTile)
      dot_tile<R, kTile>(dim, rows + r * dim, query + q * dim, score + q * n + r, n);
    for (; q < queries; ++q)
      dot_tile<R, 1>(dim, rows + r * dim, query + q * dim, score + q * n + r, n);
  };
  for (; r + kTile <= n; r += kTile) strip(std::integral_constant<int, kTile>{});
  for (; r < n; ++r) strip(std::integral_constant<int, 1>{});
}

/// The largest squared length among n rows.
float longest_square(int64_t n, int64_t dim, const float* rows) {
  float longest = 0;
  for (int64_t r = 0; r < n; ++r) {
    // Two sums, as one would wait for itself; an upper bound needs no fixed order.
    const float* row = rows + r * dim;
    float even = 0, odd = 0;
#pragma omp simd reduction(+ : even, odd)
    for (int64_t i = 0; i < dim / 2; ++i) {
      even += row[i] * row[i];
      odd += row[dim / 2 + i] * row[dim / 2 + i];
    }
    if (dim % 2) even += row[dim - 1] * row[dim - 1];
    longest = std::max(longest, even + odd);
  }
  return longest;
}

/// Finite halves as floats, which is exact: exponent and mantissa are moved to their places in a
/// float, whose exponent has another bias. (The compiler converts one by one, not by vectors.)
void widen(int64_t n, const half* from, float* to) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = from[i].bits;
    const float size = std::bit_cast<float>((bits & 0x7fffu) << 13) * 0x1p112f;
    to[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(size) | (bits & 0x8000u) << 16);
  }
}

/// The best `size` of the rows that it was shown: a heap whose front is the worst of them.
class Best {
 public:
  explicit Best(size_t size) : size_(size) { rows_.reserve(size); }

  /// Scores of rows first, first + 1, ...
  void show(int64_t first, int64_t n, const float* score) {
    constexpr int64_t kStrip = 64;
    for (int64_t begin = 0; begin < n; begin += kStrip) {
      const int64_t end = std::min(n, begin + kStrip);
      float top = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : top)
      for (int64_t i = begin; i < end; ++i) top = score[i] > top ? score[i] : top;
      if (rows_.size() == size_ && top < rows_.front().score) continue;
      for (int64_t i = begin; i < end; ++i) show_one({first + i, score[i]});
    }
  }
  const std::vector<Neighbour>& rows() const { return rows_; }

 private:
  void show_one(const Neighbour& one) {
    if (std::isnan(one.score)) return;
    if (rows_.size() == size_) {
      if (!better(one, rows_.front())) return;
      std::pop_heap(rows_.begin(), rows_.end(), better);
      rows_.pop_back();
    }
    rows_.push_back(one);
    std::push_heap(rows_.begin(), rows_.end(), better);
  }

  size_t size_;
  std::vector<Neighbour> rows_;
};

struct Piece {
  const FeatureBlock* block;
  int64_t begin, rows;  // within the block
  int64_t first;        // number of its first row among all
};

class Gallery {
 public:
  Gallery(std::span<const FeatureBlock> blocks, int64_t dim) : dim_(dim) {
    for (const FeatureBlock& block : blocks) {
      MOME_CHECK(block.dtype == DType::kF32 || block.dtype == DType::kF16);
      for (int64_t begin = 0; begin < block.rows; begin += kPiece)
        pieces_.push_back({&block, begin, std::min(kPiece, block.rows - begin), rows_ + begin});
      first_.push_back(rows_);
      converts_ = converts_ || block.dtype == DType::kF16;
      rows_ += block.rows;
      blocks_.push_back(&block);
    }
  }
  int64_t rows() const { return rows_; }
  /// Whether a block has to be converted to float.
  bool converts() const { return converts_; }
  const std::vector<Piece>& pieces() const { return pieces_; }

  /// A piece in float: where it lies, or converted in `scratch`.
  const float* read(const Piece& p, std::vector<float>& scratch) const {
    return read(*p.block, p.begin, p.rows, scratch);
  }
  const float* read_row(int64_t row, std::vector<float>& scratch) const {
    const auto after = std::upper_bound(first_.begin(), first_.end(), row);
    const size_t b = size_t(after - first_.begin()) - 1;
    return read(*blocks_[b], row - first_[b], 1, scratch);
  }

 private:
  const float* read(const FeatureBlock& block, int64_t begin, int64_t rows,
                    std::vector<float>& scratch) const {
    if (block.dtype == DType::kF32) return static_cast<const float*>(block.data) + begin * dim_;
    const half* from = static_cast<const half*>(block.data) + begin * dim_;
    scratch.resize(std::max(scratch.size(), size_t(rows * dim_)));
    widen(rows * dim_, from, scratch.data());
    return scratch.data();
  }

  int64_t dim_, rows_ = 0;
  bool converts_ = false;
  std::vector<Piece> pieces_;
  std::vector<const FeatureBlock*> blocks_;
  std::vector<int64_t> first_;
};

struct Found {
  std::vector<std::vector<Neighbour>> best;  // of each query, in order
  float longest = 0;                         // length of the longest row; of gemm alone
};

/// One pass over all rows. Which thread sees a row is chance; the best of all rows, in the one
/// order that `better` gives them, are not.
Found scan(const Gallery& gallery, int64_t dim, int64_t queries, const float* query, int64_t keep,
           bool products) {
  const size_t threads = size_t(omp_get_max_threads());
  const auto& pieces = gallery.pieces();
  std::vector<std::vector<Best>> best(threads);
  std::vector<float> longest(threads, 0.0f);
  std::vector<std::vector<float>> score(threads), scratch(threads);
  for (size_t t = 0; t < threads; ++t) {  // here, as no exception may leave a parallel loop
    for (int64_t q = 0; q < queries; ++q) best[t].emplace_back(size_t(keep));
    score[t].resize(size_t(queries * kPiece));
    if (gallery.converts()) scratch[t].resize(size_t(kPiece * dim));
  }
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < pieces.size(); ++i) {
    const size_t t = size_t(omp_get_thread_num());
    const Piece& piece = pieces[i];
    const float* rows = gallery.read(piece, scratch[t]);
    if (products) {
      gemm<float>(cpu, Trans::kNo, Trans::kYes, queries, piece.rows, dim, 1, query, dim, rows, dim,
                  0, score[t].data(), piece.rows);
      longest[t] = std::max(longest[t], longest_square(piece.rows, dim, rows));
    } else {
      dot_products(piece.rows, dim, rows, queries, query, score[t].data());
    }
    for (int64_t q = 0; q < queries; ++q)
      best[t][size_t(q)].show(piece.first, piece.rows, score[t].data() + q * piece.rows);
  }
  Found found;
  found.longest = std::sqrt(*std::max_element(longest.begin(), longest.end()));
  for (int64_t q = 0; q < queries; ++q) {
    std::vector<Neighbour> all;
    for (const auto& of_thread : best)
      all.insert(all.end(), of_thread[size_t(q)].rows().begin(), of_thread[size_t(q)].rows().end());
    std::sort(all.begin(), all.end(), better);
    all.resize(std::min(all.size(), size_t(keep)));
    found.best.push_back(std::move(all));
  }
  return found;
}

/// At most how far a float product of two vectors of these lengths lies from the sum of dot_tile:
/// each within dim * 2^-24 of the exact sum, relative to the lengths' product.
double rounding(int64_t dim, double a, double b) {
  return 2 * double(dim + kVector) * 0x1p-24 * a * b;
}

/// The queries of one block.
std::vector<std::vector<Neighbour>> search(const Gallery& gallery, int64_t dim, int64_t queries,
                                           const float* query, int64_t k) {
  if (queries <= kFewQueries) return scan(gallery, dim, queries, query, k, false).best;
  const int64_t keep = std::min(k + kMoreCandidates, gallery.rows());
  Found found = scan(gallery, dim, queries, query, keep, true);
  std::vector<uint8_t> doubtful(static_cast<size_t>(queries));
#pragma omp parallel for schedule(dynamic)
  for (int64_t q = 0; q < queries; ++q) {
    std::vector<Neighbour>& best = found.best[size_t(q)];
    const bool all = int64_t(best.size()) == gallery.rows();
    const float worst = best.empty() ? 0 : best.back().score;
    std::vector<float> scratch;
    for (Neighbour& n : best)
      dot_tile<1, 1>(dim, gallery.read_row(n.row, scratch), query + q * dim, &n.score, 1);
    std::sort(best.begin(), best.end(), better);
    float square;
    dot_tile<1, 1>(dim, query + q * dim, query + q * dim, &square, 1);
    // A row that is not here has a product of at most `worst`.
    const double margin = rounding(dim, found.longest, std::sqrt(square));
    doubtful[size_t(q)] =
        !all && !(int64_t(best.size()) > k && best[size_t(k - 1)].score > double(worst) + margin);
    best.resize(std::min(best.size(), size_t(k)));
  }
  std::vector<float> again;
  std::vector<size_t> which;
  for (size_t q = 0; q < doubtful.size(); ++q) {
    if (!doubtful[q]) continue;
    which.push_back(q);
    again.insert(again.end(), query + int64_t(q) * dim, query + int64_t(q + 1) * dim);
  }
  if (which.empty()) return std::move(found.best);
  Found exact = scan(gallery, dim, int64_t(which.size()), again.data(), k, false);
  for (size_t i = 0; i < which.size(); ++i) found.best[which[i]] = std::move(exact.best[i]);
  return std::move(found.best);
}

}  // namespace

std::vector<std::vector<Neighbour>> nearest(std::span<const FeatureBlock> blocks, int64_t dim,
                                            int64_t queries, const float* query, int64_t k) {
  const Gallery gallery(blocks, dim);
  k = std::min(k, gallery.rows());
  std::vector<std::vector<Neighbour>> out;
  if (k <= 0) {
    out.resize(size_t(queries));
    return out;
  }
  for (int64_t q = 0; q < queries; q += kQueryBlock) {
    auto some = search(gallery, dim, std::min(kQueryBlock, queries - q), query + q * dim, k);
    std::move(some.begin(), some.end(), std::back_inserter(out));
  }
  return out;
}

}  // namespace mome
