// open_task on bad input: what is wrong, where, and what was expected.
#include <gtest/gtest.h>

#include "runtime/data/tasks/task_set.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

class TaskErrors : public ::testing::Test {
 protected:
  void SetUp() override { folder_.write("a.png", numbered_png(1)); }
  std::string error(Task task, const std::vector<std::string>& sources,
                    const TaskOptions& options = {}, const std::string& split = "") {
    return error_of([&] { open_task(task, sources, split, options); });
  }
  /// Questions 1..n about COCO image 9 (there or not).
  std::string questions(const std::string& name, int first, int count) {
    std::string list;
    for (int i = first; i < first + count; ++i) {
      list += fmt::format("{}{{\"image_id\": 9, \"question\": \"q\", \"question_id\": {}}}",
                          i == first ? "" : ", ", i);
    }
    return folder_.write(name, "{\"questions\": [" + list + "]}");
  }
  std::string annotations(const std::string& name, int first, int count) {
    std::string list;
    for (int i = first; i < first + count; ++i) {
      list += fmt::format(
          "{}{{\"question_id\": {}, \"multiple_choice_answer\": \"x\", \"answers\": "
          "[{{\"answer\": \"x\"}}]}}",
          i == first ? "" : ", ", i);
    }
    return folder_.write(name, "{\"annotations\": [" + list + "]}");
  }

  TemporaryFolder folder_;
};

TEST_F(TaskErrors, SourceOfAnotherTask) {
  const auto snli = folder_.write(
      "snli.jsonl", R"({"gold_label": "neutral", "sentence2": "s", "Flickr30K_ID": "1"})");
  expect_in(error(Task::kVqa, {snli}),
            {"snli.jsonl", "SNLI-VE", "task vqa", "questions and annotations"});
  expect_in(error(Task::kNlvr2, {questions("q.json", 1, 1)}),
            {"q.json", "VQAv2's questions", "task nlvr2", "identifier"});
  expect_in(error(Task::kEntailment, {folder_.write("n.json", R"({"identifier": "dev-1-0-0",
      "sentence": "s"})")}),
            {"n.json", "no line of it is a JSON object"});  // one object over two lines
  expect_in(error(Task::kEntailment,
                  {folder_.write("n.jsonl", R"({"identifier": "dev-1-0-0", "sentence": "s"})")}),
            {"NLVR2's JSON lines", "snli-ve", "gold_label"});
  expect_in(error(Task::kVqa, {folder_.path()}), {"a folder of class folders", "task vqa"});
  expect_in(error(Task::kImageClassification, {folder_.write("l.json", "[[]]")}),
            {"easy-VQA", "image-classification"});
  expect_in(error(Task::kVqa, {folder_.write("odd.jsonl", R"({"foo": 1, "bar": 2})")}),
            {"its first line has \"bar\", \"foo\""});
}

TEST_F(TaskErrors, NothingThere) {
  expect_in(error(Task::kVqa, {}), {"no data of task vqa"});
  expect_in(error(Task::kVqa, {folder_ / "none.json"}), {"none.json", "no such file"});
  expect_in(error(Task::kVqa, {folder_.write("empty.jsonl", "\n \n")}), {"empty.jsonl", "empty"});
  expect_in(error(Task::kVqa, {folder_.write("list.json", "[]")}), {"list.json", "no record"});
  expect_in(error(Task::kVqa, {questions("q.json", 1, 0), annotations("a.json", 1, 0)}),
            {"q.json", "no record"});
  TemporaryFolder bare;
  expect_in(error(Task::kImageClassification, {bare.path()}), {"no image in this folder"});
  const auto file = folder_.write(
      "split.jsonl", R"({"image": "a.png", "text": "t", "label": "x", "split": "train"})");
  expect_in(error(Task::kEntailment, {file}, {}, "val"),
            {"no record of split \"val\"", "train (1"});
}

TEST_F(TaskErrors, AnnotationsOfOtherQuestions) {
  folder_.write("000000000009.jpg", numbered_png(1));
  const auto q = questions("q.json", 1, 3);
  expect_in(error(Task::kVqa, {q, annotations("a.json", 3, 4)}),
            {"a.json: 3 annotations are of no question in", "the first of question_id 4",
             "a.json: annotations[1]", "q.json: 2 questions have no annotation",
             "the first is question_id 1"});
  expect_in(error(Task::kVqa, {q}), {"q.json", "questions without annotations"});
  expect_in(error(Task::kVqa, {annotations("a.json", 1, 3)}), {"a.json", "annotations without"});
  expect_in(error(Task::kVqa, {q, annotations("a.json", 1, 3), annotations("b.json", 1, 3)}),
            {"b.json: annotations[0]", "question_id 1 was annotated before"});
  TaskOptions lax;
  lax.max_bad = 0.9;
  lax.classes = {"x"};
  EXPECT_EQ(open_task(Task::kVqa, {q, annotations("a.json", 3, 4)}, "", lax).samples.size(), 1u);
}

TEST_F(TaskErrors, BrokenQuestions) {
  folder_.write("000000000009.jpg", numbered_png(1));
  const auto a = annotations("a.json", 1, 1);
  const auto q = folder_.write("q.json", R"({"questions": [
    {"question": "no image", "question_id": 2}, {"image_id": 9, "question_id": 3},
    {"image_id": 9, "question": "twice", "question_id": 1},
    {"image_id": 9, "question": "twice", "question_id": 1}, 17,
    {"image_id": "9", "question": "q", "question_id": 4}]})");
  expect_in(error(Task::kVqa, {q, a}),
            {"5 of 6 records", "questions[0]: no \"image_id\"", "questions[1]: no \"question\"",
             "questions[3]: question_id 1 was there before", "questions[4]: it is of type number",
             "questions[5]: \"image_id\" is \"9\"; expected a whole number"});
  expect_in(
      error(Task::kVqa, {folder_.write("cut.json", "{\"questions\": [{\"a\": 1}, {\n\"b\""), a}),
      {"cut.json", "line 2, column"});
  expect_in(error(Task::kVqa, {folder_.write("kind.json", "{\"questions\": 3}"), a}),
            {"kind.json", "is no list"});
}

