// A whole run as a user makes it: three stages on made-up pictures, killed and resumed, evaluated and searched.
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/tools/small_run.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

class PretrainTest : public SmallRun {};

// The whole training through the CUDA kernels, interpreted (or on a GPU, with MOME_TEST_DEVICE=cuda): three stages whose
// losses are the CPU's to rounding.
TEST_F(PretrainTest, SimtTrainsAsTheCpu) {
  const char* chosen = std::getenv("MOME_TEST_DEVICE");
  const std::string device = chosen ? chosen : "simt";
  const auto run = [&](const std::string& output, const std::vector<std::string>& more) {
    std::vector<std::string> c = command(output, {"--set", "stages.image.steps=4", "--set", "stages.text.steps=4", "--set", "stages.pairs.steps=4", "--set",
                                                  "stages.pairs.batch=4"});
    c.insert(c.end(), more.begin(), more.end());
    const Result r = mome(c);
    EXPECT_EQ(r.code, 0) << r.err;
    std::vector<double> losses;
    std::ifstream in(path(output) + "/log.jsonl");
    for (std::string line; std::getline(in, line);) losses.push_back(nlohmann::json::parse(line).at("loss"));
    return losses;
  };
  const std::vector<double> want = run("on_cpu", {});
  ASSERT_EQ(want.size(), 12u);
  const auto expect_close = [&](const std::vector<double>& got, double tolerance) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance * want[i]) << "step " << i;
  };
  expect_close(run("f32", {"--device", device}), 1e-5);
  expect_close(run("fp16", {"--device", device, "--dtype", "fp16"}), 1e-2);
  expect_close(run("bf16", {"--device", device, "--dtype", "bf16"}), 3e-2);
  // The same bits again.
  run("again", {"--device", device, "--dtype", "fp16"});
  expect_same_run("fp16", "again");
}

TEST_F(PretrainTest, ADeviceThatIsNotThereIsAnError) {
  Result r = mome(command("none", {"--device", "gpu"}));
  EXPECT_EQ(r.code, 2);
  EXPECT_NE(r.err.find("expected cpu, cuda, cuda:N or simt"), std::string::npos) << r.err;
  r = mome(command("none", {"--dtype", "bf16"}));
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("is for GPUs"), std::string::npos) << r.err;
  r = mome(command("none", {"--device", "simt", "--dtype", "int8"}));
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("expected f32, fp16 or bf16"), std::string::npos) << r.err;
}

TEST_F(PretrainTest, KilledAnywhereTheResumedRunEqualsTheUninterruptedOne) {
  const Result whole = mome(command("whole"));
  ASSERT_EQ(whole.code, 0) << whole.err;
  // Kill as soon as a given file appears: at once, at the first resume point, in mid-write of the second, at a stage's end, ….
  const std::string moments[] = {"", "image/step-00000002.safetensors", "image/step-00000004.state.safetensors.tmp", "image.safetensors",
                                 "text/step-00000006.state.safetensors", "pairs/step-00000002.safetensors.tmp", "pairs/step-00000008.safetensors"};
  int killed = 0;
  for (const std::string& moment : moments) {
    killed += kill_at(command("killed"), moment.empty() ? moment : path("killed/" + moment));
  }
  EXPECT_GE(killed, 2);
  const Result last = mome(command("killed"));
  ASSERT_EQ(last.code, 0) << last.err;
  expect_same_run("whole", "killed");
}

TEST_F(PretrainTest, InterruptSavesAndSaysHowToGoOn) {
  ASSERT_EQ(mome(command("whole", {"--set", "stages.pairs.steps=400", "--set", "save_every=0"})).code, 0);
  const std::vector<std::string> c = command("stopped", {"--set", "stages.pairs.steps=400", "--set", "save_every=0"});
  const pid_t child = start(c);
  while (!fs::exists(path("stopped/pairs"))) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  kill(child, SIGINT);
  const Result stopped = finish(child);
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  EXPECT_NE(stopped.err.find("goes on from there: mome pretrain"), std::string::npos) << stopped.err;
  const Result resumed = mome(c);
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("going on at step"), std::string::npos) << resumed.err;
  expect_same_run("whole", "stopped");
}

