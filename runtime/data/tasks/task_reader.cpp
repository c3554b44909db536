#include "runtime/data/tasks/task_reader.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace mome {

TaskReader::TaskReader(const TaskSet& set, const WordPiece* wordpiece, const EvalOptions& options)
    : set_(set), wordpiece_(wordpiece), options_(options), reader_(set.pictures, nullptr, options) {
  MOME_CHECK(wordpiece || !has_text(set.task));
}

TaskBatch TaskReader::read(std::span<const int32_t> samples) {
  TaskBatch out;
  out.pictures = pictures_per_sample(set_.task);
  std::vector<int32_t> records;
  for (const int32_t sample : samples) {
    const TaskSample& s = set_.samples.at(sample);
    records.insert(records.end(), s.image, s.image + out.pictures);
  }
  Batch gallery;
  const std::vector<int32_t> where = reader_.distinct_images(records, gallery);

  std::vector<size_t> kept;  // of `samples`
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto first = where.begin() + int64_t(i) * out.pictures;
    if (std::all_of(first, first + out.pictures, [](int32_t at) { return at >= 0; })) {
      kept.push_back(i);
    }
  }
  Batch& batch = out.batch;
  batch.size = int(kept.size());
  batch.image_size = options_.image_size;
  const int64_t bytes = int64_t(options_.image_size) * options_.image_size * 3;
  for (int j = 0; j < out.pictures; ++j) {
    for (const size_t i : kept) {
      const auto from = gallery.images.begin() + where[i * out.pictures + j] * bytes;
      batch.images.insert(batch.images.end(), from, from + bytes);
    }
  }
  std::vector<std::vector<int32_t>> texts;
  for (const size_t i : kept) {
    const TaskSample& s = set_.samples[samples[i]];
    out.samples.push_back(samples[i]);
    out.targets.push_back(s.targets);
    batch.records.push_back(s.image[0]);
    batch.image_ids.push_back(set_.pictures.records[s.image[0]].image_id);
    if (!has_text(set_.task)) continue;
    texts.push_back(wordpiece_->encode_text(s.text, options_.text_length));
    batch.caption_ids.push_back(caption_id(s.text));
  }
  if (has_text(set_.task)) pack_texts(texts, batch);
  return out;
}

}  // namespace mome
