#include "tools/gallery.h"

#include <algorithm>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/log/progress.h"
#include "tools/feature_index.h"

namespace mome {
namespace {

const char* noun(bool images) { return images ? "pictures" : "texts"; }

class EmbeddedGallery : public Gallery {
 public:
  EmbeddedGallery(Retriever& r, Dataset dataset, bool images, double max_bad)
      : dataset_(std::move(dataset)) {
    const std::vector<int32_t> pictures = all_records(dataset_);
    const std::vector<TextRef> captions = all_captions(dataset_);
    Progress progress("embedding", int64_t(images ? pictures.size() : captions.size()));
    const auto tell = [&](int64_t done) { progress.update(done); };
    EvalOptions reading =
        r.reader_options(max_bad, [&](const std::string& line) { progress.note(line); });
    reading.cache_mib = 0;  // each picture is read once
    EvalReader reader(dataset_, &r.words, reading);
    if (images) {
      std::vector<int32_t> kept;
      features_ = image_features(*r.model, reader, pictures, r.arena, kept, tell);
      for (const int32_t record : kept) of_row_.push_back({record, kWhole});
    } else {
      features_ = text_features(*r.model, reader, captions, r.arena, tell);
      of_row_ = captions;
    }
    if (of_row_.empty()) fail("{}: has no {} to search", dataset_.source, noun(images));
    block_ = {features_.data(), rows(), DType::kF32};
  }

  std::span<const FeatureBlock> blocks() const override { return {&block_, 1}; }
  int64_t rows() const override { return int64_t(of_row_.size()); }
  Record record(int64_t row) const override {
    const TextRef& of = of_row_[size_t(row)];
    return of.caption == kWhole ? dataset_.records[size_t(of.record)] : record_of(dataset_, of);
  }

 private:
  static constexpr int32_t kWhole = -1;  // in place of a caption's number: a picture

  Dataset dataset_;
  std::vector<float> features_;
  std::vector<TextRef> of_row_;
  FeatureBlock block_;
};

class IndexedGallery : public Gallery {
 public:
  IndexedGallery(const std::string& folder, const Retriever& r, bool images) {
    const IndexInfo index = read_index(folder);
    const IndexSide& side = index.side(images);
    if (!side.asked)
      fail("{}: has no {}; run `mome embed` with --what {} or both", folder, noun(images),
           side.name);
    check(folder, index, side, r);
    for (const ShardInfo& shard : side.shards) {
      auto [features, records] = open_shard(folder, index, shard);
      blocks_.push_back(features.block());
      features_.push_back(std::move(features));
      records_.push_back(std::move(records));
      first_.push_back(rows_);
      rows_ += shard.rows;
    }
    if (rows_ == 0) fail("{}: has no {} to search", folder, noun(images));
  }

  std::span<const FeatureBlock> blocks() const override { return blocks_; }
  int64_t rows() const override { return rows_; }
  Record record(int64_t row) const override {
    const size_t shard =
        size_t(std::upper_bound(first_.begin(), first_.end(), row) - first_.begin()) - 1;
    return records_[shard].read(row - first_[shard]).record;
  }

 private:
  static void check(const std::string& folder, const IndexInfo& index, const IndexSide& side,
                    const Retriever& r) {
    if (index.fingerprint != r.fingerprint())
      fail(
          "{}: was made by another checkpoint ({}, fingerprint {}) than {} (fingerprint {}); "
          "features of two models cannot be compared: run `mome embed` with this one",
          folder, index.checkpoint, index.fingerprint, r.checkpoint, r.fingerprint());
    if (index.dim != r.model->config().features())
      fail("{}: has features of width {}; those of {} have {}", folder, index.dim, r.checkpoint,
           r.model->config().features());
    const int64_t has = int64_t(side.shards.size()), needs = index.shard_count(side);
    if (has < needs)
      fail("{}: is not finished: shard {} of {} is missing ({}); run the same `mome embed` again",
           folder, has + 1, needs, name_shard(index, side, has).features);
  }

  std::vector<FeatureFile> features_;
  std::vector<RecordFile> records_;
  std::vector<FeatureBlock> blocks_;
  std::vector<int64_t> first_;
  int64_t rows_ = 0;
};

}  // namespace

std::unique_ptr<Gallery> embed_gallery(Retriever& r, Dataset dataset, bool images, double max_bad) {
  return std::make_unique<EmbeddedGallery>(r, std::move(dataset), images, max_bad);
}

std::unique_ptr<Gallery> open_gallery(const std::string& folder, const Retriever& r, bool images) {
  return std::make_unique<IndexedGallery>(folder, r, images);
}

}  // namespace mome
