// Labelled samples of a task: pictures, a text, and the classes that are right. Opens the field's
// formats, told apart by their content:
//  * VQAv2 (Goyal et al., CVPR 2017), task vqa: {"questions": [..]} and {"annotations": [..]}, each
//    in files of its own, joined by question_id;
//  * easy-VQA, task vqa: [["question", "answer", image number], ..], pictures images/NUMBER.png;
//  * NLVR2 (Suhr et al., ACL 2019), task nlvr2: JSON lines {"sentence", "label", "identifier"};
//  * SNLI-VE (Xie et al., 2019), task snli-ve: JSON lines {"gold_label", "sentence2",
//    "Flickr30K_ID"};
//  * plain JSON lines, every task: {"image": path, "text": .., "label": ..} (below);
//  * a folder with one folder of pictures a class, task image-classification; split folders
//    train, val and test above them if those are its only folders.
//
// A plain line has "image" (a path; for nlvr2 a list of two), one of "text", "question" and
// "sentence" (not for image classification), and one of
//   "label" or "answer"  a string, a bool ("true", "false") or a number;
//   "answers"            (vqa only) a list of strings, one an annotator, which become soft targets
//                        as VQAv2's do; or {"answer": score in (0, 1]};
// and, where wanted, "split", "kind" and one of "key", "identifier" and "question_id".
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/data/record.h"
#include "runtime/data/tasks/task.h"

namespace mome {

/// Classes that are right, each with its score in (0, 1].
using Targets = std::vector<std::pair<int32_t, float>>;

struct TaskSample {
  std::string key;  // question id, identifier: for messages and submissions
  int32_t image[2] = {-1,
                      -1};  // records of TaskSet::pictures; the second for pairs of pictures only
  std::string text;         // question, statement; empty for image classification
  /// A single {c, 1} where answers are not soft. Empty: not known (a test set), or, if `labelled`,
  /// no right answer is a class (vqa): then every prediction is wrong.
  Targets targets;
  bool labelled = false;  // whether the source says what is right
  std::string kind;       // group by which evaluation reports too (VQAv2: answer_type), or empty
};

struct TaskSet {
  Task task = Task::kVqa;
  Dataset pictures;  // each image file once; records have key, image and image_id only
  std::vector<TaskSample> samples;
  std::vector<std::string> classes;   // class c is classes[c]
  std::vector<std::string> problems;  // "FILE: line 3: what; expected what", and what was dropped
};

struct TaskOptions {
  /// Folder that the paths of pictures start from. Empty: the file's own folder, or `images` in it.
  std::string image_root = {};
  /// Broken records (missing pictures, too) that are skipped, as a fraction of all; more of them
  /// are an error.
  double max_bad = 0.01;
  /// The classes of a model. Empty: built from this set. In the order of the format where it has
  /// one (nlvr2: False, True; snli-ve: contradiction, entailment, neutral); for vqa in the order of
  /// build_answers (answers.h); else sorted.
  std::vector<std::string> classes = {};
  /// How often an answer of vqa must be a majority answer to become a class. 0: as is customary, 9
  /// for VQAv2, 1 elsewhere.
  int64_t min_occurrences = 0;
  /// Whether every sample must have a right class: for training. Then a sample without a label is
  /// a broken record, and a question none of whose answers is a class is dropped (one line of
  /// `problems` counts them). Else both are kept: see TaskSample::labelled.
  bool labels_needed = true;
  /// VQAv2 as the published code reads it: the annotators' answers are not normalised before they
  /// are looked up, although the classes are, so that some lose their score.
  bool as_published = false;
};

/// The samples of all sources, in their order. `split` "" = all. VQAv2's splits are those of its
/// "data_subtype" (train, val, test, test-dev), NLVR2's the first part of its identifiers (train,
/// dev, test1), others as Dataset's. The task is not kRetrieval: its data are open_datasets'.
/// Throws Error if a source is missing, of another task or broken as a whole; if more than max_bad
/// records are (the first five are named); if annotations are of other questions; if a label is not
/// among `classes` (vqa: such answers are left out of the targets and counted in `problems`); or if
/// nothing is left.
TaskSet open_task(Task task, const std::vector<std::string>& sources, const std::string& split,
                  const TaskOptions& options);

}  // namespace mome
