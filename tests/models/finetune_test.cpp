// Fine-tuning: gradients of the tasks' losses, what is trained at which rate, and scores.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/common/philox.h"
#include "models/evaluation/tasks.h"
#include "models/finetune/rates.h"
#include "models/objectives/classify.h"
#include "models/stages/trainer.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

constexpr int kClasses = 4;

ModelConfig small() {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = 16, c.heads = 2, c.layers = 3, c.mlp_ratio = 2;
  c.vl_from = 1, c.text_length = 10, c.vocabulary = 20, c.layer_scale = 0.3;
  return c;
}

// The task's model out of a pretrained one, its parameters random and large enough for lively
// logits.
std::unique_ptr<MomeModel> task_model(Task task, DType dtype, bool matching = false,
                                      ModelConfig config = small()) {
  ModelParts parts = ModelParts::stage_pairs();
  make_task_model(task, kClasses, matching, config, parts);
  auto model = std::make_unique<MomeModel>(config, parts, dtype);
  ParameterSet& p = model->parameters();
  RandomStream random(7, 0, Purpose::kTest, 0);
  for (size_t i = 0; i < p.list().size(); ++i)
    for (int64_t j = 0; j < p[int(i)].count; ++j) {
      const double v = 0.3 * random.normal() + (p[int(i)].init == Init::kOnes ? 1 : 0);
      if (dtype == DType::kF64)
        p.value(int(i)).as<double>()[j] = v;
      else
        p.value(int(i)).as<float>()[j] = float(v);
    }
  return model;
}

// Three samples with their patches in double.
struct Samples {
  explicit Samples(Task task) {
    RandomStream random(11, 0, Purpose::kTest, 1);
    batch.size = 3;
    for (int b = 0; b < 3 && has_text(task); ++b) {
      batch.tokens.push_back(2);
      for (int t = 0; t < 2 + 2 * b; ++t) batch.tokens.push_back(int32_t(5 + random.below(15)));
      batch.tokens.push_back(3);
      batch.text_begin.push_back(int32_t(batch.tokens.size()));
    }
    if (has_text(task)) batch.text_begin.insert(batch.text_begin.begin(), 0);
    const int64_t rows = 3 * 4 * pictures_per_sample(task);
    for (int64_t i = 0; i < rows * 192; ++i) pixels.push_back(random.normal());
    targets = {{{1, 1}}, {{0, 1}}, {{1, 1}}};
    if (task == Task::kVqa) targets = {{{2, 1}, {0, 0.3F}}, {{3, 0.6F}}, {}};
    inputs = {task, &batch, {pixels.data(), rows, 192, DType::kF64}, &targets};
  }
  Samples(const Samples&) = delete;

  Batch batch;
  std::vector<double> pixels;
  std::vector<Targets> targets;
  TaskInputs inputs{};
};

class EveryTask : public testing::TestWithParam<Task> {};
INSTANTIATE_TEST_SUITE_P(Tasks, EveryTask,
                         testing::Values(Task::kVqa, Task::kNlvr2, Task::kEntailment,
                                         Task::kImageClassification),
                         [](const auto& info) {
                           std::string name = task_name(info.param);
                           std::erase(name, '-');
                           return name;
                         });

// Also: the parameters that apply_task_rules leaves out are those whose gradient is none.
TEST_P(EveryTask, GradientsAreThoseOfTheLoss) {
  const auto model = task_model(GetParam(), DType::kF64);
  ParameterSet& p = model->parameters();
  FinetuneConfig stage;
  stage.drop_path = 0;
  apply_task_rules(*model, GetParam(), stage);
  const Samples samples(GetParam());
  Arena arena;
  const auto loss = [&](bool train) {
    return classify_losses(*model, stage, samples.inputs, {arena, 1, 0, train}).get("loss");
  };
  p.zero_grads();
  const double trained_loss = loss(true);
  EXPECT_EQ(trained_loss, loss(false));
  int moving = 0;
  RandomStream random(13, 0, Purpose::kTest, 2);
  for (int i = 0; i < int(p.list().size()); ++i) {
    EXPECT_TRUE(p.reached(i) || !p[i].trained) << p[i].name << " is trained, but not read";
    double largest = 0;
    for (int draw = 0; draw < 3; ++draw) {
      const int64_t j = random.below(uint32_t(p[i].count));
      double& v = p.value(i).as<double>()[j];
      const double kept = v, h = 1e-5;
      v = kept + h;
      const double above = loss(false);
      v = kept - h;
      const double below = loss(false);
      v = kept;
      const double slope = (above - below) / (2 * h);
      if (p[i].trained)
        EXPECT_NEAR(p.grad(i).as<double>()[j], slope, 1e-8 * (1 + std::fabs(slope)))
            << p[i].name << "[" << j << "]";
      else
        EXPECT_EQ(slope, 0) << p[i].name << " is read, but not trained";
      largest = std::max(largest, std::fabs(slope));
    }
    moving += largest > 1e-4;
  }
  EXPECT_GT(moving, 25);
}

