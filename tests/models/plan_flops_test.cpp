// The FLOPs that the plan and the MFU count are those that the engine really multiplies.
#include <gtest/gtest.h>

#include "kernels/common/gemm.h"
#include "models/checkpoints/shape.h"
#include "models/objectives/objectives.h"
#include "models/plan/flops.h"
#include "models/stages/trainer.h"
#include "tests/models/random_batch.h"

namespace mome {
namespace {

ModelConfig tiny() {
  ModelConfig c;
  c.image_size = 16, c.patch = 4, c.width = 16, c.heads = 2, c.layers = 4, c.vl_from = 2,
  c.text_length = 10, c.vocabulary = 20;
  return c;
}

double gemms_of(const ModelConfig& c, Stage stage, const StepRows& rows,
                Recompute recompute = Recompute::kNone) {
  double total = 0;
  for (const PassRows& p : rows) total += gemm_flops(engine_work(c, stage, p, 4, recompute));
  return total;
}

// FLOPs of products that f() runs.
template <class F>
double measured(F&& f) {
  const int64_t before = gemm_count().flops;
  f();
  return double(gemm_count().flops - before);
}

std::vector<int32_t> lengths_of(const Batch& b) {
  std::vector<int32_t> out;
  for (int64_t i = 0; i < b.size; ++i)
    out.push_back(b.text_begin[size_t(i) + 1] - b.text_begin[size_t(i)]);
  return out;
}

std::vector<int32_t> masked_of(const Batch& b, const WordPiece& words, const ModelConfig& c) {
  std::vector<int32_t> out;
  for (int64_t i = 0; i < b.size; ++i) {
    const auto text = std::span(b.tokens).subspan(size_t(b.text_begin[size_t(i)]),
                                                  size_t(lengths_of(b)[size_t(i)]));
    out.push_back(int32_t(
        mask_words(text, words, 0.15, 1, 0, uint64_t(i), MaskRule::kWords, int(c.text_length))
            .positions.size()));
  }
  return out;
}

TEST(PlanFlops, OneBlockByHand) {
  // D 2, F 8, one image of 4 patches of 1 pixel, 1 patch read, no VL experts: every product written
  // out.
  ModelConfig c;
  c.image_size = 2, c.patch = 1, c.width = 2, c.heads = 1, c.layers = 1, c.vl_from = 1,
  c.positions = "absolute";
  const StepRows rows = image_rows(c, 1, 1);
  const double patches = 2 * 4 * 3 * 2 * 2;  // and its weight gradient: pixels need none
  const double kv = 3 * 2 * 5 * 2 * 4, q = 3 * 2 * 1 * 2 * 2, proj = 3 * 2 * 1 * 2 * 2,
               experts = 2 * 3 * 2 * 1 * 2 * 8, head = 3 * 2 * 1 * 2 * 3;
  EXPECT_EQ(gemms_of(c, Stage::kImage, rows), patches + kv + q + proj + experts + head);
  EXPECT_EQ(training_flops(c, Stage::kImage, rows),
            patches + kv + q + proj + experts + head + 12 * 5 * 2);
  const Work again = engine_work(c, Stage::kImage, rows[0], 4, Recompute::kExperts);
  EXPECT_EQ(gemm_flops(again), patches + kv + q + proj + experts + head + 2 * 1 * 2 * 8);
  EXPECT_EQ(model_flops(again), training_flops(c, Stage::kImage, rows));
  // Blocks: the whole block's forward products and its attention again.
  const Work blocks = engine_work(c, Stage::kImage, rows[0], 4, Recompute::kBlocks);
  EXPECT_EQ(gemm_flops(blocks), gemm_flops(again) + 2 * 5 * 2 * 6 + 2 * 1 * 2 * 2 + 2 * 1 * 8 * 2);
  EXPECT_EQ(attention_flops(blocks), (14 + 4) * 5 * 2);
}

TEST(PlanFlops, Stage1MultipliesWhatIsCounted) {
  const ModelConfig c = tiny();
  const Batch batch = make_batch(5, 1);
  for (const bool recompute : {false, true}) {
    MomeModel model(c, ModelParts::stage_image());
    model.parameters().initialize(1);
    ImageStageConfig stage;
    stage.recompute = recompute;
    apply_rules(model.parameters(), stage);
    Arena arena;
    const double real = measured([&] {
      image_step(model, stage, batch, nullptr, {arena, 1, 0, true});
    });
    EXPECT_EQ(gemms_of(c, Stage::kImage, image_rows(c, 5, 6),
                       recompute ? Recompute::kExperts : Recompute::kNone),
              real);  // 0.4 of 16 patches
  }
}

TEST(PlanFlops, Stage2MultipliesWhatIsCounted) {
  const ModelConfig c = tiny();
  const WordPiece words = vocabulary();
  const Batch batch = make_batch(6, 2);
  MomeModel model(c, ModelParts::stage_text());
  model.parameters().initialize(1);
  TextStageConfig stage;
  apply_rules(model.parameters(), stage);
  Arena arena;
  const double real = measured([&] { text_step(model, stage, batch, words, {arena, 1, 0, true}); });
  EXPECT_EQ(gemms_of(c, Stage::kText, text_rows(c, lengths_of(batch), masked_of(batch, words, c))),
            real);
}

// Not known before the negatives are drawn: which images and texts a run of matching repeats (each
// is embedded once, so it passes the patch embedding and the first projection fewer times than
// planned), and how long the drawn texts are.
double stage3_excess(const ModelConfig& c, const Batch& batch, double* planned) {
  const WordPiece words = vocabulary();
  MomeModel model(c, ModelParts::stage_pairs());
  model.parameters().initialize(1);
  PairStageConfig stage;
  apply_rules(model.parameters(), stage);
  Arena arena;
  const StepRows rows = pair_rows(c, lengths_of(batch), masked_of(batch, words, c), batch.size);
  EXPECT_EQ(rows.size(), 3u);  // contrast and words, two runs of matching
  *planned = gemms_of(c, Stage::kPairs, rows);
  return *planned - measured([&] {
    pair_step(model, stage, batch, words, true, {arena, 1, 0, true});
  });
}

TEST(PlanFlops, Stage3MultipliesWhatIsCounted) {
  for (const bool tail : {true, false})
    for (const char* pool : {"first", "mean"}) {
      ModelConfig c = tiny();
      c.itc_tail = tail, c.pool = pool;
      double planned = 0;
      // Texts of one length: what is left is whole repeated texts of three tokens and images of 16
      // patches, and nothing else.
      const double excess = stage3_excess(c, make_batch(8, 3, 1), &planned);
      const double d = 16, text = 3 * 6 * d * 3 * d,
                   image = 16 * 2 * 2 * 48 * d + 17 * 6 * d * 3 * d;
      bool explained = false;
      for (int texts = 0; texts <= 8; ++texts)
        for (int images = 0; images <= 8; ++images)
          explained |= excess == texts * text + images * image;
      EXPECT_TRUE(explained) << excess << " of " << planned;
      // Texts of all lengths.
      EXPECT_LT(std::abs(stage3_excess(c, make_batch(8, 3), &planned)), 0.02 * planned);
    }
}

TEST(PlanFlops, ABatchesRows) {
  const ModelConfig c = tiny();
  const Batch batch = make_batch(6, 4);
  const WordPiece words = vocabulary();
  // Whole words of one token each: what is expected is what masking does.
  EXPECT_EQ(
      training_flops(c, Stage::kText, batch_rows(c, Stage::kText, batch, 0.15)),
      training_flops(c, Stage::kText, text_rows(c, lengths_of(batch), masked_of(batch, words, c))));
  EXPECT_EQ(training_flops(c, Stage::kPairs, batch_rows(c, Stage::kPairs, batch, 0.15, 6)),
            training_flops(c, Stage::kPairs,
                           pair_rows(c, lengths_of(batch), masked_of(batch, words, c), 6)));
  EXPECT_EQ(training_flops(c, Stage::kImage, batch_rows(c, Stage::kImage, batch, 0.4)),
            training_flops(c, Stage::kImage, image_rows(c, 6, 6)));
  // Contrast alone: no masked words, no matching.
  EXPECT_EQ(batch_rows(c, Stage::kPairs, batch, 0.15, 0).size(), 1u);
}

TEST(PlanFlops, RowsAreTheLayouts) {
  const ModelConfig c = tiny();
  const std::vector<int32_t> lengths = {5, 9, 3}, masked = {1, 2, 0};
  const StepRows rows = pair_rows(c, lengths, masked, 0);
  std::vector<SequenceSpec> sequences;
  for (int32_t b = 0; b < 3; ++b) sequences.push_back({b, -1, true, false, false, {}, {0}});
  for (int32_t b = 0; b < 3; ++b) sequences.push_back({-1, b, true, false, false, {0}, {}});
  sequences.push_back({0, 3, false, false, false, {1}, {}});
  sequences.push_back({1, 4, false, false, false, {2, 7}, {}});
  LayoutOptions options;
  options.image_tokens = 17;
  options.text_capacity = 10;
  const MomeLayout layout(options, 3, {5, 9, 3, 5, 9}, sequences);
  const auto pairs = [](const BlockRows& rows) {
    double total = 0;
    for (const AttentionSequence& s : rows.attention.sequences)
      total += double(s.q_count[0] + s.q_count[1]) * double(s.k_count[0] + s.k_count[1]);
    return total;
  };
  EXPECT_EQ(rows[0].distinct, double(layout.distinct_rows));
  EXPECT_EQ(rows[0].lower, double(layout.lower.rows));
  EXPECT_EQ(rows[0].upper, double(layout.upper.rows));
  EXPECT_EQ(rows[0].read, double(layout.last.rows));
  EXPECT_EQ(rows[0].lower_pairs, pairs(layout.lower));
  EXPECT_EQ(rows[0].upper_pairs, pairs(layout.upper));
  EXPECT_EQ(rows[0].read_pairs, pairs(layout.last));
}

TEST(PlanFlops, ParametersAreTheEnginesOwn) {
  for (const char* name : {"vlmo-base", "vlmo-base-plus", "vlmo-large"}) {
    ModelConfig c = published_config(name);
    EXPECT_EQ(parameter_count(c, Stage::kPairs),
              MomeModel(c, ModelParts::stage_pairs()).parameters().parameter_count())
        << name;
    EXPECT_EQ(parameter_count(c, Stage::kImage),
              MomeModel(c, ModelParts::stage_image()).parameters().parameter_count())
        << name;
    c.text_length = 196;
    MomeModel text(c, ModelParts::stage_text());
    apply_rules(text.parameters(), TextStageConfig());
    EXPECT_EQ(parameter_count(c, Stage::kText), text.parameters().parameter_count()) << name;
    EXPECT_EQ(parameter_count(c, Stage::kText, true), text.parameters().parameter_count(true))
        << name;
  }
}

}  // namespace
}  // namespace mome
