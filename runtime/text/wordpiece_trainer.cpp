#include "runtime/text/wordpiece_trainer.h"


#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <queue>
#include <string_view>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/text/normalize.h"
#include "runtime/text/wordpiece.h"

namespace mome {
namespace {

using Counts = std::map<std::string, int64_t, std::less<>>;  // ordered: the order of lines is lost

struct Word {
  int64_t count;
  std::vector<int32_t> pieces;
};

uint64_t pair_key(int32_t left, int32_t right) { return uint64_t(left) << 32 | uint32_t(right); }

Counts count_words(const std::vector<std::string>& lines) {
  std::unordered_map<std::string, int64_t> counts;
  std::string buffer, key;
  for (const std::string& line : lines) {
    buffer.clear();
    normalize(line, buffer);
    std::string_view rest = buffer;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
      if (count_chars(word) > kMaxWordChars) continue;  // always [UNK]
      key.assign(word);
      ++counts[key];
    }
  }
  return Counts(counts.begin(), counts.end());
}

struct CharUse {
  int64_t count = 0;
  bool continues = false;
};

// The alphabet's characters and whether each needs its "##" form.
std::map<std::string, bool, std::less<>> choose_alphabet(const Counts& words, size_t room) {
  std::map<std::string, CharUse, std::less<>> used;
  for (const auto& [word, count] : words) {
    for (std::string_view rest = word; !rest.empty();) {
      const size_t bytes = first_char_size(rest);
      CharUse& use = used[std::string(rest.substr(0, bytes))];
      use.count += count;
      use.continues |= rest.size() < word.size();
      rest.remove_prefix(bytes);
    }
  }
  // Byte order of UTF-8 is code point order, so a stable sort leaves ties in it.
  std::vector<std::pair<std::string, CharUse>> by_count(used.begin(), used.end());
  std::stable_sort(by_count.begin(), by_count.end(),
                   [](const auto& a, const auto& b) { return a.second.count > b.second.count; });
  size_t needed = 0;
  for (const auto& [c, use] : by_count) needed += 1 + use.continues;
  if (needed > room / 2) room = std::max<size_t>(room / 2, 2);
  std::map<std::string, bool, std::less<>> alphabet;
  for (const auto& [c, use] : by_count) {
    const size_t cost = 1 + use.continues;
    if (cost > room) break;
    room -= cost;
    alphabet.emplace(c, use.continues);
  }
  return alphabet;
}

class Trainer {
 public:
  Trainer(const Counts& counts, size_t size, int64_t min_frequency)
      : size_(size), min_frequency_(min_frequency) {
    for (const char* token : kSpecialTokens) add_token(token);
    const auto alphabet = choose_alphabet(counts, size - tokens_.size());
    for (const auto& [c, continues] : alphabet) add_token(c);
    for (const auto& [c, continues] : alphabet)
      if (continues) add_token("##" + c);
    for (const auto& [word, count] : counts) add_word(word, count);
  }

  std::vector<std::string> run() {
    for (int32_t w = 0; w < int32_t(words_.size()); ++w) {
      const Word& word = words_[w];
      for (size_t i = 0; i + 1 < word.pieces.size(); ++i)
        change_pair(word.pieces[i], word.pieces[i + 1], word.count, w);
    }
    for (const auto& [key, pair] : pairs_) push(key, pair.count);
    while (tokens_.size() < size_ && !queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      Pair& pair = pairs_[top.key];
      // Counts in the queue may be out of date, but only too high: growth is pushed when it
      // happens.
      if (pair.count != top.count) {
        if (pair.count < top.count && pair.count >= min_frequency_) push(top.key, pair.count);
        continue;
      }
      merge(top.key);
    }
    return std::move(tokens_);
  }

 private:
  struct Pair {
    int64_t count = 0;
    std::vector<int32_t> words;  // where it occurs or occurred; may name a word twice
  };
  struct Candidate {
    int64_t count;
    uint64_t key;
    bool operator<(const Candidate& b) const {
      return count != b.count ? count < b.count : key > b.key;
    }
  };

  int32_t add_token(const std::string& token) {
    const auto [it, fresh] = ids_.emplace(token, int32_t(tokens_.size()));
    if (fresh) tokens_.push_back(token);
    return it->second;
  }

  void add_word(std::string_view text, int64_t count) {
    Word word{count, {}};
    std::string piece;
    for (std::string_view rest = text; !rest.empty();) {
      const size_t bytes = first_char_size(rest);
      piece.assign(rest.size() < text.size() ? "##" : "").append(rest.substr(0, bytes));
      const auto found = ids_.find(piece);
      if (found == ids_.end()) return;
      word.pieces.push_back(found->second);
      rest.remove_prefix(bytes);
    }
    words_.push_back(std::move(word));
  }

  void push(uint64_t key, int64_t count) {
    if (count >= min_frequency_) queue_.push({count, key});
  }

  void change_pair(int32_t left, int32_t right, int64_t by, int32_t word) {
    Pair& pair = pairs_[pair_key(left, right)];
    pair.count += by;
    if (by > 0 && (pair.words.empty() || pair.words.back() != word)) pair.words.push_back(word);
  }

  void merge(uint64_t key) {
    const int32_t left = int32_t(key >> 32), right = int32_t(key & 0xFFFFFFFFu);
    // Two different pairs may spell the same token ("a"+"##bc", "ab"+"##c"): then it exists
    // already.
    const int32_t merged = add_token(tokens_[left] + tokens_[right].substr(2));
    std::vector<int32_t> where = std::move(pairs_[key].words);
    pairs_[key].words.clear();
    grown_.clear();
    for (const int32_t w : where) {
      Word& word = words_[w];
      std::vector<int32_t>& p = word.pieces;
      size_t kept = 0;
      for (size_t i = 0; i < p.size(); ++i) {
        const bool here = i + 1 < p.size() && p[i] == left && p[i + 1] == right;
        if (!here) {
          p[kept++] = p[i];
          continue;
        }
        // The neighbour on the left is already rewritten (p[kept - 1]), the one on the right not.
        change_pair(left, right, -word.count, w);
        if (kept > 0) {
          change_pair(p[kept - 1], left, -word.count, w);
          change_pair(p[kept - 1], merged, word.count, w);
          grown_.push_back(pair_key(p[kept - 1], merged));
        }
        if (i + 2 < p.size()) {
          change_pair(right, p[i + 2], -word.count, w);
          change_pair(merged, p[i + 2], word.count, w);
          grown_.push_back(pair_key(merged, p[i + 2]));
        }
        p[kept++] = merged;
        ++i;
      }
      p.resize(kept);
    }
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const uint64_t pair : grown_) push(pair, pairs_[pair].count);
  }

  size_t size_;
  int64_t min_frequency_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Word> words_;
  std::unordered_map<uint64_t, Pair> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<uint64_t> grown_;
};


}  // namespace

std::vector<std::string> train_wordpiece(const std::vector<std::string>& lines, int size,
                                         int min_frequency) {
  constexpr int kSmallest = int(std::size(kSpecialTokens)) + 2;
  if (size < kSmallest)
    fail("vocabulary size {}: too small; expected at least {}", size, kSmallest);
  if (min_frequency < 1) fail("minimum frequency {}: expected at least 1", min_frequency);
  const Counts counts = count_words(lines);
  if (counts.empty()) fail("cannot train a vocabulary: no word in {} lines of text", lines.size());
  return Trainer(counts, size_t(size), min_frequency).run();
}

void save_vocab(const std::string& path, const std::vector<std::string>& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes.append(token).push_back('\n');
  write_file_atomic(path, bytes);
}

}  // namespace mome
