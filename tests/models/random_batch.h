// Made-up batches of a vocabulary of twenty tokens and images of 16 pixels.
#pragma once
#include "kernels/common/philox.h"
#include "runtime/data/batch.h"
#include "runtime/text/wordpiece.h"

namespace mome {

/// The special tokens and w5 … w19.
inline WordPiece vocabulary() {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  while (tokens.size() < 20) tokens.push_back(fmt::format("w{}", tokens.size()));
  return WordPiece::from_tokens(tokens, "test");
}

/// n pairs with distinct ids; texts of 1 to `longest` words.
inline Batch make_batch(int n, uint64_t seed, int longest = 7) {
  RandomStream random(seed, 0, Purpose::kTest, 0);
  Batch b;
  b.size = n;
  b.image_size = 16;
  b.images.resize(size_t(n) * 16 * 16 * 3);
  for (uint8_t& v : b.images) v = uint8_t(random.next());
  b.text_begin.push_back(0);
  for (int i = 0; i < n; ++i) {
    const int words = 1 + int(random.below(uint32_t(longest)));
    b.tokens.push_back(2);
    for (int t = 0; t < words; ++t) b.tokens.push_back(int32_t(5 + random.below(15)));
    b.tokens.push_back(3);
    b.text_begin.push_back(int32_t(b.tokens.size()));
    b.image_ids.push_back(i);
    b.caption_ids.push_back(100 + i);
    b.records.push_back(i);
  }
  return b;
}

}  // namespace mome