TEST_F(TaskErrors, MissingPictures) {
  const auto q = questions("q.json", 1, 3);
  expect_in(error(Task::kVqa, {q, annotations("a.json", 1, 3)}),
            {"3 of 3 records", "q.json: questions[0]: there is no image file", "000000000009.jpg",
             "3 samples need it"});
  std::string lines;
  for (int i = 0; i < 8; ++i) {
    lines += fmt::format("{{\"image\": \"no{}.png\", \"text\": \"t\", \"label\": 1}}\n", i);
  }
  const std::string message = error(Task::kEntailment, {folder_.write("x.jsonl", lines)});
  expect_in(message, {"8 of 8 records", "line 1: there is no image file", "no0.png", "no4.png",
                      "and 3 more"});
  EXPECT_EQ(message.find("no5.png"), std::string::npos);
}

TEST_F(TaskErrors, BrokenLines) {
  const auto file =
      folder_.write("x.jsonl", R"({"image": "a.png", "text": "t", "label": "x", "key": "k"})"
                               "\n{\"image\": \"a.png\", \n[1]\n"
                               R"({"text": "t", "label": "x"})"
                               "\n"
                               R"({"image": "a.png", "label": "x"})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "sentence": "t", "label": "x"})"
                               "\n");
  const std::string message = error(Task::kEntailment, {file});
  expect_in(message,
            {"5 of 6 records", "line 2: parse error", "line 3: it is of type array",
             "line 4: no \"image\"", "line 5: no text", "line 6: both \"text\" and \"sentence\""});
  const auto more =
      folder_.write("y.jsonl", R"({"image": "a.png", "text": "t", "label": "x", "key": "k"})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "label": "x", "key": "k"})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "label": [1]})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "label": " "})"
                               "\n"
                               R"({"image": "a.png", "text": " ", "label": "x"})"
                               "\n"
                               R"({"image": "a.png", "text": "t"})"
                               "\n");
  expect_in(error(Task::kEntailment, {more}),
            {"5 of 6 records", "line 2: the id \"k\" was there before", "line 1)",
             "line 3: \"label\" is of type array", "line 4: \"label\" is blank",
             "line 5: its text is empty", "line 6: it has no label"});
}

