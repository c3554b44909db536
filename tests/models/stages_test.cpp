// Stages: freezing that really skips work, rules by name, schedules, determinism.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>

#include "kernels/common/gemm.h"
#include "kernels/common/philox.h"
#include "models/objectives/objectives.h"
#include "models/stages/trainer.h"
#include "runtime/optim/optimizer.h"
#include "runtime/optim/schedule.h"
#include "tests/models/random_batch.h"

namespace mome {
namespace {

ModelConfig config() {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = 16, c.heads = 2, c.layers = 3, c.vl_from = 1, c.text_length = 10, c.vocabulary = 20;
  return c;
}

// Bits of all trained gradients.
std::vector<float> gradients(const MomeModel& model) {
  const float* g = static_cast<const float*>(model.parameters().grads());
  return {g, g + model.parameters().count()};
}

TEST(Stage2, FrozenPartsRunNoWeightGradients) {
  const WordPiece words = vocabulary();
  const Batch batch = make_batch(4, 1);
  const auto calls = [&](bool frozen) {
    MomeModel model(config(), ModelParts::stage_text());
    model.parameters().initialize(1);
    TextStageConfig stage;
    stage.drop_path = 0;
    if (!frozen) stage.freeze.clear();
    apply_rules(model.parameters(), stage);
    Arena arena;
    const int64_t before = gemm_count().calls;
    text_step(model, stage, batch, words, {arena, 1, 0, true});
    return gemm_count().calls - before;
  };
  // Weight-gradient products that freezing saves: qkv and proj of the full blocks (2 each), and in the last block, whose
  // queries are pruned, kv, q and proj (3). V experts have no rows in this stage and cost nothing either way.
  const int64_t layers = config().layers;
  EXPECT_EQ(calls(false) - calls(true), 2 * (layers - 1) + 3);
}

TEST(Stage2, FrozenParametersKeepTheirBits) {
  const WordPiece words = vocabulary();
  MomeModel model(config(), ModelParts::stage_text());
  ParameterSet& p = model.parameters();
  p.initialize(1);
  TextStageConfig stage;
  apply_rules(p, stage);
  const float* v = static_cast<const float*>(p.values());
  const std::vector<float> before(v, v + p.count());
  Arena arena;
  Optimizer optimizer(p, {});
  optimizer.set_rate(1e-2);
  for (int step = 0; step < 3; ++step) {
    p.zero_grads();
    text_step(model, stage, make_batch(4, uint64_t(step)), words, {arena, 1, uint64_t(step), true});
    optimizer.step();
  }
  int frozen = 0, moved = 0;
  for (const Parameter& q : p.list()) {
    const bool same = std::memcmp(before.data() + q.begin, v + q.begin, size_t(q.count) * sizeof(float)) == 0;
    if (!q.trained) {
      EXPECT_TRUE(same) << q.name;
      ++frozen;
    }
    moved += q.trained && !same;
  }
  // Specification, section 4: attention, norm1, layer scale, V experts and image embeddings are frozen.
  for (const char* name : {"transformer.blocks.0.attn.qkv.weight", "transformer.blocks.1.norm1.weight", "transformer.blocks.2.gamma_1",
                           "transformer.blocks.0.mlp_imag.fc1.weight", "transformer.blocks.0.norm2_imag.bias", "transformer.cls_token",
                           "transformer.patch_embed.proj.weight"})
    EXPECT_FALSE(p[p.find(name)].trained) << name;
  for (const char* name : {"transformer.norm.weight", "relative_position_bias_table", "transformer.blocks.0.mlp_text.fc1.weight",
                           "transformer.blocks.0.norm2_text.weight", "text_embeddings.word_embeddings.weight",
                           "token_type_embeddings.weight", "mlm_score.bias"})
    EXPECT_TRUE(p[p.find(name)].trained) << name;
  EXPECT_GT(frozen, 20);
  EXPECT_GT(moved, 20);
}

TEST(Rules, DecayByKind) {
  MomeModel model(config(), ModelParts::stage_pairs());
  ParameterSet& p = model.parameters();
  PairStageConfig stage;
  stage.weight_decay = 0.05;
  const auto decay = [&](const char* name) { return p[p.find(name)].decay; };
  apply_rules(p, stage);  // matrices alone
  for (const char* name : {"transformer.blocks.1.mlp_vl.fc1.weight", "transformer.blocks.0.attn.qkv.weight", "mlm_score.decoder.weight",
                           "text_embeddings.word_embeddings.weight", "transformer.patch_embed.proj.weight"})
    EXPECT_EQ(decay(name), 0.05) << name;
  for (const char* name : {"transformer.blocks.0.gamma_1", "transformer.cls_token", "relative_position_bias_table", "logit_scale",
                           "token_type_embeddings.weight", "transformer.blocks.0.norm2_text.weight", "mlm_score.bias"})
    EXPECT_EQ(decay(name), 0) << name;
  stage.decay = "as-published";  // specification, section 4: what the official substring list lets decay
  apply_rules(p, stage);
  for (const char* name : {"transformer.blocks.0.gamma_1", "transformer.cls_token", "transformer.blocks.0.norm2_text.weight", "logit_scale"})
    EXPECT_EQ(decay(name), 0.05) << name;
  for (const char* name : {"relative_position_bias_table", "transformer.blocks.0.norm1.weight", "transformer.norm.weight",
                           "text_embeddings.LayerNorm.weight", "transformer.blocks.0.attn.q_bias"})
    EXPECT_EQ(decay(name), 0) << name;
  stage.decay = "some";
  EXPECT_THROW(apply_rules(p, stage), Error);
}

TEST(Pairs, ContrastAloneIsTheFirstPartOfTheFusedStep) {
  const WordPiece words = vocabulary();
  MomeModel model(config(), ModelParts::stage_pairs());
  model.parameters().initialize(3);
  PairStageConfig stage;
  stage.drop_path = 0;
  apply_rules(model.parameters(), stage);
  Arena arena;
  const Batch batch = make_batch(5, 2);
  const Metrics alone = pair_step(model, stage, batch, words, false, {arena, 1, 0, true});
  const Metrics fused = pair_step(model, stage, batch, words, true, {arena, 1, 0, true});
  EXPECT_NEAR(alone.get("itc"), fused.get("itc"), 1e-6);
  EXPECT_NEAR(alone.get("itc_tail"), fused.get("itc_tail"), 1e-6);
  EXPECT_TRUE(std::isnan(alone.get("itm")));
  EXPECT_NEAR(alone.get("loss"), 0.5 * (alone.get("itc") + alone.get("itc_tail")), 1e-6);
  EXPECT_NEAR(fused.get("loss"), alone.get("loss") + fused.get("itm") + 0.25 * fused.get("mlm"), 1e-5);
  EXPECT_EQ(arena.in_use(), 0u);
}

TEST(Pairs, OnlyTheFirstPairsAreFused) {
  const WordPiece words = vocabulary();
  MomeModel model(config(), ModelParts::stage_pairs());
  model.parameters().initialize(3);
  PairStageConfig stage;
  stage.drop_path = 0;
  stage.fusion_pairs = 2;
  stage.itc_weight = 0;
  stage.itm_texts = "random";
  apply_rules(model.parameters(), stage);
  Arena arena;
  const Batch batch = make_batch(6, 2);
  pair_step(model, stage, batch, words, true, {arena, 1, 0, true});
  const std::vector<float> some = gradients(model);
  // The same as masked words and matching on pairs 0 and 1, negatives drawn from all six.
  PairInputs inputs;
  inputs.batch = &batch;
  inputs.patches = batch_patches(model, batch, arena);
  inputs.matched = 2;
  for (uint64_t b = 0; b < 2; ++b)
    inputs.masked.push_back(mask_words(std::span(batch.tokens).subspan(size_t(batch.text_begin[b]), size_t(batch.text_begin[b + 1] - batch.text_begin[b])),
                                       words, stage.mask_rate, 1, 0, b));
  model.parameters().zero_grads();
  const Metrics m = pair_losses(model, stage, inputs, {arena, 1, 0, true});
  EXPECT_EQ(some, gradients(model));
  EXPECT_LE(m.get("itm_acc"), 1);
  arena.release(inputs.patches.data);
  // Weights of 0 leave the heads of contrast without gradient; pictures beyond the fused ones come in as negatives alone.
  const ParameterSet& p = model.parameters();
  const Tensor g = p.grad(p.find("itc_image_proj.fc.weight"));
  for (int64_t i = 0; i < g.count(); ++i) ASSERT_EQ(g.as<float>()[i], 0);
}

TEST(Pairs, DegenerateBatches) {
  const WordPiece words = vocabulary();
  MomeModel model(config(), ModelParts::stage_pairs());
  model.parameters().initialize(3);
  PairStageConfig stage;
  apply_rules(model.parameters(), stage);
  Arena arena;
  // One pair: nothing to contrast with, no negatives.
  const Metrics one = pair_step(model, stage, make_batch(1, 4), words, true, {arena, 1, 0, true});
  EXPECT_NEAR(one.get("itc"), 0, 1e-6);
  EXPECT_TRUE(std::isfinite(one.get("loss")));
  // All captions equal: every other pair is a true one too.
  Batch same = make_batch(4, 5);
  std::fill(same.caption_ids.begin(), same.caption_ids.end(), 7);
  const Metrics all = pair_step(model, stage, same, words, true, {arena, 1, 0, true});
  EXPECT_NEAR(all.get("itc"), 0, 1e-6);
  EXPECT_EQ(all.get("itm_acc"), all.get("itm_acc"));
  for (float g : gradients(model)) ASSERT_TRUE(std::isfinite(g));
}

TEST(Pairs, RecomputingGivesTheSameBitsInLessMemory) {
  const WordPiece words = vocabulary();
  std::vector<float> kept;
  size_t peak = 0;
  ModelConfig deep = config();
  deep.layers = 12;  // of a block's 14 D values a row 4 D are saved; one block's are needed at a time
  for (const std::string recompute : {"none", "experts", "blocks"}) {
    SCOPED_TRACE(recompute);
    MomeModel model(deep, ModelParts::stage_pairs());
    model.parameters().initialize(3);
    PairStageConfig stage;
    stage.recompute = recompute;
    apply_rules(model.parameters(), stage);
    Arena arena;
    pair_step(model, stage, make_batch(16, 8), words, true, {arena, 1, 4, true});
    if (recompute == "none") {
      kept = gradients(model), peak = arena.peak();
      continue;
    }
    EXPECT_EQ(kept, gradients(model));
    EXPECT_LT(arena.peak(), (recompute == "blocks" ? 0.5 : 0.85) * double(peak));
  }
}

TEST(Pairs, TheSameBitsUnderAnyNumberOfThreads) {
  const WordPiece words = vocabulary();
  PairStageConfig stage;
  std::vector<float> first;
  const int threads = omp_get_max_threads();
  for (int t : {1, 2, 3, 1}) {
    omp_set_num_threads(t);
    MomeModel model(config(), ModelParts::stage_pairs());
    model.parameters().initialize(3);
    apply_rules(model.parameters(), stage);
    Arena arena;
    pair_step(model, stage, make_batch(6, 8), words, true, {arena, 1, 4, true});
    const std::vector<float> g = gradients(model);
    if (first.empty()) first = g;
    EXPECT_EQ(std::memcmp(first.data(), g.data(), g.size() * sizeof(float)), 0) << t << " threads";
  }
  omp_set_num_threads(threads);
}

TEST(Schedule, WarmUpAndDecay) {
  EXPECT_EQ(learning_rate("linear", 2, 0, 10, 110, 0), 0);
  EXPECT_DOUBLE_EQ(learning_rate("linear", 2, 0, 10, 110, 5), 1);
  EXPECT_DOUBLE_EQ(learning_rate("linear", 2, 0, 10, 110, 10), 2);
  EXPECT_DOUBLE_EQ(learning_rate("linear", 2, 0, 10, 110, 60), 1);
  EXPECT_DOUBLE_EQ(learning_rate("linear", 2, 0.5, 10, 110, 110), 1);
  EXPECT_NEAR(learning_rate("cosine", 2, 0, 10, 110, 60), 1, 1e-12);
  EXPECT_NEAR(learning_rate("cosine", 2, 0.1, 0, 100, 100), 0.2, 1e-12);
  EXPECT_EQ(learning_rate("constant", 2, 0, 0, 100, 77), 2);
  EXPECT_THROW(learning_rate("stairs", 2, 0, 0, 100, 1), Error);
}

TEST(Patterns, Stars) {
  EXPECT_TRUE(matches("*.attn.*", "transformer.blocks.3.attn.qkv.weight"));
  EXPECT_TRUE(matches("*_imag.*", "transformer.blocks.3.mlp_imag.fc1.bias"));
  EXPECT_FALSE(matches("*_imag.*", "itc_image_proj.fc.weight"));
  EXPECT_TRUE(matches("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(matches("a*b", "aXbY"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_FALSE(matches("", "x"));
}

}  // namespace
}  // namespace mome
