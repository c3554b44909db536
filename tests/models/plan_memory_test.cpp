// The activations that the plan counts are those that the engine's arena holds.
#include <gtest/gtest.h>

#include "models/objectives/objectives.h"
#include "models/plan/flops.h"
#include "models/stages/trainer.h"
#include "tests/models/random_batch.h"

namespace mome {
namespace {

ModelConfig small(int64_t layers) {
  ModelConfig c;
  c.image_size = 16, c.patch = 2, c.width = 64, c.heads = 2, c.text_length = 10, c.vocabulary = 20;
  c.layers = layers, c.vl_from = layers - 1;
  return c;
}

/// Peak bytes of a step's arena.
double held(const ModelConfig& c, Stage stage, const Batch& batch, bool recompute) {
  const WordPiece words = vocabulary();
  StagesConfig s;
  s.image.recompute = s.text.recompute = s.pairs.recompute = recompute;
  MomeModel model(c, stage == Stage::kImage  ? ModelParts::stage_image()
                     : stage == Stage::kText ? ModelParts::stage_text()
                                             : ModelParts::stage_pairs());
  model.parameters().initialize(1);
  if (stage == Stage::kText) apply_rules(model.parameters(), s.text);
  Arena arena;
  const StepContext context{arena, 1, 0, true};
  if (stage == Stage::kImage) image_step(model, s.image, batch, nullptr, context);
  if (stage == Stage::kText) text_step(model, s.text, batch, words, context);
  if (stage == Stage::kPairs) pair_step(model, s.pairs, batch, words, true, context);
  return double(arena.peak());
}

double planned(const ModelConfig& c, Stage stage, const Batch& batch, bool recompute) {
  double most = 0;
  for (const PassRows& p :
       batch_rows(c, stage, batch, stage == Stage::kImage ? 0.4 : 0.15, batch.size)) {
    const Work w = engine_work(c, stage, p, 4, recompute ? Recompute::kExperts : Recompute::kNone);
    most = std::max(most, w.saved + w.scratch);
  }
  return most;
}

// What a block more keeps is counted to a hundredth; what stands around the blocks (gathers, the
// losses' own tensors, which block is in backward when most is held) to a tenth of six blocks.
TEST(PlanMemory, WhatIsHeldIsTheArenas) {
  const Batch batch = make_batch(16, 3);
  for (const Stage stage : {Stage::kImage, Stage::kText, Stage::kPairs})
    for (const bool recompute : {false, true}) {
      const double six = held(small(6), stage, batch, recompute),
                   three = held(small(3), stage, batch, recompute);
      const double planned_six = planned(small(6), stage, batch, recompute),
                   planned_three = planned(small(3), stage, batch, recompute);
      EXPECT_NEAR(planned_six / six, 1, 0.1) << name_of(stage) << (recompute ? " recompute" : "");
      EXPECT_NEAR((planned_six - planned_three) / (six - three), 1, 0.01)
          << name_of(stage) << (recompute ? " recompute" : "");
    }
}

}  // namespace
}  // namespace mome
