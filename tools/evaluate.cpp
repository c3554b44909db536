// `mome evaluate`: retrieval, matching and masked words on a held-out set, or the score of a fine-tuned task.
#include "models/evaluation/evaluate.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "runtime/data/dataset.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"
#include "tools/evaluate_task.h"
#include "tools/retriever.h"

namespace mome {
namespace {

struct Options : EvaluateTask {
  Options() { task = "retrieval"; }
  bool all_captions = false;
  double mask_rate = 0.15;
  int64_t seed = 1, rerank = 0;
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
  if (o.task != "retrieval") return evaluate_task_command(o);
  const auto retriever = open_retriever(o.checkpoint, o.vocabulary);
  DatasetOptions d;
  d.image_root = o.image_root;
  d.max_bad = o.max_bad;
  if (o.rerank > 0 && !retriever->model->parts().itm)
    fail("{}: has no matching head; --rerank needs one", o.checkpoint);
  const Dataset dataset = open_and_tell(o.data, o.split, d);
  // Made at evaluate()'s first report, which comes before its first picture.
  std::unique_ptr<Progress> bar;
  EvalReader reader(
      dataset, &retriever->words,
      retriever->reader_options(o.max_bad, [&](const std::string& line) { bar->note(line); }));
  EvaluateOptions options;
  options.all_captions = o.all_captions;
  options.mask_rate = o.mask_rate;
  options.rerank = o.rerank;
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
  if (e.has_reranked) line("re-ranked", e.reranked);
  for (const auto& [kind, r] : e.by_kind) line(kind, r);
  nlohmann::ordered_json j;
  j["retrieval"] = figures(e.retrieval);
  if (e.has_reranked) j["reranked"] = figures(e.reranked);
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
      app.add_subcommand("evaluate", "Retrieval, matching and masked words, or a task's score, on a held-out set");
  auto o = std::make_shared<Options>();
  c->add_option("--checkpoint", o->checkpoint, "of stage 3 or `mome finetune`")->required();
  c->add_option("--task", o->task,
                "retrieval, also without fine-tuning; vqa, nlvr2, snli-ve, image-classification")
      ->capture_default_str();
  c->add_option("--data", o->data,
                "pairs: JSON lines, COCO or Karpathy JSON, a folder, or tar shards; of other tasks "
                "as `mome finetune --train`")
      ->required();
  c->add_option("--split", o->split, "split to use, where the data names splits; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_flag("--all-captions", o->all_captions,
              "every caption is a query, not only the first of each picture");
  c->add_option("--rerank", o->rerank,
                "of retrieval: the best K by contrast are put in order by the fusion encoder");
  c->add_option("--classes", o->classes,
                "of a task: file of its classes, one a line, where the checkpoint does not name them");
  c->add_flag("--blind", o->blind, "of a task: pictures are replaced by plain gray");
  c->add_flag("--as-published", o->as_published,
              "of vqa: annotators' answers are not normalised before they are looked up");
  c->add_option("--submission", o->submission, "of vqa: file for the evaluation server");
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
