// What `mome evaluate` measures on a held-out set: retrieval (all, and kind by kind), matching,
// masked words.
#pragma once
#include <functional>
#include <map>
#include <string>

#include "models/evaluation/features.h"

namespace mome {

struct EvaluateOptions {
  bool all_captions = false;  // every caption is a query; else the first of each record
  bool fusion = true;         // matching and masked words, where the model has their heads
  int64_t rerank = 0;         // so many candidates are put in order by the fusion encoder (rerank.h); 0: none
  double mask_rate = 0.15;
  uint64_t seed = 1;
  std::function<void(const std::string&, int64_t, int64_t)> progress;  // what, done, of
};

/// Pairwise matching: the share of pairs whose score is above that of the same text with a wrong
/// picture (half counts for equal scores). random: any other picture; hard: the wrong picture that
/// contrast ranks first.
struct Evaluation {
  RetrievalResult retrieval;
  std::map<std::string, RetrievalResult> by_kind;  // queries of one kind, against the whole gallery
  bool has_reranked = false;
  RetrievalResult reranked;
  bool has_fusion = false;
  double itm_pairwise_random = 0, itm_pairwise_hard = 0;
  double mlm_accuracy = 0, mlm_accuracy_wrong_picture = 0, mlm_accuracy_text_alone = 0;
  int64_t masked_words = 0;
};

Evaluation evaluate(MomeModel& model, const Dataset& dataset, EvalReader& reader,
                    const WordPiece& words, const EvaluateOptions& options, Arena& arena);

}  // namespace mome
