// open_task: every format, as its publishers write it.
#include <gtest/gtest.h>

#include "runtime/data/tasks/task_set.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

using Names = std::vector<std::string>;

class TaskFormats : public ::testing::Test {
 protected:
  std::string picture(const std::string& name) { return folder_.write(name, numbered_png(1)); }
  static Targets one(int32_t c) { return {{c, 1.0f}}; }
  const std::string& file_of(const TaskSet& set, int32_t record) {
    return set.pictures.records.at(record).image.file;
  }

  TemporaryFolder folder_;
};

// Ten annotators; "Two" twice and "2" twice are four who agree.
constexpr const char* kAnnotations = R"({"info": {}, "data_subtype": "train2014", "annotations": [
  {"question_id": 91, "image_id": 9, "question_type": "how many", "answer_type": "number",
   "multiple_choice_answer": "2", "answers": [
     {"answer": "Two", "answer_confidence": "yes", "answer_id": 1}, {"answer": "2", "answer_id": 2},
     {"answer": "3", "answer_id": 3}, {"answer": "Two", "answer_id": 4},
     {"answer": "2", "answer_id": 5}, {"answer": "many", "answer_id": 6}]},
  {"question_id": 92, "image_id": 9, "answer_type": "yes/no", "multiple_choice_answer": "yes",
   "answers": [{"answer": "yes"}, {"answer": "yes"}, {"answer": "yes"}, {"answer": "no"}]},
  {"question_id": 251, "image_id": 25, "answer_type": "other", "multiple_choice_answer": "3",
   "answers": [{"answer": "3"}, {"answer": "3"}]}]})";
constexpr const char* kQuestions = R"({"task_type": "Open-Ended", "questions": [
  {"image_id": 9, "question": "How many?", "question_id": 91},
  {"image_id": 25, "question": "Which?", "question_id": 251},
  {"image_id": 9, "question": "Is it?", "question_id": 92}], "data_subtype": "train2014"})";

TEST_F(TaskFormats, Vqa) {
  const auto first = picture("coco/COCO_train2014_000000000009.jpg");
  const auto second = picture("coco/COCO_train2014_000000000025.jpg");
  const auto questions = folder_.write("q.json", kQuestions);
  const auto annotations = folder_.write("a.json", kAnnotations);
  TaskOptions options;
  options.image_root = folder_ / "coco";
  options.min_occurrences = 1;
  const TaskSet set = open_task(Task::kVqa, {questions, annotations}, "train", options);
  EXPECT_EQ(set.classes, (Names{"2", "yes", "3"}));  // the annotations' order, not the questions'
  ASSERT_EQ(set.samples.size(), 3u);
  ASSERT_EQ(set.pictures.records.size(), 2u);
  EXPECT_EQ(file_of(set, set.samples[0].image[0]), first);
  EXPECT_EQ(file_of(set, set.samples[1].image[0]), second);
  EXPECT_EQ(set.samples[2].image[0], set.samples[0].image[0]);
  EXPECT_EQ(set.samples[0].image[1], -1);
  EXPECT_EQ(set.samples[0].key, "91");
  EXPECT_EQ(set.samples[0].text, "How many?");
  EXPECT_EQ(set.samples[0].kind, "number");
  EXPECT_EQ(set.samples[0].targets, (Targets{{0, 1.0f}, {2, 0.3f}}));
  EXPECT_EQ(set.samples[1].targets, (Targets{{2, 0.6f}}));
  EXPECT_EQ(set.samples[2].targets, (Targets{{1, 0.9f}}));
  ASSERT_EQ(set.problems.size(), 1u);  // "many" and "no"
  expect_in(set.problems[0], {"2 of 6 answers"});

  // As published, "Two" is another answer than "2".
  options.as_published = true;
  const TaskSet published = open_task(Task::kVqa, {annotations, questions}, "", options);
  EXPECT_EQ(published.samples[0].targets, (Targets{{0, 0.6f}, {2, 0.3f}}));
}

TEST_F(TaskFormats, VqaQuestionsWithoutClass) {
  picture("000000000009.jpg");
  picture("000000000025.jpg");
  const auto questions = folder_.write("q.json", kQuestions);
  const auto annotations = folder_.write("a.json", kAnnotations);
  TaskOptions options;
  options.classes = {"yes", "2"};
  const TaskSet train = open_task(Task::kVqa, {questions, annotations}, "train", options);
  EXPECT_EQ(train.samples.size(), 2u);
  ASSERT_EQ(train.problems.size(), 2u);
  expect_in(train.problems[1], {"dropped 1 of 3 questions", "2 classes"});

  options.labels_needed = false;
  const TaskSet val = open_task(Task::kVqa, {questions, annotations}, "train", options);
  ASSERT_EQ(val.samples.size(), 3u);
  EXPECT_TRUE(val.samples[1].targets.empty());
  EXPECT_TRUE(val.samples[1].labelled);  // it counts as wrong

  const TaskSet test = open_task(Task::kVqa, {questions}, "train", options);
  ASSERT_EQ(test.samples.size(), 3u);
  for (const TaskSample& s : test.samples) EXPECT_FALSE(s.labelled || !s.targets.empty());
  EXPECT_EQ(test.classes, options.classes);
}

