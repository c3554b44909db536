#include "runtime/data/eval_reader.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include "kernels/common/parallel.h"
#include "runtime/core/error.h"
#include "runtime/data/piped_shards.h"
#include "runtime/image/augment.h"

namespace mome {

std::vector<TextRef> all_captions(const Dataset& dataset) {
  std::vector<TextRef> out;
  for (size_t r = 0; r < dataset.records.size(); ++r) {
    for (size_t c = 0; c < dataset.records[r].captions.size(); ++c) {
      out.push_back({int32_t(r), int32_t(c)});
    }
  }
  return out;
}

std::vector<int32_t> all_records(const Dataset& dataset) {
  std::vector<int32_t> out(dataset.records.size());
  std::iota(out.begin(), out.end(), 0);
  return out;
}

EvalReader::EvalReader(const Dataset& dataset, const WordPiece* wordpiece,
                       const EvalOptions& options)
    : dataset_(dataset),
      wordpiece_(wordpiece),
      options_(options),
      store_(dataset, options.cache_mib),
      bad_(dataset, options.max_bad, options.log) {}

Batch EvalReader::images(std::span<const int32_t> records) {
  const size_t side = options_.image_size, bytes = side * side * 3;
  std::vector<uint8_t> pixels(records.size() * bytes);
  std::vector<std::string> errors(records.size());
  std::vector<std::exception_ptr> fatal(records.size());
  const Augmentation none;
  parallel_chunks(int64_t(records.size()), 1, [&](int64_t begin, int64_t) {
    // No exception may leave a parallel loop.
    try {
      RandomStream unused(0, 0, Purpose::kAugment, 0);
      const Image made = augment(*store_.get(records[begin]), options_.image_size, none, unused);
      std::copy(made.pixels.begin(), made.pixels.end(), pixels.begin() + begin * int64_t(bytes));
    } catch (const ShardError&) {
      fatal[begin] = std::current_exception();
    } catch (const std::exception& e) {
      errors[begin] = e.what();
    }
  });
  for (const std::exception_ptr& error : fatal) {
    if (error) std::rethrow_exception(error);
  }
  Batch batch;
  batch.image_size = options_.image_size;
  for (size_t i = 0; i < records.size(); ++i) {
    if (!errors[i].empty()) {
      bad_.note({records[i], errors[i]});
      continue;
    }
    if (size_t(batch.size) != i) {
      std::copy_n(pixels.begin() + int64_t(i * bytes), bytes,
                  pixels.begin() + int64_t(batch.size * bytes));
    }
    ++batch.size;
    batch.records.push_back(records[i]);
    batch.image_ids.push_back(dataset_.records[records[i]].image_id);
  }
  pixels.resize(batch.size * bytes);
  batch.images = std::move(pixels);
  return batch;
}

Batch EvalReader::texts(std::span<const TextRef> texts) const {
  MOME_CHECK(wordpiece_);
  Batch batch;
  batch.size = int(texts.size());
  std::vector<std::vector<int32_t>> ids;
  for (const TextRef& text : texts) {
    const Record& record = dataset_.records.at(text.record);
    const std::string& caption = record.captions.at(text.caption);
    ids.push_back(wordpiece_->encode_text(caption, options_.text_length));
    batch.caption_ids.push_back(caption_id(caption));
    batch.image_ids.push_back(record.image_id);
    batch.records.push_back(text.record);
  }
  pack_texts(ids, batch);
  return batch;
}

std::vector<int32_t> EvalReader::distinct_images(std::span<const int32_t> records, Batch& gallery) {
  std::vector<int32_t> distinct(records.begin(), records.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  gallery = images(distinct);
  std::vector<int32_t> where;
  for (const int32_t record : records) {
    const auto at = std::lower_bound(gallery.records.begin(), gallery.records.end(), record);
    const bool there = at != gallery.records.end() && *at == record;
    where.push_back(there ? int32_t(at - gallery.records.begin()) : -1);
  }
  return where;
}

Batch EvalReader::pairs(std::span<const TextRef> texts) {
  // Each image is decoded and resized once, however many of its captions are asked for.
  std::vector<int32_t> records;
  for (const TextRef& text : texts) records.push_back(text.record);
  Batch gallery;
  const std::vector<int32_t> where = distinct_images(records, gallery);
  std::vector<TextRef> kept;
  std::vector<uint8_t> pixels;
  const int64_t bytes = int64_t(options_.image_size) * options_.image_size * 3;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (where[i] < 0) continue;
    kept.push_back(texts[i]);
    const auto from = gallery.images.begin() + where[i] * bytes;
    pixels.insert(pixels.end(), from, from + bytes);
  }
  Batch batch = this->texts(kept);
  batch.image_size = options_.image_size;
  batch.images = std::move(pixels);
  return batch;
}

}  // namespace mome
