#include "models/checkpoints/fit.h"

#include "models/checkpoints/positions.h"
#include "models/checkpoints/shape.h"

namespace mome {
namespace {

using Shape = std::vector<int64_t>;

/// True if the shapes differ in this dimension alone.
bool differ_only_in(size_t dim, const Shape& a, const Shape& b) {
  if (a.size() != b.size() || dim >= a.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if ((a[i] == b[i]) == (i == dim)) return false;
  return true;
}

void resample(NamedTensors& tensors, int64_t grid, int64_t target) {
  if (grid != 0) resize_image_positions(tensors, grid, target);
}

NamedTensor with_third_type(const NamedTensor& types) {
  const size_t row = types.bytes / 2;
  std::vector<std::byte> rows(types.data, types.data + types.bytes);
  rows.insert(rows.end(), types.data + row, types.data + types.bytes);
  NamedTensor three = make_tensor(types.name, types.dtype, {3, types.shape[1]}, std::move(rows));
  three.elements = types.elements / 2 * 3;
  return three;
}

}  // namespace

std::vector<std::string> fit_tensors(NamedTensors& tensors, const MomeModel& model) {
  const ParameterSet& parameters = model.parameters();
  std::vector<std::string> resized;
  const auto fit = [&](const char* name, size_t dim, auto change) {
    const NamedTensor* found = tensors.find(name);
    const int i = parameters.find(name);
    if (!found || i < 0 || !differ_only_in(dim, found->shape, parameters[i].shape)) return;
    const NamedTensor tensor = *found;
    const Shape& wanted = parameters[i].shape;
    change(tensor, wanted[dim]);
    if (tensors.at(name).shape == wanted)
      resized.push_back(
          fmt::format("{}: {} to {}", name, shape_text(tensor.shape), shape_text(wanted)));
  };
  const int64_t grid = model.config().grid();
  fit(kTableName, 0, [&](const NamedTensor& table, int64_t) {
    resample(tensors, grid_of_table_rows(table.shape[0]), grid);
  });
  fit(kImagePositionsName, 1, [&](const NamedTensor& positions, int64_t) {
    resample(tensors, grid_of_position_rows(positions.shape[1]), grid);
  });
  fit(kTextPositionsName, 0, [&](const NamedTensor& positions, int64_t rows) {
    if (rows < positions.shape[0]) resize_text_positions(tensors, rows);
  });
  fit(kTypesName, 0, [&](const NamedTensor& types, int64_t rows) {
    if (types.shape[0] == 2 && rows == 3) tensors.put(with_third_type(types));
    if (types.shape[0] == 3 && rows == 2) tensors.put(first_rows(types, 2));
  });
  return resized;
}

}  // namespace mome
