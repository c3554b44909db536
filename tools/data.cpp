// mome data: making and looking at training data. Each subcommand has a file of its own.
#include <CLI/CLI.hpp>

#include "tools/commands.h"

namespace mome {

void add_data_command(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Make and look at training data");
  data->require_subcommand(1);
  add_data_answers_command(*data);
  add_data_inspect_command(*data);
  add_data_pairs_command(*data);
  add_data_shards_command(*data);
  add_data_vocab_command(*data);
  add_data_codebook_command(*data);
  add_data_emoji_command(*data);
}

}  // namespace mome