TEST_F(TaskFormats, VqaPicturesOfEachSplit) {
  const auto image = picture("c/test2015/COCO_test2015_000000000009.jpg");
  const auto file = folder_.write("q.json", R"({"data_subtype": "test-dev2015", "questions": [
      {"image_id": 9, "question": "Is it?", "question_id": 1}]})");
  TaskOptions options;
  options.labels_needed = false;
  options.image_root = folder_ / "c";
  EXPECT_EQ(file_of(open_task(Task::kVqa, {file}, "test-dev", options), 0), image);
}

TEST_F(TaskFormats, EasyVqa) {
  const auto image = picture("images/3.png");
  const auto file = folder_.write("questions.json", R"([["is it red?", "no", 3],
      ["what shape?", "circle", 3], ["is it blue?", "no", 3]])");
  const TaskSet set = open_task(Task::kVqa, {file}, "", {});
  EXPECT_EQ(set.classes, (Names{"no", "circle"}));
  ASSERT_EQ(set.samples.size(), 3u);
  EXPECT_EQ(set.samples[1].targets, one(1));
  EXPECT_EQ(set.samples[1].text, "what shape?");
  ASSERT_EQ(set.pictures.records.size(), 1u);
  EXPECT_EQ(file_of(set, 0), image);
  TaskOptions twice;
  twice.min_occurrences = 2;
  EXPECT_EQ(open_task(Task::kVqa, {file}, "", twice).classes, Names{"no"});
}

TEST_F(TaskFormats, Nlvr2) {
  const auto lines =
      R"({"sentence": "Two dogs.", "label": "True", "identifier": "train-10171-0-0", "directory": 17})"
      "\n"
      R"({"sentence": "One dog.", "label": "False", "identifier": "train-10171-0-1", "directory": 17})"
      "\n"
      R"({"sentence": "A cat.", "label": "False", "identifier": "dev-7-1-0"})";
  const auto file = folder_.write("train.json", lines);
  for (const std::string where : {"", "train/", "images/train/17/"}) {
    TemporaryFolder images;
    std::string left, right;
    for (const std::string name : {"train-10171-0", "dev-7-1"}) {
      const std::string split = name.substr(0, name.find('-'));
      std::string at = where;
      if (split == "dev" && where == "train/") at = "dev/";
      if (split == "dev" && where == "images/train/17/") at = "images/dev/";
      const auto l = images.write(at + name + "-img0.png", numbered_png(1));
      const auto r = images.write(at + name + "-img1.png", numbered_png(2));
      if (split == "train") left = l, right = r;
    }
    TaskOptions options;
    options.image_root = images.path();
    const TaskSet set = open_task(Task::kNlvr2, {file}, "train", options);
    EXPECT_EQ(set.classes, (Names{"False", "True"}));
    ASSERT_EQ(set.samples.size(), 2u);
    EXPECT_EQ(set.pictures.records.size(), 2u);
    EXPECT_EQ(file_of(set, set.samples[0].image[0]), left);
    EXPECT_EQ(file_of(set, set.samples[0].image[1]), right);
    EXPECT_EQ(set.samples[0].targets, one(1));
    EXPECT_EQ(set.samples[1].targets, one(0));
    EXPECT_EQ(set.samples[1].key, "train-10171-0-1");
  }
}

TEST_F(TaskFormats, SnliVe) {
  const auto a = picture("flickr/123.jpg");
  const auto b = picture("flickr/45.jpg");
  const auto file = folder_.write(
      "dev.jsonl",
      R"({"gold_label": "neutral", "sentence1": "x", "sentence2": "A man.", "Flickr30K_ID": "123", "pairID": "123.jpg#0r1n"})"
      "\n"
      R"({"gold_label": "contradiction", "sentence2": "No man.", "Flickr30K_ID": "45.jpg", "pairID": "p2"})"
      "\n\n"
      R"({"gold_label": "entailment", "sentence2": "A thing.", "Flickr30K_ID": 123, "pairID": "p3"})"
      "\n");
  TaskOptions options;
  options.image_root = folder_ / "flickr";
  const TaskSet set = open_task(Task::kEntailment, {file}, "", options);
  EXPECT_EQ(set.classes, (Names{"contradiction", "entailment", "neutral"}));
  ASSERT_EQ(set.samples.size(), 3u);
  EXPECT_EQ(set.samples[0].targets, one(2));
  EXPECT_EQ(set.samples[1].targets, one(0));
  EXPECT_EQ(set.samples[2].targets, one(1));
  EXPECT_EQ(set.samples[0].text, "A man.");
  EXPECT_EQ(file_of(set, set.samples[2].image[0]), a);
  EXPECT_EQ(file_of(set, set.samples[1].image[0]), b);
}

