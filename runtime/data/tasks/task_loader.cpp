#include "runtime/data/tasks/task_loader.h"

#include "runtime/core/error.h"

namespace mome {
namespace {

LoaderOptions of_task(const TaskSet& set, LoaderOptions options) {
  MOME_CHECK(options.batch >= 1 && options.threads >= 1 && options.image_size >= 1);
  options.images = true;
  options.texts = has_text(set.task);
  return options;
}

const TaskSet& checked(const TaskSet& set, const WordPiece* wordpiece) {
  MOME_CHECK(wordpiece || !has_text(set.task));
  if (set.samples.empty()) fail("{}: no sample to train on", set.pictures.source);
  for (const TaskSample& sample : set.samples)
    if (sample.targets.empty())
      fail("{}: sample {} has no right class; expected one to train on", set.pictures.source,
           sample.key);
  return set;
}

}  // namespace

TaskLoader::TaskLoader(const TaskSet& set, const WordPiece* wordpiece, const LoaderOptions& options,
                       int64_t first_step)
    : set_(checked(set, wordpiece)),
      wordpiece_(wordpiece),
      options_(of_task(set, options)),
      order_(int64_t(set.samples.size()), options.seed),
      images_(set.pictures, image_options(options_)),
      slots_(Prefetcher::kSlots, LoaderSlot(options_, pictures_per_sample(set.task))),
      samples_(Prefetcher::kSlots, std::vector<int32_t>(size_t(options.batch), -1)),
      prefetcher_(options.batch, options.threads, first_step,
                  [this](int64_t step, int i, int slot) { make(step, i, slot); }) {
  out_.pictures = pictures_per_sample(set.task);
}

void TaskLoader::make(int64_t step, int i, int slot_number) {
  LoaderSlot& slot = slots_[size_t(slot_number)];
  const auto [epoch, drawn] = order_.at(step * options_.batch + i);
  slot.bad[size_t(i)].clear();
  const int pictures = pictures_per_sample(set_.task);
  const size_t bytes = slot.batch.images.size() / size_t(pictures * options_.batch);
  uint8_t* to[2];
  for (int j = 0; j < pictures; ++j)
    to[j] = slot.batch.images.data() + size_t(j * options_.batch + i) * bytes;
  const int32_t sample = images_.fill(
      drawn, int32_t(set_.samples.size()), epoch,
      [&](int32_t s) {
        const int32_t* image = set_.samples[size_t(s)].image;
        return std::vector<int32_t>(image, image + pictures);
      },
      std::span<uint8_t* const>(to, size_t(pictures)), slot.bad[size_t(i)]);
  samples_[size_t(slot_number)][size_t(i)] = sample;
  if (sample < 0) return;  // next() fails
  const TaskSample& s = set_.samples[size_t(sample)];
  slot.batch.records[size_t(i)] = s.image[0];
  slot.batch.image_ids[size_t(i)] = set_.pictures.records[size_t(s.image[0])].image_id;
  if (!options_.texts) return;
  slot.batch.caption_ids[size_t(i)] = caption_id(s.text);
  slot.texts[size_t(i)] = wordpiece_->encode_text(s.text, options_.text_length);
}

const TaskBatch& TaskLoader::next() {
  const size_t number = size_t(prefetcher_.next() % Prefetcher::kSlots);
  LoaderSlot& slot = slots_[number];
  images_.note(slot.bad);
  out_.samples = samples_[number];
  out_.targets.clear();
  for (const int32_t sample : out_.samples) {
    if (sample < 0)
      fail("{}: no sample is left whose pictures can all be read", set_.pictures.source);
    out_.targets.push_back(set_.samples[size_t(sample)].targets);
  }
  if (options_.texts) pack_texts(slot.texts, slot.batch);
  out_.batch = slot.batch;
  return out_;
}

}  // namespace mome
