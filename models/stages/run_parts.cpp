// What the steps of a run share, and what a recipe may say of it.
#include <omp.h>

#include <algorithm>
#include <cstdlib>

#include "models/objectives/ranks.h"
#include "models/stages/training.h"
#include "runtime/comm/watched.h"
#include "runtime/data/dataset.h"

namespace mome {
namespace {

void to_stderr(const std::string& line) { fmt::print(stderr, "{}\n", line); }

DType compute_dtype(const RunConfig& config, const Device& device) {
  if (config.dtype == "f32") return DType::kF32;
  if (config.dtype != "fp16" && config.dtype != "bf16")
    fail("recipe: dtype \"{}\" is unknown; expected f32, fp16 or bf16", config.dtype);
  if (device.is_host())
    fail("recipe: dtype {} is for GPUs; the cpu device computes in f32", config.dtype);
  return config.dtype == "fp16" ? DType::kF16 : DType::kBF16;
}

// Ranks of one host share its cores: twice as many threads as cores would wait for each other.
void set_threads(int64_t wanted, const World& world) {
  if (wanted > 0) omp_set_num_threads(int(wanted));
  else if (world.local_size > 1 && !std::getenv("OMP_NUM_THREADS")) omp_set_num_threads(std::max(1, omp_get_num_procs() / world.local_size));
}

}  // namespace

RunParts::RunParts(const RunConfig& c)
    : config(c),
      world(world_from_environment()),
      device(Device::open(local_device(c.device, world))),
      dtype(compute_dtype(c, *device)),
      arena(*device) {
  if (is_first()) note = to_stderr;
  else note = [](const std::string&) {};
  set_threads(c.compute_threads, world);
  std::unique_ptr<Communicator> engine = open_communicator(*device);
  if (!engine) return;
  LifelineOptions options;
  options.abort = abort_hook(*engine);
  lifeline = std::make_unique<Lifeline>(*engine, options);
  ranks = std::make_unique<WatchedCommunicator>(std::move(engine), *lifeline);
  note(fmt::format("{} ranks ({}), {} of them on this host", world.size, world.how, world.local_size));
}

bool RunParts::agree(bool mine) const {
  const double yes = sum_over_ranks(ranks.get(), {mine ? 1.0 : 0.0})[0];
  if (yes != 0 && yes != world.size)
    fail("{}: {} of {} ranks see a file there that the others do not; the output must be on a file system that all ranks share", config.output,
         yes, world.size);
  return yes != 0;
}

void RunParts::load_words(const DataConfig& data, const ModelConfig& model) {
  if (data.vocabulary.empty())
    fail("recipe: data.vocabulary is empty; expected a WordPiece vocab.txt");
  words.emplace(WordPiece::load(data.vocabulary));
  if (words->size() != model.vocabulary)
    fail("recipe: model.vocabulary is {}, but {} has {} tokens", model.vocabulary, data.vocabulary,
         words->size());
}

Dataset RunParts::open(const DataConfig& data, const std::string& source, const std::string& split,
                       const char* key) {
  if (source.empty()) fail("recipe: data.{} is empty; it is needed", key);
  DatasetOptions o;
  o.image_root = data.image_root;
  o.max_bad = data.max_bad;
  o.index_cache = data.index_cache.empty() ? config.output + "/shards" : data.index_cache;
  if (data.retries < 0) fail("recipe: data.retries: 0 or more is expected");
  o.retries = int(data.retries);
  Dataset dataset = open_dataset(source, split, o);
  for (const std::string& problem : dataset.problems) note("skipped " + problem);
  return dataset;
}

LoaderOptions RunParts::loader_options(const DataConfig& d, const ModelConfig& model,
                                       const StageConfig& stage) {
  LoaderOptions o;
  if (stage.batch % world.size != 0) fail("recipe: a batch of {} cannot be split evenly over {} ranks", stage.batch, world.size);
  o.batch = int(stage.batch / world.size);
  o.global_batch = int(stage.batch);
  o.first = world.rank * o.batch;
  o.image_size = int(model.image_size);
  o.text_length = int(model.text_length);
  o.seed = uint64_t(config.seed);
  o.threads = int(d.threads);
  o.augmentation.kind = d.augmentation;
  o.augmentation.strength = d.strength;
  o.keyword_captions = d.keyword_captions;
  o.max_bad = d.max_bad;
  o.cache_mib = d.cache_mib;
  if (d.shard_lanes < 1 || d.shard_window < 1) fail("recipe: data.shard_lanes, shard_window: at least 1 is expected");
  o.shard_lanes = int(d.shard_lanes);
  o.shard_window = int(d.shard_window);
  // Each rank's own trouble.
  if (is_first()) o.log = [this](const std::string& line) { note(line); };
  else o.log = [rank = world.rank](const std::string& line) { to_stderr(fmt::format("rank {}: {}", rank, line)); };
  return o;
}

void check(const RunConfig& c) {
  if (c.output.empty()) fail("recipe: output: a folder is expected");
  if (c.bucket_mib < 1) fail("recipe: bucket_mib: at least 1 is expected");
  if (c.log_every < 1) fail("recipe: log_every: at least 1 is expected");
  if (c.save_every < 0) fail("recipe: save_every: 0 or more is expected");
  if (!(c.save_minutes >= 0)) fail("recipe: save_minutes: 0 or more is expected");
  if (c.keep < 1) fail("recipe: keep: at least 1 is expected");
  if (c.rollback_after < 0) fail("recipe: rollback_after: 0 or more is expected");
  if (c.rollbacks < 0) fail("recipe: rollbacks: 0 or more is expected");
}

void check(const StageConfig& s, const std::string& where) {
  const auto want = [&](bool ok, const char* key, const char* what) {
    if (!ok) fail("recipe: {}.{}: {}", where, key, what);
  };
  want(s.steps >= 0, "steps", "0 or more is expected");
  want(s.batch >= 1, "batch", "at least 1 is expected");
  want(s.accumulate >= 1 && s.accumulate <= s.batch, "accumulate", "1 to `batch` is expected");
  want(s.warmup >= 0 && (s.steps == 0 || s.warmup <= s.steps), "warmup", "0 to `steps` is expected");
  recompute_of(s.recompute, fmt::format("recipe: {}.recompute", where));
  want(s.drop_path >= 0 && s.drop_path < 1, "drop_path", "a rate from 0 to below 1 is expected");
  want(s.dropout >= 0 && s.dropout < 1, "dropout", "a rate from 0 to below 1 is expected");
  want(s.beta1 >= 0 && s.beta1 < 1 && s.beta2 >= 0 && s.beta2 < 1, "beta1, beta2",
       "from 0 to below 1 is expected");
  want(s.average >= 0 && s.average < 1, "average", "from 0 to below 1 is expected");
}

}  // namespace mome
