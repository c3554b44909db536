// `mome info FILE`: what a checkpoint holds, of safetensors or PyTorch.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "models/checkpoints/tensors.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/torch_file.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Totals {
  int64_t parameters = 0;
  uint64_t bytes = 0;
};

Totals totals_of(const NamedTensors& file) {
  Totals totals;
  for (const auto& tensor : file.list) {
    totals.parameters += tensor.elements;
    totals.bytes += tensor.bytes;
  }
  return totals;
}

/// Of the whole file, as this program writes it into checkpoints.
Checksum checksum_of(const std::string& path) {
  return looks_like_torch(path) ? Checksum::kNone : SafeTensors(path).checksum();
}

void print_json(const NamedTensors& file, Checksum checksum) {
  nlohmann::ordered_json root;
  const Totals totals = totals_of(file);
  root["file"] = file.path;
  root["parameters"] = totals.parameters;
  root["bytes"] = totals.bytes;
  if (checksum == Checksum::kNone)
    root["checksum"] = nullptr;
  else
    root["checksum"] = checksum == Checksum::kFits ? "fits" : "differs";
  root["metadata"] = file.metadata;
  root["tensors"] = nlohmann::ordered_json::array();
  for (const auto& tensor : file.list)
    root["tensors"].push_back({{"name", tensor.name},
                               {"dtype", tensor.dtype},
                               {"shape", tensor.shape},
                               {"parameters", tensor.elements}});
  // A path need not be UTF-8; names and metadata are.
  fmt::print("{}\n", root.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void print_table(const NamedTensors& file, Checksum checksum) {
  size_t width = 4;
  for (const auto& tensor : file.list) width = std::max(width, tensor.name.size());
  fmt::print("{:<{}}  {:<5}  {:>12}  shape\n", "name", width, "dtype", "parameters");
  for (const auto& tensor : file.list)
    fmt::print("{:<{}}  {:<5}  {:>12}  [{}]\n", tensor.name, width, tensor.dtype, tensor.elements,
               fmt::join(tensor.shape, ", "));
  const Totals totals = totals_of(file);
  fmt::print("\n{} tensors, {} parameters, {:.1f} MiB\n", file.list.size(), totals.parameters,
             static_cast<double>(totals.bytes) / (1 << 20));
  if (checksum != Checksum::kNone)
    fmt::print("checksum: {}\n",
               checksum == Checksum::kFits ? "fits" : "DIFFERS: the file is damaged");
  for (const auto& [key, value] : file.metadata) fmt::print("{}: {}\n", key, value);
}

}  // namespace

void add_info_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("info",
                                         "List a checkpoint (safetensors or PyTorch): tensors, "
                                         "dtypes, shapes, parameters, metadata, and whether its "
                                         "checksum fits (else exit code 1).");
  auto path = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command->add_option("FILE", *path, "The checkpoint: .safetensors, or what torch.save wrote")
      ->required();
  command->add_flag("--json", *json, "Print one JSON object, for programs");
  command->callback([path, json] {
    const NamedTensors file = read_tensors(*path);
    const Checksum checksum = checksum_of(*path);
    *json ? print_json(file, checksum) : print_table(file, checksum);
    if (checksum == Checksum::kDiffers) fail("{}: its checksum does not fit", *path);
  });
}

}  // namespace mome