// By hand from the logits, which are those of each sample alone: no sample sees another.
TEST_P(EveryTask, LossAndScoreFollowFromTheLogits) {
  const Task task = GetParam();
  const auto model = task_model(task, DType::kF64);
  Samples samples(task);
  Arena arena;
  const std::vector<float> logits = classify_logits(*model, samples.inputs, arena);
  const int64_t classes = task_classes(model->parts(), task);
  ASSERT_EQ(classes, task == Task::kNlvr2 ? 2 : kClasses);
  ASSERT_EQ(int64_t(logits.size()), 3 * classes);
  double loss = 0, score = 0;
  for (size_t b = 0; b < 3; ++b) {
    const float* z = logits.data() + int64_t(b) * classes;
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(double(z[c]));
    const auto best = int32_t(std::max_element(z, z + classes) - z);
    for (int32_t c = 0; c < classes; ++c) {
      double target = 0;
      for (const auto& [k, s] : samples.targets[b])
        if (k == c) target = s;
      if (c == best) score += target / 3;
      if (task == Task::kVqa)
        loss += (std::log1p(std::exp(double(z[c]))) - target * z[c]) / 3;
      else
        loss -= target * (z[c] - std::log(sum)) / 3;
    }
    // The sample alone.
    Samples one(task);
    const int k = pictures_per_sample(task);
    one.batch.size = 1;
    if (has_text(task)) {
      const auto& all = samples.batch;
      one.batch.tokens.assign(all.tokens.begin() + all.text_begin[b],
                              all.tokens.begin() + all.text_begin[b + 1]);
      one.batch.text_begin = {0, int32_t(one.batch.tokens.size())};
    }
    for (int j = 0; j < k; ++j)
      std::copy_n(samples.pixels.begin() + std::ptrdiff_t(j * 3 + int(b)) * 4 * 192, 4 * 192,
                  one.pixels.begin() + std::ptrdiff_t(j) * 4 * 192);
    one.inputs.patches.rows = 4 * k;
    const std::vector<float> alone = classify_logits(*model, one.inputs, arena);
    for (int64_t c = 0; c < classes; ++c) EXPECT_NEAR(alone[size_t(c)], z[c], 1e-6) << b;
  }
  const Metrics m = classify_losses(*model, {}, samples.inputs, {arena, 1, 0, false});
  EXPECT_NEAR(m.get("loss"), loss, 1e-6);  // logits come rounded to float
  EXPECT_NEAR(m.get("acc"), score, 1e-7);
  EXPECT_EQ(arena.in_use(), 0u);
}

TEST(Rules, RatesOfBlocksAndHead) {
  FinetuneConfig config;
  config.layer_decay = 0.5;
  config.head_rate = 20;
  const auto rates = [&](Task task, std::initializer_list<std::pair<const char*, double>> wanted) {
    const auto model = task_model(task, DType::kF32);
    apply_task_rules(*model, task, config);
    const ParameterSet& p = model->parameters();
    for (const auto& [name, rate] : wanted) {
      ASSERT_GE(p.find(name), 0) << name;
      EXPECT_DOUBLE_EQ(p[p.find(name)].lr_scale, rate) << name;
    }
  };
  // Embeddings are layer 0 of L + 2, the head is the last.
  rates(Task::kVqa, {{"text_embeddings.word_embeddings.weight", 0.0625},
                     {"text_embeddings.LayerNorm.bias", 0.0625},
                     {"token_type_embeddings.weight", 0.0625},
                     {"transformer.cls_token", 0.0625},
                     {"transformer.patch_embed.proj.weight", 0.0625},
                     {"transformer.blocks.0.attn.qkv.weight", 0.125},
                     {"transformer.blocks.1.mlp_vl.fc1.bias", 0.25},
                     {"transformer.blocks.2.gamma_2", 0.5},
                     {"transformer.norm.weight", 1},
                     {"pooler.dense.weight", 1},
                     {"vqa_classifier.0.weight", 20},
                     {"vqa_classifier.3.bias", 20}});
  rates(Task::kImageClassification, {{"transformer.blocks.2.mlp_imag.fc1.weight", 0.5},
                                     {"fc_norm.weight", 20},
                                     {"head.bias", 20}});
  rates(Task::kEntailment, {{"snli_ve_classifier.1.weight", 20}});
  rates(Task::kNlvr2, {{"nlvr2_classifier.3.weight", 20}});
  config.layer_decay = 1;
  config.head_rate = 1;
  rates(Task::kVqa, {{"text_embeddings.word_embeddings.weight", 1}, {"vqa_classifier.3.bias", 1}});
}

