// `mome trace`: one batch in, every named activation, loss and gradient out.
#include "models/trace/trace.h"

#include <CLI/CLI.hpp>

#include "models/checkpoints/convert.h"
#include "models/trace/prepare.h"
#include "runtime/config/recipe.h"
#include "runtime/core/error.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Arguments {
  std::string checkpoint, inputs, vocabulary, out;
  std::vector<std::string> images, texts, set;
  TraceOptions options;
};

constexpr const char* kAbout =
    R"(The inputs are safetensors: in.image F32 [B,3,S,S] (normalised), in.text_ids and in.text_masks I64
[B,T], and what else the mode reads: in.text_ids_mlm, in.text_labels_mlm [B,T]; in.neg_image, in.neg_text
[B]; in.vqa_targets [B,answers]; in.answers [B], with in.image_0 and in.image_1 for in.image. A tensor
param.<name> among them replaces, or adds, that parameter. The result holds out.*, with --gradients
grad.<name> of out.loss, and in.* where this command prepared it: F32 (F64 with --dtype f64), rows of padded
text zero. With --optimise N: out.loss [N] and out.lr [N] (also under the names loss and lr) and param.<name>
of every trained parameter after N steps of AdamW on the batch, at a constant rate unless --set says
otherwise; in.neg_* may then be [N,B].

Keys of --set, with their defaults:
)";

void run(const Arguments& a) {
  TraceOptions options = a.options;
  Fields fields;
  visit(fields, options.config);
  load_fields("", a.set, fields);
  check(options);
  NamedTensors inputs;
  if (!a.inputs.empty()) inputs = read_tensors(a.inputs);
  const NamedTensors checkpoint = with_parameters(read_tensors(a.checkpoint), inputs);
  const ModelShape shape = trace_shape(checkpoint, options);
  const bool prepared = a.inputs.empty();
  if (prepared) {
    if (a.vocabulary.empty())
      throw UsageError("--text is cut into tokens of a vocab.txt: name it by --vocabulary");
    inputs = prepare_inputs(shape.config, a.images, a.texts, WordPiece::load(a.vocabulary),
                            a.vocabulary);
  }
  NamedTensors result = trace(checkpoint, shape, inputs, options);
  if (prepared) result.list.insert(result.list.begin(), inputs.list.begin(), inputs.list.end());
  write_tensors(result, a.out);
  fmt::print("{}: {} tensors\n", a.out, result.list.size());
}

}  // namespace

void add_trace_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand(
      "trace", "One batch through a checkpoint: every named activation, loss and gradient out");
  auto a = std::make_shared<Arguments>();
  TraceOptions& o = a->options;
  std::vector<std::string> names;
  for (const TraceMode& mode : trace_modes()) names.push_back(mode.name);
  c->add_option("--checkpoint", a->checkpoint, "PyTorch's or safetensors, under VLMo's names")
      ->required();
  c->add_option("--mode", o.mode, "what is run")->required()->check(CLI::IsMember(names));
  CLI::Option* inputs = c->add_option("--inputs", a->inputs, "safetensors with the mode's in.*");
  CLI::Option* image =
      c->add_option("--image", a->images, "picture, instead of --inputs; once for each of a batch")
          ->excludes(inputs)
          ->allow_extra_args(false);
  CLI::Option* text = c->add_option("--text", a->texts, "its text")
                          ->excludes(inputs)
                          ->needs(image)
                          ->allow_extra_args(false);
  image->needs(text);
  c->add_option("--vocabulary", a->vocabulary, "WordPiece vocab.txt of --text");
  c->add_option("--out", a->out, "safetensors to write")->required();
  c->add_flag("--gradients", o.gradients, "also the gradient of out.loss");
  c->add_option("--optimise", o.steps, "take so many AdamW steps on the batch")
      ->check(CLI::PositiveNumber);
  c->add_flag("--as-published", o.as_published,
              "weight decay by the official list of names instead of on matrices alone");
  c->add_option("--device", o.device, "cpu, cuda, cuda:N or simt")->capture_default_str();
  c->add_option("--dtype", o.dtype, "f32; f64 (cpu); bf16 or f16 (cuda, simt)")
      ->capture_default_str();
  c->add_option("--set", a->set, "KEY=VALUE, see below; may be repeated")->allow_extra_args(false);
  c->footer(kAbout + print_recipe(TraceConfig{}));
  c->callback([a] {
    if (a->inputs.empty() && a->images.empty())
      throw UsageError("--inputs, or --image and --text, is required");
    run(*a);
  });
}

}  // namespace mome
