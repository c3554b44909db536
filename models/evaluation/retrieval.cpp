#include "models/evaluation/retrieval.h"

#include <algorithm>

#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"
#include "models/mome/pool.h"
#include "models/objectives/objectives.h"

namespace mome {
namespace {

void append_features(MomeModel& model, const ForwardInputs& in, bool image, int64_t n, Arena& arena,
                     std::vector<float>& out) {
  const bool mean = model.config().pool == "mean";
  std::vector<SequenceSpec> sequences{size_t(n)};
  for (int64_t b = 0; b < n; ++b) {
    SequenceSpec& s = sequences[size_t(b)];
    (image ? s.image : s.text) = int32_t(b);
    if (mean)
      (image ? s.read_all_image : s.read_all_text) = true;
    else
      (image ? s.read_image : s.read_text) = {0};
  }
  const auto layout = model.layout(in, sequences);
  Tape tape(arena, false);
  const ForwardOutput states = model.forward(tape, in, *layout, {});
  const Pool pool = pool_plan(model, *layout, states.states->rows(), 0, n, image, false);
  Var* x = pooled(tape, states.states, pool);
  const Tensor f = model.itc_features(tape, x, image, false)->value;
  dispatch(tape.device(), f.dtype, [&]<class T>(auto& q) {
    std::vector<T> host(size_t(f.count()));
    q.download(host.data(), f.data, f.bytes());
    for (const T v : host) out.push_back(to_float(v));
  });
}

// Rank (0-based) of the best right answer in a row of scores: how many stand before it. Other right
// answers cannot: it is the best of them.
int64_t best_rank(const float* score, int64_t n, const std::vector<int32_t>& right) {
  int32_t best = right[0];
  for (int32_t r : right)
    if (score[r] > score[best] || (score[r] == score[best] && r < best)) best = r;
  int64_t rank = 0;
  for (int64_t j = 0; j < n; ++j)
    rank += score[j] > score[best] || (score[j] == score[best] && j < best);
  return rank;
}

// Probability that at least one of `right` answers is among k drawn from n without replacement.
double chance_at(int64_t k, int64_t n, int64_t right) {
  if (k >= n) return 1;
  double miss = 1;
  for (int64_t i = 0; i < k; ++i) miss *= std::max(0.0, double(n - right - i)) / double(n - i);
  return 1 - miss;
}

}  // namespace

Recall recall_of(const std::vector<int64_t>& ranks) {
  Recall r;
  if (ranks.empty()) return r;
  for (int64_t k : ranks) r.r1 += k < 1, r.r5 += k < 5, r.r10 += k < 10;
  const double n = double(ranks.size());
  r.r1 /= n, r.r5 /= n, r.r10 /= n;
  return r;
}

void append_image_features(MomeModel& model, const Batch& batch, Arena& arena,
                           std::vector<float>& out) {
  ForwardInputs in;
  in.images = batch.size;
  in.patches = batch_patches(model, batch, arena);
  append_features(model, in, true, batch.size, arena, out);
  arena.release(in.patches.data);
}

void append_text_features(MomeModel& model, const Batch& batch, Arena& arena,
                          std::vector<float>& out) {
  ForwardInputs in;
  in.tokens = batch.tokens;
  for (int64_t b = 0; b < batch.size; ++b)
    in.text_lengths.push_back(batch.text_begin[size_t(b) + 1] - batch.text_begin[size_t(b)]);
  append_features(model, in, false, batch.size, arena, out);
}

RetrievalResult retrieval(int64_t images, int64_t texts, int64_t dim, const float* image_features,
                          const float* text_features,
                          const std::vector<std::vector<int32_t>>& images_of_text,
                          const std::vector<uint8_t>& image_asked,
                          const std::vector<uint8_t>& text_asked) {
  RetrievalResult result;
  std::vector<std::vector<int32_t>> texts_of_image{size_t(images)};
  for (int64_t t = 0; t < texts; ++t)
    for (int32_t i : images_of_text[size_t(t)]) texts_of_image[size_t(i)].push_back(int32_t(t));
  const auto asked = [](const std::vector<uint8_t>& which, int64_t i) {
    return which.empty() || which[size_t(i)];
  };

  // Scores in blocks of rows, so that a large gallery needs no texts x images matrix.
  constexpr int64_t kBlock = 256;
  std::vector<float> block;
  const auto pass = [&](int64_t rows, const float* queries, int64_t gallery, const float* features,
                        const std::vector<std::vector<int32_t>>& right,
                        const std::vector<uint8_t>& which) {
    std::vector<int64_t> ranks;
    block.resize(size_t(std::min(rows, kBlock) * gallery));
    for (int64_t begin = 0; begin < rows; begin += kBlock) {
      const int64_t n = std::min(kBlock, rows - begin);
      gemm<float>(cpu, Trans::kNo, Trans::kYes, n, gallery, dim, 1, queries + begin * dim, dim,
                  features, dim, 0, block.data(), gallery);
      std::vector<int64_t> found(size_t(n), -1);
      parallel_chunks(n, 1, [&](int64_t b, int64_t e) {
        for (int64_t r = b; r < e; ++r)
          if (asked(which, begin + r) && !right[size_t(begin + r)].empty())
            found[size_t(r)] =
                best_rank(block.data() + r * gallery, gallery, right[size_t(begin + r)]);
      });
      for (int64_t f : found)
        if (f >= 0) ranks.push_back(f);
    }
    return ranks;
  };
  if (images == 0 || texts == 0) return result;
  const std::vector<int64_t> of_texts =
      pass(texts, text_features, images, image_features, images_of_text, text_asked);
  const std::vector<int64_t> of_images =
      pass(images, image_features, texts, text_features, texts_of_image, image_asked);
  result.text_to_image = recall_of(of_texts);
  result.image_to_text = recall_of(of_images);
  result.texts = int64_t(of_texts.size());
  result.images = int64_t(of_images.size());
  const auto chance = [&](int64_t rows, int64_t gallery,
                          const std::vector<std::vector<int32_t>>& right,
                          const std::vector<uint8_t>& which, int64_t queries) {
    Recall c;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t n = int64_t(right[size_t(r)].size());
      if (!asked(which, r) || n == 0) continue;
      c.r1 += chance_at(1, gallery, n) / double(queries);
      c.r5 += chance_at(5, gallery, n) / double(queries);
      c.r10 += chance_at(10, gallery, n) / double(queries);
    }
    return c;
  };
  result.chance = chance(texts, images, images_of_text, text_asked, result.texts);
  result.chance_image_to_text = chance(images, texts, texts_of_image, image_asked, result.images);
  return result;
}

}  // namespace mome
