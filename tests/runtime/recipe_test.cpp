#include "runtime/config/recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

struct Stage {
  double learning_rate = 1e-3;
  int64_t steps = 100;
  bool freeze = false;
};
template <class V>
void visit(V& v, Stage& c) {
  v("learning_rate", c.learning_rate, "peak of the schedule");
  v("steps", c.steps, "optimisation steps");
  v("freeze", c.freeze, "");
}

struct Stages {
  Stage image, pairs;
};
template <class V>
void visit(V& v, Stages& c) {
  v.table("image", c.image, "stage 1");
  v.table("pairs", c.pairs);
}

struct Root {
  std::string name = "x";
  int depth = 12;
  std::vector<std::string> files;
  std::vector<double> betas = {0.9, 0.999};
  std::vector<int> sizes;
  std::vector<int64_t> seeds;
  std::vector<bool> flags;
  Stages stages;
  int after = 1;  // Named after a table: it must be printed before it.
};
template <class V>
void visit(V& v, Root& c) {
  v("name", c.name, "of the run");
  v("depth", c.depth, "blocks");
  v("files", c.files, "");
  v("betas", c.betas, "AdamW");
  v("sizes", c.sizes, "");
  v("seeds", c.seeds, "");
  v("flags", c.flags, "");
  v.table("stages", c.stages);
  v("after", c.after, "");
}

class RecipeTest : public testing::Test {
 protected:
  ~RecipeTest() override { std::filesystem::remove(path_); }
  Root load(std::string_view text, const std::vector<std::string>& overrides = {}) {
    write_file_atomic(path_, text);
    return load_recipe<Root>(path_, overrides);
  }
  /// The error's text, with the file called RECIPE.
  std::string error_of(std::string_view text, const std::vector<std::string>& overrides = {}) {
    try {
      load(text, overrides);
    } catch (const Error& error) {
      std::string message = error.what();
      if (message.find(path_) == 0) message.replace(0, path_.size(), "RECIPE");
      return message;
    }
    return "(no error)";
  }
  const std::string path_ = testing::TempDir() + "mome_" + std::to_string(getpid()) + ".toml";
};

