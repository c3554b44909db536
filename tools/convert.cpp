// `mome convert IN OUT`: a checkpoint of PyTorch or safetensors, of VLMo or BEiT, as safetensors
// under VLMo's names, at another image size or text length where that is asked for.
#include "models/checkpoints/convert.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>

#include "tools/commands.h"

namespace mome {
namespace {

struct Arguments {
  std::string in, out;
  ConvertOptions options;
};

void print_names(const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return;
  fmt::print("{} ({}):\n", title, names.size());
  for (const std::string& name : names) fmt::print("  {}\n", name);
}

void convert(const Arguments& a) {
  NamedTensors tensors = read_tensors(a.in, /*verify=*/true);
  const ConvertReport report = convert_checkpoint(tensors, a.options);
  write_tensors(tensors, a.out);

  const ModelConfig& c = report.shape.config;
  int64_t parameters = 0;
  for (const NamedTensor& t : tensors.list)
    if (is_float(t.dtype)) parameters += t.elements;
  fmt::print("{}: {} tensors, {} parameters\n", a.out, tensors.list.size(), parameters);
  fmt::print(
      "{} names, {} layers, width {}, {} heads, {} positions, images of {} pixels, texts of "
      "{} tokens\n",
      report.beit ? "BEiT's" : "VLMo's", c.layers, c.width, c.heads, c.positions, c.image_size,
      c.text_length);
  print_names("dropped", report.dropped);
  print_names("missing, will start fresh", report.keys.missing);
  print_names("kept for the official code, not read here", report.keys.official);
  print_names("kept without a place in this model", report.keys.unexpected);
}

}  // namespace

void add_convert_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "convert",
      "Convert a checkpoint (PyTorch or safetensors; VLMo or BEiT) to safetensors with VLMo's "
      "names. PyTorch files are read without running anything in them.");
  auto a = std::make_shared<Arguments>();
  command->add_option("IN", a->in, "The checkpoint: .pt, .bin, .ckpt, .pth or .safetensors")
      ->required();
  command->add_option("OUT", a->out, "The .safetensors file to write")->required();
  command
      ->add_option("--to-image-size", a->options.image_size,
                   "Resample the position parameters to images of this many pixels a side")
      ->check(CLI::PositiveNumber);
  command->add_option("--text-length", a->options.text_length, "Longest text in tokens")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--heads", a->options.heads,
                   "Attention heads, where the file cannot say: absolute positions, unusual width")
      ->check(CLI::PositiveNumber);
  command->add_option("--from", a->options.from, "Names in the file: auto, beit or vlmo")
      ->check(CLI::IsMember({"auto", "beit", "vlmo"}))
      ->capture_default_str();
  command->add_flag("--index-buffers", a->options.index_buffers,
                    "Also write the index tensors that the official code needs to change sizes");
  const std::map<std::string, std::string> dtypes = {
      {"f32", "F32"}, {"f16", "F16"}, {"bf16", "BF16"}};
  command
      ->add_option("--dtype", a->options.dtype,
                   "Of all floats: f32, f16 or bf16; else as in the file")
      ->transform(CLI::CheckedTransformer(dtypes));
  command->add_flag("--allow-missing", a->options.allow_missing,
                    "Go on if parameters are missing, and name what will start fresh");
  command->callback([a] { convert(*a); });
}

}  // namespace mome
