// `mome evaluate`: retrieval, matching and masked words on a held-out set.
#include "models/evaluation/evaluate.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "runtime/data/dataset.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"
#include "tools/retriever.h"

namespace mome {
namespace {

struct Options {
  std::string checkpoint, vocabulary, data, split, image_root, json;
  bool all_captions = false;
  double mask_rate = 0.15, max_bad = 0.01;
  int64_t seed = 1;
};

nlohmann::ordered_json recall(const Recall& r) {
  return {{"r1", r.r1}, {"r5", r.r5}, {"r10", r.r10}};
}
nlohmann::ordered_json figures(const RetrievalResult& r) {
  return {{"text_to_image", recall(r.text_to_image)},
          {"image_to_text", recall(r.image_to_text)},
          {"chance", recall(r.chance)},
          {"chance_image_to_text", recall(r.chance_image_to_text)},
          {"pictures", r.images},
          {"texts", r.texts}};
}

void line(const std::string& name, const RetrievalResult& r) {
  fmt::print(
      "{:<12} {:>6}  {:5.1f} {:5.1f} {:5.1f}   {:5.1f} {:5.1f} {:5.1f}   {:5.2f} {:5.2f} {:5.2f}\n",
      name, r.images, 100 * r.text_to_image.r1, 100 * r.text_to_image.r5, 100 * r.text_to_image.r10,
      100 * r.image_to_text.r1, 100 * r.image_to_text.r5, 100 * r.image_to_text.r10,
      100 * r.chance.r1, 100 * r.chance.r5, 100 * r.chance.r10);
}

void run(const Options& o) {
  const auto retriever = open_retriever(o.checkpoint, o.vocabulary);
  DatasetOptions d;
  d.image_root = o.image_root;
  d.max_bad = o.max_bad;
  const Dataset dataset = open_and_tell(o.data, o.split, d);
  // Made at evaluate()'s first report, which comes before its first picture.
  std::unique_ptr<Progress> bar;
  EvalReader reader(
      dataset, &retriever->words,
      retriever->reader_options(o.max_bad, [&](const std::string& line) { bar->note(line); }));
  EvaluateOptions options;
  options.all_captions = o.all_captions;
  options.mask_rate = o.mask_rate;
  options.seed = uint64_t(o.seed);
  std::string part;
  options.progress = [&](const std::string& what, int64_t done, int64_t of) {
    if (what != part) {
      bar = std::make_unique<Progress>("evaluate " + what, of);
      part = what;
    }
    bar->update(done);
  };
  const Evaluation e =
      evaluate(*retriever->model, dataset, reader, retriever->words, options, retriever->arena);
  bar.reset();

  fmt::print("{:<12} {:>6}  {:^17}   {:^17}   {:^17}\n", "%", "", "text to image", "image to text",
             "chance");
  fmt::print("{:<12} {:>6}  {:>5} {:>5} {:>5}   {:>5} {:>5} {:>5}   {:>5} {:>5} {:>5}\n",
             "recall at", "images", 1, 5, 10, 1, 5, 10, 1, 5, 10);
  line("all", e.retrieval);
  for (const auto& [kind, r] : e.by_kind) line(kind, r);
  nlohmann::ordered_json j;
  j["retrieval"] = figures(e.retrieval);
  j["by_kind"] = nlohmann::ordered_json::object();
  for (const auto& [kind, r] : e.by_kind) j["by_kind"][kind] = figures(r);
  if (e.has_fusion) {
    fmt::print(
        "matching: the true picture scores higher than a random wrong one in {:.1f} % of pairs, "
        "than the hardest in {:.1f} % (chance 50)\n",
        100 * e.itm_pairwise_random, 100 * e.itm_pairwise_hard);
    fmt::print(
        "masked words ({}): {:.1f} % right with the picture, {:.1f} % with a wrong one, {:.1f} % "
        "from the text alone\n",
        e.masked_words, 100 * e.mlm_accuracy, 100 * e.mlm_accuracy_wrong_picture,
        100 * e.mlm_accuracy_text_alone);
    j["itm_pairwise_random"] = e.itm_pairwise_random;
    j["itm_pairwise_hard"] = e.itm_pairwise_hard;
    j["mlm_accuracy"] = e.mlm_accuracy;
    j["mlm_accuracy_wrong_picture"] = e.mlm_accuracy_wrong_picture;
    j["mlm_accuracy_text_alone"] = e.mlm_accuracy_text_alone;
    j["masked_words"] = e.masked_words;
  }
  if (!o.json.empty()) write_file_atomic(o.json, j.dump(2) + "\n");
}

}  // namespace

void add_evaluate_command(CLI::App& app) {
  CLI::App* c =
      app.add_subcommand("evaluate", "Retrieval, matching and masked words on a held-out set");
  auto o = std::make_shared<Options>();
  c->add_option("--checkpoint", o->checkpoint, "stage 3's .safetensors")->required();
  c->add_option("--data", o->data,
                "pairs: JSON lines, COCO or Karpathy JSON, a folder, or tar shards")
      ->required();
  c->add_option("--split", o->split, "split to use, where the data names splits; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_flag("--all-captions", o->all_captions,
              "every caption is a query, not only the first of each picture");
  c->add_option("--mask-rate", o->mask_rate, "share of words that are masked")
      ->capture_default_str();
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->add_option("--seed", o->seed, "of the masks and of the random wrong pictures")
      ->capture_default_str();
  c->add_option("--json", o->json, "file for the figures, rates from 0 to 1");
  c->callback([o] { run(*o); });
}

}  // namespace mome