TEST_F(PretrainTest, EvaluateEmbedAndSearch) {
  ASSERT_EQ(mome(command("run", {"--set", "stages.image.steps=0", "--set", "stages.text.steps=0", "--set", "stages.pairs.steps=3"})).code, 0);
  const std::string checkpoint = path("run/pairs.safetensors"), data = path("pairs.jsonl"), vocabulary = path("vocab.txt");
  Result r = mome({"evaluate", "--checkpoint", checkpoint, "--vocabulary", vocabulary, "--data", data, "--split", "test", "--json", path("e.json")});
  ASSERT_EQ(r.code, 0) << r.err;
  const auto e = nlohmann::json::parse(read_file(path("e.json")));
  EXPECT_EQ(e["retrieval"]["pictures"], 6);
  for (const char* way : {"text_to_image", "image_to_text", "chance"})
    for (const char* k : {"r1", "r5", "r10"}) {
      EXPECT_GE(e["retrieval"][way][k].get<double>(), 0) << way << k;
      EXPECT_LE(e["retrieval"][way][k].get<double>(), 1) << way << k;
    }
  EXPECT_NEAR(e["retrieval"]["chance"]["r1"].get<double>(), 1.0 / 6, 1e-12);
  for (const char* k : {"itm_pairwise_random", "itm_pairwise_hard", "mlm_accuracy", "mlm_accuracy_wrong_picture"}) EXPECT_TRUE(e.contains(k)) << k;

  r = mome({"embed", "--checkpoint", checkpoint, "--vocabulary", vocabulary, "--data", data, "--out", path("index.safetensors")});
  ASSERT_EQ(r.code, 0) << r.err;
  const std::vector<std::string> search = {"search", "--checkpoint", checkpoint, "--vocabulary", vocabulary, "--top", "3"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> c = search;
    c.insert(c.end(), more.begin(), more.end());
    return mome(c);
  };
  r = with({"--index", path("index.safetensors"), "--json", path("a.json"), "red square", "a blue cross"});
  ASSERT_EQ(r.code, 0) << r.err;
  ASSERT_EQ(with({"--data", data, "--json", path("b.json"), "red square", "a blue cross"}).code, 0);
  EXPECT_EQ(nlohmann::json::parse(read_file(path("a.json"))), nlohmann::json::parse(read_file(path("b.json"))));
  const auto found = nlohmann::json::parse(read_file(path("a.json")));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0]["query"], "red square");
  EXPECT_EQ(found[0]["results"].size(), 3u);
  EXPECT_GE(found[0]["results"][0]["score"].get<double>(), found[0]["results"][1]["score"].get<double>());
  r = with({"--data", data, "--unseen", data + ":test", "--rerank", "5", "red square"});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("never trained on"), std::string::npos);
  r = with({"--index", path("index.safetensors"), "--image", path("red_square.png")});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find(" 1 "), std::string::npos);
  EXPECT_EQ(with({"--data", data}).code, 2);                          // nothing to search for
  EXPECT_EQ(with({"--data", data, " "}).code, 2);                     // empty
  EXPECT_EQ(with({"red"}).code, 2);                                   // nowhere to search
  EXPECT_EQ(with({"--data", data, "--top", "0", "red"}).code, 2);
  EXPECT_EQ(with({"--index", checkpoint, "red"}).code, 1);            // no index
  r = mome({"evaluate", "--checkpoint", path("index.safetensors"), "--data", data});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("index.safetensors"), std::string::npos) << r.err;
}

TEST_F(PretrainTest, WrongRecipesAreNamed) {
  const auto expect = [&](const std::vector<std::string>& more, int code, const std::string& message) {
    const Result r = mome(command("bad", more));
    EXPECT_EQ(r.code, code) << message << "\n" << r.err;
    EXPECT_NE(r.err.find(message), std::string::npos) << message << "\n" << r.err;
  };
  expect({"--set", "stages.pairs.lerning_rate=1"}, 2, "learning_rate");
  expect({"--set", "model.width=15"}, 1, "model.width: 15 is not a multiple of 2 heads");
  expect({"--set", "model.vocabulary=99"}, 1, "has 16 tokens");
  expect({"--set", "data.train=" + path("none.jsonl")}, 1, "none.jsonl");
  expect({"--set", "stages.pairs.itm_texts=soft"}, 1, "expected \"hard\" or \"random\"");
  expect({"--stage", "poem"}, 2, "poem");
  expect({"--set", "stages.image.mask_ratio=0"}, 1, "mask_ratio");
}

TEST_F(PretrainTest, BrokenPicturesAreSkippedUpToALimit) {
  std::ofstream(path("red_stripe.png")) << "no picture";
  const Result few = mome(command("few", {"--stage", "image", "--set", "data.max_bad=0.2"}));
  EXPECT_EQ(few.code, 0) << few.err;
  EXPECT_NE(few.err.find("red_stripe.png"), std::string::npos) << few.err;
  const Result none = mome(command("none", {"--stage", "image", "--set", "data.max_bad=0"}));
  EXPECT_EQ(none.code, 1);
  EXPECT_NE(none.err.find("red_stripe.png"), std::string::npos) << none.err;
}

