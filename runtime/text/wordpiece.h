// WordPiece tokenisation of BERT-uncased text (Wu et al. 2016; Devlin et al. 2019): each normalised
// word (normalize.h) is cut from the left into the longest pieces that the vocabulary has; pieces
// that continue a word are written with a leading "##". Equal to `tokenizers`'
// BertWordPieceTokenizer (with its default settings) for any vocab.txt.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mome {

/// A vocabulary with its tokeniser. Immutable: const members may be called from many threads.
class WordPiece {
 public:
  /// Reads one token a line; a token's id is its line number minus one. Throws Error, naming file
  /// and line, if the file cannot be read, is empty, has an empty line, text that is not UTF-8 or a
  /// token twice, or lacks one of [PAD] [UNK] [CLS] [SEP] [MASK].
  static WordPiece load(const std::string& vocab_txt_path);
  /// The same from tokens in memory; `name` stands for the file in errors.
  static WordPiece from_tokens(std::vector<std::string> tokens, const std::string& name);

  /// Token ids of a text in any case, without [CLS] and [SEP]. A word that cannot be cut into known
  /// pieces, or of more than 100 characters, is one [UNK]. The five special tokens, where they are
  /// written out in the text, stand for themselves.
  std::vector<int32_t> encode(std::string_view text) const;
  /// [CLS] x [SEP], where x is cut at the end so that there are at most `max_length` ids. Throws
  /// Error if max_length < 2.
  std::vector<int32_t> encode_text(std::string_view text, int max_length) const;
  /// Words joined by single spaces, pieces glued together; [PAD], [CLS] and [SEP] left out. Throws
  /// Error for an id outside [0, size()).
  std::string decode(std::span<const int32_t> ids) const;

  int32_t size() const { return int32_t(tokens_.size()); }
  int32_t pad() const { return special_[0]; }
  int32_t unk() const { return special_[1]; }
  int32_t cls() const { return special_[2]; }
  int32_t sep() const { return special_[3]; }
  int32_t mask() const { return special_[4]; }
  bool is_special(int32_t id) const;
  /// Throws Error for an id outside [0, size()).
  const std::string& token(int32_t id) const;
  /// Whether the token continues a word (starts with "##"). Same error.
  bool continues(int32_t id) const { return token(id).starts_with("##"); }

 private:
  WordPiece() = default;
  void add_to_trie(const std::string& token, int32_t id);
  int32_t child(int32_t node, unsigned char byte) const;
  int32_t add_child(int32_t node, unsigned char byte);
  void grow();
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;
  void encode_plain(std::string_view text, std::string& buffer, std::vector<int32_t>& ids) const;

  // A trie over bytes. Node 0 is the root for starts of words, node 1 for continuing pieces. All
  // edges lie in one open-addressing hash table: a step costs one probe whatever the fan-out.
  struct Edge {
    uint64_t key;  // node << 8 | byte; kNoEdge = empty slot
    int32_t child;
  };
  std::vector<Edge> edges_;
  size_t edge_count_ = 0;
  std::vector<int32_t> token_at_;  // node -> token that ends there, or -1
  std::vector<std::string> tokens_;
  int32_t special_[5] = {};
};

/// The special tokens, in the order in which a trained vocabulary starts.
inline constexpr const char* kSpecialTokens[5] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
/// Longest word, in characters, that is cut into pieces.
inline constexpr size_t kMaxWordChars = 100;

}  // namespace mome
