// One batch of samples as the loader hands it over.
#pragma once
#include <cstdint>
#include <vector>

namespace mome {

struct Batch {
  int64_t size = 0;                  // B
  int64_t image_size = 0;            // S; 0: no images
  std::vector<uint8_t> images;       // [B, S, S, 3] RGB
  std::vector<int32_t> tokens;       // packed texts, [CLS] and [SEP] included
  std::vector<int32_t> text_begin;   // [B+1] where each text starts; empty: no texts
  std::vector<int64_t> image_ids;    // [B] equal for the same picture
  std::vector<int64_t> caption_ids;  // [B] equal for the same sentence
  std::vector<int32_t> records;      // [B] which record of the dataset
};

}  // namespace mome
