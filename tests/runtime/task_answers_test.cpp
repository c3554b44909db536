// Answers: normalisation as published, classes in the official order, soft scores, submissions.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/data/tasks/answers.h"
#include "runtime/data/tasks/json_items.h"
#include "runtime/data/tasks/task.h"
#include "runtime/data/tasks/vqa_submission.h"
#include "runtime/io/atomic_file.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

// What the published normalize_word gives (Python 3.11), case by case.
TEST(TaskAnswers, NormalizesAsPublished) {
  const std::pair<const char*, const char*> cases[] = {
      {"Yes", "yes"},
      {"The Cat", "cat"},
      {"an apple  a day", "apple day"},
      {"two", "2"},
      {"none", "0"},
      {"Ten", "10"},
      {"eleven", "eleven"},
      {"dont", "don't"},
      {"couldnt've", "couldn't've"},
      {"couldn'tve", "couldn't've"},
      {"couldntve", "couldntve"},  // lacks two apostrophes: not in the table
      {"yall'dve", "yall'dve"},
      {"y'all'dve", "y'all'd've"},
      {"somebody'd", "somebodyd"},
      {"were", "were"},
      {"Im", "im"},  // the table has "Im", but words are lower-case by then
      {"1,000", "1000"},
      {"1,000 - 2", "1000 2"},
      {"red,white", "red white"},
      {"red, white", "red white"},
      {"red/white", "red white"},
      {"t-shirt", "t shirt"},
      {"t-shirt -x", "tshirt x"},  // one hyphen beside a space removes them all
      {"3.5", "3.5"},
      {"3.", "3"},
      {"u.s.", "us"},
      {"what?", "what"},
      {"mother's", "mother's"},
      {"CAF\xC3\x89", "caf\xC3\xA9"},
      {"a\xC2\xA0"
       "b",
       "b"},  // a no-break space is white space
      {"the", ""},
      {"", ""},
      {"....................................", "...."},  // 36 periods: at most 32 are removed
  };
  for (const auto& [written, normal] : cases)
    EXPECT_EQ(normalize_answer(written), normal) << written;
}

std::string annotation(int id, const std::string& majority) {
  return nlohmann::json{{"question_id", id},
                        {"multiple_choice_answer", majority},
                        {"answers", {{{"answer", majority}, {"answer_id", 1}}}}}
      .dump();
}

std::string annotations(const std::vector<std::string>& majorities, int first_id) {
  std::string list;
  for (const std::string& m : majorities) {
    list += (list.empty() ? "" : ", ") + annotation(first_id++, m);
  }
  return "{\"info\": {\"annotations\": 3}, \"annotations\": [" + list + "], \"license\": null}";
}

TEST(TaskAnswers, ClassesAreInOrderOfFirstOccurrence) {
  TemporaryFolder folder;
  // "rare" comes first but too seldom; "2" is frequent only over both files and both spellings.
  const auto train =
      folder.write("train.json", annotations({"rare", "two", "Yes", "no", "yes."}, 1));
  const auto val = folder.write("val.json", annotations({"no", "2", "yes", "The no", "2"}, 1));
  EXPECT_EQ(build_answers({train, val}, 3), (std::vector<std::string>{"2", "yes", "no"}));
  EXPECT_EQ(build_answers({val, train}, 3), (std::vector<std::string>{"no", "2", "yes"}));
  EXPECT_EQ(build_answers({train, val}, 1), (std::vector<std::string>{"rare", "2", "yes", "no"}));
  EXPECT_EQ(build_answers({train}, 2), (std::vector<std::string>{"yes"}));
  // The customary 9.
  const auto nine = folder.write(
      "nine.json", annotations({"a b", "b", "b", "b", "b", "b", "b", "b", "b", "b"}, 1));
  EXPECT_EQ(build_answers({nine}), (std::vector<std::string>{"b"}));
}

