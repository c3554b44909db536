// `mome trace` as a user runs it.
#include <cstdlib>
#include <cstring>

#include "models/checkpoints/tensors.h"
#include "tests/runtime/data_files.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(MOME_SOURCE_DIR) + "/tests/models/goldens/" + name + ".safetensors";
}

class TraceCommand : public ProgramTest {
 protected:
  using Arguments = std::vector<std::string>;

  void SetUp() override {
    ProgramTest::SetUp();
    std::string vocabulary;  // as many tokens as the goldens' model has words
    for (const char* special : kSpecialTokens) vocabulary += std::string(special) + "\n";
    for (int i = 5; i < 50; ++i) vocabulary += {'w', char('a' + i / 26), char('a' + i % 26), '\n'};
    write_file_atomic(path("vocab.txt"), vocabulary);
    for (int i = 0; i < 2; ++i)
      write_file_atomic(path(std::to_string(i) + ".png"), numbered_png(i));
  }
  Result trace(const std::string& mode, const std::string& out, const Arguments& more) {
    Arguments a = {"trace", "--checkpoint", golden_path("relative"), "--mode", mode,
                   "--out", path(out)};
    a.insert(a.end(), more.begin(), more.end());
    return mome(a);
  }
  Result refused(const Arguments& more, const std::string& mode = "infer") {
    const Result r = trace(mode, "refused", more);
    EXPECT_FALSE(std::filesystem::exists(path("refused")));
    return r;
  }
  Arguments pictures() {
    return {"--image",     path("0.png"), "--text", "Waf waz way wag", "--image",
            path("1.png"), "--text",      "wbc",    "--vocabulary",    path("vocab.txt")};
  }
  NamedTensors read(const std::string& name) { return read_tensors(path(name)); }
};

TEST_F(TraceCommand, PicturesAndTextsThenTheirTensorsGiveTheSameBits) {
  for (const char* mode : {"infer", "dual", "irtr"}) {
    const Result r = trace(mode, "prepared", pictures());
    ASSERT_EQ(r.code, 0) << r.err;
    const NamedTensors prepared = read("prepared");
    EXPECT_EQ(prepared.at("in.image").shape, (std::vector<int64_t>{2, 3, 32, 32}));
    EXPECT_EQ(prepared.at("in.text_ids").dtype, "I64");
    ASSERT_EQ(trace(mode, "again", {"--inputs", path("prepared")}).code, 0);
    const NamedTensors again = read("again");
    EXPECT_EQ(again.list.size() + 3, prepared.list.size());  // without in.*
    for (const NamedTensor& t : again.list) {
      const NamedTensor& same = prepared.at(t.name);
      ASSERT_EQ(t.bytes, same.bytes) << t.name;
      EXPECT_EQ(std::memcmp(t.data, same.data, t.bytes), 0) << mode << " " << t.name;
    }
  }
}

TEST_F(TraceCommand, PreparesAsEvaluationDoes) {
  ASSERT_EQ(trace("infer", "out", pictures()).code, 0);
  const NamedTensors out = read("out");
  std::vector<int64_t> ids(24), masks(24);
  std::memcpy(ids.data(), out.at("in.text_ids").data, 24 * sizeof(int64_t));
  std::memcpy(masks.data(), out.at("in.text_masks").data, 24 * sizeof(int64_t));
  // [CLS] waf waz way wag [SEP], each word's number that of its letters.
  EXPECT_EQ((std::vector<int64_t>(ids.begin(), ids.begin() + 7)),
            (std::vector<int64_t>{2, 5, 25, 24, 6, 3, 0}));
  EXPECT_EQ((std::vector<int64_t>(ids.begin() + 12, ids.begin() + 16)),
            (std::vector<int64_t>{2, 28, 3, 0}));
  EXPECT_EQ((std::vector<int64_t>(masks.begin() + 4, masks.begin() + 16)),
            (std::vector<int64_t>{1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0}));
  for (const double v : float_values(out, out.at("in.image"))) {
    const double level = (v + 1) * 127.5;  // mean and deviation 0.5: whole levels of 0 … 255
    ASSERT_NEAR(level, std::round(level), 1e-4);
    ASSERT_TRUE(v >= -1 && v <= 1);
  }
}

TEST_F(TraceCommand, TheSameBytesWhateverTheThreads) {
  const Arguments more = {"--inputs", golden_path("batch"), "--gradients"};
  setenv("OMP_NUM_THREADS", "1", 1);
  ASSERT_EQ(trace("stage3", "one", more).code, 0);
  setenv("OMP_NUM_THREADS", "3", 1);
  ASSERT_EQ(trace("stage3", "three", more).code, 0);
  unsetenv("OMP_NUM_THREADS");
  EXPECT_EQ(read_file(path("one")), read_file(path("three")));
}

