// `mome embed`: features of a whole data set, for search and for other programs.
#include <CLI/CLI.hpp>

#include "tools/commands.h"
#include "tools/feature_index.h"

namespace mome {
namespace {

struct Options {
  std::string checkpoint, vocabulary, data, split, image_root, what = "both", out;
  double max_bad = 0.01;
};

void run(const Options& o) {
  const auto r = open_retriever(o.checkpoint, o.vocabulary);
  DatasetOptions d;
  d.image_root = o.image_root;
  d.max_bad = o.max_bad;
  const bool images = o.what != "texts", texts = o.what != "images";
  const FeatureIndex index =
      make_index(*r, open_and_tell(o.data, o.split, d), images, texts, o.max_bad);
  save_index(o.out, index, *r, images, texts);
  fmt::print("{}: {} pictures, {} texts, {} values each\n", o.out, index.image_record.size(),
             index.text_record.size(), r->model->config().features());
}

}  // namespace

void add_embed_command(CLI::App& app) {
  CLI::App* c =
      app.add_subcommand("embed", "Features of a data set's pictures and texts, as safetensors");
  auto o = std::make_shared<Options>();
  c->add_option("--checkpoint", o->checkpoint, "stage 3's .safetensors")->required();
  c->add_option("--data", o->data,
                "pairs or pictures: JSON lines, COCO or Karpathy JSON, a folder, or tar shards")
      ->required();
  c->add_option("--out", o->out,
                "file to write: image_features [N, D], image_record [N], text_features [M, D], "
                "text_record [M]; the records' keys, paths "
                "and captions as JSON in the metadata")
      ->required();
  c->add_option("--what", o->what, "images, texts or both")
      ->check(CLI::IsMember({"images", "texts", "both"}))
      ->capture_default_str();
  c->add_option("--split", o->split, "split to use; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
