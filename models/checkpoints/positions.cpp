#include "models/checkpoints/positions.h"

#include <algorithm>
#include <numeric>

#include "kernels/relative_bias/relative_bias.h"
#include "models/checkpoints/resample.h"
#include "models/checkpoints/shape.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr int64_t kLongestRelativeText = 196;

/// values [before + source^2 + after, columns] -> the same with target^2 rows between.
std::vector<double> resample_rows(const ResampleWeights& w, const std::vector<double>& values,
                                  int64_t before, int64_t columns) {
  const auto begin = values.begin() + before * columns;
  const auto end = begin + w.source * w.source * columns;
  const std::vector<double> middle = resample_square(w, {begin, end}, columns);
  std::vector<double> result(values.begin(), begin);
  result.insert(result.end(), middle.begin(), middle.end());
  result.insert(result.end(), end, values.end());
  return result;
}

void resize_table(NamedTensors& tensors, int64_t grid, int64_t target) {
  const NamedTensor& table = tensors.at(kTableName);
  const int64_t source = 2 * grid - 1, wanted = 2 * target - 1;
  if (table.shape.size() != 2 || table.shape[0] != source * source + kTextTableRows)
    fail("{}: tensor `{}` has shape {}; expected {} rows for {} x {} patches", tensors.path,
         kTableName, shape_text(table.shape), source * source + kTextTableRows, grid, grid);
  if (grid < 3)
    fail("{}: tensor `{}`: a table of {} x {} patches cannot be resampled; expected 3 x 3 or more",
         tensors.path, kTableName, grid, grid);
  const int64_t columns = table.shape[1];
  const std::vector<double> values =
      resample_rows(geometric_weights(source, wanted), float_values(tensors, table), 0, columns);
  tensors.put(make_floats(tensors, kTableName, table.dtype,
                          {wanted * wanted + kTextTableRows, columns}, values));
}

void resize_embedding(NamedTensors& tensors, int64_t grid, int64_t target) {
  const NamedTensor& positions = tensors.at(kImagePositionsName);
  if (positions.shape.size() != 3 || positions.shape[0] != 1 ||
      positions.shape[1] != grid * grid + 1)
    fail("{}: tensor `{}` has shape {}; expected [1, {}, D] for {} x {} patches", tensors.path,
         kImagePositionsName, shape_text(positions.shape), grid * grid + 1, grid, grid);
  const int64_t columns = positions.shape[2];
  const std::vector<double> values =
      resample_rows(bicubic_weights(grid, target), float_values(tensors, positions), 1, columns);
  tensors.put(make_floats(tensors, kImagePositionsName, positions.dtype,
                          {1, target * target + 1, columns}, values));
}

}  // namespace

void resize_image_positions(NamedTensors& tensors, int64_t grid, int64_t target) {
  if (grid == target) return;
  if (tensors.find(kTableName)) resize_table(tensors, grid, target);
  if (tensors.find(kImagePositionsName)) resize_embedding(tensors, grid, target);
}

void resize_text_positions(NamedTensors& tensors, int64_t length) {
  const NamedTensor* found = tensors.find(kTextPositionsName);
  if (!found) return;
  NamedTensor table = *found;
  if (table.shape.size() != 2)
    fail("{}: tensor `{}` has shape {}; expected [T, D]", tensors.path, kTextPositionsName,
         shape_text(table.shape));
  const int64_t rows = table.shape[0], columns = table.shape[1];
  if (rows == length) return;
  if (rows < length) {
    if (!tensors.find(kTableName))
      fail("{}: tensor `{}` has {} rows; absolute positions cannot be stretched to texts of {}",
           tensors.path, kTextPositionsName, rows, length);
    std::vector<double> values = float_values(tensors, table);
    values.resize(size_t(length * columns), 0);
    table = make_floats(tensors, kTextPositionsName, table.dtype, {length, columns}, values);
  } else {
    table = first_rows(table, length);
  }
  tensors.put(std::move(table));
}

std::vector<std::string> remove_index_buffers(NamedTensors& tensors) {
  constexpr const char* kNames[] = {"text_embeddings.position_ids", "relative_position_index",
                                    "text_relative_position_index",
                                    "text_imag_relative_position_index"};
  std::vector<std::string> removed;
  for (const char* name : kNames)
    if (tensors.find(name)) {
      tensors.remove(name);
      removed.emplace_back(name);
    }
  return removed;
}

void add_index_buffers(NamedTensors& tensors, bool relative, int64_t grid, int64_t text_length) {
  if (relative && text_length > kLongestRelativeText)
    fail("{}: relative positions reach {} tokens; expected no texts of {}", tensors.path,
         kLongestRelativeText, text_length);
  if (text_length > 0) {
    std::vector<int64_t> ids(static_cast<size_t>(text_length));
    std::iota(ids.begin(), ids.end(), int64_t{0});
    tensors.put(make_tensor("text_embeddings.position_ids", "I64", {1, text_length}, ids));
  }
  if (!relative) return;
  const auto add = [&](const char* name, int64_t text, int64_t side) {
    const RelativeIndex index = make_relative_index(text, side, grid);
    const std::vector<int64_t> wide(index.index.begin(), index.index.end());
    tensors.put(make_tensor(name, "I64", {index.size, index.size}, wide));
  };
  add("relative_position_index", 0, grid);
  if (text_length == 0) return;
  add("text_relative_position_index", text_length, 0);
  add("text_imag_relative_position_index", text_length, grid);
}

}  // namespace mome
