// `mome finetune` and `mome evaluate --task` as a user runs them, from a pretraining on made-up
// pictures.
#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/image/png.h"
#include "runtime/io/safetensors.h"
#include "tests/runtime/timing_fields.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const char* const kColours[] = {"red", "green", "blue", "white"};
const uint8_t kRgb[][3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}};
const char* const kShapes[] = {"square", "stripe", "corner"};

// Twelve pictures, shapes in colours, in every format that the tasks read.
class FinetuneCommand : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    setenv("OMP_NUM_THREADS", "1", 1);  // threads would but wait for each other on work this small
    write_data();
    const Result r = mome({"pretrain", path("recipe.toml")});
    ASSERT_EQ(r.code, 0) << r.err;
  }
  void write_data() {
    std::ofstream pairs(path("pairs.jsonl")), vqa(path("vqa.jsonl")), snli(path("snli.jsonl"));
    for (int c = 0; c < 4; ++c)
      for (int s = 0; s < 3; ++s) {
        const int number = c * 3 + s;
        const std::string name = fmt::format("{}.jpg", number);
        const std::string of_class = path(fmt::format("shapes/{}", kShapes[s]));
        fs::create_directories(of_class);
        write_png(path(name), picture(c, s));
        write_png(of_class + "/" + name, picture(c, s));
        const std::string caption = fmt::format("a {} {}", kColours[c], kShapes[s]);
        pairs << json{{"image", name}, {"captions", json::array({caption})}, {"split", "train"}}
              << "\n";
        vqa << json{{"image", name},
                    {"question", "what colour"},
                    {"answer", kColours[c]},
                    {"question_id", 2 * number},
                    {"kind", "other"}}
            << "\n"
            << json{{"image", name},
                    {"question", fmt::format("is it {}", kColours[s])},
                    {"answers", {{s == c ? "yes" : "no", 1}, {"maybe", 0.3}}},
                    {"question_id", 2 * number + 1},
                    {"kind", "yes/no"}}
            << "\n";
        for (const int other : {s, (s + 1) % 3})
          snli << json{{"Flickr30K_ID", std::to_string(number)},
                       {"sentence2", fmt::format("a {}", kShapes[other])},
                       {"gold_label", other == s ? "entailment" : "contradiction"}}
               << "\n";
      }
    std::ofstream vocabulary(path("vocab.txt"));
    for (const char* t : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "green", "blue",
                          "white", "square", "stripe", "corner", "what", "colour", "is", "it"})
      vocabulary << t << "\n";
    std::ofstream(path("recipe.toml")) << fmt::format(R"(
output = "{0}/pretrained"
[model]
image_size = 16
patch = 8
width = 16
heads = 2
layers = 2
vl_from = 1
text_length = 6
vocabulary = 17
[data]
train = "{0}/pairs.jsonl"
vocabulary = "{0}/vocab.txt"
[stages.pairs]
steps = 3
batch = 6
)",
                                                      folder_);
  }
  static Image picture(int colour, int shape) {
    Image image;
    image.width = image.height = 16;
    image.pixels.assign(16 * 16 * 3, 128);
    for (int y = 0; y < 16; ++y)
      for (int x = 0; x < 16; ++x) {
        const bool in = shape == 0   ? x > 3 && x < 12 && y > 3 && y < 12
                        : shape == 1 ? x % 4 < 2
                                     : x + y < 12;
        for (int k = 0; in && k < 3; ++k)
          image.pixels[size_t((y * 16 + x) * 3 + k)] = kRgb[colour][k];
      }
    return image;
  }
  std::string pretrained() const { return path("pretrained/pairs.safetensors"); }
  std::vector<std::string> command(const std::string& task, const std::string& data,
                                   const std::string& output,
                                   std::initializer_list<std::string> more = {}) const {
    std::vector<std::string> c = {
        "finetune",        "--task",  task,       "--checkpoint", pretrained(), "--vocabulary",
        path("vocab.txt"), "--train", path(data), "--output",     path(output)};
    for (const char* set : {"training.steps=7", "training.batch=8", "training.learning_rate=3e-3",
                            "training.drop_path=0.1", "save_every=2", "log_every=1"})
      c.insert(c.end(), {"--set", set});
    for (const std::string& m : more) c.insert(c.end(), {"--set", m});
    return c;
  }
  std::vector<std::string> evaluation(const std::string& task, const std::string& checkpoint,
                                      const std::string& data,
                                      std::initializer_list<std::string> more = {}) const {
    std::vector<std::string> c = {"evaluate",       "--task", task,      "--checkpoint",
                                  path(checkpoint), "--data", path(data)};
    c.insert(c.end(), more);
    return c;
  }
  // Where the message is and no more than that is wrong.
  void expect_error(const std::vector<std::string>& c, int code, const std::string& message) {
    const Result r = mome(c);
    EXPECT_EQ(r.code, code) << message << "\n" << r.err;
    EXPECT_NE(r.err.find(message), std::string::npos) << message << "\n" << r.err;
  }
  json json_of(const std::string& name) const { return json::parse(read_file(path(name))); }
  // The log without what a clock decides.
  std::string log_of(const std::string& output) const { return log_without_timing(path(output) + "/log.jsonl"); }
};

