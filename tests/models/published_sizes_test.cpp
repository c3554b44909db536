// The published sizes have exactly the published numbers of parameters. Expected totals: counted in
// the official code (microsoft/unilm, folder vlmo) for each stage. Two tensors of the official
// files are in no model here where nothing reads them: the text position table of models with
// relative positions, and the pooler of models without matching.
#include <gtest/gtest.h>

#include "models/checkpoints/shape.h"
#include "models/mome/model.h"
#include "models/stages/config.h"
#include "models/stages/trainer.h"
#include "runtime/config/recipe.h"

namespace mome {
namespace {

int64_t pooler(const ModelConfig& c) { return c.width * c.width + c.width; }
int64_t unread_text_positions(const ModelConfig& c) {
  return c.positions == "relative" ? c.text_length * c.width : 0;
}
// Reserves address space only: no page of the parameters is touched.
int64_t count(const ModelConfig& c, const ModelParts& parts) {
  return MomeModel(c, parts).parameters().parameter_count() + unread_text_positions(c);
}
ModelParts body() {
  ModelParts parts;
  parts.image = parts.text = parts.fused = true;
  return parts;
}

struct Published {
  const char* name;
  int64_t pairs, without_heads, text, text_trained;
};
constexpr Published kPublished[] = {
    {"vlmo-base", 202445470, 176021088, 190756506, 104510874},
    {"vlmo-base-plus", 184980734, 166863840, 176766874, 90558106},
    {"vlmo-large", 599127102, 562594048, 569903162, 265731130},
};

TEST(PublishedSizes, PairsModelAndItsBody) {
  for (const Published& p : kPublished) {
    const ModelConfig c = published_config(p.name);
    EXPECT_EQ(count(c, ModelParts::stage_pairs()), p.pairs) << p.name;
    EXPECT_EQ(count(c, body()) + pooler(c), p.without_heads) << p.name;
  }
}

TEST(PublishedSizes, TextModelAndWhatItTrains) {
  for (const Published& p : kPublished) {
    ModelConfig c = published_config(p.name);
    c.text_length = 196;
    MomeModel model(c, ModelParts::stage_text());
    ParameterSet& parameters = model.parameters();
    EXPECT_EQ(parameters.parameter_count() + unread_text_positions(c) + pooler(c), p.text)
        << p.name;
    apply_rules(parameters, TextStageConfig());
    EXPECT_EQ(parameters.parameter_count(true) + unread_text_positions(c), p.text_trained)
        << p.name;
  }
}

TEST(PublishedSizes, HeadsAreWhatTheyAdd) {
  for (const Published& p : kPublished) {
    const ModelConfig c = published_config(p.name);
    const int64_t d = c.width, v = c.vocabulary, without = count(c, body());
    ModelParts parts = body();
    parts.mlm = true;
    EXPECT_EQ(count(c, parts) - without, d * d + d + 2 * d + v * d + v);
    parts = body();
    parts.itm = true;
    EXPECT_EQ(count(c, parts) - without, pooler(c) + 2 * d + 2);
    parts = body();
    parts.itc = true;
    EXPECT_EQ(count(c, parts) - without, 4 * d * d + 2);
    ModelConfig fine_tuned = c;  // for retrieval: no tail
    fine_tuned.itc_tail = false;
    EXPECT_EQ(count(fine_tuned, parts) - without, 2 * d * d + 1);
  }
}

TEST(PublishedSizes, OtherResolutionsChangeThePositionsAlone) {
  const std::pair<int64_t, int64_t> tables[] = {{384, 2606}, {480, 3878}};
  for (const Published& p : kPublished)
    for (const auto& [size, rows] : tables) {
      const ModelConfig c = published_config(p.name, size);
      MomeModel model(c, ModelParts::stage_pairs());
      const int64_t more = c.positions == "relative" ? (rows - 1126) * c.heads * c.layers
                                                     : (size * size - 224 * 224) / 256 * c.width;
      EXPECT_EQ(model.parameters().parameter_count() + unread_text_positions(c), p.pairs + more)
          << p.name << " at " << size;
    }
}

TEST(PublishedSizes, BasePlusHasAbsolutePositionsAndNoLayerScale) {
  const ModelConfig c = published_config("vlmo-base-plus");
  EXPECT_EQ(c.width / c.heads, 34);
  MomeModel model(c, ModelParts::stage_pairs());
  const ParameterSet& p = model.parameters();
  EXPECT_LT(p.find("relative_position_bias_table"), 0);
  EXPECT_LT(p.find("transformer.blocks.0.gamma_1"), 0);
  ASSERT_GE(p.find("transformer.pos_embed"), 0);
  EXPECT_EQ(p.list()[size_t(p.find("transformer.pos_embed"))].shape,
            (std::vector<int64_t>{1, 197, 544}));
}

TEST(PublishedSizes, RecipesAgree) {
  for (const Published& p : kPublished) {
    const std::string path = std::string(MOME_SOURCE_DIR) + "/models/recipes/" + p.name + ".toml";
    const Recipe recipe = load_recipe<Recipe>(path, {});
    const ModelShape of_recipe{recipe.model, ModelParts()};
    EXPECT_EQ(describe(of_recipe), describe({published_config(p.name), ModelParts()})) << p.name;
  }
  EXPECT_THROW(published_config("vlmo-huge"), Error);
}

}  // namespace
}  // namespace mome
