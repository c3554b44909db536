// The recipe: everything that a pretraining run is, as one TOML file. Field names are the file's keys.
#pragma once
#include <string>
#include <vector>

#include "models/mome/config.h"

namespace mome {

struct DataConfig {
  std::string train, val, test;       // datasets (see `mome pretrain --help`); split names below
  std::string train_split = "train", val_split = "val", test_split = "test";
  std::string image_root;             // folder of the images that a COCO or Karpathy JSON names
  std::string images;                 // stage 1's images; empty: those of `train`
  std::vector<std::string> text;      // stage 2's text files, one sample a line; empty: captions of `train`
  std::string vocabulary;             // WordPiece vocab.txt
  std::string augmentation = "vlmo";  // "vlmo", "gentle" or "none"
  double strength = 0.4;              // of "gentle"
  double keyword_captions = 0;        // share of captions made of keywords (where records have some)
  double max_bad = 0.01;              // share of records that may be broken before the run stops
  int64_t cache_mib = 512;            // decoded images kept in memory
  int64_t threads = 1;                // loader threads
  std::string index_cache;            // folder of piped shards' indexes; empty: OUTPUT/shards
  int64_t shard_lanes = 8, shard_window = 2;  // of piped shards (runtime/data/shard_order.h)
  int64_t retries = 2;                // further runs of a piped shard's command that failed
};

template <class V>
void visit(V& v, DataConfig& c) {
  v("train", c.train, "image-text pairs: JSON lines, COCO or Karpathy JSON, a folder, or tar shards");
  v("val", c.val, "pairs to watch retrieval on while training; empty: none");
  v("test", c.test, "held-out pairs");
  v("train_split", c.train_split, "split of `train` to use, where the file names splits; empty: all");
  v("val_split", c.val_split, "split of `val`");
  v("test_split", c.test_split, "split of `test`");
  v("image_root", c.image_root, "folder of the images that a JSON names; empty: beside it");
  v("images", c.images, "images of stage 1; empty: those of `train`");
  v("text", c.text, "text files of stage 2, one sample a line; empty: the captions of `train`");
  v("vocabulary", c.vocabulary, "WordPiece vocab.txt");
  v("augmentation", c.augmentation, "\"vlmo\" (crop, flip, RandAugment), \"gentle\" or \"none\"");
  v("strength", c.strength, "of \"gentle\"");
  v("keyword_captions", c.keyword_captions, "share of captions made of a record's keywords");
  v("max_bad", c.max_bad, "share of broken records that a run survives");
  v("cache_mib", c.cache_mib, "MiB of decoded images kept in memory");
  v("threads", c.threads, "loader threads");
  v("index_cache", c.index_cache, "folder where indexes of piped shards are kept; empty: OUTPUT/shards");
  v("shard_lanes", c.shard_lanes, "parts of the batch that read piped shards of their own");
  v("shard_window", c.shard_window, "piped shards that a lane draws from at once");
  v("retries", c.retries, "further runs of a piped shard's command that failed");
}

/// What every stage has.
struct StageConfig {
  int64_t steps = 0, batch = 64;  // steps = 0: the stage is left out
  int64_t accumulate = 1;
  double learning_rate = 1e-3, final_rate = 0;
  int64_t warmup = 0;
  std::string schedule = "linear";
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-8, weight_decay = 0.01, clip = 0, average = 0;
  std::string decay = "matrices";  // which parameters decay: "matrices", or "as-published"
  double drop_path = 0.1, dropout = 0;
  std::string recompute = "none";
  std::vector<std::string> freeze;  // name patterns
};

template <class V>
void visit(V& v, StageConfig& c) {
  v("steps", c.steps, "optimiser steps; 0 leaves the stage out");
  v("batch", c.batch, "samples a step, over all ranks");
  v("accumulate", c.accumulate, "micro-batches that a rank's part of the batch is computed in, one after another, to save memory; the contrast still sees all pairs");
  v("learning_rate", c.learning_rate, "peak");
  v("final_rate", c.final_rate, "rate at the last step, as a fraction of the peak");
  v("warmup", c.warmup, "steps of linear warm-up");
  v("schedule", c.schedule, "\"linear\", \"cosine\" or \"constant\"");
  v("beta1", c.beta1, "AdamW");
  v("beta2", c.beta2, "AdamW");
  v("eps", c.eps, "AdamW");
  v("weight_decay", c.weight_decay, "AdamW, decoupled");
  v("decay", c.decay, "\"matrices\": weights of linear layers alone; \"as-published\": the official list");
  v("clip", c.clip, "largest gradient norm; 0: no clipping");
  v("average", c.average, "decay of the parameters' moving average, which evaluation then uses; 0: none");
  v("drop_path", c.drop_path, "stochastic depth of the last block");
  v("dropout", c.dropout, "of the text embeddings");
  v("recompute", c.recompute, "what backward makes again instead of keeping it: \"none\", \"experts\" (their hidden activations: a fifth less memory for activations, a tenth "
                               "more products) or \"blocks\" (all but each block's inputs: the least memory, a third more products)");
  v("freeze", c.freeze, "name patterns (*) of parameters that are not trained");
}

struct ImageStageConfig : StageConfig {
  double mask_ratio = 0.4;
  std::string codebook;  // file of `mome data codebook`; empty: normalised pixels are regressed
};
template <class V>
void visit(V& v, ImageStageConfig& c) {
  visit(v, static_cast<StageConfig&>(c));
  v("mask_ratio", c.mask_ratio, "share of patches that are masked");
  v("codebook", c.codebook, "patch codebook to predict codes of; empty: regress normalised pixels");
}

inline constexpr char kMaskingHelp[] =
    "\"clean\": the share is of a text's own tokens; \"as-published\": of its padded length, and masks fall on padding too";

struct TextStageConfig : StageConfig {
  TextStageConfig() {  // VLMo, section "stagewise pre-training": attention and V experts stay as stage 1 left them
    freeze = {"transformer.cls_token", "transformer.pos_embed", "transformer.patch_embed.*", "*.gamma_*", "*.norm1.*",
              "*.attn.*", "*_imag.*"};
  }
  double mask_rate = 0.15;
  std::string masking = "clean";
  int64_t text_length = 0;
};
template <class V>
void visit(V& v, TextStageConfig& c) {
  visit(v, static_cast<StageConfig&>(c));
  v("mask_rate", c.mask_rate, "share of tokens that are masked, in whole words");
  v("masking", c.masking, kMaskingHelp);
  v("text_length", c.text_length, "longest text of this stage; 0: the model's");
}

struct PairStageConfig : StageConfig {
  double itc_weight = 1, itm_weight = 1, mlm_weight = 0.25;
  double mask_rate = 0.15;
  std::string masking = "clean";
  std::string duplicates = "masked";
  int64_t itc_world = 1;
  double fusion_from = 0;      // share of the stage after which ITM and MLM begin (contrast alone before)
  int64_t fusion_pairs = 0;    // pairs of the batch that are fused; 0: all
  std::string itm_texts = "hard";     // negative texts: "hard" or "random"; negative images are hard
  std::string vl_start = "random";    // VL experts start "random" (as published) or as a copy of "language"
};
template <class V>
void visit(V& v, PairStageConfig& c) {
  visit(v, static_cast<StageConfig&>(c));
  v("itc_weight", c.itc_weight, "contrast; with a tail the mean of both");
  v("itm_weight", c.itm_weight, "matching; 0: off");
  v("mlm_weight", c.mlm_weight, "masked words; 0: off");
  v("mask_rate", c.mask_rate, "share of tokens that are masked, in whole words");
  v("masking", c.masking, kMaskingHelp);
  v("duplicates", c.duplicates, "other captions of an image, and equal captions: \"masked\" out of contrast and hard negatives; \"as-published\": negatives");
  v("itc_world", c.itc_world, "contrast's gradient into the features is divided by it: 1, or the devices of a published run");
  v("fusion_from", c.fusion_from, "share of the stage before which contrast trains alone");
  v("fusion_pairs", c.fusion_pairs, "pairs of a batch that matching and masked words see; 0: all");
  v("itm_texts", c.itm_texts, "negative texts are \"hard\" or \"random\"");
  v("vl_start", c.vl_start, "VL experts start \"random\" or as a copy of the \"language\" experts");
}

struct StagesConfig {
  ImageStageConfig image;
  TextStageConfig text;
  PairStageConfig pairs;
};
template <class V>
void visit(V& v, StagesConfig& c) {
  v.table("image", c.image, "stage 1: images, masked patches");
  v.table("text", c.text, "stage 2: text, masked words, attention frozen");
  v.table("pairs", c.pairs, "stage 3: pairs, contrast + matching + masked words");
}

/// What every run has: pretraining and fine-tuning.
struct RunConfig {
  std::string output = "runs/mome";
  int64_t seed = 1;
  int64_t log_every = 10, save_every = 200, evaluate_every = 0;
  double save_minutes = 0;
  int64_t keep = 2;
  int64_t rollback_after = 10, rollbacks = 3;
  int64_t compute_threads = 0;
  std::string device = "cpu", dtype = "f32";
  int64_t bucket_mib = 25;
  bool zero = false;
};
template <class V>
void visit(V& v, RunConfig& c) {
  v("output", c.output, "folder of checkpoints and logs");
  v("seed", c.seed, "everything random follows from it");
  v("log_every", c.log_every, "steps between log lines");
  v("save_every", c.save_every, "steps between resume points; 0: none by steps");
  v("save_minutes", c.save_minutes, "minutes between resume points; 0: none by time");
  v("keep", c.keep, "resume points that are kept: the last so many, and of those at multiples of save_every as many");
  v("rollback_after", c.rollback_after, "so many steps in a row without a finite loss and gradient (with fp16: at the smallest loss scale), and the "
                                        "run goes back to its last resume point and on with other batches; 0: never");
  v("rollbacks", c.rollbacks, "so often without getting any further; then the run stops");
  v("evaluate_every", c.evaluate_every, "steps between checks on `val` (retrieval, or the task's figure); 0: at the end");
  v("compute_threads", c.compute_threads, "0: all cores, or a rank's share of its host's");
  v("device", c.device, "\"cpu\", \"cuda\", \"cuda:N\", or \"simt\": the CUDA kernels interpreted on the CPU");
  v("dtype", c.dtype, "of activations and products on a GPU: \"f32\", \"fp16\" (with dynamic loss scaling) or \"bf16\" (from sm_80 on)");
  v("zero", c.zero, "several ranks: each holds and steps a part of the optimiser's state (ZeRO-1)");
  v("bucket_mib", c.bucket_mib, "several ranks: gradients are summed in pieces of this size while backward goes on");
}

struct Recipe : RunConfig {
  ModelConfig model;
  DataConfig data;
  StagesConfig stages;
};
template <class V>
void visit(V& v, Recipe& c) {
  visit(v, static_cast<RunConfig&>(c));
  v.table("model", c.model, "the transformer");
  v.table("data", c.data, "what it is trained on");
  v.table("stages", c.stages, "a table a stage");
}

}  // namespace mome