TEST_F(FinetuneCommand, KilledAnywhereTheResumedRunEqualsTheUninterruptedOne) {
  const std::initializer_list<std::string> more = {"data.val=" + path("vqa.jsonl"),
                                                   "training.average=0.5"};
  const Result whole = mome(command("vqa", "vqa.jsonl", "whole", more));
  ASSERT_EQ(whole.code, 0) << whole.err;
  const std::vector<std::string> c = command("vqa", "vqa.jsonl", "killed", more);
  int killed = 0;
  for (const std::string& moment : {std::string(), std::string("vqa/step-00000002.safetensors"),
                                    std::string("vqa/step-00000004.state.safetensors.tmp"),
                                    std::string("vqa/step-00000006.state.safetensors")}) {
    killed += kill_at(c, moment.empty() ? moment : path("killed/" + moment));
  }
  EXPECT_GE(killed, 2);
  const Result last = mome(c);
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_TRUE(read_file(path("whole/vqa.safetensors")) ==
              read_file(path("killed/vqa.safetensors")));
  EXPECT_EQ(log_of("whole"), log_of("killed"));
  EXPECT_NE(log_of("whole").find("val_acc"), std::string::npos);
  const Result again = mome(c);
  EXPECT_EQ(again.code, 0);
  EXPECT_NE(again.err.find("done before"), std::string::npos) << again.err;
}

TEST_F(FinetuneCommand, InterruptSavesAndSaysHowToGoOn) {
  const std::initializer_list<std::string> more = {"training.steps=300", "save_every=0"};
  ASSERT_EQ(mome(command("vqa", "vqa.jsonl", "whole", more)).code, 0);
  const std::vector<std::string> c = command("vqa", "vqa.jsonl", "stopped", more);
  const pid_t child = start(c);
  for (int i = 0; i < 20000 && !fs::exists(path("stopped/log.jsonl")); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  kill(child, SIGINT);
  const Result stopped = finish(child);
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  EXPECT_NE(stopped.err.find("goes on from there"), std::string::npos) << stopped.err;
  EXPECT_FALSE(fs::exists(path("stopped/vqa.safetensors")));
  const Result resumed = mome(c);
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("going on at step"), std::string::npos) << resumed.err;
  EXPECT_TRUE(read_file(path("whole/vqa.safetensors")) ==
              read_file(path("stopped/vqa.safetensors")));
  EXPECT_EQ(log_of("whole"), log_of("stopped"));
}

TEST_F(FinetuneCommand, VqaLearnsIsEvaluatedAndSubmitted) {
  ASSERT_EQ(mome(command("vqa", "vqa.jsonl", "run",
                         {"training.steps=400", "training.batch=24", "training.learning_rate=1e-2",
                          "training.drop_path=0", "training.dropout=0", "data.augmentation=none",
                          "save_every=0"}))
                .code,
            0);
  const SafeTensors saved(path("run/vqa.safetensors"));
  const json classes = json::parse(saved.metadata().at("mome.classes"));
  EXPECT_EQ(classes, (json{"red", "yes", "no", "green", "blue", "white"}));  // by first occurrence
  EXPECT_EQ(read_file(path("run/vocab.txt")), read_file(path("vocab.txt")));
  const Result r = mome(evaluation("vqa", "run/vqa.safetensors", "vqa.jsonl",
                                   {"--submission", path("s.json"), "--json", path("e.json")}));
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("95 % interval"), std::string::npos) << r.out;
  const json e = json_of("e.json"), s = json_of("s.json");
  EXPECT_EQ(e["all"]["samples"], 24);
  EXPECT_GT(e["all"]["score"].get<double>(), 0.9);  // it learns 24 answers by heart
  EXPECT_LT(e["all"]["low"].get<double>(), e["all"]["score"].get<double>());
  EXPECT_NEAR(e["majority"]["score"].get<double>(), 9 / 24., 1e-9);  // always "no"
  EXPECT_EQ(e["by_kind"]["other"]["samples"], 12);
  EXPECT_EQ(e["by_kind"]["yes/no"]["samples"], 12);
  ASSERT_EQ(s.size(), 24u);
  ASSERT_EQ(e["predictions"].size(), 24u);
  int right = 0;
  std::ifstream lines(path("vqa.jsonl"));
  for (size_t i = 0; i < 24; ++i) {
    std::string line;
    std::getline(lines, line);
    const json sample = json::parse(line);
    EXPECT_EQ(s[i]["question_id"], sample["question_id"]);
    EXPECT_EQ(s[i]["answer"], e["predictions"][i]["class"]);
    const std::string answer = s[i]["answer"];
    right +=
        sample.contains("answer") ? sample["answer"] == answer : sample["answers"].contains(answer);
  }
  EXPECT_NEAR(e["all"]["score"].get<double>(), right / 24.,
              1e-9);  // no class has another score than 1
  // Without pictures it can but say the same of every "what colour".
  ASSERT_EQ(mome(evaluation("vqa", "run/vqa.safetensors", "vqa.jsonl",
                            {"--blind", "--json", path("b.json")}))
                .code,
            0);
  const json blind = json_of("b.json");
  for (size_t i = 2; i < 24; i += 2)
    EXPECT_EQ(blind["predictions"][i]["class"], blind["predictions"][0]["class"]);
  EXPECT_LE(blind["by_kind"]["other"]["score"].get<double>(), 0.25 + 1e-9);
}

