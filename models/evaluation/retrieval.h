// Retrieval by the dual encoder: features of all pictures and all sentences, and recall at k both
// ways.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/mome/model.h"
#include "runtime/data/batch.h"

namespace mome {

/// Features of a batch's images [B, itc_dim] or texts, L2-normalised, from the V / L branch (the
/// published protocol), appended to `out`.
void append_image_features(MomeModel& model, const Batch& batch, Arena& arena,
                           std::vector<float>& out);
void append_text_features(MomeModel& model, const Batch& batch, Arena& arena,
                          std::vector<float>& out);

struct Recall {
  double r1 = 0, r5 = 0, r10 = 0;  // rates from 0 to 1
};
/// Rates of 0-based ranks.
Recall recall_of(const std::vector<int64_t>& ranks);

struct RetrievalResult {
  Recall text_to_image, image_to_text;
  Recall chance, chance_image_to_text;  // of a random order; chance: text to image
  int64_t images = 0, texts = 0;        // queries
};

/// image_features [I, D], text_features [T, D]. correct(t, i): whether image i is a right answer to
/// text t. Text to image: the share of texts with a right image among the k best; image to text
/// likewise (images with no right text are left out). Equal scores rank by index. Chance: the
/// expected recall of a random order. image_asked [I], text_asked [T]: which count as queries;
/// empty: all do. Exact, blocked, on all cores.
RetrievalResult retrieval(int64_t images, int64_t texts, int64_t dim, const float* image_features,
                          const float* text_features,
                          const std::vector<std::vector<int32_t>>& images_of_text,
                          const std::vector<uint8_t>& image_asked = {},
                          const std::vector<uint8_t>& text_asked = {});

}  // namespace mome
