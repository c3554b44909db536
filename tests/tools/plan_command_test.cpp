// `mome plan`: the published points, its JSON, and what it says of impossible plans.
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/tools/program.h"

namespace mome {
namespace {

using nlohmann::json;

class PlanCommand : public ProgramTest {
 protected:
  json plan(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "plan");
    arguments.insert(arguments.end(), {"--json", "-"});
    const Result r = mome(arguments);
    EXPECT_EQ(r.code, 0) << r.err;
    return json::parse(r.out);
  }
  void expect_failure(std::vector<std::string> arguments, int code, const std::string& part) {
    arguments.insert(arguments.begin(), "plan");
    const Result r = mome(arguments);
    EXPECT_EQ(r.code, code) << r.out;
    EXPECT_NE(r.err.find(part), std::string::npos) << r.err;
  }
};

TEST_F(PlanCommand, ThePublishedPointsWithinAQuarter) {
  const json vlmo = plan({"--model", "vlmo-base", "--gpu", "v100", "--gpus", "64", "--batch",
                          "1024", "--steps", "200000"});
  EXPECT_NEAR(vlmo["days"], 2, 0.5);
  EXPECT_NEAR(plan({"--model", "vilt", "--gpu", "v100", "--gpus", "64", "--batch", "4096",
                    "--steps", "200000"})["days"],
              3, 0.75);
  const json albef = plan({"--model", "albef", "--gpu", "a100", "--gpus", "8", "--batch", "512",
                           "--epochs", "30", "--samples", "5.1e6"});
  EXPECT_NEAR(albef["days"], 3, 0.75);
  EXPECT_EQ(albef["steps"], 298828);
  EXPECT_EQ(albef["dtype"], "f32");
  // A name alone is its published run.
  EXPECT_EQ(plan({"--model", "vlmo-base"}), vlmo);
}

TEST_F(PlanCommand, JsonHasEverything) {
  const Result r =
      mome({"plan", "--model", "vlmo-base", "--gpu", "h100", "--gpus", "16", "--batch", "1024",
            "--steps", "1000", "--implementation", "mome", "--zero", "--json", path("plan.json")});
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("MFU"), std::string::npos);
  const json p = json::parse(read_file(path("plan.json")));
  for (const char* key :
       {"days", "gpu_hours", "step_s", "memory_gib", "mfu", "peak_tflops", "samples_per_s", "fits",
        "rates", "scaling", "breaks", "seconds", "memory"})
    EXPECT_TRUE(p.contains(key)) << key;
  const double step = p["step_s"], days = p["days"], hours = p["gpu_hours"];
  EXPECT_NEAR(days, step * 1000 / 86400, 1e-9 * days);
  EXPECT_NEAR(hours, days * 24 * 16, 1e-9 * hours);
  double seconds = 0, gib = 0;
  for (const auto& part : p["seconds"]) seconds += part.get<double>();
  for (const auto& part : p["memory"]) gib += part.get<double>();
  EXPECT_NEAR(seconds, step, 1e-9 * step);
  EXPECT_NEAR(gib, p["memory_gib"], 1e-9 * gib);
  EXPECT_NEAR(p["mfu"].get<double>(), p["step_gflop"].get<double>() * 1e9 / (16 * 989e12 * step),
              1e-6);
  EXPECT_EQ(p["scaling"].size(), 8u);
}

TEST_F(PlanCommand, ARecipeIsAModelAndAStage) {
  std::ofstream(path("r.toml"))
      << "[model]\nwidth = 192\nheads = 3\nlayers = 4\nvl_from = 3\nimage_size = 96\n"
         "[stages.image]\nsteps = 70\nbatch = 32\n[stages.pairs]\nsteps = 50\nbatch = 16\n";
  const json pairs = plan({"--recipe", path("r.toml"), "--gpu", "a100", "--gpus", "2"}),
             image = plan(
                 {"--recipe", path("r.toml"), "--gpu", "a100", "--gpus", "2", "--stage", "image"});
  EXPECT_EQ(pairs["implementation"], "mome");
  EXPECT_EQ(pairs["steps"], 50);
  EXPECT_EQ(pairs["batch"], 16);
  EXPECT_EQ(image["steps"], 70);
  EXPECT_LT(image["parameters"], pairs["parameters"]);
}

TEST_F(PlanCommand, MeasuredKernelsAreUsedAndNamed) {
  const std::string csv = path("gpu.csv");
  std::ofstream(csv) << "gpu,part,case,pass,dtype,rate,unit\nNVIDIA H100 80GB HBM3,attention,dense "
                        "4096,forward,bf16,10,TFLOP/s\n";
  const std::vector<std::string> base = {"--model",          "vlmo-base", "--gpu",   "h100",
                                         "--gpus",           "8",         "--dtype", "bf16",
                                         "--implementation", "mome"};
  std::vector<std::string> measured = base;
  measured.insert(measured.end(), {"--kernels", csv});
  const json with = plan(measured), without = plan(base);
  EXPECT_GT(with["step_s"], 10 * without["step_s"].get<double>());
  EXPECT_NE(with["rates"].get<std::string>().find(csv), std::string::npos);
}

TEST_F(PlanCommand, PublishedRunsAreListed) {
  const Result r = mome({"plan", "--published"});
  ASSERT_EQ(r.code, 0) << r.err;
  for (const char* name : {"vlmo-base", "vlmo-large", "vilt", "albef"})
    EXPECT_NE(r.out.find(name), std::string::npos) << r.out;
}

TEST_F(PlanCommand, ImpossiblePlansAreNamed) {
  expect_failure({"--model", "vlmo-base", "--gpu", "k80"}, 2,
                 "--gpu k80: unknown; known are v100-16, v100-32 (v100)");
  expect_failure({"--model", "vlmo-huge", "--gpu", "v100", "--batch", "8", "--steps", "1"}, 2,
                 "--model vlmo-huge: unknown; known are vlmo-base");
  expect_failure({"--model", "vlmo-base", "--batch", "1000"}, 2, "does not divide among 64 GPUs");
  expect_failure({"--model", "vlmo-base", "--gpus", "12"}, 2,
                 "not a multiple of the 8 GPUs of a node");
  expect_failure({"--model", "vlmo-base-plus", "--gpu", "v100"}, 2, "--batch is needed");
  expect_failure({"--model", "vlmo-base", "--zero"}, 2, "add --implementation mome");
  expect_failure({"--model", "vilt", "--implementation", "mome"}, 2, "this engine trains VLMo");
  expect_failure({"--model", "vlmo-base", "--dtype", "bf16"}, 2, "v100-32 has no bf16");
  expect_failure({"--gpu", "v100"}, 2, "one of --model and --recipe");
  expect_failure({"--recipe", path("none.toml"), "--gpu", "v100"}, 1, "none.toml");
  // A model that is too large says by how much.
  expect_failure({"--model", "vlmo-large", "--gpu", "v100-16", "--gpus", "8", "--batch", "8",
                  "--image-size", "896", "--steps", "1"},
                 1, "GiB too much (states");
}

}  // namespace
}  // namespace mome
