#include "runtime/data/loader.h"

#include <algorithm>
#include <list>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/data/caption_draw.h"
#include "runtime/data/loader_order.h"
#include "runtime/data/piped_shards.h"

namespace mome {
namespace {

const Dataset& checked(const Dataset& dataset, const WordPiece* wordpiece,
                       const LoaderOptions& options) {
  check_sizes(options);
  MOME_CHECK(options.images || options.texts);
  MOME_CHECK(wordpiece || !options.texts);
  if (dataset.records.empty()) fail("{}: no records to train on", dataset.source);
  for (const Record& record : dataset.records) {
    if (options.texts && record.captions.empty() && record.keywords.empty()) {
      fail("{}: image {} has no caption; expected at least one for each image", dataset.source,
           record.key);
    }
  }
  return dataset;
}

std::vector<std::string> checked(std::vector<std::string> lines) {
  if (lines.empty()) fail("no text to train on; expected one sample a line");
  return lines;
}

std::vector<int32_t> one_picture(int32_t record) { return {record}; }

LoaderOptions text_only(LoaderOptions options) {
  check_sizes(options);
  options.images = false;
  options.texts = true;
  return options;
}

}  // namespace

void check_sizes(const LoaderOptions& options) {
  MOME_CHECK(options.batch >= 1 && options.threads >= 1 && options.image_size >= 1);
  MOME_CHECK(options.first >= 0);
  MOME_CHECK(options.global_batch == 0 ? options.first == 0
                                       : options.first <= options.global_batch - options.batch);
}

void pack_texts(const std::vector<std::vector<int32_t>>& texts, Batch& batch) {
  batch.tokens.clear();
  batch.text_begin.assign(1, 0);
  for (const auto& text : texts) {
    batch.tokens.insert(batch.tokens.end(), text.begin(), text.end());
    batch.text_begin.push_back(int32_t(batch.tokens.size()));
  }
}

Batch sized_batch(const LoaderOptions& options, int pictures) {
  Batch batch;
  batch.size = options.batch;
  batch.records.resize(options.batch);
  batch.image_ids.resize(options.batch);
  if (options.texts) batch.caption_ids.resize(options.batch);
  if (!options.images) return batch;
  batch.image_size = options.image_size;
  batch.images.resize(size_t(pictures) * options.batch * options.image_size * options.image_size *
                      3);
  return batch;
}

LoaderSlot::LoaderSlot(const LoaderOptions& options)
    : batch(sized_batch(options, 1)),
      texts(options.texts ? options.batch : 0),
      bad(options.batch) {}

TrainingImageOptions image_options(const LoaderOptions& options) {
  return {options.image_size,
          options.seed,
          options.augmentation,
          options.max_bad,
          options.images ? options.cache_mib : 0,
          options.log};
}

PairLoader::PairLoader(const Dataset& dataset, const WordPiece* wordpiece,
                       const LoaderOptions& options, int64_t first_step)
    : dataset_(checked(dataset, wordpiece, options)),
      wordpiece_(wordpiece),
      options_(options),
      order_(make_order(dataset, options)),
      images_(dataset, image_options(options)),
      slots_(Prefetcher::kSlots, LoaderSlot(options)),
      prefetcher_(options.batch, options.threads, first_step,
                  [this](int64_t step, int i, int slot) { make(step, i, slots_[slot]); }) {}

PairLoader::~PairLoader() {
  std::list<PipedShards::Interruption> kill;
  for (PipedShards* pool : pools_of(dataset_)) kill.emplace_back(*pool);
  prefetcher_.stop();
}

void PairLoader::make(int64_t step, int i, LoaderSlot& slot) {
  const auto [epoch, drawn] = order_->at(options_.global_sample(step, i));
  slot.bad[i].clear();
  int32_t record = drawn;
  if (options_.images) {
    const size_t bytes = slot.batch.images.size() / slot.batch.size;
    uint8_t* const to[1] = {slot.batch.images.data() + size_t(i) * bytes};
    record =
        images_.fill(drawn, int32_t(dataset_.records.size()), epoch, one_picture, to, slot.bad[i]);
  }
  if (record < 0) return;  // next() fails: what was tried is past the limit
  const Record& r = dataset_.records[record];
  slot.batch.records[i] = record;
  slot.batch.image_ids[i] = r.image_id;
  if (!options_.texts) return;
  const std::string text = draw_caption(r, options_.keyword_captions, options_.seed, epoch, drawn);
  slot.batch.caption_ids[i] = caption_id(text);
  slot.texts[i] = wordpiece_->encode_text(text, options_.text_length);
}

const Batch& PairLoader::next() {
  LoaderSlot& slot = slots_[prefetcher_.next() % Prefetcher::kSlots];
  images_.note(slot.bad);
  if (options_.texts) pack_texts(slot.texts, slot.batch);
  return slot.batch;
}

TextLoader::TextLoader(std::vector<std::string> lines, const WordPiece& wordpiece,
                       const LoaderOptions& options, int64_t first_step)
    : lines_(checked(std::move(lines))),
      order_(int64_t(lines_.size()), options.seed),
      slots_(Prefetcher::kSlots, LoaderSlot(text_only(options))),
      prefetcher_(options.batch, options.threads, first_step,
                  [this, &wordpiece, options](int64_t step, int i, int slot) {
                    const int32_t line = order_.at(options.global_sample(step, i)).record;
                    slots_[slot].batch.records[i] = line;
                    slots_[slot].batch.caption_ids[i] = caption_id(lines_[line]);
                    slots_[slot].texts[i] =
                        wordpiece.encode_text(lines_[line], options.text_length);
                  }) {}

const Batch& TextLoader::next() {
  LoaderSlot& slot = slots_[prefetcher_.next() % Prefetcher::kSlots];
  pack_texts(slot.texts, slot.batch);
  return slot.batch;
}

}  // namespace mome
