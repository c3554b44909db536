// Batches for evaluation: no augmentation, and the caption that the caller names.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/data/bad_images.h"
#include "runtime/data/batch.h"
#include "runtime/data/image_store.h"
#include "runtime/text/wordpiece.h"

namespace mome {

/// Caption number `caption` of record number `record`.
struct TextRef {
  int32_t record = 0;
  int32_t caption = 0;
};

/// Every caption of every record, record after record: the queries of a retrieval test.
std::vector<TextRef> all_captions(const Dataset& dataset);
/// 0, 1, ..., n-1: the gallery of a retrieval test.
std::vector<int32_t> all_records(const Dataset& dataset);

struct EvalOptions {
  int image_size = 224;  // S, pixels: images are resized to S x S whatever their shape
  int text_length = 40;
  double max_bad = 0.01;    // images that may fail to decode, as a fraction of the records
  int64_t cache_mib = 512;  // for decoded images: a second pass over them is free
  LogFunction log;
};

/// Reads on all cores; results do not depend on how many there are. Images that cannot be decoded
/// are left out of a batch (Batch::records says what is in it) and counted; more than max_bad of
/// them throw Error. Retrieval needs each image once and each caption once: images() over
/// all_records, texts() over all_captions, each in pieces of the size that the model takes.
class EvalReader {
 public:
  /// The data set and the tokeniser must outlive the reader; `wordpiece` may be null for images().
  EvalReader(const Dataset& dataset, const WordPiece* wordpiece, const EvalOptions& options);

  Batch images(std::span<const int32_t> records);
  /// The same for records of which some may be alike: each distinct one is read once, into
  /// `gallery`. Returns where in it records[i] is, or -1 if its image cannot be decoded.
  std::vector<int32_t> distinct_images(std::span<const int32_t> records, Batch& gallery);
  Batch texts(std::span<const TextRef> texts) const;
  /// Each text with its record's image.
  Batch pairs(std::span<const TextRef> texts);

 private:
  const Dataset& dataset_;
  const WordPiece* wordpiece_;
  const EvalOptions options_;
  ImageStore store_;
  BadImages bad_;
};

}  // namespace mome
