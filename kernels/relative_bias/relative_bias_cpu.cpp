// Bytes: forward reads 4 M^2 of indices (once for all heads) and H M^2 of table entries, which stay
// in cache (A rows of H), and writes H M^2. Backward reads H M^2 of dbias and 4 M^2 of the inverse
// map. No FLOPs worth counting beyond H M^2 additions.
#include <stdexcept>

#include "kernels/common/parallel.h"
#include "kernels/relative_bias/relative_bias.h"

namespace mome {
namespace {

constexpr int64_t kTextRange = 196;  // the official code's max_text_len_of_initckpt

/// The rows of the table of a grid with side w, in the order in which they lie.
struct RowMap {
  int64_t grid;
  int64_t span = grid > 0 ? 2 * grid - 1 : 0;
  int64_t image_class = span * span;        // class -> any; then any -> class, class -> class
  int64_t text_to_image = image_class + 3;  // then image -> text
  int64_t text = text_to_image + 2;         // j - i from -(T0 - 2) on
  int64_t text_class =
      text + 2 * kTextRange - 3;  // class -> any; then any -> class, class -> class
  int64_t rows = text_class + 3;

  /// Both classes have three rows in the same order; -1 if neither token is one.
  static int64_t class_row(int64_t first, int64_t i, int64_t j) {
    if (i == 0 && j == 0) return first + 2;
    if (i == 0) return first;
    return j == 0 ? first + 1 : -1;
  }
  /// Tokens of the text, its class token being 0. Key minus query.
  int64_t text_row(int64_t i, int64_t j) const {
    const int64_t row = class_row(text_class, i, j);
    return row >= 0 ? row : text + kTextRange - 2 + j - i;
  }
  /// Tokens of the image, its class token being 0. Query minus key.
  int64_t image_row(int64_t i, int64_t j, int64_t w) const {
    const int64_t row = class_row(image_class, i, j);
    if (row >= 0) return row;
    const int64_t a = i - 1, b = j - 1;
    return (a / w - b / w + w - 1) * span + (a % w - b % w + w - 1);
  }
};

}  // namespace

RelativeIndex make_relative_index(int64_t text, int64_t grid, int64_t table_grid) {
  if (text < 0 || text > kTextRange || grid < 0 || table_grid < 0)
    throw std::invalid_argument("relative positions: text length must be 0 to 196, grids >= 0");
  if (grid != 0 && grid != table_grid)
    throw std::invalid_argument(
        "relative positions: the table was made for another grid of patches");
  const RowMap map{table_grid};
  RelativeIndex r;
  r.size = text + (grid > 0 ? grid * grid + 1 : 0);
  r.table_rows = map.rows;
  r.index.resize(r.size * r.size);
  r.begin.assign(r.table_rows + 1, 0);
  r.inverse.resize(r.size * r.size);
  for (int64_t i = 0; i < r.size; ++i)
    for (int64_t j = 0; j < r.size; ++j) {
      int64_t row;
      if (i < text && j < text)
        row = map.text_row(i, j);
      else if (i >= text && j >= text)
        row = map.image_row(i - text, j - text, grid);
      else
        row = map.text_to_image + (i >= text);
      r.index[i * r.size + j] = int32_t(row);
      ++r.begin[row + 1];
    }
  for (int64_t row = 0; row < r.table_rows; ++row) r.begin[row + 1] += r.begin[row];
  std::vector<int32_t> next(r.begin.begin(), r.begin.end() - 1);
  for (int64_t e = 0; e < r.size * r.size; ++e) r.inverse[next[r.index[e]]++] = int32_t(e);
  return r;
}

template <class T, class Queue>
void relative_bias_forward(Queue&, const RelativeIndexView& index, const T* table, int64_t ld, int64_t column,
                           int64_t heads, T* bias) {
  const int64_t size = index.size * index.size;
  parallel_chunks(heads * size, 8192, [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end;) {
      const int64_t head = e / size, stop = std::min(end, (head + 1) * size);
      const T* from = table + column + head;
      for (; e < stop; ++e) bias[e] = from[index.index[e - head * size] * ld];
    }
  });
}

template <class T, class Queue>
void relative_bias_backward(Queue&, const RelativeIndexView& index, const T* dbias, int64_t heads, T* dtable,
                            int64_t ld, int64_t column) {
  const int64_t size = index.size * index.size;
  parallel_chunks(index.table_rows, 32, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t h = 0; h < heads; ++h) {
        T sum = 0;
        for (int64_t e = index.begin[row]; e < index.begin[row + 1]; ++e)
          sum += dbias[h * size + index.inverse[e]];
        dtable[row * ld + column + h] += sum;
      }
  });
}

template void relative_bias_forward<float>(Cpu&, const RelativeIndexView&, const float*, int64_t, int64_t,
                                           int64_t, float*);
template void relative_bias_forward<double>(Cpu&, const RelativeIndexView&, const double*, int64_t, int64_t,
                                            int64_t, double*);
template void relative_bias_backward<float>(Cpu&, const RelativeIndexView&, const float*, int64_t, float*,
                                            int64_t, int64_t);
template void relative_bias_backward<double>(Cpu&, const RelativeIndexView&, const double*, int64_t, double*,
                                             int64_t, int64_t);

}  // namespace mome
