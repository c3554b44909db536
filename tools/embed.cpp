// `mome embed`: features of a whole data set, for search and for other programs.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "runtime/data/dataset.h"
#include "runtime/io/safetensors.h"
#include "tools/commands.h"
#include "tools/retriever.h"

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
  const Dataset dataset = open_dataset(o.data, o.split, d);
  EvalReader reader(dataset, &r->words, r->reader_options(o.max_bad));
  const int64_t dim = r->model->config().features();
  std::vector<int32_t> kept;
  std::vector<float> images, texts;
  std::vector<int64_t> image_record, text_record;
  if (o.what != "texts") {
    images = image_features(*r->model, reader, all_records(dataset), r->arena, kept);
    image_record.assign(kept.begin(), kept.end());
  }
  if (o.what != "images") {
    const std::vector<TextRef> refs = all_captions(dataset);
    texts = text_features(*r->model, reader, refs, r->arena);
    for (const TextRef& t : refs) text_record.push_back(t.record);
  }
  std::vector<TensorEntry> tensors;
  const auto add = [&](const char* features, const char* record, const std::vector<float>& f,
                       const std::vector<int64_t>& of) {
    tensors.push_back({features, "F32", {int64_t(of.size()), dim}, f.data()});
    tensors.push_back({record, "I64", {int64_t(of.size())}, of.data()});
  };
  if (o.what != "texts") add("image_features", "image_record", images, image_record);
  if (o.what != "images") add("text_features", "text_record", texts, text_record);
  nlohmann::json records = nlohmann::json::array();
  for (const Record& record : dataset.records)
    records.push_back(
        {{"key", record.key}, {"image", record.image.file}, {"captions", record.captions}});
  write_safetensors(
      o.out, tensors,
      {{"records", records.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)},
       {"source", o.data},
       {"checkpoint", o.checkpoint}});
  fmt::print("{}: {} pictures, {} texts, {} values each\n", o.out, image_record.size(),
             text_record.size(), dim);
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
