// What loaders hand to a training or evaluation step.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/data/hash.h"

namespace mome {

struct Batch {
  int size = 0;                      // B
  int image_size = 0;                // S, pixels
  std::vector<uint8_t> images;       // [B, S, S, 3], RGB; empty without images
  std::vector<int32_t> tokens;       // texts one after another, each with [CLS] and [SEP]
  std::vector<int32_t> text_begin;   // [B+1]: text b is tokens [text_begin[b], text_begin[b+1])
  std::vector<int64_t> image_ids;    // [B]: equal for the same image
  std::vector<int64_t> caption_ids;  // [B]: equal for the same text (before tokenisation)
  std::vector<int32_t> records;      // [B]: which record (or line of text) it is
};

inline int64_t caption_id(const std::string& text) { return int64_t(hash64(text)); }

/// Sets tokens and text_begin to the texts in order.
void pack_texts(const std::vector<std::vector<int32_t>>& texts, Batch& batch);

}  // namespace mome
