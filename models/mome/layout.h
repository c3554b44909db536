// The MoME layout: which packed row belongs to which sequence, token and expert, at every depth.
//
// Rows are ordered so that every expert is one contiguous range (see README, "How it is built"):
//
//   below the first VL block   | image-only | fused images | fused texts | text-only |
//                              |      V expert             |        L expert         |
//   from it on                 | image-only | image tails | fused images | fused texts | text tails | text-only |
//                              |     V      |                    VL                                |    L      |
//
// Only what is read is computed: embeddings (and the first block's QKV) once per distinct input, the
// last block's queries and feed-forward only on rows that a head reads. `last` is the upper (or lower)
// layout with that pruning.
#pragma once
#include <cstdint>
#include <vector>

#include "runtime/ops/ops.h"

namespace mome {

/// One sequence: an image alone (text = -1), a text alone (image = -1), or both fused. Numbers index
/// the distinct inputs. A lone image or text may have a tail: its states from the first VL block on also run
/// through the VL experts.
struct SequenceSpec {
  int32_t image = -1, text = -1;
  bool tail = false;
  int32_t key = -1;  // what its drop-path draws hang on (not its place: a batch split over ranks draws alike); -1: its number
  // What the heads read: of the text and of the image, which tokens; of the tail the same ones.
  bool read_all_text = false, read_all_image = false;
  std::vector<int32_t> read_text, read_image;  // ascending token numbers, if not all
};

struct RowRange {
  int64_t begin = 0, count = 0;
};

/// The rows of a run of blocks.
struct BlockRows {
  int64_t rows = 0;
  RowRange vision, language, fused;      // expert ranges (fused: VL)
  AttentionRows attention;               // queries = all rows, or the read ones in the last block
  std::vector<int32_t> attention_sample; // [rows] drop-path sample of the attention branch: the sequence's key, tails apart
  std::vector<int32_t> expert_sample;    // [rows] of the feed-forward branch: halves draw apart too below VL
};

struct LayoutOptions {
  int64_t image_tokens = 0;   // P + 1
  int64_t text_capacity = 0;  // where image tokens start in the position bias: the longest text
  bool has_upper = true;      // there are VL blocks
  bool has_lower = true;      // there are blocks below them
  bool prune = true;          // false: every row of every block is computed (the reference form)
};

class MomeLayout {
 public:
  /// text_lengths [distinct texts], images = number of distinct images.
  MomeLayout(const LayoutOptions& options, int64_t images, std::vector<int32_t> text_lengths,
             std::vector<SequenceSpec> sequences);

  // Distinct inputs: rows of images 0 … n-1, then of texts.
  int64_t distinct_rows = 0;
  GatherPlan enter;      // distinct rows -> rows of the first block (lower if there is one, else upper)
  BlockRows lower;
  GatherPlan relayout;   // lower -> upper rows (tails are copied)
  BlockRows upper;
  GatherPlan read;       // rows of the last block -> read rows
  BlockRows last;        // rows = read rows

  /// Row of a read token in the final states. `tail`: of the sequence's tail.
  int32_t text_row(int sequence, int token, bool tail = false) const;
  int32_t image_row(int sequence, int token, bool tail = false) const;
  const std::vector<SequenceSpec>& sequences() const { return sequences_; }
  int64_t text_length(int sequence) const;
  int64_t image_tokens() const { return options_.image_tokens; }

 private:
  // A stream is a sequence or its tail: where its segments start, in the last blocks' rows.
  struct Stream {
    int32_t sequence = 0;
    bool tail = false;
    int64_t text_begin = 0, image_begin = 0;
    int64_t text_read = -1, image_read = -1;  // first read row of the segment
  };
  BlockRows place(bool upper, std::vector<Stream>& streams) const;
  void attend(BlockRows& rows, const std::vector<Stream>& streams) const;
  void prune(const BlockRows& from);
  const Stream& stream(int sequence, bool tail) const;
  int32_t row(int64_t first, const std::vector<int32_t>& tokens, bool all, int64_t length, int token) const;
  bool fused(int s) const { return sequences_[s].image >= 0 && sequences_[s].text >= 0; }

  LayoutOptions options_;
  std::vector<int32_t> text_lengths_;
  std::vector<SequenceSpec> sequences_;
  std::vector<Stream> streams_;      // of the last blocks
  std::vector<int32_t> tail_stream_; // [sequences] index of the tail's stream or -1
};

}  // namespace mome
