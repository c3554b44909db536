#include "runtime/text/wordpiece.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/text/normalize.h"

namespace mome {
namespace {

constexpr uint64_t kNoEdge = ~uint64_t{0};
constexpr int32_t kWordRoot = 0, kContinuingRoot = 1;

size_t hash_edge(uint64_t key) { return size_t((key * 0x9E3779B97F4A7C15ull) >> 32); }

}  // namespace

WordPiece WordPiece::load(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<std::string> tokens;
  for (size_t begin = 0; begin < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    std::string_view line(bytes.data() + begin, end - begin);
    while (!line.empty() && std::strchr(" \t\r", line.back())) line.remove_suffix(1);
    tokens.emplace_back(line);
    begin = end + 1;
  }
  while (!tokens.empty() && tokens.back().empty()) tokens.pop_back();
  return from_tokens(std::move(tokens), path);
}

WordPiece WordPiece::from_tokens(std::vector<std::string> tokens, const std::string& name) {
  if (tokens.empty()) fail("{}: the vocabulary is empty; expected one token a line", name);
  WordPiece w;
  w.tokens_ = std::move(tokens);
  w.edges_.assign(1024, {kNoEdge, -1});
  w.token_at_.assign(2, -1);
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(w.tokens_.size());
  for (int32_t id = 0; id < w.size(); ++id) {
    const std::string& token = w.tokens_[id];
    if (token.empty()) fail("{}: line {}: empty; expected a token", name, id + 1);
    if (const size_t at = find_invalid_utf8(token); at != std::string_view::npos)
      fail("{}: line {}: byte {} is not UTF-8", name, id + 1, at + 1);
    const auto [other, fresh] = ids.emplace(token, id);
    if (!fresh)
      fail("{}: line {}: token \"{}\" is already in line {}; expected each once", name, id + 1,
           token, other->second + 1);
    w.add_to_trie(token, id);
  }
  for (size_t i = 0; i < std::size(kSpecialTokens); ++i) {
    const auto found = ids.find(kSpecialTokens[i]);
    if (found == ids.end())
      fail("{}: token {} is missing; expected [PAD], [UNK], [CLS], [SEP] and [MASK]", name,
           kSpecialTokens[i]);
    w.special_[i] = found->second;
  }
  return w;
}

void WordPiece::add_to_trie(const std::string& token, int32_t id) {
  std::string_view bytes = token;
  int32_t node = kWordRoot;
  if (bytes.starts_with("##")) {
    node = kContinuingRoot;
    bytes.remove_prefix(2);
    if (bytes.empty()) return;  // "##" alone can match nothing
  }
  for (unsigned char byte : bytes) {
    const int32_t next = child(node, byte);
    node = next >= 0 ? next : add_child(node, byte);
  }
  token_at_[node] = id;
}

int32_t WordPiece::child(int32_t node, unsigned char byte) const {
  const uint64_t key = uint64_t(node) << 8 | byte;
  const size_t mask = edges_.size() - 1;
  for (size_t slot = hash_edge(key) & mask;; slot = (slot + 1) & mask) {
    if (edges_[slot].key == key) return edges_[slot].child;
    if (edges_[slot].key == kNoEdge) return -1;
  }
}

int32_t WordPiece::add_child(int32_t node, unsigned char byte) {
  if (2 * (edge_count_ + 1) > edges_.size()) grow();
  const uint64_t key = uint64_t(node) << 8 | byte;
  const size_t mask = edges_.size() - 1;
  size_t slot = hash_edge(key) & mask;
  while (edges_[slot].key != kNoEdge) slot = (slot + 1) & mask;
  const int32_t fresh = int32_t(token_at_.size());
  edges_[slot] = {key, fresh};
  ++edge_count_;
  token_at_.push_back(-1);
  return fresh;
}

void WordPiece::grow() {
  std::vector<Edge> old(edges_.size() * 2, Edge{kNoEdge, -1});
  old.swap(edges_);
  const size_t mask = edges_.size() - 1;
  for (const Edge& edge : old) {
    if (edge.key == kNoEdge) continue;
    size_t slot = hash_edge(edge.key) & mask;
    while (edges_[slot].key != kNoEdge) slot = (slot + 1) & mask;
    edges_[slot] = edge;
  }
}

void WordPiece::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.size() > kMaxWordChars && count_chars(word) > kMaxWordChars) {
    ids.push_back(unk());
    return;
  }
  const size_t before = ids.size();
  for (size_t begin = 0; begin < word.size();) {
    int32_t best = -1;
    size_t best_end = begin;
    int32_t node = begin == 0 ? kWordRoot : kContinuingRoot;
    for (size_t at = begin; at < word.size(); ++at) {
      node = child(node, static_cast<unsigned char>(word[at]));
      if (node < 0) break;
      if (token_at_[node] >= 0) best = token_at_[node], best_end = at + 1;
    }
    if (best < 0) {
      ids.resize(before);
      ids.push_back(unk());
      return;
    }
    ids.push_back(best);
    begin = best_end;
  }
}

void WordPiece::encode_plain(std::string_view text, std::string& buffer,
                             std::vector<int32_t>& ids) const {
  buffer.clear();
  normalize(text, buffer);
  std::string_view rest = buffer;
  for (;;) {
    const std::string_view word = next_word(rest);
    if (word.empty()) return;
    encode_word(word, ids);
  }
}

std::vector<int32_t> WordPiece::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 4);
  std::string buffer;
  // Special tokens are looked for in the raw text, as the package does: capitals, no spaces needed.
  size_t begin = 0;
  for (size_t at = text.find('['); at != std::string_view::npos; at = text.find('[', at)) {
    const std::string_view here = text.substr(at);
    const auto* special = std::find_if(std::begin(kSpecialTokens), std::end(kSpecialTokens),
                                       [&](const char* name) { return here.starts_with(name); });
    if (special == std::end(kSpecialTokens)) {
      ++at;
      continue;
    }
    encode_plain(text.substr(begin, at - begin), buffer, ids);
    ids.push_back(special_[special - kSpecialTokens]);
    begin = at += std::strlen(*special);
  }
  encode_plain(text.substr(begin), buffer, ids);
  return ids;
}

std::vector<int32_t> WordPiece::encode_text(std::string_view text, int max_length) const {
  if (max_length < 2)
    fail("text length {}: too short for [CLS] and [SEP]; expected at least 2", max_length);
  std::vector<int32_t> ids = encode(text);
  if (ids.size() > size_t(max_length) - 2) ids.resize(size_t(max_length) - 2);
  ids.insert(ids.begin(), cls());
  ids.push_back(sep());
  return ids;
}

std::string WordPiece::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    const std::string& piece = token(id);
    if (id == pad() || id == cls() || id == sep()) continue;
    if (piece.starts_with("##")) {
      text.append(piece, 2);
    } else {
      if (!text.empty()) text.push_back(' ');
      text.append(piece);
    }
  }
  return text;
}

bool WordPiece::is_special(int32_t id) const {
  return std::find(std::begin(special_), std::end(special_), id) != std::end(special_);
}

const std::string& WordPiece::token(int32_t id) const {
  if (id < 0 || id >= size())
    fail("token id {}: not in the vocabulary; expected 0 to {}", id, size() - 1);
  return tokens_[size_t(id)];
}

}  // namespace mome