TEST_F(TaskErrors, BrokenAnswers) {
  const auto file =
      folder_.write("x.jsonl", R"({"image": "a.png", "text": "t", "answers": []})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "answers": {"x": 1.5}})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "answers": "x"})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "answers": [1]})"
                               "\n"
                               R"({"image": "a.png", "text": "t", "answers": {"x": 0}})"
                               "\n");
  expect_in(error(Task::kVqa, {file}),
            {"line 1: \"answers\" is empty", "line 2: \"answers\" gives \"x\" the score 1.5",
             "line 3: \"answers\" is of type string", "line 4: \"answers\" holds",
             "line 5: \"answers\" gives \"x\" the score 0"});
  const auto soft =
      folder_.write("s.jsonl", R"({"image": "a.png", "text": "t", "answers": ["x"]})");
  expect_in(error(Task::kEntailment, {soft}), {"\"answers\" is for task vqa", "snli-ve"});
  const auto easy = folder_.write("easy.json", R"([["q", "a"], ["q", "a", -1], "x"])");
  expect_in(error(Task::kVqa, {easy}),
            {"easy.json: [0]: it is [\"q\",\"a\"]; expected [\"question\"", "[1]", "[2]"});
}

TEST_F(TaskErrors, PicturesOfASample) {
  const auto one = folder_.write("1.jsonl", R"({"image": "a.png", "text": "t", "label": 1})");
  expect_in(error(Task::kNlvr2, {one}), {"line 1: it has 1 image; expected 2 for task nlvr2"});
  const auto two =
      folder_.write("2.jsonl", R"({"image": ["a.png", "a.png"], "text": "t", "label": 1})");
  expect_in(error(Task::kVqa, {two}), {"line 1: it has 2 images; expected 1 for task vqa"});
}

TEST_F(TaskErrors, LabelsThatAreNoClasses) {
  const auto file = folder_.write("x.jsonl", R"({"image": "a.png", "text": "t", "label": "x"})"
                                             "\n"
                                             R"({"image": "a.png", "text": "t", "label": "y"})"
                                             "\n");
  TaskOptions options;
  options.classes = {"x", "z"};
  options.max_bad = 1;  // it is the model that does not fit, not a line that is broken
  expect_in(error(Task::kEntailment, {file}, options),
            {"x.jsonl: line 2", "the label \"y\" is not among the classes", "\"x\", \"z\""});
  const TaskSet vqa = open_task(Task::kVqa, {file}, "", options);
  EXPECT_EQ(vqa.samples.size(), 1u);
  options.classes = {"u"};
  expect_in(error(Task::kVqa, {file}, options), {"none of its 2 questions", "\"u\""});
  options.classes = {"x", "y", "x"};
  expect_in(error(Task::kVqa, {file}, options), {"the class \"x\" is there twice"});
  TaskOptions often;
  often.min_occurrences = 2;
  expect_in(error(Task::kVqa, {file}, often), {"none of its 2 different answers", "2 times"});

  const auto snli = folder_.write(
      "snli.jsonl", R"({"gold_label": "maybe", "sentence2": "s", "Flickr30K_ID": "1"})");
  expect_in(error(Task::kEntailment, {snli}),
            {"\"maybe\"", "contradiction, entailment or neutral"});
  const auto nlvr =
      folder_.write("n.jsonl", R"({"identifier": "dev-1-0-0", "sentence": "s", "label": "yes"})"
                               "\n"
                               R"({"identifier": "dev", "sentence": "s", "label": "True"})");
  expect_in(error(Task::kNlvr2, {nlvr}),
            {"\"yes\"", "\"True\" or \"False\"", "\"identifier\" is \"dev\""});
}

TEST_F(TaskErrors, PictureInNoClass) {
  TemporaryFolder classes;
  classes.write("x/1.png", numbered_png(1));
  classes.write("2.png", numbered_png(1));
  expect_in(error(Task::kImageClassification, {classes.path()}),
            {"2.png: it is in no class's folder"});
}

}  // namespace
}  // namespace mome
