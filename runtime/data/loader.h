// Training batches, made ahead of time by worker threads. A batch is a pure function of (data set,
// options, step): neither the number of threads nor a restart nor the size of the cache changes it.
// Ranks share a global batch: each makes some of its samples, and the ranks' batches one after
// another are what one rank alone would make, whatever the split.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/data/bad_images.h"
#include "runtime/data/batch.h"
#include "runtime/data/order.h"
#include "runtime/data/prefetcher.h"
#include "runtime/data/training_images.h"
#include "runtime/image/augment.h"
#include "runtime/text/wordpiece.h"

namespace mome {

struct LoaderOptions {
  int batch = 1;         // B, samples that this rank makes
  int global_batch = 0;  // samples of all ranks in a step; 0: batch
  int first = 0;         // this rank's first sample within the global batch
  int image_size = 224;  // S, pixels
  int text_length = 40;  // ids of a text at most, [CLS] and [SEP] included
  uint64_t seed = 0;
  int threads = 1;
  Augmentation augmentation;
  double keyword_captions = 0;  // probability of a caption made of keywords (caption_draw.h)
  double max_bad = 0.01;        // images that may fail to decode, as a fraction of the records
  int64_t cache_mib = 512;      // for decoded images
  int shard_lanes = 8, shard_window = 2;  // of piped shards (ShardOrder::Options)
  bool images = true, texts = true;
  LogFunction log;  // is told of each image that is skipped, on next()'s thread

  /// Number of sample i < batch of `step` in the run, which is all that its order, caption and
  /// augmentation are drawn by.
  int64_t global_sample(int64_t step, int i) const {
    return step * (global_batch == 0 ? batch : global_batch) + first + i;
  }
};

/// Throws std::logic_error for sizes below 1 and a share that passes the global batch.
void check_sizes(const LoaderOptions& options);

/// A batch with room for all that has a size of its own, `pictures` images a sample.
Batch sized_batch(const LoaderOptions& options, int pictures);

/// A batch in the making, with what its samples left for next() to put together.
struct LoaderSlot {
  explicit LoaderSlot(const LoaderOptions& options);

  Batch batch;
  std::vector<std::vector<int32_t>> texts;  // [B]
  std::vector<std::vector<BadImage>> bad;   // [B]: records tried in vain
};

/// What of the options concerns the pictures.
TrainingImageOptions image_options(const LoaderOptions& options);

/// Batches of image-text pairs (or of one of the two): sample i of a step is the record that
/// make_order's Order has for its global_sample(), with a caption and an augmentation drawn anew
/// each epoch. A record whose image cannot be decoded is replaced by the next one that can.
class PairLoader {
 public:
  /// The data set and the tokeniser must outlive the loader; `wordpiece` may be null without texts.
  /// Throws Error if there is no record, or with texts if a record has neither caption nor keyword.
  PairLoader(const Dataset& dataset, const WordPiece* wordpiece, const LoaderOptions& options,
             int64_t first_step);
  /// Does not wait for commands of piped shards: it kills them.
  ~PairLoader();

  /// The next step's batch; stays valid until the next call. Throws Error, naming the first, once
  /// more than max_bad of the images cannot be decoded, or if a piped shard cannot be had.
  const Batch& next();

  int64_t bad_images() const { return images_.bad_images(); }
  /// Seconds that next() has blocked since the last call of this (Prefetcher::waited).
  double waited() { return prefetcher_.waited(); }

 private:
  void make(int64_t step, int i, LoaderSlot& slot);

  const Dataset& dataset_;
  const WordPiece* wordpiece_;
  const LoaderOptions options_;
  const std::unique_ptr<const Order> order_;
  TrainingImages images_;
  std::vector<LoaderSlot> slots_;
  Prefetcher prefetcher_;  // last: its threads use all of the above
};

/// Batches of texts alone, one sample a line. Of the options only batch, global_batch, first,
/// text_length, seed and threads count.
class TextLoader {
 public:
  /// Throws Error if there is no line.
  TextLoader(std::vector<std::string> lines, const WordPiece& wordpiece,
             const LoaderOptions& options, int64_t first_step);

  /// As PairLoader::next; without images, and image_ids 0. records: line numbers from 0.
  const Batch& next();

  double waited() { return prefetcher_.waited(); }  // as PairLoader's

 private:
  const std::vector<std::string> lines_;
  SampleOrder order_;
  std::vector<LoaderSlot> slots_;
  Prefetcher prefetcher_;  // last: its threads use all of the above
};

}  // namespace mome
