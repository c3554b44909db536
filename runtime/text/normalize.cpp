#include "runtime/text/normalize.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/text/unicode.h"

namespace mome {
namespace {

// Gathers decomposed characters until the next starter (a character of combining class 0), because
// Unicode's canonical order sorts the characters between starters by class. Accents are dropped on
// the way in: the sort is stable, so what is left comes out in the order that it would have had.
class Composer {
 public:
  explicit Composer(std::string& out) : out_(out) {}

  void add(int32_t c) {
    const int order = combining_class(c);
    if (order == 0) flush();
    if (char_kind(c) == CharKind::kAccent) return;
    if (order == 0)
      append_utf8(to_lower(c), out_);
    else
      pending_.push_back({order, c});
  }

  void flush() {
    if (pending_.empty()) return;
    std::stable_sort(pending_.begin(), pending_.end(),
                     [](const Pending& a, const Pending& b) { return a.order < b.order; });
    for (const Pending& p : pending_) append_utf8(to_lower(p.c), out_);
    pending_.clear();
  }

 private:
  struct Pending {
    int order;
    int32_t c;
  };
  std::string& out_;
  std::vector<Pending> pending_;
};

// The CJK ideograph blocks that BERT's tokenizer names. The package's range of extension E starts
// at U+2B920 (the block itself starts at U+2B820); equality with it is worth more here.
bool is_cjk(int32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

// What becomes of an ASCII byte in normalisation: itself, lower case, a space, or 0 = it vanishes.
constexpr char normal_ascii(unsigned char c) {
  if (c == '\t' || c == '\n' || c == '\r') return ' ';
  if (c < 0x20 || c == 0x7F) return 0;
  return c >= 'A' && c <= 'Z' ? char(c + 32) : char(c);
}

}  // namespace

void normalize(std::string_view text, std::string& out) {
  out.reserve(out.size() + text.size() + 16);
  Composer composer(out);
  for (size_t at = 0; at < text.size();) {
    const unsigned char byte = text[at];
    if (byte < 0x80) {
      ++at;
      if (const char c = normal_ascii(byte)) {
        composer.flush();
        out.push_back(c);
      }
      continue;
    }
    int32_t c;
    const size_t bytes = decode_utf8(text.substr(at), c);
    at += std::max<size_t>(bytes, 1);
    if (bytes == 0) continue;
    const CharKind kind = char_kind(c);
    if (kind == CharKind::kRemoved) continue;
    if (kind == CharKind::kSpace) {
      composer.flush();
      out.push_back(' ');
      continue;
    }
    const bool cjk = is_cjk(c);
    if (cjk) composer.add(' ');
    int32_t parts[kMaxDecomposition];
    const int count = decompose(c, parts);
    for (int i = 0; i < count; ++i) composer.add(parts[i]);
    if (cjk) composer.add(' ');
  }
  composer.flush();
}

std::string normalize(std::string_view text) {
  std::string out;
  normalize(text, out);
  return out;
}

std::string_view next_word(std::string_view& rest) {
  size_t begin = 0;
  while (begin < rest.size() && rest[begin] == ' ') ++begin;
  size_t end = begin;
  while (end < rest.size()) {
    int32_t c = static_cast<unsigned char>(rest[end]);
    size_t bytes = 1;
    // Normalised text is valid UTF-8; the max is for callers who did not normalise.
    if (c >= 0x80) bytes = std::max<size_t>(decode_utf8(rest.substr(end), c), 1);
    const CharKind kind = char_kind(c);
    if (kind == CharKind::kSpace) break;
    if (kind == CharKind::kPunctuation) {
      if (end == begin) end += bytes;
      break;
    }
    end += bytes;
  }
  const std::string_view word = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  return word;
}

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    int32_t c;
    const size_t bytes = decode_utf8(text.substr(at), c);
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::string_view::npos;
}

size_t count_chars(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

size_t first_char_size(std::string_view text) {
  size_t bytes = 1;
  while (bytes < text.size() && (text[bytes] & 0xC0) == 0x80) ++bytes;
  return bytes;
}

}  // namespace mome
