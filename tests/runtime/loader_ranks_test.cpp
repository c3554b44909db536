// A global batch split over ranks: their batches one after another are the batch of one rank, bit
// for bit, for every loader and with pictures that have to be replaced.
#include "runtime/data/loader.h"

#include "runtime/data/dataset.h"
#include "runtime/data/tasks/task_loader.h"
#include "tests/runtime/data_files.h"
#include "tests/runtime/same_batch.h"

namespace mome {
namespace {

constexpr int kGlobal = 6;
// First sample and number of samples of each rank; unequal shares are allowed.
const std::vector<std::vector<std::pair<int, int>>> kSplits = {
    {{0, 3}, {3, 3}}, {{0, 2}, {2, 2}, {4, 2}}, {{0, 1}, {1, 5}}};

LoaderOptions whole() {
  LoaderOptions options;
  options.batch = kGlobal;
  options.image_size = 8;
  options.text_length = 12;
  options.seed = 3;
  options.threads = 2;
  options.augmentation.kind = "vlmo";
  options.max_bad = 0.3;
  return options;
}

LoaderOptions share(int first, int batch) {
  LoaderOptions options = whole();
  options.batch = batch;
  options.global_batch = kGlobal;
  options.first = first;
  return options;
}

void append(const Batch& part, Batch& all) {
  const auto put = [](const auto& from, auto& to) {
    to.insert(to.end(), from.begin(), from.end());
  };
  const int32_t before = int32_t(all.tokens.size());
  put(part.images, all.images);
  put(part.tokens, all.tokens);
  put(part.image_ids, all.image_ids);
  put(part.caption_ids, all.caption_ids);
  put(part.records, all.records);
  if (all.text_begin.empty()) all.text_begin.push_back(0);
  for (int b = 0; b < part.size; ++b) all.text_begin.push_back(before + part.text_begin[b + 1]);
  all.size += part.size;
  all.image_size = part.image_size;
}

// open(options, first step) makes a loader; batch_of(its next()) is a Batch. Two steps are one
// epoch and more, so that batches span epochs.
template <class Open, class BatchOf>
void expect_same_however_split(Open open, BatchOf batch_of) {
  constexpr int kSteps = 5;
  std::vector<Batch> expected;
  auto one = open(whole(), 1);
  for (int step = 0; step < kSteps; ++step) expected.push_back(batch_of(one->next()));
  for (const auto& split : kSplits) {
    std::vector<Batch> joined(kSteps);
    for (const auto& [first, batch] : split) {
      auto rank = open(share(first, batch), 1);
      for (int step = 0; step < kSteps; ++step) append(batch_of(rank->next()), joined[step]);
    }
    for (int step = 0; step < kSteps; ++step) expect_equal(joined[step], expected[step]);
  }
}

class LoaderRanks : public ::testing::Test {
 protected:
  LoaderRanks() {
    std::string pairs, task;
    for (int i = 0; i < 7; ++i) {
      folder_.write(fmt::format("{}.png", i), i == 4 ? "no picture" : numbered_png(i));
      pairs += fmt::format(
          "{{\"image\": \"{}.png\", \"captions\": [\"a {}\", \"b\"], \"keywords\": [\"k\"]}}\n", i,
          i);
      task += fmt::format(
          "{{\"image\": [\"{}.png\", \"{}.png\"], \"text\": \"t {}\", \"label\": {}}}\n", i,
          (i + 1) % 7, i, i % 2 == 0);
    }
    pairs_ = open_dataset(folder_.write("pairs.jsonl", pairs), "", {});
    task_ = open_task(Task::kNlvr2, {folder_.write("task.jsonl", task)}, "", {});
  }

  TemporaryFolder folder_;
  const WordPiece vocabulary_ = letter_vocabulary();
  Dataset pairs_;
  TaskSet task_;
};

TEST_F(LoaderRanks, Pairs) {
  expect_same_however_split(
      [&](LoaderOptions options, int64_t first_step) {
        options.keyword_captions = 0.5;
        return std::make_unique<PairLoader>(pairs_, &vocabulary_, options, first_step);
      },
      [](const Batch& batch) { return batch; });
}

TEST_F(LoaderRanks, Texts) {
  const std::vector<std::string> lines = {"a", "bb", "c c", "d", "e", "f", "g", "h", "i"};
  expect_same_however_split(
      [&](const LoaderOptions& options, int64_t first_step) {
        return std::make_unique<TextLoader>(lines, vocabulary_, options, first_step);
      },
      [](const Batch& batch) { return batch; });
}

TEST_F(LoaderRanks, TaskPictures) {
  // The two pictures of a sample lie B apart; here they are put side by side, sample by sample.
  expect_same_however_split(
      [&](const LoaderOptions& options, int64_t first_step) {
        return std::make_unique<TaskLoader>(task_, &vocabulary_, options, first_step);
      },
      [](const TaskBatch& out) {
        Batch batch = out.batch;
        const size_t bytes = batch.images.size() / (2 * size_t(batch.size));
        for (size_t b = 0; b < size_t(batch.size); ++b) {
          for (size_t j = 0; j < 2; ++j) {
            std::copy_n(out.batch.images.begin() + (j * batch.size + b) * bytes, bytes,
                        batch.images.begin() + (b * 2 + j) * bytes);
          }
        }
        return batch;
      });
}

TEST_F(LoaderRanks, SharesPastTheGlobalBatchAreRefused) {
  for (const auto& [first, batch] : {std::pair{4, 3}, {-1, 2}, {0, 7}}) {
    EXPECT_THROW(PairLoader(pairs_, &vocabulary_, share(first, batch), 0), std::logic_error);
  }
  LoaderOptions no_global = share(1, 2);
  no_global.global_batch = 0;
  EXPECT_THROW(PairLoader(pairs_, &vocabulary_, no_global, 0), std::logic_error);
}

}  // namespace
}  // namespace mome