TEST_F(TraceCommand, TypesOfWhatItWrites) {
  const Arguments inputs = {"--inputs", golden_path("batch")};
  ASSERT_EQ(trace("itm", "out", inputs).code, 0);
  NamedTensors out = read("out");
  EXPECT_EQ(out.at("out.itm_logits").dtype, "F32");
  EXPECT_EQ(out.at("out.itm_logits").shape, (std::vector<int64_t>{9, 2}));
  EXPECT_EQ(out.at("out.itm_labels").dtype, "I64");
  EXPECT_EQ(out.at("out.loss").shape, std::vector<int64_t>{});
  EXPECT_EQ(out.find("in.image"), nullptr);
  EXPECT_EQ(out.find("grad.itm_score.fc.weight"), nullptr);
  Arguments more = inputs;
  more.insert(more.end(), {"--dtype", "f64", "--gradients"});
  ASSERT_EQ(trace("itm", "out", more).code, 0);
  out = read("out");
  EXPECT_EQ(out.at("out.itm_logits").dtype, "F64");
  EXPECT_EQ(out.at("grad.itm_score.fc.weight").dtype, "F64");
}

TEST_F(TraceCommand, OptimiserStepsWriteLossesRatesAndParameters) {
  const Result r = trace("itc", "out",
                         {"--inputs", golden_path("batch"), "--optimise", "3", "--set",
                          "optimiser.lr=0.01", "--set", "optimiser.warmup=2"});
  ASSERT_EQ(r.code, 0) << r.err;
  const NamedTensors out = read("out"), before = read_tensors(golden_path("relative"));
  EXPECT_EQ(float_values(out, out.at("out.lr")), (std::vector<double>{0, 0.005f, 0.01f}));
  const std::vector<double> losses = float_values(out, out.at("out.loss"));
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_EQ(losses[0], losses[1]);  // the first step's rate is 0
  EXPECT_LT(losses[2], losses[1]);
  EXPECT_NE(float_values(out, out.at("param.logit_scale")),
            float_values(before, before.at("logit_scale")));
  EXPECT_EQ(out.find("param.mlm_score.bias"), nullptr);  // contrast does not train it
  EXPECT_EQ(out.find("out.itc_i2t_logits"), nullptr);
}

TEST_F(TraceCommand, WrongUse) {
  const Arguments inputs = {"--inputs", golden_path("batch")};
  const auto with = [&](Arguments more) {
    more.insert(more.begin(), inputs.begin(), inputs.end());
    return refused(more);
  };
  EXPECT_EQ(refused({}).code, 2);
  EXPECT_EQ(refused(inputs, "itx").code, 2);
  EXPECT_EQ(with({"--image", path("0.png"), "--text", "waf"}).code, 2);
  EXPECT_EQ(refused({"--image", path("0.png")}).code, 2);
  EXPECT_EQ(with({"--optimise", "0"}).code, 2);
  EXPECT_EQ(with({"--gradients"}).code, 2);
  EXPECT_EQ(with({"--device", "tpu"}).code, 2);
  EXPECT_EQ(with({"--dtype", "f16"}).code, 2);
  Result r = with({"--set", "model.width=3"});
  EXPECT_EQ(r.code, 2);
  EXPECT_NE(r.err.find("--set model.width=3"), std::string::npos) << r.err;
  r = refused({"--image", path("0.png"), "--text", "waf"});
  EXPECT_EQ(r.code, 2);
  EXPECT_NE(r.err.find("--vocabulary"), std::string::npos) << r.err;
  Arguments two = pictures();
  two.insert(two.end(), {"--text", "wbc"});
  r = refused(two);
  EXPECT_EQ(r.code, 2);
  EXPECT_NE(r.err.find("2 --image and 3 --text"), std::string::npos) << r.err;
}

TEST_F(TraceCommand, BadFiles) {
  Result r = refused(pictures(), "itm");
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("--image and --text: tensor `in.neg_image` is missing; mode itm reads"),
            std::string::npos)
      << r.err;
  r = refused({"--inputs", path("none.safetensors")});
  EXPECT_EQ(r.code, 1);
  write_file_atomic(path("broken"), "0123456789");
  r = refused({"--inputs", path("broken")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find(path("broken")), std::string::npos) << r.err;
  r = refused({"--image", path("broken"), "--text", "waf", "--vocabulary", path("vocab.txt")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find(path("broken")), std::string::npos) << r.err;
  write_file_atomic(path("short.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwaf\n");
  r = refused({"--image", path("0.png"), "--text", "waf", "--vocabulary", path("short.txt")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("short.txt: has 6 tokens; the checkpoint expects 50"), std::string::npos)
      << r.err;
}

}  // namespace
}  // namespace mome
