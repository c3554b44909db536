// What is searched: features and, for each row, the record that it belongs to.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/evaluation/nearest.h"
#include "tools/retriever.h"

namespace mome {

class Gallery {
 public:
  virtual ~Gallery() = default;

  /// In memory or mapped; they live as long as this object.
  virtual std::span<const FeatureBlock> blocks() const = 0;
  virtual int64_t rows() const = 0;
  /// Of texts: with this row's caption alone.
  virtual Record record(int64_t row) const = 0;
};

/// Embeds all pictures or all captions of a data set, with a line of progress on standard error. At
/// most max_bad of the pictures may be broken (EvalReader).
std::unique_ptr<Gallery> embed_gallery(Retriever& r, Dataset dataset, bool images, double max_bad);

/// The images or texts of a folder of `mome embed`, mapped. Error if its run is not finished (which
/// shard is missing), if another checkpoint made it or one whose features have another width, if a
/// file is missing or cut short, and if it has no images or texts.
std::unique_ptr<Gallery> open_gallery(const std::string& folder, const Retriever& r, bool images);

}  // namespace mome
