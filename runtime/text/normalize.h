// BERT-uncased text normalisation and word splitting (Devlin et al., "BERT", 2019), equal to
// Hugging Face `tokenizers`: BertNormalizer(clean_text, handle_chinese_chars, strip_accents,
// lowercase) followed by BertPreTokenizer. All text is UTF-8; nothing here fails.
#pragma once
#include <string>
#include <string_view>

namespace mome {

/// Appends the normalised form of `text` to `out`, in this order:
///   1. control, format and private-use characters, U+0000 and U+FFFD vanish; white space becomes '
///   ';
///   2. a space goes before and after every CJK ideograph;
///   3. canonical decomposition (NFD), then nonspacing marks (accents) vanish;
///   4. lower case, each character by itself (so a final sigma is an ordinary one).
/// A byte that is not part of valid UTF-8 (overlong forms and surrogates included) counts as
/// U+FFFD, as it does to Python's decode(errors="replace"), and so vanishes: "caf\xE9" gives "caf".
void normalize(std::string_view text, std::string& out);
std::string normalize(std::string_view text);

/// Takes the next word off the front of normalised text: a punctuation character by itself, or a
/// longest run without spaces and punctuation. Empty when there is none left. The view points into
/// `rest`'s memory.
std::string_view next_word(std::string_view& rest);

/// Where `text` first stops being valid UTF-8 (byte offset), or npos.
size_t find_invalid_utf8(std::string_view text);

/// Number of characters (code points) of valid UTF-8.
size_t count_chars(std::string_view text);

/// Bytes of the first character of valid, non-empty UTF-8.
size_t first_char_size(std::string_view text);

}  // namespace mome
