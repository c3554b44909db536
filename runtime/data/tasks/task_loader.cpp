#include "runtime/data/tasks/task_loader.h"

#include "runtime/core/error.h"

namespace mome {
namespace {

const TaskSet& checked(const TaskSet& set, const WordPiece* wordpiece,
                       const LoaderOptions& options) {
  check_sizes(options);
  MOME_CHECK(wordpiece || !has_text(set.task));
  if (set.samples.empty()) fail("{}: no samples to train on", set.pictures.source);
  for (const TaskSample& sample : set.samples) {
    if (!sample.targets.empty()) continue;
    fail("{}: sample {} has no right class; expected one for each to train on", set.pictures.source,
         sample.key);
  }
  return set;
}

LoaderOptions task_options(LoaderOptions options, Task task) {
  options.images = true;
  options.texts = has_text(task);
  return options;
}

std::vector<int32_t> pictures_of(const TaskSet& set, int32_t sample) {
  const int32_t* image = set.samples[sample].image;
  return {image, image + pictures_per_sample(set.task)};
}

}  // namespace

TaskLoader::TaskLoader(const TaskSet& set, const WordPiece* wordpiece, const LoaderOptions& options,
                       int64_t first_step)
    : set_(checked(set, wordpiece, options)),
      wordpiece_(wordpiece),
      options_(task_options(options, set.task)),
      order_(int64_t(set.samples.size()), options.seed),
      images_(set.pictures, image_options(options_)),
      slots_(Prefetcher::kSlots, Slot(options_, pictures_per_sample(set.task))),
      prefetcher_(options.batch, options.threads, first_step,
                  [this](int64_t step, int i, int slot) { make(step, i, slots_[slot]); }) {}

TaskLoader::Slot::Slot(const LoaderOptions& options, int pictures)
    : texts(options.texts ? options.batch : 0), bad(options.batch) {
  out.pictures = pictures;
  out.batch = sized_batch(options, pictures);
  out.targets.resize(options.batch);
  out.samples.resize(options.batch);
}

void TaskLoader::make(int64_t step, int i, Slot& slot) {
  const int pictures = slot.out.pictures;
  const auto [epoch, drawn] = order_.at(options_.global_sample(step, i));
  Batch& batch = slot.out.batch;
  const size_t bytes = batch.images.size() / (size_t(pictures) * batch.size);
  uint8_t* to[2] = {};
  for (int j = 0; j < pictures; ++j) to[j] = batch.images.data() + (j * batch.size + i) * bytes;
  slot.bad[i].clear();
  const int32_t sample = images_.fill(
      drawn, int32_t(set_.samples.size()), epoch,
      [this](int32_t s) { return pictures_of(set_, s); }, {to, size_t(pictures)}, slot.bad[i]);
  slot.out.samples[i] = sample;
  if (sample < 0) return;  // next() fails
  const TaskSample& s = set_.samples[sample];
  batch.records[i] = s.image[0];
  batch.image_ids[i] = set_.pictures.records[s.image[0]].image_id;
  slot.out.targets[i] = s.targets;
  if (!options_.texts) return;
  batch.caption_ids[i] = caption_id(s.text);
  slot.texts[i] = wordpiece_->encode_text(s.text, options_.text_length);
}

const TaskBatch& TaskLoader::next() {
  Slot& slot = slots_[prefetcher_.next() % Prefetcher::kSlots];
  images_.note(slot.bad);
  for (const int32_t sample : slot.out.samples) {
    if (sample < 0) {
      fail("{}: every sample has a picture that cannot be read", set_.pictures.source);
    }
  }
  if (options_.texts) pack_texts(slot.texts, slot.out.batch);
  return slot.out;
}

}  // namespace mome
