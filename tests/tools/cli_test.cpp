// The program as a user meets it: exit codes 0 (done), 1 (failed), 2 (wrong use) and its messages.
#include <nlohmann/json.hpp>

#include "runtime/io/safetensors.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

class CliTest : public ProgramTest {
 protected:
  std::string checkpoint() {
    const float w[6] = {};
    const int64_t step[1] = {3};
    const TensorEntry entries[] = {{"blocks.0.w", "F32", {2, 3}, w}, {"step", "I64", {1}, step}};
    write_safetensors(path("c.safetensors"), entries, {{"format", "mome"}});
    return path("c.safetensors");
  }
};

TEST_F(CliTest, HelpAndVersionSucceed) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"-h"}, {"info", "--help"}, {"config", "--help"}}) {
    const Result r = mome(arguments);
    EXPECT_EQ(r.code, 0) << arguments[0];
    EXPECT_NE(r.out.find("Usage:"), std::string::npos) << r.out;
    EXPECT_EQ(r.err, "");
  }
  const Result version = mome({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out.find("mome "), 0u);
}

TEST_F(CliTest, WrongUseIsTwoAndPrintsNothingOnStandardOutput) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "mome: a subcommand is required\n"},
      {{"nfo"}, "mome: The following argument was not expected: nfo\n"},
      {{"info"}, "mome: FILE is required\n"},
      {{"info", "a", "b"}, "mome: The following argument was not expected: b\n"},
      {{"info", "a", "--jsno"}, "mome: The following argument was not expected: --jsno\n"},
      {{"config"}, "mome: recipe is required\n"},
  };
  for (const auto& [arguments, message] : cases) {
    const Result r = mome(arguments);
    EXPECT_EQ(r.code, 2) << message;
    EXPECT_NE(r.err.find(message), std::string::npos) << r.err;
    EXPECT_EQ(r.out, "");
  }
}

TEST_F(CliTest, FailuresAreOneAndNameTheFile) {
  Result r = mome({"info", path("absent")});
  EXPECT_EQ(r.code, 1);
  EXPECT_EQ(r.err,
            "mome: " + path("absent") + ": cannot open for reading: No such file or directory\n");
  write_file_atomic(path("text"), "no checkpoint at all");
  r = mome({"info", path("text")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find(path("text") + ": "), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("not a safetensors file"), std::string::npos) << r.err;
  EXPECT_EQ(r.out, "");
}

TEST_F(CliTest, InfoListsACheckpoint) {
  const Result r = mome({"info", checkpoint()});
  EXPECT_EQ(r.code, 0);
  EXPECT_NE(r.out.find("blocks.0.w  F32               6  [2, 3]\n"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("2 tensors, 7 parameters, 0.0 MiB\nformat: mome\n"), std::string::npos);
  const auto json = nlohmann::json::parse(mome({"info", "--json", checkpoint()}).out);
  EXPECT_EQ(json["parameters"], 7);
  EXPECT_EQ(json["bytes"], 32);
  EXPECT_EQ(json["metadata"]["format"], "mome");
  EXPECT_EQ(json["tensors"].size(), 2u);
  EXPECT_EQ(json["tensors"][1]["shape"], (std::vector<int>{2, 3}));
}

TEST_F(CliTest, AFullDiskUnderStandardOutputIsAFailure) {
  if (!std::filesystem::is_character_file("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const Result r = mome({"info", checkpoint()}, "/dev/full");
  EXPECT_EQ(r.code, 1);
  EXPECT_EQ(r.err, "mome: standard output: No space left on device\n");
}

TEST_F(CliTest, ConfigPrintsARecipeThatPrintsItselfAgain) {
  write_file_atomic(path("r.toml"), "seed = 7\n[stages.pairs]\nsteps = 30\n");
  const Result first = mome({"config", path("r.toml"), "--set", "stages.image.batch=3"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("seed = 7 "), std::string::npos);
  EXPECT_NE(first.out.find("steps = 30 "), std::string::npos);
  EXPECT_NE(first.out.find("batch = 3 "), std::string::npos);
  write_file_atomic(path("again.toml"), first.out);
  EXPECT_EQ(mome({"config", path("again.toml")}).out, first.out);
}

TEST_F(CliTest, AsPublishedWinsOverTheRecipeAndSetOverBoth) {
  write_file_atomic(path("r.toml"), "[stages.pairs]\nmasking = \"clean\"\nitc_world = 2\n");
  const auto lines = [&](const Result& r, const std::string& line) {
    size_t n = 0;
    for (size_t at = 0; (at = r.out.find("\n" + line + " ", at)) != std::string::npos; ++at) ++n;
    return n;
  };
  const Result plain = mome({"config", path("r.toml")});
  EXPECT_EQ(plain.code, 0) << plain.err;
  EXPECT_EQ(lines(plain, "decay = \"matrices\""), 3u);
  EXPECT_EQ(lines(plain, "masking = \"clean\""), 2u);
  EXPECT_EQ(lines(plain, "duplicates = \"masked\""), 1u);
  EXPECT_EQ(lines(plain, "itc_world = 2"), 1u);
  const Result published = mome({"config", path("r.toml"), "--as-published"});
  EXPECT_EQ(published.code, 0) << published.err;
  EXPECT_EQ(lines(published, "decay = \"as-published\""), 2u);
  EXPECT_EQ(lines(published, "masking = \"as-published\""), 2u);
  EXPECT_EQ(lines(published, "duplicates = \"as-published\""), 1u);
  EXPECT_EQ(lines(published, "itc_world = 64"), 1u);
  const Result set = mome({"config", path("r.toml"), "--set", "stages.pairs.itc_world=128", "--as-published"});
  EXPECT_EQ(lines(set, "itc_world = 128"), 1u);
  EXPECT_EQ(lines(set, "duplicates = \"as-published\""), 1u);
  // What `pretrain` would stumble over is told before anything is read or written.
  const Result wrong = mome({"pretrain", path("r.toml"), "--set", "stages.text.masking=some"});
  EXPECT_EQ(wrong.code, 1);
  EXPECT_EQ(wrong.err, "mome: recipe: masking = \"some\" is unknown; expected \"clean\" or \"as-published\"\n");
}

TEST_F(CliTest, ConfigRefusesWrongRecipes) {
  write_file_atomic(path("r.toml"), "seed = 7\n[stages.pairs]\nlerning_rate = 1\n");
  Result r = mome({"config", path("r.toml")});
  EXPECT_EQ(r.code, 1);
  EXPECT_EQ(r.err, "mome: " + path("r.toml") +
                       ":3: unknown key `stages.pairs.lerning_rate`; did you mean "
                       "`learning_rate`?\n");
  write_file_atomic(path("r.toml"), "seed = 7\n");
  r = mome({"config", path("r.toml"), "--set", "sed=1"});
  EXPECT_EQ(r.code, 2) << "an option of the command line is at fault";
  EXPECT_EQ(r.err, "mome: --set sed=1: unknown key `sed`; did you mean `seed`?\n");
}

}  // namespace
}  // namespace mome
