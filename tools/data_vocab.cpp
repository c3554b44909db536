// `mome data vocab`: trains a WordPiece vocabulary.
#include <CLI/CLI.hpp>

#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
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

void run(const Options& o) {
  if (o.size < 6 || o.min_frequency < 1)
    throw UsageError("--size must be at least 6 and --min-frequency at least 1");
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
  if (int(tokens.size()) < o.size)
    fmt::print("the text gives no more than that: set model.vocabulary = {}\n", tokens.size());
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