TEST_F(FinetuneCommand, EntailmentAndImageClassification) {
  Result r = mome(command("snli-ve", "snli.jsonl", "snli"));
  ASSERT_EQ(r.code, 0) << r.err;
  r = mome(
      evaluation("snli-ve", "snli/snli-ve.safetensors", "snli.jsonl", {"--json", path("e.json")}));
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(json_of("e.json")["all"]["samples"], 24);
  EXPECT_EQ(json_of("e.json")["majority"]["score"], 0.5);
  r = mome(command("image-classification", "shapes", "images"));
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_FALSE(fs::exists(path("images/vocab.txt")));  // there is no text in it
  r = mome(evaluation("image-classification", "images/image-classification.safetensors", "shapes",
                      {"--json", path("e.json")}));
  ASSERT_EQ(r.code, 0) << r.err;
  const json e = json_of("e.json");
  EXPECT_EQ(e["all"]["samples"], 12);
  for (const json& p : e["predictions"])
    EXPECT_TRUE(p["class"] == "square" || p["class"] == "stripe" || p["class"] == "corner") << p;
  // A fine-tuned model goes on with its own classes, in their order.
  std::vector<std::string> more = command("image-classification", "shapes", "further");
  for (std::string& argument : more)
    if (argument == pretrained()) argument = path("images/image-classification.safetensors");
  r = mome(more);
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.err.find("fresh: nothing"), std::string::npos) << r.err;
}

// Statements about pairs of pictures; labels that are bools are the classes of the format.
TEST_F(FinetuneCommand, PairsOfPictures) {
  std::ofstream lines(path("nlvr2.jsonl"));
  for (int i = 0; i < 12; ++i) {
    const std::string second = fmt::format("{}.jpg", (i + 1) % 12);
    json line = {{"text", "a red square"}, {"label", i % 3 == 0}};
    line["image"] = json::array({fmt::format("{}.jpg", i), second});
    lines << line << "\n";
  }
  lines.close();
  Result r = mome(command("nlvr2", "nlvr2.jsonl", "pairs"));
  ASSERT_EQ(r.code, 0) << r.err;
  r = mome(
      evaluation("nlvr2", "pairs/nlvr2.safetensors", "nlvr2.jsonl", {"--json", path("e.json")}));
  ASSERT_EQ(r.code, 0) << r.err;
  const json e = json_of("e.json");
  EXPECT_EQ(e["all"]["samples"], 12);
  EXPECT_NEAR(e["majority"]["score"].get<double>(), 8 / 12., 1e-9);
  for (const json& p : e["predictions"])
    EXPECT_TRUE(p["class"] == "True" || p["class"] == "False") << p;
}

TEST_F(FinetuneCommand, RetrievalWithMatchingIsReranked) {
  Result r = mome(command("retrieval", "pairs.jsonl", "ir", {"training.matching=1"}));
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_NE(log_of("ir").find("\"itm\""), std::string::npos) << log_of("ir");
  const auto evaluate = [&](const std::string& checkpoint, const std::string& k) {
    return evaluation("retrieval", checkpoint, "pairs.jsonl",
                      {"--rerank", k, "--json", path("e.json")});
  };
  r = mome(evaluate("ir/retrieval.safetensors", "12"));
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("re-ranked"), std::string::npos) << r.out;
  const json whole = json_of("e.json");
  EXPECT_EQ(whole["reranked"]["pictures"], 12);
  // One candidate is in order already.
  ASSERT_EQ(mome(evaluate("ir/retrieval.safetensors", "1")).code, 0);
  const json one = json_of("e.json");
  EXPECT_EQ(one["reranked"], one["retrieval"]);
  EXPECT_EQ(one["retrieval"], whole["retrieval"]);
  // Contrast alone has no fused part.
  ASSERT_EQ(mome(command("retrieval", "pairs.jsonl", "contrast")).code, 0);
  EXPECT_EQ(log_of("contrast").find("\"itm\""), std::string::npos);
  expect_error(evaluate("contrast/retrieval.safetensors", "3"), 1,
               "contrast/retrieval.safetensors: has no matching head");
}

