#include "runtime/text/masking.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/common/philox.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

struct Candidate {
  int32_t begin, end;  // token positions [begin, end)
  int32_t size() const { return end - begin; }
};

// The words under kWords: "##" pieces join the word that they stand next to.
std::vector<Candidate> find_words(std::span<const int32_t> tokens, const WordPiece& vocabulary) {
  std::vector<Candidate> words;
  for (int32_t i = 0; i < int32_t(tokens.size()); ++i) {
    if (vocabulary.is_special(tokens[i])) continue;
    const bool joins = !words.empty() && words.back().end == i && vocabulary.continues(tokens[i]);
    if (joins)
      ++words.back().end;
    else
      words.push_back({i, i + 1});
  }
  return words;
}

// The candidates as published: all positions but [CLS] and [SEP], padding and [UNK] included.
std::vector<Candidate> find_padded_candidates(std::span<const int32_t> tokens,
                                              const WordPiece& vocabulary, int32_t padded_length) {
  std::vector<Candidate> candidates;
  const int32_t real = int32_t(tokens.size());
  for (int32_t i = 0; i < padded_length; ++i) {
    if (i < real && (tokens[i] == vocabulary.cls() || tokens[i] == vocabulary.sep())) continue;
    const bool joins = i < real && !candidates.empty() && candidates.back().end == i &&
                       vocabulary.continues(tokens[i]);
    if (joins)
      ++candidates.back().end;
    else
      candidates.push_back({i, i + 1});
  }
  return candidates;
}

// Takes candidates in random order while they fit. Returns the chosen positions, ascending.
std::vector<int32_t> choose(std::vector<Candidate>& candidates, int64_t budget, bool at_least_one,
                            RandomStream& random) {
  for (size_t i = candidates.size(); i > 1; --i)
    std::swap(candidates[i - 1], candidates[random.below(uint32_t(i))]);
  std::vector<int32_t> positions;
  const auto take = [&](const Candidate& c) {
    for (int32_t i = c.begin; i < c.end; ++i) positions.push_back(i);
  };
  for (const Candidate& c : candidates) {
    if (int64_t(positions.size()) >= budget) break;
    if (int64_t(positions.size()) + c.size() <= budget) take(c);
  }
  if (positions.empty() && at_least_one && !candidates.empty()) take(candidates.front());
  std::sort(positions.begin(), positions.end());
  return positions;
}

// Any token but the special ones, all equally likely: draws again on a special one.
int32_t random_word_piece(const WordPiece& vocabulary, RandomStream& random) {
  for (;;) {
    const int32_t id = int32_t(random.below(uint32_t(vocabulary.size())));
    if (!vocabulary.is_special(id)) return id;
  }
}

}  // namespace

MaskedText mask_words(std::span<const int32_t> tokens, const WordPiece& vocabulary, double rate,
                      uint64_t seed, uint64_t step, uint64_t index, MaskRule rule,
                      int padded_length) {
  if (!(rate >= 0 && rate <= 1)) fail("mask rate {}: expected 0 to 1", rate);
  for (const int32_t id : tokens) vocabulary.token(id);  // throws for an unknown id
  MaskedText out;
  out.tokens.assign(tokens.begin(), tokens.end());
  if (rate == 0) return out;

  const bool published = rule == MaskRule::kPaddedAsPublished;
  RandomStream random(seed, step, Purpose::kMaskText, index);
  std::vector<Candidate> candidates;
  double counted;
  if (published) {
    MOME_CHECK(padded_length >= int64_t(tokens.size()));
    candidates = find_padded_candidates(tokens, vocabulary, padded_length);
    counted = padded_length;
  } else {
    candidates = find_words(tokens, vocabulary);
    counted = double(std::count_if(tokens.begin(), tokens.end(),
                                   [&](int32_t id) { return !vocabulary.is_special(id); }));
  }
  const auto budget = std::max<int64_t>(1, int64_t(std::nearbyint(rate * counted)));

  for (const int32_t i : choose(candidates, budget, !published, random)) {
    if (i >= int32_t(tokens.size()) || vocabulary.is_special(tokens[i])) continue;
    out.positions.push_back(i);
    out.labels.push_back(tokens[i]);
    const double fate = random.uniform();
    if (fate < 0.8)
      out.tokens[i] = vocabulary.mask();
    else if (fate < 0.9)
      out.tokens[i] = published ? int32_t(random.below(uint32_t(vocabulary.size())))
                                : random_word_piece(vocabulary, random);
  }
  return out;
}

}  // namespace mome
