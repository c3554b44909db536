#include "models/checkpoints/beit.h"

#include "models/checkpoints/shape.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr std::string_view kShared = "rel_pos_bias.relative_position_bias_table";
constexpr std::string_view kOfBlock = ".attn.relative_position_bias_table";

bool is_dropped(std::string_view name) {
  for (const char* prefix : {"fc_norm.", "head.", "lm_head.", "rel_pos_bias."})
    if (name.starts_with(prefix)) return true;
  return name.ends_with("relative_position_index");
}

std::string vlmo_name(const std::string& name) {
  std::string result = "transformer." + name;
  for (const std::string part : {"mlp", "norm2"})
    if (const size_t at = result.find("." + part + "."); at != std::string::npos)
      result.insert(at + 1 + part.size(), "_imag");
  return result;
}

/// The tables of the blocks, or the shared one as often; empty if there is none.
std::vector<const NamedTensor*> tables_of(const NamedTensors& file, int64_t blocks) {
  if (const NamedTensor* shared = file.find(kShared))
    return std::vector<const NamedTensor*>(size_t(blocks), shared);
  std::vector<const NamedTensor*> tables;
  const auto name = [](int64_t block) { return fmt::format("blocks.{}{}", block, kOfBlock); };
  if (!file.find(name(0))) return tables;
  for (int64_t block = 0; block < blocks; ++block) tables.push_back(&file.at(name(block)));
  return tables;
}

NamedTensor joined_table(const NamedTensors& file, const std::vector<const NamedTensor*>& tables) {
  const NamedTensor& first = *tables[0];
  constexpr int64_t kClassRows = 3;
  const auto rest = kTextTableRows - kClassRows;  // of the text, which BEiT does not have
  if (first.shape.size() != 2 || grid_of_table_rows(first.shape[0] + rest) == 0)
    fail("{}: tensor `{}` has shape {}; expected [(2w-1)^2 + 3, H]", file.path, first.name,
         shape_text(first.shape));
  const int64_t rows = first.shape[0], heads = first.shape[1];
  const auto columns = heads * int64_t(tables.size());
  std::vector<double> values(size_t((rows + rest) * columns), 0);
  for (size_t block = 0; block < tables.size(); ++block) {
    if (tables[block]->shape != first.shape)
      fail("{}: tensor `{}` has shape {}; expected {} as in block 0", file.path,
           tables[block]->name, shape_text(tables[block]->shape), shape_text(first.shape));
    const std::vector<double> table = float_values(file, *tables[block]);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t h = 0; h < heads; ++h)
        values[size_t(r * columns + int64_t(block) * heads + h)] = table[size_t(r * heads + h)];
  }
  return make_floats(file, kTableName, first.dtype, {rows + rest, columns}, values);
}

}  // namespace

bool is_beit(const NamedTensors& tensors) { return tensors.find("blocks.0.mlp.fc1.weight"); }

std::vector<std::string> import_beit(NamedTensors& tensors) {
  int64_t blocks = 0;
  while (tensors.find(fmt::format("blocks.{}.norm1.weight", blocks))) ++blocks;
  NamedTensors result = tensors;
  result.list.clear();
  if (const auto tables = tables_of(tensors, blocks); !tables.empty())
    result.put(joined_table(tensors, tables));
  std::vector<std::string> dropped;
  for (const NamedTensor& tensor : tensors.list) {
    if (tensor.name == kShared || tensor.name.ends_with(kOfBlock)) continue;
    if (is_dropped(tensor.name)) {
      dropped.push_back(tensor.name);
      continue;
    }
    NamedTensor renamed = tensor;
    renamed.name = vlmo_name(tensor.name);
    result.list.push_back(std::move(renamed));
  }
  tensors = std::move(result);
  return dropped;
}

NamedTensors read_under_vlmo_names(const std::string& path, std::vector<std::string>* dropped,
                                   bool verify) {
  NamedTensors tensors = read_tensors(path, verify);
  strip_prefixes(tensors);
  if (!is_beit(tensors)) return tensors;
  std::vector<std::string> names = import_beit(tensors);
  if (dropped) *dropped = std::move(names);
  return tensors;
}

}  // namespace mome
