// `mome data vocab`: trains a WordPiece vocabulary.
#include <CLI/CLI.hpp>
#include <set>
#include <unordered_set>

#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/text/normalize.h"
#include "runtime/text/wordpiece.h"
#include "runtime/text/wordpiece_trainer.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string out, split;
  std::vector<std::string> sources;
  int size = 30522, min_frequency = 2;
};

// Text files give their lines; data sets their captions, and keywords as a line a record.
std::vector<std::string> lines_of(const std::vector<std::string>& sources,
                                  const std::string& split) {
  std::vector<std::string> lines;
  for (const std::string& source : sources) {
    if (source.ends_with(".txt")) {
      const std::vector<std::string> more = read_text_lines({source});
      lines.insert(lines.end(), more.begin(), more.end());
      continue;
    }
    for (const Record& r : open_dataset(source, split, {}).records) {
      lines.insert(lines.end(), r.captions.begin(), r.captions.end());
      if (!r.keywords.empty()) lines.push_back(fmt::format("{}", fmt::join(r.keywords, ", ")));
    }
  }
  return lines;
}

struct Alphabet {
  std::set<std::string> characters, left_out;  // of the text; those without a token
};

Alphabet alphabet_of(const std::vector<std::string>& lines,
                     const std::vector<std::string>& tokens) {
  const std::unordered_set<std::string> known(tokens.begin(), tokens.end());
  Alphabet a;
  for (const std::string& line : lines) {
    const std::string text = normalize(line);
    std::string_view rest = text;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
      if (count_chars(word) > kMaxWordChars) continue;  // never encoded, whatever the alphabet
      while (!word.empty()) {
        const size_t bytes = first_char_size(word);
        a.characters.emplace(word.substr(0, bytes));
        word.remove_prefix(bytes);
      }
    }
  }
  for (const std::string& c : a.characters)
    if (!known.contains(c)) a.left_out.insert(c);
  return a;
}

void run(const Options& o) {
  if (o.size < 7 || o.min_frequency < 1)
    throw UsageError("--size must be at least 7 and --min-frequency at least 1");
  const std::vector<std::string> lines = lines_of(o.sources, o.split);
  const std::vector<std::string> tokens = train_wordpiece(lines, o.size, o.min_frequency);
  save_vocab(o.out, tokens);
  const WordPiece words = WordPiece::from_tokens(tokens, o.out);
  int64_t count = 0, unknown = 0;
  for (const std::string& line : lines)
    for (int32_t id : words.encode(line)) ++count, unknown += id == words.unk();
  fmt::print("{}: {} tokens from {} lines; {:.1f} tokens a line, {:.3f} % unknown\n", o.out,
             tokens.size(), lines.size(),
             lines.empty() ? 0.0 : double(count) / double(lines.size()),
             count ? 100.0 * double(unknown) / double(count) : 0.0);
  const Alphabet alphabet = alphabet_of(lines, tokens);
  if (!alphabet.left_out.empty())
    fmt::print(
        "{} of {} characters, the rarest, found no room in --size {} (they get at most half of "
        "it): "
        "words with them are unknown\n",
        alphabet.left_out.size(), alphabet.characters.size(), o.size);
  if (int(tokens.size()) < o.size)
    fmt::print(
        "{}: set model.vocabulary = {}\n",
        alphabet.left_out.empty()
            ? fmt::format("the text gives no more than that (--min-frequency {})", o.min_frequency)
            : "the words without them give no more than that; a larger --size has room for "
              "more characters and their words",
        tokens.size());
}

}  // namespace

void add_data_vocab_command(CLI::App& data) {
  CLI::App* c =
      data.add_subcommand("vocab", "Train a WordPiece vocabulary on text files and captions");
  auto o = std::make_shared<Options>();
  c->add_option("out", o->out, "file to write (vocab.txt)")->required();
  c->add_option("sources", o->sources,
                "text files (.txt, a sample a line) and data sets (captions and keywords)")
      ->required();
  c->add_option("--split", o->split, "split of the data sets; default all");
  c->add_option("--size", o->size, "tokens, the five special ones included")->capture_default_str();
  c->add_option("--min-frequency", o->min_frequency, "pairs seen less often are not joined")
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