TEST(Rules, ExpertsThatTheTaskDoesNotReadAreNotTrained) {
  FinetuneConfig config;
  const auto trained = [&](Task task, bool matching, const char* name) {
    const auto model = task_model(task, DType::kF32, matching);
    apply_task_rules(*model, task, config);
    const ParameterSet& p = model->parameters();
    return p.find(name) >= 0 && p[p.find(name)].trained;
  };
  for (const char* modality : {"imag", "text"}) {
    const std::string below = fmt::format("transformer.blocks.0.mlp_{}.fc1.weight", modality);
    const std::string above = fmt::format("transformer.blocks.1.mlp_{}.fc1.weight", modality);
    const std::string norm = fmt::format("transformer.blocks.2.norm2_{}.bias", modality);
    EXPECT_TRUE(trained(Task::kVqa, false, below.c_str()));
    EXPECT_FALSE(trained(Task::kVqa, false, above.c_str()));
    EXPECT_FALSE(trained(Task::kVqa, false, norm.c_str()));
    EXPECT_TRUE(trained(Task::kRetrieval, false, above.c_str()));
    EXPECT_TRUE(trained(Task::kRetrieval, true, above.c_str()));
  }
  EXPECT_TRUE(trained(Task::kVqa, false, "transformer.blocks.2.mlp_vl.fc2.weight"));
  EXPECT_FALSE(trained(Task::kRetrieval, false, "transformer.blocks.2.mlp_vl.fc2.weight"));
  EXPECT_TRUE(trained(Task::kRetrieval, true, "transformer.blocks.2.mlp_vl.fc2.weight"));
  // The recipe's own patterns hold besides.
  config.freeze = {"*.attn.*"};
  EXPECT_FALSE(trained(Task::kVqa, false, "transformer.blocks.0.attn.qkv.weight"));
  EXPECT_TRUE(trained(Task::kVqa, false, "transformer.blocks.0.norm1.weight"));
}

TEST(TaskScores, WilsonsInterval) {
  const auto expect = [](double sum, int64_t n, double low, double high) {
    const TaskScore s = task_score(sum, n);
    EXPECT_EQ(s.samples, n);
    EXPECT_DOUBLE_EQ(s.mean, sum / double(n));
    EXPECT_NEAR(s.low, low, 5e-5) << sum << " of " << n;
    EXPECT_NEAR(s.high, high, 5e-5) << sum << " of " << n;
  };
  expect(8, 10, 0.4902, 0.9433);
  expect(0, 10, 0, 0.2775);
  expect(10, 10, 0.7225, 1);
  expect(50, 100, 0.4038, 0.5962);
  expect(1, 1, 0.2065, 1);
  const TaskScore none = task_score(0, 0);
  EXPECT_EQ(none.samples, 0);
  EXPECT_EQ(none.mean, 0);
}

class Evaluate : public testing::Test {
 protected:
  static constexpr int kSamples = 9;

  Evaluate() {
    set_.task = Task::kVqa;
    set_.classes = {"a", "b", "c", "d"};
    set_.pictures.source = "test";
    config_ = small();
    config_.vocabulary = words_.size();
    for (int i = 0; i < kSamples; ++i) {
      Record record;
      record.key = std::to_string(i);
      record.image.file = folder_.write(record.key + ".png", numbered_png(i));
      set_.pictures.records.push_back(record);
      TaskSample sample;
      sample.key = record.key;
      sample.image[0] = i;
      sample.text = std::string("is it ") + char('a' + i % 3);
      sample.labelled = i != 4;
      if (i != 4 && i != 5) sample.targets = {{i % 4, 0.6F}, {2, 0.3F}};
      if (i % 4 == 2) sample.targets = {{2, 1}};
      sample.kind = i % 2 ? "odd" : "";
      set_.samples.push_back(sample);
    }
    model_ = task_model(Task::kVqa, DType::kF32, false, config_);
  }
  TaskFigures figures(const TaskEvaluation& how = {}) {
    EvalOptions options;
    options.image_size = 16;
    options.text_length = 10;
    options.max_bad = 0.2;
    TaskReader reader(set_, &words_, options);
    return evaluate_task(*model_, set_, reader, how, arena_);
  }

