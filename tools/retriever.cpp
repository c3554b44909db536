#include "tools/retriever.h"

#include <filesystem>

#include "tools/fingerprint.h"

namespace mome {

EvalOptions reader_options(const ModelConfig& config, double max_bad, LogFunction log) {
  EvalOptions o;
  o.image_size = int(config.image_size);
  o.text_length = int(config.text_length);
  o.max_bad = max_bad;
  o.log = log ? std::move(log) : [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  return o;
}

const std::string& Retriever::fingerprint() const {
  if (known_fingerprint.empty()) known_fingerprint = checkpoint_fingerprint(checkpoint);
  return known_fingerprint;
}

EvalOptions Retriever::reader_options(double max_bad, LogFunction log) const {
  return mome::reader_options(model->config(), max_bad, std::move(log));
}

WordPiece open_vocabulary(const std::string& checkpoint, const std::string& vocabulary, int64_t size) {
  const std::string file =
      vocabulary.empty() ? (std::filesystem::path(checkpoint).parent_path() / "vocab.txt").string()
                         : vocabulary;
  if (vocabulary.empty() && !std::filesystem::exists(file))
    fail("{}: not found; name the vocabulary that {} was trained with by --vocabulary", file,
         checkpoint);
  WordPiece words = WordPiece::load(file);
  if (words.size() != size)
    fail("{}: has {} tokens; {} expects {}", file, words.size(), checkpoint, size);
  return words;
}

std::unique_ptr<Retriever> open_retriever(const std::string& checkpoint,
                                          const std::string& vocabulary) {
  auto model = open_checkpoint(checkpoint);
  if (!model->parts().itc)
    fail("{}: has no contrast heads; expected a checkpoint of stage 3 (pairs)", checkpoint);
  WordPiece words = open_vocabulary(checkpoint, vocabulary, model->config().vocabulary);
  return std::unique_ptr<Retriever>(
      new Retriever{checkpoint, std::move(model), std::move(words), Arena()});
}

Dataset open_and_tell(const std::string& source, const std::string& split,
                      const DatasetOptions& options) {
  Dataset dataset = open_dataset(source, split, options);
  for (const std::string& problem : dataset.problems) fmt::print(stderr, "skipped {}\n", problem);
  return dataset;
}

Record record_of(const Dataset& dataset, const TextRef& text) {
  const Record& whole = dataset.records[size_t(text.record)];
  Record r;
  r.key = whole.key;
  r.image = whole.image;
  r.captions.push_back(whole.captions[size_t(text.caption)]);
  return r;
}

}  // namespace mome