TEST(TaskAnswers, BrokenAnnotationFiles) {
  TemporaryFolder folder;
  const auto rare = folder.write("rare.json", annotations({"x"}, 1));
  expect_in(error_of([&] { build_answers({rare}); }), {"rare.json", "none of 1", "9 times"});
  const auto other = folder.write("other.json", "{\"questions\": []}");
  expect_in(error_of([&] { build_answers({other}); }), {"other.json", "no list \"annotations\""});
  const auto cut = folder.write("cut.json", annotations({"x", "y"}, 1).substr(0, 150));
  expect_in(error_of([&] { build_answers({cut}); }), {"cut.json", "line 1, column"});
  const auto hole = folder.write(
      "hole.json", "{\"annotations\": [" + annotation(1, "x") + ", {\"question_id\": 2}]}");
  expect_in(error_of([&] { build_answers({hole}, 1); }),
            {"hole.json: annotations[1]", "multiple_choice_answer"});
}

TEST(TaskAnswers, SoftScores) {
  EXPECT_EQ(soft_score(0), 0.0f);
  const auto scores = score_answers({"a", "b", "a", "c", "c", "c", "d", "d", "d", "d"});
  const std::vector<std::pair<std::string, float>> expected = {
      {"a", 0.6f}, {"b", 0.3f}, {"c", 0.9f}, {"d", 1.0f}};
  EXPECT_EQ(scores, expected);
  EXPECT_EQ(soft_score(10), 1.0f);
}

TEST(TaskAnswers, ItemsOfNestedLists) {
  std::vector<std::string> seen;
  const auto rest =
      parse_items(R"({"x": [[1, [2]], 3, {"x": [4]}, null], "y": {"x": [5]}, "z": [6], "x2": 7})",
                  {"x"}, [&](const std::string& list, int64_t index, const nlohmann::json& value) {
                    seen.push_back(list + std::to_string(index) + value.dump());
                  });
  EXPECT_EQ(seen, (std::vector<std::string>{"x0[1,[2]]", "x13", "x2{\"x\":[4]}", "x3null"}));
  EXPECT_EQ(rest.dump(), R"({"x":[],"x2":7,"y":{"x":[5]},"z":[6]})");
  EXPECT_EQ(first_keys(R"({"a": {"b": [1]}, "c": 2} {"d": 3})", {}),
            (std::set<std::string>{"a", "c"}));
  EXPECT_EQ(first_keys(R"({"a": [], "stop": 1, "c": 2})", {"stop"}),
            (std::set<std::string>{"a", "stop"}));
  EXPECT_EQ(first_keys(R"([{"a": 1}])", {}), std::set<std::string>{});
  EXPECT_EQ(first_keys(R"({"a": 1, "b" 2})", {}), (std::set<std::string>{"a", "b"}));
  EXPECT_EQ(first_keys("17", {}), std::set<std::string>{});
}

TEST(TaskAnswers, TaskNames) {
  for (const Task task : {Task::kRetrieval, Task::kVqa, Task::kNlvr2, Task::kEntailment,
                          Task::kImageClassification}) {
    EXPECT_EQ(parse_task(task_name(task)), task);
  }
  expect_in(error_of([] { parse_task("vqav2"); }), {"vqav2", "vqa", "image-classification"});
}

TEST(TaskAnswers, Submission) {
  TemporaryFolder folder;
  const std::string file = folder / "results/submit.json";
  write_submission(file, {"262148000", "5"}, {"yes", "say \"no\"\xFF"});
  const auto root = nlohmann::json::parse(read_file(file));
  ASSERT_EQ(root.size(), 2u);
  EXPECT_EQ(root[0]["question_id"], 262148000);
  EXPECT_EQ(root[0]["answer"], "yes");
  EXPECT_EQ(root[1]["answer"], "say \"no\"\xEF\xBF\xBD");
  EXPECT_EQ(root[1].size(), 2u);
  const std::string before = read_file(file);
  for (const std::string key : {"q7", "", "1.5", "7 ", "99999999999999999999"}) {
    expect_in(error_of([&] {
                write_submission(file, {"1", key}, {"a", "b"});
              }),
              {"submit.json", "question 2 of 2", "\"" + key + "\"", "whole number"});
  }
  expect_in(error_of([&] {
              write_submission(file, {"1", "1"}, {"a", "b"});
            }),
            {"was there before"});
  EXPECT_EQ(read_file(file), before);
  write_submission(file, {}, {});
  EXPECT_EQ(nlohmann::json::parse(read_file(file)).size(), 0u);
}

}  // namespace
}  // namespace mome
