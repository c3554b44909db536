// TaskLoader and TaskReader: batches as promised, the same however they are made.
#include "runtime/data/tasks/task_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "runtime/data/tasks/task_reader.h"
#include "runtime/image/augment.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

constexpr int kSide = 12;
constexpr size_t kBytes = size_t(kSide) * kSide * 3;

class TaskLoading : public ::testing::Test {
 protected:
  // Eight pictures, of which number `broken` are no pictures (the last ones).
  void make_pictures(int broken) {
    for (int i = 0; i < 8; ++i) {
      folder_.write(fmt::format("{}.png", i),
                    i < 8 - broken ? numbered_png(i) : std::string("no picture"));
    }
  }
  // Sample i has the pictures i and, for pairs, i + 1 (cyclically).
  TaskSet open(Task task) {
    std::string lines;
    for (int i = 0; i < 8; ++i) {
      const std::string image = task == Task::kNlvr2
                                    ? fmt::format("[\"{}.png\", \"{}.png\"]", i, (i + 1) % 8)
                                    : fmt::format("\"{}.png\"", i);
      // Of pairs a statement is true or false; other tasks have any labels.
      const std::string label =
          task == Task::kNlvr2 ? (i % 2 == 1 ? "true" : "false") : std::to_string(i % 3);
      lines += fmt::format("{{\"image\": {}, \"text\": \"text {}\", \"label\": {}}}\n", image, i, label);
    }
    return open_task(task, {folder_.write("set.jsonl", lines)}, "", {});
  }
  static LoaderOptions options(int threads = 1) {
    LoaderOptions out;
    out.batch = 3;
    out.image_size = kSide;
    out.text_length = 6;
    out.seed = 5;
    out.threads = threads;
    out.augmentation.kind = "vlmo";
    out.max_bad = 0.5;
    return out;
  }
  static std::vector<uint8_t> pixels(const Batch& batch, size_t i) {
    const auto from = batch.images.begin() + int64_t(i * kBytes);
    return {from, from + kBytes};
  }
  static std::vector<uint8_t> drawn(const Image& image, RandomStream random,
                                    const Augmentation& augmentation) {
    return augment(image, kSide, augmentation, random).pixels;
  }

  TemporaryFolder folder_;
  WordPiece vocabulary_ = letter_vocabulary();
};

bool same(const TaskBatch& a, const TaskBatch& b) {
  return a.batch.images == b.batch.images && a.batch.tokens == b.batch.tokens &&
         a.batch.text_begin == b.batch.text_begin && a.batch.image_ids == b.batch.image_ids &&
         a.batch.caption_ids == b.batch.caption_ids && a.batch.records == b.batch.records &&
         a.targets == b.targets && a.samples == b.samples;
}

TEST_F(TaskLoading, BatchesOfPairs) {
  make_pictures(0);
  const TaskSet set = open(Task::kNlvr2);
  TaskLoader loader(set, &vocabulary_, options(), 0);
  std::set<int32_t> epoch;
  for (int step = 0; step < 3; ++step) {
    const TaskBatch& out = loader.next();
    ASSERT_EQ(out.pictures, 2);
    ASSERT_EQ(out.batch.size, 3);
    ASSERT_EQ(out.batch.images.size(), 6 * kBytes);
    for (int b = 0; b < 3; ++b) {
      const int32_t s = out.samples[b];
      if (step * 3 + b < 8) {
        EXPECT_TRUE(epoch.insert(s).second);  // each once an epoch
      }
      const TaskSample& sample = set.samples.at(s);
      EXPECT_EQ(out.targets[b], sample.targets);
      EXPECT_EQ(out.batch.records[b], sample.image[0]);
      EXPECT_EQ(out.batch.image_ids[b], set.pictures.records[sample.image[0]].image_id);
      const std::vector<int32_t> text(out.batch.tokens.begin() + out.batch.text_begin[b],
                                      out.batch.tokens.begin() + out.batch.text_begin[b + 1]);
      EXPECT_EQ(text, vocabulary_.encode_text(sample.text, 6));
      // Picture j of sample b lies at j * B + b, with an augmentation of its own.
      const uint64_t epoch_number = uint64_t(step * 3 + b) / 8;
      for (uint64_t j = 0; j < 2; ++j) {
        const RandomStream random(5, epoch_number, Purpose::kAugment, uint64_t(s) * 2 + j);
        EXPECT_EQ(pixels(out.batch, j * 3 + b),
                  drawn(numbered_image((s + int(j)) % 8), random, options().augmentation));
      }
    }
  }
  EXPECT_EQ(epoch.size(), 8u);
}

TEST_F(TaskLoading, SameForAnyThreadsStartAndCache) {
  make_pictures(1);  // one is broken: replacements must not depend on threads either
  for (const Task task : {Task::kVqa, Task::kNlvr2}) {
    const TaskSet set = open(task);
    std::vector<TaskBatch> expected;
    TaskLoader one(set, &vocabulary_, options(1), 0);
    for (int step = 0; step < 9; ++step) expected.push_back(one.next());
    LoaderOptions no_cache = options(3);
    no_cache.cache_mib = 0;
    TaskLoader four(set, &vocabulary_, options(4), 0), late(set, &vocabulary_, no_cache, 4);
    for (int step = 0; step < 9; ++step) {
      EXPECT_TRUE(same(four.next(), expected[step])) << step;
      if (step >= 4) {
        EXPECT_TRUE(same(late.next(), expected[step])) << step;
      }
    }
    EXPECT_EQ(one.bad_images(), 1);
    EXPECT_EQ(four.bad_images(), 1);
    LoaderOptions other = options();
    other.seed = 6;
    TaskLoader reseeded(set, &vocabulary_, other, 0);
    EXPECT_FALSE(same(reseeded.next(), expected[0]));
  }
}