  const WordPiece words_ = letter_vocabulary();
  TemporaryFolder folder_;
  TaskSet set_;
  ModelConfig config_;
  std::unique_ptr<MomeModel> model_;
  Arena arena_;
};

TEST_F(Evaluate, ScoresByTheTargets) {
  folder_.write("7.png", "no picture");
  std::vector<std::pair<int64_t, int64_t>> seen;
  TaskEvaluation how;
  how.batch = 4;
  how.progress = [&](int64_t done, int64_t of) { seen.emplace_back(done, of); };
  const TaskFigures f = figures(how);
  EXPECT_EQ(seen, (std::vector<std::pair<int64_t, int64_t>>{{4, 9}, {8, 9}, {9, 9}}));
  ASSERT_EQ(f.predicted.size(), size_t(kSamples));
  double sum = 0, odd = 0, always[kClasses] = {};
  int64_t scored = 0, odds = 0;
  for (int i = 0; i < kSamples; ++i) {
    const int32_t answer = f.predicted[size_t(i)];
    if (i == 7) {
      EXPECT_EQ(answer, -1);  // not read
      continue;
    }
    ASSERT_GE(answer, 0);
    ASSERT_LT(answer, kClasses);
    if (i == 4) continue;  // not labelled
    ++scored;
    odds += i % 2;
    for (const auto& [c, score] : set_.samples[size_t(i)].targets) {
      if (c == answer) sum += score, odd += i % 2 ? score : 0;
      always[c] += score;
    }
  }
  EXPECT_EQ(f.all.samples, 7);
  ASSERT_EQ(scored, 7);
  EXPECT_NEAR(f.all.mean, sum / 7, 1e-12);
  EXPECT_GT(sum, 0);
  EXPECT_EQ(f.majority.samples, 7);
  EXPECT_NEAR(f.majority.mean, *std::max_element(always, always + kClasses) / 7, 1e-12);
  ASSERT_EQ(f.by_kind.size(), 1u);  // samples without a kind are in no group
  EXPECT_EQ(f.by_kind.at("odd").samples, odds);
  EXPECT_NEAR(f.by_kind.at("odd").mean, odd / double(odds), 1e-12);
  EXPECT_EQ(figures().predicted, f.predicted);  // in batches of any size
}

TEST_F(Evaluate, NothingIsLabelled) {
  for (TaskSample& sample : set_.samples) sample.labelled = false, sample.targets.clear();
  const TaskFigures f = figures();
  EXPECT_EQ(f.all.samples, 0);
  EXPECT_EQ(f.majority.samples, 0);
  for (const int32_t answer : f.predicted) EXPECT_GE(answer, 0);
}

TEST_F(Evaluate, TheBlindSeeNoPicture) {
  for (TaskSample& sample : set_.samples) sample.text = "is it a";
  // The picture moves what is seen, and nothing of what is not.
  EvalOptions options;
  options.image_size = 16;
  TaskReader reader(set_, &words_, options);
  const std::vector<int32_t> two = {0, 1};
  const TaskBatch batch = reader.read(two);
  for (const bool blind : {false, true}) {
    TaskInputs inputs{Task::kVqa, &batch.batch, task_patches(*model_, batch.batch, blind, arena_)};
    const std::vector<float> z = classify_logits(*model_, inputs, arena_);
    arena_.release(inputs.patches.data);
    double apart = 0;
    for (int c = 0; c < kClasses; ++c)
      apart = std::max(apart, double(std::fabs(z[c] - z[kClasses + c])));
    if (blind)
      EXPECT_EQ(apart, 0);
    else
      EXPECT_GT(apart, 1e-3);
  }
  TaskEvaluation how;
  how.blind = true;
  const TaskFigures f = figures(how);
  EXPECT_EQ(f.predicted, std::vector<int32_t>(kSamples, f.predicted[0]));
  EXPECT_EQ(arena_.in_use(), 0u);
}

}  // namespace
}  // namespace mome
