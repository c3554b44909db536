// PairLoader, TextLoader and EvalReader: the same batches however they are made.
#include <chrono>
#include <thread>

#include "runtime/data/caption_draw.h"
#include "runtime/data/dataset.h"
#include "runtime/data/eval_reader.h"
#include "runtime/data/loader.h"
#include "runtime/image/decode.h"
#include "tests/runtime/data_files.h"
#include "tests/runtime/same_batch.h"

namespace mome {
namespace {

class LoaderPairs : public ::testing::Test {
 protected:
  static constexpr int kRecords = 7, kBatch = 4;

  LoaderPairs() {
    for (int i = 0; i < kRecords; ++i) {
      Record record;
      record.key = std::to_string(i) + ".png";
      record.image.file = folder_.write(record.key, numbered_png(i));
      const std::string letter(1, char('a' + i));
      record.captions = {letter, letter + " b " + letter, letter + " c"};
      record.keywords = {"k", "kk"};
      record.image_id = 100 + i;
      dataset_.records.push_back(record);
    }
    dataset_.source = "test";
    options_.batch = kBatch;
    options_.image_size = 8;
    options_.text_length = 12;
    options_.seed = 3;
    options_.augmentation.kind = "vlmo";
    options_.keyword_captions = 0.3;
  }

  std::vector<Batch> batches(const LoaderOptions& options, int64_t first, int count) {
    PairLoader loader(dataset_, &vocabulary_, options, first);
    std::vector<Batch> out;
    for (int i = 0; i < count; ++i) out.push_back(loader.next());
    return out;
  }

