#include "runtime/data/tasks/task_reader.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace mome {

TaskReader::TaskReader(const TaskSet& set, const WordPiece* wordpiece, const EvalOptions& options)
    : set_(set),
      wordpiece_(wordpiece),
      options_(options),
      reader_(set.pictures, wordpiece, options) {
  MOME_CHECK(wordpiece || !has_text(set.task));
}

TaskBatch TaskReader::read(std::span<const int32_t> samples) {
  const int pictures = pictures_per_sample(set_.task);
  std::vector<int32_t> records;
  for (const int32_t sample : samples)
    for (int j = 0; j < pictures; ++j) records.push_back(set_.samples.at(size_t(sample)).image[j]);
  Batch gallery;
  const std::vector<int32_t> where = reader_.distinct_images(records, gallery);

  TaskBatch out;
  out.pictures = pictures;
  std::vector<std::vector<int32_t>> texts;
  std::vector<std::vector<int32_t>> places;  // in the gallery, of each sample that is kept
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::vector<int32_t> of_sample(where.begin() + std::ptrdiff_t(i) * pictures,
                                         where.begin() + std::ptrdiff_t(i + 1) * pictures);
    if (std::find(of_sample.begin(), of_sample.end(), -1) != of_sample.end()) continue;
    const TaskSample& s = set_.samples[size_t(samples[i])];
    places.push_back(of_sample);
    out.samples.push_back(samples[i]);
    out.targets.push_back(s.targets);
    out.batch.records.push_back(s.image[0]);
    out.batch.image_ids.push_back(set_.pictures.records[size_t(s.image[0])].image_id);
    if (!has_text(set_.task)) continue;
    out.batch.caption_ids.push_back(caption_id(s.text));
    texts.push_back(wordpiece_->encode_text(s.text, options_.text_length));
  }
  Batch& batch = out.batch;
  batch.size = int(out.samples.size());
  batch.image_size = options_.image_size;
  const int64_t bytes = int64_t(options_.image_size) * options_.image_size * 3;
  for (int j = 0; j < pictures; ++j)
    for (const auto& place : places) {
      const auto from = gallery.images.begin() + place[size_t(j)] * bytes;
      batch.images.insert(batch.images.end(), from, from + bytes);
    }
  if (has_text(set_.task)) pack_texts(texts, batch);
  return out;
}

}  // namespace mome