TEST_F(TaskLoading, BrokenPicturesAreReplaced) {
  make_pictures(2);  // 6 and 7
  const TaskSet set = open(Task::kNlvr2);
  std::vector<std::string> told;
  LoaderOptions logged = options();
  logged.log = [&](const std::string& line) { told.push_back(line); };
  TaskLoader loader(set, &vocabulary_, logged, 0);
  for (int step = 0; step < 8; ++step) {
    const TaskBatch& out = loader.next();
    for (int b = 0; b < 3; ++b) {
      // Samples 5 (5, 6), 6 (6, 7) and 7 (7, 0) give way to sample 0, with all that belongs to it.
      EXPECT_LT(out.samples[b], 5);
      EXPECT_EQ(out.targets[b], set.samples[out.samples[b]].targets);
      EXPECT_EQ(out.batch.records[b], set.samples[out.samples[b]].image[0]);
    }
  }
  EXPECT_EQ(loader.bad_images(), 2);
  EXPECT_EQ(told.size(), 2u);

  LoaderOptions strict = options();
  strict.max_bad = 0.125;  // one of eight
  TaskLoader failing(set, &vocabulary_, strict, 0);
  expect_in(error_of([&] {
              for (int step = 0; step < 4; ++step) failing.next();
            }),
            {"set.jsonl", "2 of 8 images cannot be read", ".png"});
}

// One broken picture of two is within max_bad, and yet no sample is left.
TEST_F(TaskLoading, NoSampleIsGood) {
  make_pictures(1);
  const auto file =
      folder_.write("all.jsonl", R"({"image": ["0.png", "7.png"], "text": "t", "label": true})"
                                 "\n"
                                 R"({"image": ["7.png", "0.png"], "text": "t", "label": false})");
  const TaskSet set = open_task(Task::kNlvr2, {file}, "", {});
  TaskLoader loader(set, &vocabulary_, options(), 0);
  expect_in(error_of([&] { loader.next(); }), {"all.jsonl", "every sample has a picture"});
}

TEST_F(TaskLoading, ImageClassificationHasNoText) {
  make_pictures(0);
  const TaskSet set = open(Task::kImageClassification);
  TaskLoader loader(set, nullptr, options(), 0);
  const TaskBatch& out = loader.next();
  EXPECT_TRUE(out.batch.tokens.empty() && out.batch.text_begin.empty() &&
              out.batch.caption_ids.empty());
  EXPECT_EQ(out.batch.images.size(), 3 * kBytes);
}

TEST_F(TaskLoading, UntrainableSets) {
  make_pictures(0);
  TaskSet set = open(Task::kVqa);
  set.samples[3].targets.clear();
  expect_in(error_of([&] { TaskLoader(set, &vocabulary_, options(), 0); }),
            {"set.jsonl", "no right class"});
  set.samples.clear();
  expect_in(error_of([&] { TaskLoader(set, &vocabulary_, options(), 0); }),
            {"set.jsonl", "no samples"});
}

TEST_F(TaskLoading, ReaderKeepsOrderAndLeavesBrokenOut) {
  make_pictures(1);  // 7
  const TaskSet set = open(Task::kNlvr2);
  EvalOptions eval;
  eval.image_size = kSide;
  eval.text_length = 6;
  eval.max_bad = 0.5;
  TaskReader reader(set, &vocabulary_, eval);
  const std::vector<int32_t> asked = {4, 7, 0, 6, 4, 5};
  const TaskBatch out = reader.read(asked);
  EXPECT_EQ(out.samples, (std::vector<int32_t>{4, 0, 4, 5}));
  ASSERT_EQ(out.batch.size, 4);
  ASSERT_EQ(out.batch.images.size(), 8 * kBytes);
  for (int b = 0; b < 4; ++b) {
    const int32_t s = out.samples[b];
    for (int j = 0; j < 2; ++j) {
      EXPECT_EQ(pixels(out.batch, j * 4 + b),
                drawn(numbered_image(s + j), RandomStream(0, 0, Purpose::kAugment, 0), {}));
    }
    EXPECT_EQ(out.targets[b], set.samples[s].targets);
    EXPECT_EQ(out.batch.caption_ids[b], caption_id(set.samples[s].text));
    EXPECT_EQ(out.batch.records[b], set.samples[s].image[0]);
  }
  EXPECT_EQ(out.batch.text_begin.size(), 5u);
  const TaskBatch none = reader.read(std::vector<int32_t>{6, 7});
  EXPECT_EQ(none.batch.size, 0);
  EXPECT_TRUE(none.samples.empty() && none.batch.images.empty());

  eval.max_bad = 0;
  TaskReader strict(set, &vocabulary_, eval);
  EXPECT_EQ(strict.read(std::vector<int32_t>{0, 1}).batch.size, 2);
  expect_in(error_of([&] { strict.read(asked); }), {"set.jsonl", "1 of 8 images", "7.png"});
}

}  // namespace
}  // namespace mome
