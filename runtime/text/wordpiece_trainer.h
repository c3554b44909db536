// Learns a WordPiece vocabulary from text, the way `tokenizers`' WordPieceTrainer does: starting
// from single characters, the most frequent pair of neighbouring pieces is merged into a new piece,
// again and again (Sennrich et al. 2016, with WordPiece's "##" marks). Pair counts are kept up to
// date as words change, so a merge costs what it touches, not a pass over the text.
#pragma once
#include <string>
#include <vector>

namespace mome {

/// A vocabulary of at most `size` tokens: [PAD] [UNK] [CLS] [SEP] [MASK], the alphabet, the merges.
/// It is smaller when no pair is left that occurs `min_frequency` times. Lines are normalised as by
/// encoding (normalize.h).
///
/// Alphabet: every character that occurs, plain as well as "##" form where it continues a word,
/// sorted by bytes, plain forms first. If that needs more than half of the tokens after the special
/// ones, characters are taken by falling frequency (ties: lower code point) while they fit;
/// words that contain another character are left out, since they will encode as [UNK].
///
/// Deterministic: merges are taken by falling count of the pair; ties by lower id of the left
/// piece, then of the right one, so the result depends neither on the order of lines nor on the
/// machine. Throws Error if size < 7 (no room for a character), min_frequency < 1, or no line has a
/// word.
std::vector<std::string> train_wordpiece(const std::vector<std::string>& lines, int size,
                                         int min_frequency);

/// Writes one token a line; the file is either the old one or whole (temporary name, fsync,
/// rename). Throws Error naming the file and the cause.
void save_vocab(const std::string& path, const std::vector<std::string>& tokens);

}  // namespace mome