  TemporaryFolder folder_;
  Dataset dataset_;
  const WordPiece vocabulary_ = letter_vocabulary();
  LoaderOptions options_;
};

TEST_F(LoaderPairs, BatchesAreWhatTheContractSays) {
  const auto made = batches(options_, 0, 6);
  const SampleOrder order(kRecords, options_.seed);
  for (int step = 0; step < 6; ++step) {
    const Batch& batch = made[step];
    ASSERT_EQ(batch.size, kBatch);
    ASSERT_EQ(batch.images.size(), size_t(kBatch * 8 * 8 * 3));
    ASSERT_EQ(batch.text_begin.size(), size_t(kBatch + 1));
    EXPECT_EQ(batch.text_begin.back(), int32_t(batch.tokens.size()));
    for (int i = 0; i < kBatch; ++i) {
      const auto [epoch, r] = order.at(step * kBatch + i);
      EXPECT_EQ(batch.records[i], r);
      EXPECT_EQ(batch.image_ids[i], 100 + r);
      const std::string text = draw_caption(dataset_.records[r], 0.3, 3, epoch, r);
      EXPECT_EQ(batch.caption_ids[i], caption_id(text));
      const std::vector<int32_t> ids(batch.tokens.begin() + batch.text_begin[i],
                                     batch.tokens.begin() + batch.text_begin[i + 1]);
      EXPECT_EQ(ids, vocabulary_.encode_text(text, 12));
      RandomStream random(3, epoch, Purpose::kAugment, r);
      const Image image = augment(numbered_image(r), 8, options_.augmentation, random);
      EXPECT_TRUE(std::equal(image.pixels.begin(), image.pixels.end(),
                             batch.images.begin() + i * 8 * 8 * 3));
    }
  }
}

TEST_F(LoaderPairs, ThreadsCacheAndRestartChangeNothing) {
  const auto expected = batches(options_, 0, 9);
  LoaderOptions other = options_;
  other.threads = 3;
  other.cache_mib = 0;
  const auto threaded = batches(other, 0, 9);
  // Step 5 starts in the middle of an epoch: 20 of 7 records.
  const auto resumed = batches(other, 5, 4);
  for (int i = 0; i < 9; ++i) expect_equal(threaded[i], expected[i]);
  for (int i = 0; i < 4; ++i) expect_equal(resumed[i], expected[5 + i]);
  other.seed = 4;
  EXPECT_NE(batches(other, 0, 1)[0].images, expected[0].images);
}

TEST_F(LoaderPairs, ImagesOrTextsAlone) {
  const Batch both = batches(options_, 2, 1)[0];
  LoaderOptions one = options_;
  one.texts = false;
  for (Record& record : dataset_.records) record.captions.clear(), record.keywords.clear();
  PairLoader images(dataset_, nullptr, one, 2);
  const Batch& batch = images.next();
  EXPECT_EQ(batch.images, both.images);
  EXPECT_TRUE(batch.tokens.empty() && batch.text_begin.empty());
  one.texts = true;
  expect_in(error_of([&] { PairLoader(dataset_, &vocabulary_, one, 0); }),
            {"0.png has no caption"});
}

TEST_F(LoaderPairs, TextsAloneReadNoImage) {
  const Batch both = batches(options_, 2, 1)[0];
  for (Record& record : dataset_.records) record.image.file = "no such file";
  options_.images = false;
  const Batch texts = batches(options_, 2, 1)[0];
  EXPECT_EQ(texts.tokens, both.tokens);
  EXPECT_EQ(texts.caption_ids, both.caption_ids);
  EXPECT_TRUE(texts.images.empty());
}

TEST_F(LoaderPairs, BadImagesAreReplacedCountedAndNamedOnce) {
  folder_.write("6.png", "no picture");
  folder_.write("2.png", numbered_png(2).substr(0, 60));
  std::vector<std::string> log;
  options_.max_bad = 0.3;  // 2 of 7
  options_.log = [&](const std::string& line) { log.push_back(line); };
  PairLoader loader(dataset_, &vocabulary_, options_, 0);
  const SampleOrder order(kRecords, options_.seed);
  std::vector<Batch> made;
  for (int step = 0; step < 7; ++step) {
    made.push_back(loader.next());
    for (int i = 0; i < kBatch; ++i) {
      const int32_t drawn = order.at(step * kBatch + i).record;
      EXPECT_EQ(made[step].records[i], drawn == 6 ? 0 : drawn == 2 ? 3 : drawn);
      EXPECT_EQ(made[step].image_ids[i], 100 + made[step].records[i]);
    }
  }
  EXPECT_EQ(loader.bad_images(), 2);
  ASSERT_EQ(log.size(), 2u);
  expect_in(log[0] + log[1], {folder_ / "6.png", folder_ / "2.png"});
  options_.threads = 3;
  options_.cache_mib = 0;
  options_.log = nullptr;
  const auto threaded = batches(options_, 0, 7);
  for (int i = 0; i < 7; ++i) expect_equal(threaded[i], made[i]);
}

TEST_F(LoaderPairs, TooManyBadImagesEndTheRunAtTheSameStep) {
  folder_.write("6.png", "no picture");
  std::filesystem::remove(folder_ / "2.png");
  const SampleOrder order(kRecords, options_.seed);
  int64_t first = 0;
  while (order.at(first).record != 2 && order.at(first).record != 6) ++first;
  for (const int threads : {1, 3}) {
    options_.threads = threads;
    options_.max_bad = 0.01;
    PairLoader loader(dataset_, &vocabulary_, options_, 0);
    for (int step = 0; step < first / kBatch; ++step) loader.next();
    const std::string named = folder_ / (std::to_string(order.at(first).record) + ".png");
    expect_in(error_of([&] { loader.next(); }), {"1 of 7 images cannot be read", "max_bad", named});
    expect_in(error_of([&] { loader.next(); }), {"max_bad"});  // and never goes on in silence
  }
  for (int i = 0; i < kRecords; ++i) folder_.write(std::to_string(i) + ".png", "x");
  options_.max_bad = 1;
  PairLoader loader(dataset_, &vocabulary_, options_, 0);
  expect_in(error_of([&] { loader.next(); }), {"7 of 7"});
}

TEST_F(LoaderPairs, EndsAtAnyMoment) {
  options_.threads = 3;
  for (int i = 0; i < 30; ++i) {
    PairLoader loader(dataset_, &vocabulary_, options_, i);
    for (int calls = 0; calls < i % 4; ++calls) loader.next();
  }
}

TEST_F(LoaderPairs, OtherExceptionsReachTheCaller) {
  std::vector<int> calls(8, 0);
  Prefetcher prefetcher(2, 3, 0, [&](int64_t step, int i, int) {
    if (step < 4) ++calls[step * 2 + i];
    if (step == 2) throw std::runtime_error("sample " + std::to_string(i));
  });
  EXPECT_EQ(prefetcher.next(), 0);
  EXPECT_EQ(prefetcher.next(), 1);
  for (int again = 0; again < 2; ++again) {
    try {
      prefetcher.next();
      ADD_FAILURE();
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "sample 0");
    }
  }
  for (int i = 0; i < 6; ++i) EXPECT_EQ(calls[i], 1);
}

TEST_F(LoaderPairs, NeverMoreThanThreeBatchesInMemory) {
  std::atomic<int64_t> last = -1;
  Prefetcher prefetcher(1, 2, 10, [&](int64_t step, int, int slot) {
    EXPECT_EQ(slot, int(step % Prefetcher::kSlots));
    int64_t seen = last;
    while (seen < step && !last.compare_exchange_weak(seen, step)) {
    }
  });
  for (int64_t step = 10; step < 200; ++step) {
    EXPECT_EQ(prefetcher.next(), step);
    EXPECT_LT(last, step + Prefetcher::kSlots);
  }
}

TEST_F(LoaderPairs, WaitedIsTheTimeThatNextBlocked) {
  using std::chrono::milliseconds;
  // A sample takes 40 ms: the first batch is waited for, those made meanwhile are not.
  Prefetcher prefetcher(1, 1, 0, [](int64_t step, int, int) {
    if (step < 3) std::this_thread::sleep_for(milliseconds(40));
  });
  EXPECT_EQ(prefetcher.waited(), 0);
  const auto start = std::chrono::steady_clock::now();
  prefetcher.next();
  const double passed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double waited = prefetcher.waited();
  EXPECT_GT(waited, 0.02);
  EXPECT_LE(waited, passed);
  EXPECT_EQ(prefetcher.waited(), 0);               // told once
  std::this_thread::sleep_for(milliseconds(400));  // both batches ahead are made by now
  prefetcher.next();
  prefetcher.next();
  EXPECT_EQ(prefetcher.waited(), 0);
}

TEST_F(LoaderPairs, Texts) {
  std::vector<std::string> lines;
  for (int i = 0; i < 11; ++i) lines.push_back("line " + std::to_string(i));
  TextLoader one(lines, vocabulary_, options_, 0);
  options_.threads = 3;
  TextLoader resumed(lines, vocabulary_, options_, 2);
  const SampleOrder order(11, options_.seed);
  for (int step = 0; step < 6; ++step) {
    const Batch& batch = one.next();
    if (step >= 2) expect_equal(batch, resumed.next());
    for (int i = 0; i < kBatch; ++i) {
      const int32_t line = order.at(step * kBatch + i).record;
      EXPECT_EQ(batch.records[i], line);
      EXPECT_EQ(batch.caption_ids[i], caption_id(lines[line]));
      const std::vector<int32_t> ids(batch.tokens.begin() + batch.text_begin[i],
                                     batch.tokens.begin() + batch.text_begin[i + 1]);
      EXPECT_EQ(ids, vocabulary_.encode_text(lines[line], 12));
    }
  }
  expect_in(error_of([&] { TextLoader({}, vocabulary_, options_, 0); }), {"no text"});
}

TEST_F(LoaderPairs, Evaluation) {
  folder_.write("4.png", "no picture");
  std::vector<std::string> log;
  const EvalOptions options{8, 12, 0.2, 512, [&](const std::string& line) { log.push_back(line); }};
  EvalReader reader(dataset_, &vocabulary_, options);
  const Batch gallery = reader.images(all_records(dataset_));
  EXPECT_EQ(gallery.records, (std::vector<int32_t>{0, 1, 2, 3, 5, 6}));
  ASSERT_EQ(gallery.images.size(), size_t(6 * 8 * 8 * 3));
  RandomStream unused(0, 0, Purpose::kAugment, 0);
  const auto pixels = [&](int record) {
    return augment(numbered_image(record), 8, {}, unused).pixels;
  };
  for (int i = 0; i < 6; ++i) {
    const auto expected = pixels(gallery.records[i]);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), gallery.images.begin() + i * 192));
  }
  const auto captions = all_captions(dataset_);
  ASSERT_EQ(captions.size(), size_t(3 * kRecords));
  const Batch texts = reader.texts(captions);
  ASSERT_EQ(texts.size, 3 * kRecords);
  for (int i = 0; i < texts.size; ++i) {
    EXPECT_EQ(texts.caption_ids[i], caption_id(dataset_.records[i / 3].captions[i % 3]));
  }
  const std::vector<TextRef> some = {{6, 1}, {4, 0}, {0, 2}, {6, 0}};
  const Batch pairs = reader.pairs(some);
  EXPECT_EQ(pairs.records, (std::vector<int32_t>{6, 0, 6}));
  EXPECT_EQ(pairs.image_ids, (std::vector<int64_t>{106, 100, 106}));
  for (int i = 0; i < 3; ++i) {
    const auto expected = pixels(pairs.records[i]);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), pairs.images.begin() + i * 192));
  }
  ASSERT_EQ(log.size(), 1u);
  expect_in(log[0], {folder_ / "4.png"});
  folder_.write("5.png", "no picture either");
  EvalReader strict(dataset_, &vocabulary_, options);
  expect_in(error_of([&] { strict.images(all_records(dataset_)); }), {"2 of 7", "4.png"});
}

// Records of a shard are read by their offset; one that was cut since is an error that names it.
TEST_F(LoaderPairs, ImageRangesOfShards) {
  const std::string png = numbered_png(1);
  dataset_.records.resize(1);
  dataset_.records[0].image = {folder_.write("t.tar", "12345" + png + "67"), 5, png.size()};
  const Batch batch = batches(options_, 0, 1)[0];
  EXPECT_EQ(batch.records, std::vector<int32_t>(4, 0));
  folder_.write("t.tar", "12345" + png.substr(0, 9));
  expect_in(error_of([&] { batches(options_, 0, 1); }), {"t.tar: truncated"});
}

}  // namespace
}  // namespace mome
