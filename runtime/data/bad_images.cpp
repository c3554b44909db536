#include "runtime/data/bad_images.h"

#include <algorithm>
#include <utility>

#include "runtime/core/error.h"

namespace mome {

BadImages::BadImages(const Dataset& dataset, double max_bad, LogFunction log)
    : source_(dataset.source),
      records_(int64_t(dataset.records.size())),
      limit_(std::min(records_ - 1, int64_t(std::max(max_bad, 0.0) * double(records_)))),
      log_(std::move(log)) {}

void BadImages::note(const BadImage& bad) {
  if (seen_.insert(bad.record).second) {
    if (first_.empty()) first_ = bad.what;
    if (log_) log_(fmt::format("skipped an image: {}", bad.what));
  }
  if (count() > limit_) {
    fail("{}: {} of {} images cannot be read; at most {} may be (max_bad). The first: {}", source_,
         count(), records_, limit_, first_);
  }
}

}  // namespace mome
