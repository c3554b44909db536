// The switches that bring the official code's behaviour back where mome does otherwise: what each
// changes, and nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/common/philox.h"
#include "models/objectives/objectives.h"
#include "models/stages/trainer.h"
#include "tests/models/random_batch.h"

namespace mome {
namespace {

ModelConfig config() {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = 16, c.heads = 2, c.layers = 3, c.vl_from = 1,
  c.text_length = 40, c.vocabulary = 20;
  return c;
}

struct Step {
  Metrics metrics;
  std::vector<double> gradient;  // of all parameters
};

template <class Stage, class F>
Step run(ModelParts parts, const Stage& stage, F&& objective) {
  MomeModel model(config(), parts, DType::kF64);
  model.parameters().initialize(3);
  apply_rules(model.parameters(), stage);
  Arena arena;
  Step out;
  out.metrics = objective(model, StepContext{arena, 1, 5, true});
  EXPECT_EQ(arena.in_use(), 0u);
  const double* g = static_cast<const double*>(model.parameters().grads());
  out.gradient.assign(g, g + model.parameters().count());
  return out;
}
Step pairs(const PairStageConfig& stage, const Batch& batch, bool fuse) {
  const WordPiece words = vocabulary();
  return run(ModelParts::stage_pairs(), stage, [&](MomeModel& model, const StepContext& context) {
    return pair_step(model, stage, batch, words, fuse, context);
  });
}

TEST(ItcWorld, DividesTheGradientOfTheFeaturesAndOfNothingElse) {
  const Batch batch = make_batch(5, 2, 12);
  PairStageConfig stage;
  stage.drop_path = 0;  // which layers are left out depends on what else is in the pass
  const Step contrast = pairs(stage, batch, false), all = pairs(stage, batch, true);
  stage.itc_world = 64;
  const Step contrast64 = pairs(stage, batch, false), all64 = pairs(stage, batch, true);
  EXPECT_EQ(contrast64.metrics.values, contrast.metrics.values);  // the losses stay
  EXPECT_EQ(all64.metrics.values, all.metrics.values);

  const MomeModel model(config(), ModelParts::stage_pairs(), DType::kF64);
  int whole = 0, divided = 0;
  for (const Parameter& p : model.parameters().list()) {
    const bool scale = p.name == "logit_scale" || p.name == "logit_vl_scale";
    double largest = 0, largest_of_all = 0, worst = 0;
    for (int64_t i = p.begin; i < p.begin + p.count; ++i) {
      const size_t at = size_t(i);
      // A power of two commutes with every rounding.
      ASSERT_EQ(contrast64.gradient[at], contrast.gradient[at] / (scale ? 1 : 64)) << p.name;
      // Matching and masked words keep theirs.
      const double want = all.gradient[at] - (scale ? 0 : 63.0 / 64) * contrast.gradient[at];
      worst = std::max(worst, std::fabs(all64.gradient[at] - want));
      largest = std::max(largest, std::fabs(contrast.gradient[at]));
      largest_of_all = std::max({largest_of_all, std::fabs(all.gradient[at]), largest});
    }
    EXPECT_LE(worst, 1e-11 * largest_of_all) << p.name;
    whole += scale && largest > 0;
    divided += !scale && largest > 0;
  }
  EXPECT_EQ(whole, 2);  // the temperatures of both contrasts
  EXPECT_GT(divided, 30);
}

TEST(Duplicates, AsPublishedTheyAreNegatives) {
  const Batch distinct = make_batch(6, 2, 12);
  Batch same =
      distinct;  // two images with two captions each, and the same caption for two other images
  same.image_ids = {0, 0, 1, 1, 2, 3};
  same.caption_ids = {0, 1, 2, 3, 4, 4};
  PairStageConfig stage;
  const Step want = pairs(stage, distinct, true), masked = pairs(stage, same, true);
  stage.duplicates = "as-published";
  const Step got = pairs(stage, same, true);
  EXPECT_EQ(got.metrics.values, want.metrics.values);  // losses, and the negatives that were drawn
  EXPECT_EQ(got.gradient, want.gradient);
  EXPECT_LT(masked.metrics.get("itc"), got.metrics.get("itc"));  // fewer terms in each softmax
}

TEST(Duplicates, CandidatesOfMatchingAreAllOtherPairs) {
  Batch batch = make_batch(4, 2, 12);
  std::fill(batch.image_ids.begin(), batch.image_ids.end(), 7);
  PairStageConfig stage;
  stage.mlm_weight = 0;
  // All of one image: masked, matching has positives alone, which an untrained head loses ln 2 or
  // so on each.
  const Step masked = pairs(stage, batch, true);
  EXPECT_NEAR(masked.metrics.get("itc"), 0, 1e-12);
  stage.duplicates = "as-published";
  const Step published = pairs(stage, batch, true);
  EXPECT_GT(published.metrics.get("itc"), 0.5);
  // Four positives of twelve: if every answer is the same one, a third or two thirds are right.
  const auto twelfths = [](const Step& s) { return 12 * s.metrics.get("itm_acc"); };
  EXPECT_NEAR(twelfths(published), std::round(twelfths(published)), 1e-9);
  EXPECT_NE(published.metrics.get("itm"), masked.metrics.get("itm"));
}

TEST(Masking, StagesPadToTheirTextLengthAsPublished) {
  const WordPiece words = vocabulary();
  const Batch batch = make_batch(6, 2, 12);
  const auto masks = [&](MaskRule rule) {
    std::vector<MaskedText> texts;
    for (uint64_t b = 0; b < 6; ++b)
      texts.push_back(
          mask_words(std::span(batch.tokens)
                         .subspan(size_t(batch.text_begin[b]),
                                  size_t(batch.text_begin[b + 1] - batch.text_begin[b])),
                     words, 0.15, 1, 5, b, rule, 40));
    return texts;
  };
  TextStageConfig text;
  PairStageConfig pair;
  pair.itm_weight = 0;
  Step before;
  for (const char* masking : {"clean", "as-published"}) {
    text.masking = pair.masking = masking;
    const auto texts =
        masks(masking == std::string("clean") ? MaskRule::kWords : MaskRule::kPaddedAsPublished);
    const Step got = run(ModelParts::stage_text(), text, [&](MomeModel& m, const StepContext& c) {
      return text_step(m, text, batch, words, c);
    });
    const Step want = run(ModelParts::stage_text(), text, [&](MomeModel& m, const StepContext& c) {
      return text_losses(m, text, texts, c);
    });
    EXPECT_EQ(got.metrics.values, want.metrics.values) << masking;
    EXPECT_EQ(got.gradient, want.gradient) << masking;
    EXPECT_NE(got.gradient, before.gradient) << masking;
    before = got;
    const Step with_images =
        run(ModelParts::stage_pairs(), pair, [&](MomeModel& m, const StepContext& c) {
          PairInputs inputs;
          inputs.batch = &batch;
          inputs.patches = batch_patches(m, batch, c.arena);
          inputs.masked = texts;
          const Metrics metrics = pair_losses(m, pair, inputs, c);
          c.arena.release(inputs.patches.data);
          return metrics;
        });
    EXPECT_EQ(pairs(pair, batch, true).gradient, with_images.gradient) << masking;
  }
}

TEST(Decay, AsPublishedIsTheOfficialListOfSubstrings) {
  const char* list[] = {"bias",         "LayerNorm.bias", "LayerNorm.weight",
                        "norm.bias",    "norm.weight",    "norm1.bias",
                        "norm1.weight", "norm2.bias",     "norm2.weight"};
  TextStageConfig stage;
  stage.decay = "as-published";
  stage.weight_decay = 0.01;
  stage.freeze.clear();
  for (const char* positions : {"relative", "absolute"})
    for (const ModelParts& parts :
         {ModelParts::stage_image(), ModelParts::stage_text(), ModelParts::stage_pairs()}) {
      ModelConfig c = config();
      c.positions = positions;
      if (c.positions == "absolute") c.layer_scale = 0;
      MomeModel model(c, parts);
      apply_rules(model.parameters(), stage);
      for (const Parameter& p : model.parameters().list()) {
        const bool listed = std::any_of(std::begin(list), std::end(list), [&](const char* part) {
          return p.name.find(part) != std::string::npos;
        });
        EXPECT_EQ(p.decay, listed ? 0 : 0.01) << p.name;
      }
    }
  // What the list misses though it was meant, and what it hits though it was not.
  MomeModel model(config(), ModelParts::stage_pairs());
  apply_rules(model.parameters(), stage);
  const auto decay = [&](const std::string& name) {
    return model.parameters()[model.parameters().find(name)].decay;
  };
  for (const char* name :
       {"transformer.blocks.0.norm2_text.weight", "transformer.blocks.0.norm2_imag.weight",
        "transformer.blocks.1.norm2_vl.weight", "transformer.blocks.0.gamma_1",
        "transformer.blocks.0.gamma_2", "transformer.cls_token", "token_type_embeddings.weight",
        "text_embeddings.word_embeddings.weight", "logit_scale", "logit_vl_scale"})
    EXPECT_EQ(decay(name), 0.01) << name;
  for (const char* name :
       {"relative_position_bias_table", "transformer.blocks.0.attn.q_bias",
        "transformer.blocks.0.attn.v_bias", "transformer.blocks.0.norm2_text.bias",
        "transformer.norm.weight", "mlm_score.transform.LayerNorm.weight"})
    EXPECT_EQ(decay(name), 0) << name;
}

TEST(Objective, UnknownWordsAreRefused) {
  const auto message = [](const auto& stage) -> std::string {
    try {
      check_objective(stage);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message(TextStageConfig{}), "");
  EXPECT_EQ(message(PairStageConfig{}), "");
  TextStageConfig text;
  text.masking = "some";
  EXPECT_EQ(message(text),
            "recipe: masking = \"some\" is unknown; expected \"clean\" or \"as-published\"");
  PairStageConfig pair;
  pair.masking = "";
  EXPECT_EQ(message(pair),
            "recipe: masking = \"\" is unknown; expected \"clean\" or \"as-published\"");
  pair = {};
  pair.duplicates = "kept";
  EXPECT_EQ(message(pair),
            "recipe: stages.pairs.duplicates = \"kept\" is unknown; expected \"masked\" or "
            "\"as-published\"");
  pair = {};
  pair.itc_world = 0;
  EXPECT_EQ(message(pair), "recipe: stages.pairs.itc_world: 0: at least 1 is expected");
}

}  // namespace
}  // namespace mome