TEST_F(TaskFormats, ClassFolder) {
  for (const char* name : {"c/dog/1.png", "c/cat/x/2.png", "c/dog/0.png", "c/cat/notes.txt"}) {
    picture(name);
  }
  const TaskSet set = open_task(Task::kImageClassification, {folder_ / "c"}, "", {});
  EXPECT_EQ(set.classes, (Names{"cat", "dog"}));
  ASSERT_EQ(set.samples.size(), 3u);
  EXPECT_EQ(set.samples[0].key, "cat/x/2.png");
  EXPECT_EQ(set.samples[0].targets, one(0));
  EXPECT_EQ(set.samples[2].targets, one(1));
  EXPECT_EQ(set.samples[2].text, "");

  for (const char* name : {"s/train/b/1.png", "s/train/a/1.png", "s/test/a/2.png"}) picture(name);
  const TaskSet train = open_task(Task::kImageClassification, {folder_ / "s"}, "train", {});
  EXPECT_EQ(train.classes, (Names{"a", "b"}));
  EXPECT_EQ(train.samples.size(), 2u);
  TaskOptions options;
  options.classes = train.classes;
  const TaskSet test = open_task(Task::kImageClassification, {folder_ / "s"}, "test", options);
  ASSERT_EQ(test.samples.size(), 1u);
  EXPECT_EQ(test.samples[0].targets, one(0));
}

TEST_F(TaskFormats, PlainLines) {
  const auto image = picture("a.png");
  picture("b.png");
  const auto file = folder_.write(
      "x.jsonl",
      R"({"image": "a.png", "text": "t", "label": "right", "split": "train", "key": "k1", "kind": "g"})"
      "\n"
      R"({"image": "b.png", "sentence": "s", "label": true, "split": "train", "identifier": "k2"})"
      "\n"
      R"({"image": "a.png", "question": "q", "answer": 7, "split": "train", "question_id": 12})"
      "\n"
      R"({"image": "a.png", "text": "other", "label": "right", "split": "val", "key": "k1"})");
  const TaskSet set = open_task(Task::kEntailment, {file}, "train", {});
  EXPECT_EQ(set.classes, (Names{"7", "right", "true"}));
  ASSERT_EQ(set.samples.size(), 3u);
  EXPECT_EQ(set.samples[0].kind, "g");
  EXPECT_EQ(set.samples[1].targets, one(2));
  EXPECT_EQ(set.samples[1].text, "s");
  EXPECT_EQ(set.samples[2].key, "12");
  EXPECT_EQ(file_of(set, set.samples[2].image[0]), image);
  // The same lines ask vqa's questions; its classes are in the order of first occurrence.
  EXPECT_EQ(open_task(Task::kVqa, {file}, "", {}).classes, (Names{"right", "true", "7"}));
  EXPECT_EQ(open_task(Task::kImageClassification, {file}, "val", {}).samples.size(), 1u);

  const auto soft = folder_.write(
      "soft.jsonl", R"({"image": "a.png", "text": "t", "answers": ["Two", "2", "cat", "two"]})"
                    "\n"
                    R"({"image": "a.png", "text": "t", "answers": {"cat": 0.5, "the dog": 1.0}})");
  const TaskSet answers = open_task(Task::kVqa, {soft}, "", {});
  EXPECT_EQ(answers.classes, (Names{"2", "the dog"}));
  EXPECT_EQ(answers.samples[0].targets, (Targets{{0, 0.9f}}));
  EXPECT_EQ(answers.samples[1].targets, one(1));
  // A model's classes are normalised where VQAv2 made them.
  TaskOptions options;
  options.classes = {"dog", "cat"};
  EXPECT_EQ(open_task(Task::kVqa, {soft}, "", options).samples[1].targets,
            (Targets{{1, 0.5f}, {0, 1.0f}}));

  const auto pairs =
      folder_.write("pairs.jsonl", R"({"image": ["a.png", "b.png"], "text": "t", "label": false})");
  const TaskSet pair = open_task(Task::kNlvr2, {pairs}, "", {});
  EXPECT_EQ(pair.classes, (Names{"False", "True"}));
  EXPECT_NE(pair.samples[0].image[0], pair.samples[0].image[1]);
}

TEST_F(TaskFormats, SeveralSources) {
  picture("a.png");
  const auto one = folder_.write("1.jsonl", R"({"image": "a.png", "text": "t", "label": "z"})");
  const auto two = folder_.write("2.jsonl", R"({"image": "a.png", "text": "u", "label": "y"})");
  const TaskSet set = open_task(Task::kEntailment, {one, two}, "", {});
  EXPECT_EQ(set.classes, (Names{"y", "z"}));
  ASSERT_EQ(set.samples.size(), 2u);
  EXPECT_EQ(set.samples[1].text, "u");
  EXPECT_EQ(set.pictures.records.size(), 1u);  // each image file once
  EXPECT_EQ(set.samples[0].image[0], set.samples[1].image[0]);
}

}  // namespace
}  // namespace mome