TEST_F(PretrainTest, ARunWhoseGradientsStayBrokenStopsAtItsLastGoodStep) {
  for (const auto& [after, in_a_row] : {std::pair("0", 50), {"10", 10}}) {
    const std::string output = fmt::format("storm{}", after);
    const std::vector<std::string> c = command(output, {"--stage", "image", "--set", "stages.image.steps=200", "--set", "stages.image.learning_rate=1e30",
                                                        "--set", "save_every=20", "--set", std::string("rollback_after=") + after});
    const Result r = mome(c);
    EXPECT_EQ(r.code, 1);
    EXPECT_NE(r.err.find(fmt::format("the gradients of {} steps in a row, ", in_a_row)), std::string::npos) << r.err;
    // It went back to the start three times, on with other batches; they are not what is wrong.
    for (int i = 1; i <= 3; ++i)
      EXPECT_EQ(r.err.find(fmt::format("(rollback {} of 3)", i)) != std::string::npos, in_a_row == 10) << r.err;
    // Nothing was saved in the storm; the one point that there is has the step that the message names.
    std::vector<std::string> files;
    for (const auto& e : fs::directory_iterator(path(output + "/image"))) files.push_back(e.path().filename());
    std::sort(files.begin(), files.end());
    ASSERT_EQ(files.size(), 2u);
    EXPECT_NE(r.err.find(output + "/image/" + files[0] + " holds the model"), std::string::npos) << r.err << files[0];
    const int64_t good = std::atoll(files[0].c_str() + 5);
    EXPECT_NE(r.err.find(fmt::format("step {}: the ", good)), std::string::npos) << r.err;
    const Result again = mome(c);  // goes on from there, and finds the same
    EXPECT_EQ(again.code, 1);
    EXPECT_NE(again.err.find(fmt::format("going on at step {} of 200", good)), std::string::npos) << again.err;
    EXPECT_NE(again.err.find(fmt::format("{} steps in a row, {} to {}", in_a_row, good, good + in_a_row - 1)), std::string::npos) << again.err;
  }
}

TEST_F(PretrainTest, AFullDiskLeavesTheLastCheckpointWhole) {
  ASSERT_EQ(mome(command("run", {"--stage", "image"})).code, 0);
  const std::string before = read_file(path("run/image.safetensors"));
  // From here on no file may grow beyond 20 kB: the next stage's first checkpoint cannot be written.
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{20000, old.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const Result r = mome(command("run", {"--stage", "text"}));
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("step-00000002"), std::string::npos) << r.err;
  EXPECT_TRUE(fs::is_empty(path("run/text")));  // the writer in the background left nothing half done
  EXPECT_TRUE(read_file(path("run/image.safetensors")) == before);
  EXPECT_EQ(mome(command("run", {"--stage", "text"})).code, 0);  // room again: it goes on
}

TEST_F(PretrainTest, TruncatedCheckpointOfTheStageBefore) {
  ASSERT_EQ(mome(command("run", {"--stage", "image"})).code, 0);
  fs::resize_file(path("run/image.safetensors"), 1000);
  const Result r = mome(command("run", {"--stage", "text"}));
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("image.safetensors"), std::string::npos) << r.err;
}

TEST_F(PretrainTest, DataCommands) {
  Result r = mome({"data", "inspect", path("pairs.jsonl")});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("24 pictures, 24 captions of 3 to 3 words"), std::string::npos) << r.out;
  r = mome({"data", "vocab", path("v.txt"), path("text.txt"), path("pairs.jsonl"), "--size", "60", "--min-frequency", "1"});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(read_file(path("v.txt")).substr(0, 12), "[PAD]\n[UNK]\n");
  r = mome({"data", "shards", path("s"), path("pairs.jsonl"), "--per-shard", "10"});
  EXPECT_EQ(r.code, 0) << r.err;
  r = mome({"data", "inspect", path("s-{00000..00002}.tar")});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("24 pictures, 24 captions"), std::string::npos) << r.out;
  r = mome({"data", "pairs", path("again.jsonl"), path("pairs.jsonl"), "--split", "test"});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(mome({"data", "inspect", path("again.jsonl")}).out.find("6 pictures"), std::string::npos);
  // An output named through "..": every line must still lead to its picture.
  fs::create_directories(path("sub"));
  r = mome({"data", "pairs", path("sub/../../") + fs::path(folder_).filename().string() + "/dots.jsonl", path("sub/../pairs.jsonl")});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(read_file(path("dots.jsonl")).find("\"image\":\"\""), std::string::npos);
  EXPECT_NE(mome({"data", "inspect", path("dots.jsonl")}).out.find("24 pictures decoded"), std::string::npos);
  r = mome({"data", "codebook", path("codes.safetensors"), path("pairs.jsonl"), "--entries", "5", "--patch", "8", "--image-size", "16", "--samples", "96"});
  EXPECT_EQ(r.code, 0) << r.err;
  // Stage 1 on codes, and a codebook of another patch size.
  r = mome(command("codes", {"--stage", "image", "--set", "stages.image.codebook=" + path("codes.safetensors")}));
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(log_of("codes").find("mim_acc"), std::string::npos);
  r = mome(command("codes2", {"--stage", "image", "--set", "model.patch=4", "--set", "stages.image.codebook=" + path("codes.safetensors")}));
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("codes.safetensors"), std::string::npos) << r.err;
}

TEST_F(PretrainTest, BenchStepPrintsOneLine) {
  const Result r = mome({"bench", "step", "--model", "tiny", "--stage", "pairs", "--batch", "2", "--steps", "1", "--warmup", "0", "--json"});
  ASSERT_EQ(r.code, 0) << r.err;
  const auto j = nlohmann::json::parse(r.out);
  for (const char* k : {"pairs_per_s", "step_s", "peak_rss_mib", "gflop_real", "gf_s_real"}) EXPECT_GT(j[k].get<double>(), 0) << k;
  EXPECT_EQ(mome({"bench", "step", "--model", "giant"}).code, 2);
}

}  // namespace
}  // namespace mome