TEST_F(RecipeTest, ReadsEveryTypeAndKeepsDefaults) {
  const Root root = load(R"(
name = "run"
files = ["a", "b"]
betas = [1, 0.5]
sizes = [1, -2]
seeds = [9223372036854775807]
flags = [true, false]
stages.image.freeze = true
[stages.pairs]
learning_rate = 2
steps = 7
)");
  EXPECT_EQ(root.name, "run");
  EXPECT_EQ(root.depth, 12);
  EXPECT_EQ(root.files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(root.betas, (std::vector<double>{1, 0.5}));
  EXPECT_EQ(root.sizes, (std::vector<int>{1, -2}));
  EXPECT_EQ(root.seeds, (std::vector<int64_t>{INT64_MAX}));
  EXPECT_EQ(root.flags, (std::vector<bool>{true, false}));
  EXPECT_TRUE(root.stages.image.freeze);
  EXPECT_EQ(root.stages.image.steps, 100);
  EXPECT_EQ(root.stages.pairs.learning_rate, 2);
  EXPECT_EQ(root.stages.pairs.steps, 7);
  EXPECT_FALSE(root.stages.pairs.freeze);
}

TEST_F(RecipeTest, UnknownKeysNameTheNearestValidOne) {
  EXPECT_EQ(error_of("\n[stages.pairs]\nsteps = 1\nlerning_rate = 1\n"),
            "RECIPE:4: unknown key `stages.pairs.lerning_rate`; did you mean `learning_rate`?");
  EXPECT_EQ(error_of("[stage.image]\nsteps = 1\n"),
            "RECIPE:1: unknown key `stage`; did you mean `stages`?");
  // A right key in a wrong place.
  EXPECT_EQ(error_of("learning_rate = 1\n"),
            "RECIPE:1: unknown key `learning_rate`; did you mean `stages.image.learning_rate` or "
            "`stages.pairs.learning_rate`?");
}

TEST_F(RecipeTest, WrongTypesNameTheKeyTheLineAndWhatWasExpected) {
  EXPECT_EQ(error_of("\ndepth = \"12\""),
            "RECIPE:2: depth: expected an integer of 32 bits, got the string \"12\"");
  EXPECT_EQ(error_of("depth = 1.5"),
            "RECIPE:1: depth: expected an integer of 32 bits, got the number 1.5");
  EXPECT_EQ(error_of("depth = 2147483648"),
            "RECIPE:1: depth: expected an integer of 32 bits, got the integer 2147483648");
  EXPECT_EQ(error_of("name = 1"), "RECIPE:1: name: expected a string, got the integer 1");
  EXPECT_EQ(error_of("betas = [1.0,\n true]"), "RECIPE:2: betas[1]: expected a number, got true");
  EXPECT_EQ(error_of("files = \"a\""), "RECIPE:1: files: expected an array, got the string \"a\"");
  EXPECT_EQ(error_of("stages.image.freeze = 0"),
            "RECIPE:1: stages.image.freeze: expected true or false, got the integer 0");
  EXPECT_EQ(error_of("stages = 3"), "RECIPE:1: stages: expected a table, got the integer 3");
  EXPECT_EQ(error_of("stages.pairs.steps = [1]"),
            "RECIPE:1: stages.pairs.steps: expected an integer, got an array");
  EXPECT_EQ(error_of("name = 1979-05-27"), "RECIPE:1: name: expected a string, got a date or time");
}

TEST_F(RecipeTest, BadTomlNamesLineAndColumn) {
  EXPECT_EQ(error_of("depth = 3\nname = \n").substr(0, 11), "RECIPE:2:8:");
  EXPECT_EQ(error_of("depth = 3\ndepth = 4\n").substr(0, 9), "RECIPE:2:");
  EXPECT_EQ(error_of("name = \"\xff\"\n").substr(0, 9), "RECIPE:1:");
  EXPECT_THROW(load_recipe<Root>("absent/recipe.toml", {}), Error);
}

TEST_F(RecipeTest, OverridesWinInTheirOrder) {
  const Root root = load(
      "depth = 3\n", {"depth=4", "depth=5", "name=plain text", "stages.pairs.learning_rate=1e-4",
                      "files=[\"a b\"]", "stages.image={steps=3, freeze=true}"});
  EXPECT_EQ(root.depth, 5);
  EXPECT_EQ(root.name, "plain text");
  EXPECT_EQ(root.stages.pairs.learning_rate, 1e-4);
  EXPECT_EQ(root.files, (std::vector<std::string>{"a b"}));
  EXPECT_EQ(root.stages.image.steps, 3);
  EXPECT_TRUE(root.stages.image.freeze);
  EXPECT_EQ(load("", {"name=12"}).name, "12") << "a string field takes the text";
  EXPECT_EQ(load("", {"name=\"a=b\""}).name, "a=b");
  EXPECT_EQ(load("", {"name=1\ndepth = 2"}).name, "1\ndepth = 2") << "one value only";
  EXPECT_EQ(load("", {"name="}).name, "");
}

TEST_F(RecipeTest, OverridesAreChecked) {
  EXPECT_EQ(error_of("", {"depht=1"}), "--set depht=1: unknown key `depht`; did you mean `depth`?");
  EXPECT_EQ(error_of("", {"stages.image.step=1"}),
            "--set stages.image.step=1: unknown key `stages.image.step`; did you mean `steps`?");
  EXPECT_EQ(error_of("", {"depth=many"}),
            "--set depth=many: depth: expected an integer of 32 bits, got the string \"many\"");
  EXPECT_EQ(error_of("", {"depth.x=1"}), "--set depth.x=1: depth: is a value, not a table");
  EXPECT_EQ(error_of("", {"stages=1"}),
            "--set stages=1: stages: expected a table, got the integer 1");
  EXPECT_EQ(error_of("", {"depth"}), "--set depth: expected KEY=VALUE");
  EXPECT_EQ(error_of("", {"=1"}), "--set =1: expected KEY=VALUE");
  EXPECT_THROW(load("", {"depth"}), UsageError);
  EXPECT_THROW(load("", {"depht=1"}), UsageError);
}

TEST_F(RecipeTest, PrintedRecipeReadsBackBitForBit) {
  Root root;
  root.name = "q\"uo\\te\n\t\x7f \xc3\xa9";
  root.betas = {0.1, 1.0, 1e300, 5e-324, -0.0, 1.0 / 3, std::numeric_limits<double>::infinity()};
  root.seeds = {INT64_MIN, INT64_MAX};
  root.flags = {true, false};
  root.files = {"", "b, c"};
  root.stages.pairs.learning_rate = 1e-5;
  root.after = 9;
  const std::string text = print_recipe(root);
  const Root back = load(text);
  EXPECT_EQ(back.name, root.name);
  EXPECT_EQ(back.betas, root.betas);
  EXPECT_TRUE(std::signbit(back.betas[4]));
  EXPECT_EQ(back.seeds, root.seeds);
  EXPECT_EQ(back.flags, root.flags);
  EXPECT_EQ(back.files, root.files);
  EXPECT_EQ(back.stages.pairs.learning_rate, 1e-5);
  EXPECT_EQ(back.after, 9);
  EXPECT_EQ(print_recipe(back), text);
}

TEST_F(RecipeTest, PrintsHelpAsComments) {
  EXPECT_EQ(print_recipe(Stages{}), R"([image]  # stage 1
learning_rate = 0.001                 # peak of the schedule
steps = 100                           # optimisation steps
freeze = false

[pairs]
learning_rate = 0.001                 # peak of the schedule
steps = 100                           # optimisation steps
freeze = false
)");
}

}  // namespace
}  // namespace mome
