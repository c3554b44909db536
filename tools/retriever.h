// A trained dual encoder with its vocabulary: what evaluate, embed, search and serve begin with.
#pragma once
#include <memory>
#include <string>

#include "models/evaluation/features.h"
#include "models/stages/checkpoint.h"
#include "runtime/data/dataset.h"
#include "runtime/text/wordpiece.h"

namespace mome {

struct Retriever {
  std::string checkpoint;  // its path
  std::unique_ptr<MomeModel> model;
  WordPiece words;
  Arena arena;
  mutable std::string known_fingerprint = {};

  /// Of the checkpoint (checkpoint_fingerprint); the file is read once.
  const std::string& fingerprint() const;

  /// `log` is told of pictures that are skipped; empty: they are named on standard error.
  EvalOptions reader_options(double max_bad, LogFunction log = {}) const;
};

/// How evaluation reads pictures and texts for a model; `log` as above.
EvalOptions reader_options(const ModelConfig& config, double max_bad, LogFunction log = {});
/// The vocabulary of a checkpoint, of `size` tokens; `vocabulary` empty: vocab.txt beside it.
WordPiece open_vocabulary(const std::string& checkpoint, const std::string& vocabulary, int64_t size);

/// Opens checkpoint and vocabulary; `vocabulary` empty: vocab.txt beside the checkpoint. Throws
/// Error if the checkpoint has no contrast heads, or if its vocabulary has another size than the
/// file's.
std::unique_ptr<Retriever> open_retriever(const std::string& checkpoint,
                                          const std::string& vocabulary);

/// open_dataset, with the records that are skipped named on standard error.
Dataset open_and_tell(const std::string& source, const std::string& split,
                      const DatasetOptions& options);

/// A caption as a record of its own: its record's key and image, and this text alone.
Record record_of(const Dataset& dataset, const TextRef& text);

}  // namespace mome
