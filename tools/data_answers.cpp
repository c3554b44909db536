// `mome data answers`: the classes of VQAv2 from its annotations.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "runtime/core/error.h"
#include "runtime/data/tasks/answers.h"
#include "runtime/io/atomic_file.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string out;
  std::vector<std::string> annotations;
  int64_t min_occurrences = 9;
};

void run(const Options& o) {
  const std::vector<std::string> answers = build_answers(o.annotations, o.min_occurrences);
  write_file_atomic(o.out, fmt::format("{}\n", fmt::join(answers, "\n")));
  fmt::print("{}: {} answers\n", o.out, answers.size());
}

}  // namespace

void add_data_answers_command(CLI::App& data) {
  CLI::App* c = data.add_subcommand(
      "answers", "The classes of visual question answering, from VQAv2 annotations");
  auto o = std::make_shared<Options>();
  c->add_option("out", o->out, "file to write, an answer a line in the order of the official heads")
      ->required();
  c->add_option("annotations", o->annotations,
                "v2_mscoco_train2014_annotations.json and then val2014's give the official 3,129")
      ->required();
  c->add_option("--min-occurrences", o->min_occurrences, "majority answers that an answer must have")
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
