#include "models/stages/watch.h"

#include "models/evaluation/features.h"

namespace mome {
namespace {

EvalOptions eval_options(const ModelConfig& model, const DataConfig& data) {
  EvalOptions o;
  o.image_size = int(model.image_size);
  o.text_length = int(model.text_length);
  o.max_bad = data.max_bad;
  o.cache_mib = data.cache_mib;
  return o;
}

}  // namespace

RetrievalWatch::RetrievalWatch(Dataset dataset, const WordPiece& words, const ModelConfig& model, const DataConfig& data)
    : dataset_(std::move(dataset)), reader_(dataset_, &words, eval_options(model, data)) {}

Metrics RetrievalWatch::run(MomeModel& model, Arena& arena) {
  const RetrievalResult r = evaluate_retrieval(model, dataset_, reader_, first_captions(dataset_), arena);
  Metrics m;
  m.add("val_t2i_r1", r.text_to_image.r1);
  m.add("val_t2i_r10", r.text_to_image.r10);
  m.add("val_i2t_r1", r.image_to_text.r1);
  m.add("val_i2t_r10", r.image_to_text.r10);
  return m;
}

}  // namespace mome
