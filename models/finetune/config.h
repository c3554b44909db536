// The recipe of a fine-tuning: a pretrained checkpoint, a task, its data. Field names are the file's keys.
#pragma once
#include <string>

#include "models/stages/config.h"
#include "runtime/data/tasks/task.h"

namespace mome {

struct FinetuneConfig : StageConfig {
  double epochs = 10;  // where steps is 0
  double warmup_share = 0.1;
  double head_rate = 1, layer_decay = 1;
  double matching = 0;
};
template <class V>
void visit(V& v, FinetuneConfig& c) {
  visit(v, static_cast<StageConfig&>(c));
  v("epochs", c.epochs, "passes over the samples, where steps is 0");
  v("warmup_share", c.warmup_share, "share of the steps that warm up, where warmup is 0");
  v("head_rate", c.head_rate, "learning rate of the task's head, as a multiple");
  v("layer_decay", c.layer_decay, "learning rate of a block as a multiple of the one above it; 1: all the same");
  v("matching", c.matching, "of retrieval: weight of matching with hard negatives beside contrast; 0: contrast alone");
}

struct FinetuneRecipe : RunConfig {
  FinetuneRecipe() { output = "runs/finetune"; }
  std::string task, checkpoint;
  int64_t heads = 0, image_size = 0, text_length = 0;
  bool allow_missing = false;
  std::string classes;
  int64_t min_occurrences = 0;
  bool blind = false;
  DataConfig data;
  FinetuneConfig training;
};
template <class V>
void visit(V& v, FinetuneRecipe& c) {
  visit(v, static_cast<RunConfig&>(c));
  v("task", c.task, "\"retrieval\", \"vqa\", \"nlvr2\", \"snli-ve\" or \"image-classification\"");
  v("checkpoint", c.checkpoint, "the pretrained model: safetensors or a PyTorch file, VLMo's or BEiT's");
  v("heads", c.heads, "attention heads, where the checkpoint cannot say; 0: it can");
  v("image_size", c.image_size, "pixels of a side; 0: the checkpoint's; another one: position parameters are resampled");
  v("text_length", c.text_length, "longest text in tokens; 0: the checkpoint's");
  v("allow_missing", c.allow_missing, "whether parameters besides the task's head may start fresh");
  v("classes", c.classes, "file of the classes, one a line in the head's order; empty: from the checkpoint if it was fine-tuned on this task, "
                          "else from the training data");
  v("min_occurrences", c.min_occurrences, "of vqa: how often an answer must be the majority's to be a class; 0: 9 for VQAv2, 1 elsewhere");
  v("blind", c.blind, "pictures are replaced by plain gray: what is learned from the texts alone");
  v.table("data", c.data, "train, val, test: files of the task, several with commas between them");
  v.table("training", c.training, "the optimisation");
}

/// What VLMo-Base was fine-tuned with on this task (the official configurations; for snli-ve and image-classification, which
/// were not published, near ones).
FinetuneRecipe finetune_defaults(Task task);

}  // namespace mome
