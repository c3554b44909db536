// `mome config RECIPE`: the effective recipe, every key with its value and meaning.
#include "models/stages/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "runtime/config/recipe.h"
#include "tools/commands.h"

namespace mome {

void add_config_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "config", "Print the effective recipe: the file, overrides and defaults, with comments.");
  auto path = std::make_shared<std::string>();
  auto overrides = std::make_shared<std::vector<std::string>>();
  command->add_option("RECIPE", *path, "The recipe, a TOML file")->required();
  command
      ->add_option(
          "--set", *overrides,
          "KEY=VALUE: a key of the recipe to set, such as stages.pairs.steps=100 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->callback([path, overrides] {
    fmt::print("{}", print_recipe(load_recipe<Recipe>(*path, *overrides)));
  });
}

}  // namespace mome
