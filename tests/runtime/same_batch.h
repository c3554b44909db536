// Batches compared field by field.
#pragma once
#include <gtest/gtest.h>

#include "runtime/data/batch.h"

namespace mome {

inline void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.size, b.size);
  EXPECT_EQ(a.image_size, b.image_size);
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.text_begin, b.text_begin);
  EXPECT_EQ(a.image_ids, b.image_ids);
  EXPECT_EQ(a.caption_ids, b.caption_ids);
  EXPECT_EQ(a.records, b.records);
}

}  // namespace mome