using AnswersCommand = ProgramTest;

TEST_F(AnswersCommand, CountsAnnotations) {
  json all = json::array();
  for (const char* answer : {"Net", "two", "the net", "2", "x"})
    all.push_back({{"question_id", all.size()},
                   {"multiple_choice_answer", answer},
                   {"answers", json::array({{{"answer", answer}}})}});
  std::ofstream(path("a.json")) << json{{"annotations", all}};
  Result r =
      mome({"data", "answers", path("answers.txt"), path("a.json"), "--min-occurrences", "2"});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(read_file(path("answers.txt")), "net\n2\n");
  r = mome({"data", "answers", path("none.txt"), path("a.json")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("a.json"), std::string::npos) << r.err;
  EXPECT_FALSE(fs::exists(path("none.txt")));
}

TEST_F(FinetuneCommand, WrongUsesAreNamed) {
  expect_error({"finetune", "--train", path("vqa.jsonl")}, 2, "--task is needed");
  expect_error({"finetune", "--task", "poem"}, 2, "retrieval, vqa, nlvr2");
  expect_error({"finetune", "--task", "vqa", "--train", path("vqa.jsonl")}, 1, "checkpoint");
  std::vector<std::string> c = command("vqa", "vqa.jsonl", "none");
  for (std::string& argument : c)
    if (argument == pretrained()) argument = path("absent.safetensors");
  expect_error(c, 1, "absent.safetensors");
  expect_error(command("vqa", "absent.jsonl", "none"), 1, "absent.jsonl");
  expect_error(command("vqa", "snli.jsonl", "none"), 1, "SNLI-VE");
  expect_error(command("vqa", "vqa.jsonl", "none", {"training.layer_decay=2"}), 1, "layer_decay");
  expect_error(command("vqa", "vqa.jsonl", "none", {"training.epoch=2"}), 2, "epochs");
  // A model of pictures alone lacks more than the head.
  ASSERT_EQ(mome({"pretrain", path("recipe.toml"), "--stage", "image", "--set",
                  "output=" + path("images"), "--set", "stages.image.steps=1", "--set",
                  "stages.image.batch=4"})
                .code,
            0);
  for (std::string& argument : c)
    if (argument == path("absent.safetensors")) argument = path("images/image.safetensors");
  expect_error(c, 1, "allow_missing = true");
  // Evaluation.
  expect_error(
      {"evaluate", "--task", "poem", "--checkpoint", pretrained(), "--data", path("vqa.jsonl")}, 2,
      "poem");
  expect_error(evaluation("vqa", "pretrained/pairs.safetensors", "vqa.jsonl"), 1,
               "has no head for vqa; expected a checkpoint of `mome finetune --task vqa`");
  ASSERT_EQ(mome(command("vqa", "vqa.jsonl", "run")).code, 0);
  std::ofstream(path("few.txt")) << "yes\nno\n";
  std::ofstream(path("twice.txt")) << "yes\nno\nyes\n";
  const std::string model = "run/vqa.safetensors";
  expect_error(evaluation("vqa", model, "vqa.jsonl", {"--classes", path("few.txt")}), 1,
               "few.txt: 2 classes; the head of " + path(model) + " has 6");
  expect_error(evaluation("vqa", model, "vqa.jsonl", {"--classes", path("twice.txt")}), 1,
               "twice.txt: line 3: class \"yes\" is there twice");
  expect_error(evaluation("snli-ve", model, "snli.jsonl"), 1, "has no head for snli-ve");
  expect_error(evaluation("vqa", model, "snli.jsonl"), 1, "SNLI-VE");
  std::ofstream(path("named.jsonl"))
      << json{{"image", "0.jpg"}, {"text", "is it red"}, {"key", "first"}} << "\n";
  expect_error(evaluation("vqa", model, "named.jsonl", {"--submission", path("s.json")}), 1,
               "\"first\"");
  EXPECT_FALSE(fs::exists(path("s.json")));
  ASSERT_EQ(mome(command("snli-ve", "snli.jsonl", "snli")).code, 0);
  expect_error(evaluation("snli-ve", "snli/snli-ve.safetensors", "snli.jsonl",
                          {"--submission", path("s.json")}),
               2, "--submission is for --task vqa");
}

}  // namespace
}  // namespace mome
