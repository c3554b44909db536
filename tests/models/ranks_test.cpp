// Training does not depend on how a batch is split over ranks: losses and parameters after some
// steps of every stage, in double, with everything that draws at random switched on. Ranks are
// threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "models/objectives/classify.h"
#include "models/objectives/objectives.h"
#include "models/stages/trainer.h"
#include "runtime/comm/threads.h"
#include "runtime/optim/gradient_sync.h"
#include "runtime/optim/optimizer.h"
#include "tests/models/random_batch.h"

namespace mome {
namespace {

constexpr int kPairs = 8, kSteps = 3;

ModelConfig config() {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = 16, c.heads = 2, c.layers = 3, c.vl_from = 1,
  c.text_length = 10, c.vocabulary = 20;
  c.itc_tail = true;
  return c;
}

template <class Stage>
Stage stage_config() {
  Stage s;
  s.batch = kPairs;
  s.drop_path = 0.3;
  s.eps = 1e-6;  // a gradient that is zero but for rounding must stay small beside it
  s.clip = 0.05;
  s.average = 0.9;
  if constexpr (requires { s.dropout; }) s.dropout = 0.2;
  return s;
}

// Pairs [first, first + n) of a batch.
Batch part(const Batch& all, int first, int n) {
  Batch b;
  b.size = n;
  b.image_size = all.image_size;
  const size_t pixels = all.images.size() / size_t(all.size);
  b.images.assign(all.images.begin() + long(pixels) * first,
                  all.images.begin() + long(pixels) * (first + n));
  for (int i = 0; i <= n; ++i)
    b.text_begin.push_back(all.text_begin[size_t(first + i)] - all.text_begin[size_t(first)]);
  b.tokens.assign(all.tokens.begin() + all.text_begin[size_t(first)],
                  all.tokens.begin() + all.text_begin[size_t(first + n)]);
  for (int i = first; i < first + n; ++i) {
    b.image_ids.push_back(all.image_ids[size_t(i)]);
    b.caption_ids.push_back(all.caption_ids[size_t(i)]);
    b.records.push_back(i);
  }
  return b;
}

Batch whole_batch(int step) {
  Batch b = make_batch(kPairs, uint64_t(100 + step));
  b.image_ids[6] = b.image_ids[1];  // the same image twice, on different ranks
  return b;
}

struct Trained {
  std::vector<Metrics> metrics;         // a step
  std::vector<double> values, average;  // after the last one
  std::vector<double> moments;          // of what this rank steps, else zero
};

using Step = std::function<Metrics(MomeModel&, const Batch&, const StepContext&)>;

Trained train_rank(Communicator* ranks, bool shard, const ModelParts& parts,
                   const StageConfig& stage, const Step& step) {
  const int size = ranks ? ranks->size() : 1, n = kPairs / size,
            first = ranks ? ranks->rank() * n : 0;
  MomeModel model(config(), parts, DType::kF64);
  ParameterSet& p = model.parameters();
  apply_rules(p, stage);
  p.initialize(3);
  p.keep_average();
  std::optional<GradientSync> sync;
  if (ranks) sync.emplace(p, *ranks, GradientSyncOptions{4096, shard});
  Optimizer optimizer(p, {stage.beta1, stage.beta2, stage.eps, stage.clip, stage.average},
                      sync ? &*sync : nullptr);
  Arena arena;
  Trained out;
  for (int s = 0; s < kSteps; ++s) {
    p.zero_grads();
    StepContext context{arena, 1, uint64_t(s), true};
    context.ranks = ranks;
    context.sync = sync ? &*sync : nullptr;
    out.metrics.push_back(step(model, part(whole_batch(s), first, n), context));
    if (sync) sync->finish();
    optimizer.set_rate(1e-2);
    optimizer.step();
  }
  EXPECT_EQ(arena.in_use(), 0u);
  if (sync) sync->settle();
  const auto array = [&](const void* data) {
    return std::vector<double>(static_cast<const double*>(data),
                               static_cast<const double*>(data) + p.count());
  };
  out.values = array(p.values());
  out.average = array(p.averages());
  out.moments.assign(size_t(p.count()), 0.0);
  const auto* v = static_cast<const double*>(p.shard_moments2());
  for (const ArenaRange& r : shard ? sync->owned() : std::vector<ArenaRange>{{0, p.count()}})
    for (int64_t i = r.begin; i < std::min(r.end, p.count()); ++i) out.moments[size_t(i)] = v[i + p.moments_shift(i)];
  return out;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

// `stage` is what the steps read too: its accumulate is changed in between.
void splits_alike(const ModelParts& parts, StageConfig& stage, const Step& step) {
  stage.accumulate = 1;
  stage.recompute = "none";
  const Trained alone = train_rank(nullptr, false, parts, stage, step);
  const std::vector<double> start = [&] {
    MomeModel model(config(), parts, DType::kF64);
    model.parameters().initialize(3);
    const auto* v = static_cast<const double*>(model.parameters().values());
    return std::vector<double>(v, v + model.parameters().count());
  }();
  EXPECT_GT(largest_difference(alone.values, start), 1e-3) << "nothing was learned";
  struct Split {
    int size;
    bool shard;
    int64_t parts;
  };
  // Micro-batches of uneven size (3 of 8 pairs), and of one pair (4 ranks).
  for (const Split& split :
       {Split{1, false, 3}, Split{1, true, 1}, Split{2, false, 1}, Split{2, true, 3},
        Split{4, false, 1}, Split{4, true, 1}, Split{4, true, 2}}) {
    const int size = split.size;
    const bool shard = split.shard;
    SCOPED_TRACE(::testing::Message() << size << " ranks" << (shard ? ", sharded" : "") << ", "
                                      << split.parts << " micro-batches");
    stage.accumulate = split.parts;
    stage.recompute = split.shard ? "blocks" : "none";
    std::vector<Trained> trained(static_cast<size_t>(size));
    run_threads(size, [&](Communicator& c) {
      trained[size_t(c.rank())] = train_rank(&c, shard, parts, stage, step);
    });
    for (int s = 0; s < kSteps; ++s) {
      const auto &want = alone.metrics[size_t(s)].values,
                 &got = trained[0].metrics[size_t(s)].values;
      ASSERT_EQ(want.size(), got.size());
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(want[i].first, got[i].first);
        EXPECT_NEAR(want[i].second, got[i].second, 1e-11) << "step " << s << " " << want[i].first;
      }
    }
    // AdamW divides by sqrt(v) + 1e-6, which makes of rounding in a gradient 1e6 times as much.
    EXPECT_LT(largest_difference(alone.values, trained[0].values), 1e-10);
    if (!shard) {
      EXPECT_LT(largest_difference(alone.average, trained[0].average), 1e-10);
    }
    for (const Trained& t : trained) {
      EXPECT_EQ(t.values, trained[0].values) << "bits differ between ranks";
      for (int s = 0; s < kSteps; ++s)
        EXPECT_EQ(t.metrics[size_t(s)].values, trained[0].metrics[size_t(s)].values);
    }
    if (shard) {  // the shards' moments together are the moments; each element is at home on one
                  // rank
      std::vector<double> sum(alone.moments.size(), 0);
      for (const Trained& t : trained)
        for (size_t i = 0; i < sum.size(); ++i) {
          EXPECT_TRUE(sum[i] == 0 || t.moments[i] == 0);
          sum[i] += t.moments[i];
        }
      EXPECT_LT(largest_difference(alone.moments, sum), 1e-10);
    }
  }
}

TEST(Ranks, ImagesSplitAlike) {
  auto stage = stage_config<ImageStageConfig>();
  splits_alike(ModelParts::stage_image(0), stage,
               [&](MomeModel& m, const Batch& b, const StepContext& c) {
                 return image_step(m, stage, b, nullptr, c);
               });
}

TEST(Ranks, ImageCodesSplitAlike) {
  auto stage = stage_config<ImageStageConfig>();
  splits_alike(ModelParts::stage_image(7), stage,
               [&](MomeModel& m, const Batch& b, const StepContext& c) {
                 std::vector<int32_t> codes;
                 for (int i = 0; i < b.size; ++i)
                   for (int t = 0; t < 4; ++t)
                     codes.push_back(int32_t((b.image_ids[size_t(i)] * 3 + t) % 7));
                 return image_step(m, stage, b, &codes, c);
               });
}

TEST(Ranks, TextsSplitAlike) {
  const WordPiece words = vocabulary();
  auto stage = stage_config<TextStageConfig>();
  stage.mask_rate = 0.3;  // some texts, and with them perhaps a whole rank, have no masked word
  splits_alike(ModelParts::stage_text(), stage,
               [&](MomeModel& m, const Batch& b, const StepContext& c) {
                 return text_step(m, stage, b, words, c);
               });
}

TEST(Ranks, PairsSplitAlike) {
  const WordPiece words = vocabulary();
  auto stage = stage_config<PairStageConfig>();
  stage.mask_rate = 0.3;
  splits_alike(ModelParts::stage_pairs(), stage,
               [&](MomeModel& m, const Batch& b, const StepContext& c) {
                 return pair_step(m, stage, b, words, true, c);
               });
}

TEST(Ranks, PairsWithoutFusionSplitAlike) {
  const WordPiece words = vocabulary();
  auto stage = stage_config<PairStageConfig>();
  splits_alike(ModelParts::stage_pairs(), stage,
               [&](MomeModel& m, const Batch& b, const StepContext& c) {
                 return pair_step(m, stage, b, words, false, c);
               });
}

TEST(Ranks, TasksSplitAlike) {
  auto stage = stage_config<StageConfig>();
  ModelParts parts = ModelParts::stage_pairs();
  parts.vqa = 5;
  splits_alike(parts, stage, [&](MomeModel& m, const Batch& b, const StepContext& c) {
    std::vector<Targets> targets;
    for (int64_t id : b.caption_ids) targets.push_back({{int32_t(id % 5), 1.0f}});
    const TaskInputs inputs{Task::kVqa, &b, task_patches(m, b, false, c.arena), &targets};
    const Metrics metrics = classify_losses(m, stage, inputs, c);
    c.arena.release(inputs.patches.data);
    return metrics;
  });
}

TEST(Ranks, FusionPairsMustSplit) {
  const WordPiece words = vocabulary();
  auto stage = stage_config<PairStageConfig>();
  stage.fusion_pairs = 3;
  try {
    run_threads(2, [&](Communicator& c) {
      train_rank(&c, false, ModelParts::stage_pairs(), stage,
                 [&](MomeModel& m, const Batch& b, const StepContext& s) {
                   return pair_step(m, stage, b, words, true, s);
                 });
    });
    ADD_FAILURE() << "3 fused pairs were split over 2 ranks";
  } catch (const Error& e) {
    EXPECT_NE(
        std::string(e.what()).find("stages.pairs.fusion_pairs: 3 cannot be split over 2 ranks"),
        std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace mome
