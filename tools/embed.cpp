// `mome embed`: features of a whole data set, for search and for other programs, shard by shard
// into a folder. A run that was stopped goes on behind the last shard that is whole.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>

#include "runtime/io/atomic_file.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"
#include "tools/feature_index.h"
#include "tools/fingerprint.h"
#include "tools/retriever.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string checkpoint, vocabulary, data, texts, split, image_root, what = "both", out;
  std::string dtype = "f32", format = "safetensors";
  int64_t shard_rows = 65536;
  double max_bad = 0.01;
};

// Two runs that write one folder would mix their shards. The lock goes with the process.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail("{}: cannot make this folder: {}", folder, error.message());
    handle_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle_ < 0) fail("{}: cannot open this folder: {}", folder, std::strerror(errno));
    if (::flock(handle_, LOCK_EX | LOCK_NB) != 0) {
      ::close(handle_);
      fail("{}: another `mome embed` is writing this folder", folder);
    }
  }
  ~FolderLock() { ::close(handle_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int handle_;
};

// A file of texts as a data set without pictures.
Dataset read_texts(const std::string& file) {
  Dataset dataset;
  dataset.source = file;
  for (std::string& text : read_text_lines({file})) {
    Record& r = dataset.records.emplace_back();
    r.key = std::to_string(dataset.records.size());
    r.captions.push_back(std::move(text));
  }
  return dataset;
}

class Embedding {
 public:
  Embedding(const Options& o, Retriever& r, const Dataset& dataset)
      : folder_(o.out), r_(r), dataset_(dataset) {
    wanted_.checkpoint = absolute_name(o.checkpoint);
    wanted_.fingerprint = r.fingerprint();
    wanted_.source = absolute_name(dataset.source);
    wanted_.split = o.split;
    wanted_.records = dataset_fingerprint(dataset);
    wanted_.files = o.format == "npy" ? FeatureFormat::kNpy : FeatureFormat::kSafetensors;
    wanted_.dtype = o.dtype == "f16" ? DType::kF16 : DType::kF32;
    wanted_.dim = r.model->config().features();
    wanted_.shard_rows = o.shard_rows;
    wanted_.images.asked = o.what != "texts";
    wanted_.texts.asked = o.what != "images";
    if (wanted_.images.asked) wanted_.images.inputs = int64_t(dataset.records.size());
    if (wanted_.texts.asked) {
      captions_ = all_captions(dataset);
      wanted_.texts.inputs = int64_t(captions_.size());
    }
    EvalOptions reading = r.reader_options(o.max_bad, [this](const std::string& line) {
      if (progress_)
        progress_->note(line);
      else
        fmt::print(stderr, "{}\n", line);
    });
    reading.cache_mib = 0;  // each picture is read once
    reader_.emplace(dataset_, &r.words, reading);
  }

  IndexInfo run() {
    if (has_index(folder_)) {
      index_ = read_index(folder_);
      require_same();
      for (IndexSide* side : {&index_.images, &index_.texts}) take_up(*side);
    } else {
      for (const auto& entry : fs::directory_iterator(folder_))
        if (entry.path().filename() != "index.json.tmp")  // of a run that was killed at its start
          fail("{}: is not empty and has no index.json; name a folder of its own", folder_);
      index_ = wanted_;
      write_index(folder_, index_);
    }
    if (index_.complete) return index_;
    for (IndexSide* side : {&index_.images, &index_.texts})
      if (side->asked) embed(*side);
    index_.complete = true;
    write_index(folder_, index_);
    return index_;
  }

 private:
  void require_same() const {
    std::vector<std::string> differences;
    const auto same = [&](const char* what, const auto& there, const auto& here) {
      if (there != here)
        differences.push_back(fmt::format("{} {} there, {} here", what, there, here));
    };
    if (index_.fingerprint != wanted_.fingerprint)
      same("checkpoint", fmt::format("{} (fingerprint {})", index_.checkpoint, index_.fingerprint),
           fmt::format("{} (fingerprint {})", wanted_.checkpoint, wanted_.fingerprint));
    same("source", index_.source, wanted_.source);
    same("--split", fmt::format("\"{}\"", index_.split), fmt::format("\"{}\"", wanted_.split));
    same("--what", std::string(index_.what()), std::string(wanted_.what()));
    same("--format", std::string(file_ending(index_.files)),
         std::string(file_ending(wanted_.files)));
    same("--dtype", std::string(dtype_name(index_.dtype)), std::string(dtype_name(wanted_.dtype)));
    same("--shard-rows", index_.shard_rows, wanted_.shard_rows);
    if (differences.empty() && index_.records != wanted_.records)
      differences.push_back(fmt::format("{} has changed since", wanted_.source));
    if (!differences.empty())
      fail("{}: has features of another run: {}; name another folder, or remove this one", folder_,
           fmt::join(differences, "; "));
  }

  // Keeps the shards up to the first that is not whole, and counts what they skipped: max_bad is of
  // the whole run.
  void take_up(IndexSide& side) {
    std::vector<int32_t> skipped;
    for (size_t s = 0; s < side.shards.size(); ++s) {
      const size_t before = skipped.size();
      try {
        open_shard(folder_, index_, side.shards[s]);
        read_skipped(side.shards[s], skipped);
      } catch (const Error& e) {
        fmt::print(stderr, "going on from shard {} of the {}: {}\n", s + 1, side.name, e.what());
        skipped.resize(before);
        side.shards.resize(s);
        index_.complete = false;
      }
    }
    if (index_.complete) return;
    constexpr size_t kChunk = 64;  // pictures in memory
    for (size_t i = 0; i < skipped.size(); i += kChunk)
      reader_->images(std::span(skipped).subspan(i, std::min(kChunk, skipped.size() - i)));
  }

  void read_skipped(const ShardInfo& shard, std::vector<int32_t>& records) const {
    if (shard.skipped == 0) return;
    const std::string path = in_folder(folder_, shard.skipped_records);
    std::error_code error;
    const RecordFile file(path, shard.skipped, int64_t(fs::file_size(path, error)));
    for (int64_t i = 0; i < shard.skipped; ++i) {
      const int64_t number = file.read(i).number;
      if (number < 0 || number >= int64_t(dataset_.records.size()))
        fail("{}: names record {} of {}", path, number, dataset_.records.size());
      records.push_back(int32_t(number));
    }
  }

  void embed(IndexSide& side) {
    if (side.inputs == 0) return;
    const bool images = &side == &index_.images;
    const int64_t shards = index_.shard_count(side);
    const int64_t before = int64_t(side.shards.size()) * index_.shard_rows;
    progress_.emplace("embedding " + side.name, side.inputs, std::min(before, side.inputs));
    for (int64_t s = int64_t(side.shards.size()); s < shards; ++s) {
      const int64_t begin = s * index_.shard_rows,
                    n = std::min(index_.shard_rows, side.inputs - begin);
      const ShardInfo shard = images ? embed_images(s, begin, n) : embed_texts(s, begin, n);
      side.shards.push_back(shard);
      write_index(folder_, index_);
    }
    progress_.reset();
  }

  ShardInfo embed_images(int64_t s, int64_t begin, int64_t n) {
    std::vector<int32_t> records(static_cast<size_t>(n)), kept;
    std::iota(records.begin(), records.end(), int32_t(begin));
    const std::vector<float> features =
        image_features(*r_.model, *reader_, records, r_.arena, kept,
                       [&](int64_t done) { progress_->update(begin + done); });
    std::string lines, skipped;
    size_t k = 0;
    for (const int32_t i : records) {
      const bool has = k < kept.size() && kept[k] == i;
      (has ? lines : skipped) += record_line(dataset_.records[size_t(i)], i) + "\n";
      k += has;
    }
    return write_shard(index_.images, s, features, n, lines, skipped);
  }

  ShardInfo embed_texts(int64_t s, int64_t begin, int64_t n) {
    const auto captions = std::span(captions_).subspan(size_t(begin), size_t(n));
    const std::vector<float> features =
        text_features(*r_.model, *reader_, captions, r_.arena,
                      [&](int64_t done) { progress_->update(begin + done); });
    std::string lines;
    for (const TextRef& t : captions) lines += record_line(record_of(dataset_, t), t.record) + "\n";
    return write_shard(index_.texts, s, features, n, lines, "");
  }

  // The index, which names the shard, comes after its files: what it names is whole.
  ShardInfo write_shard(const IndexSide& side, int64_t s, const std::vector<float>& features,
                        int64_t inputs, const std::string& lines, const std::string& skipped) {
    ShardInfo shard = name_shard(index_, side, s);
    shard.rows = int64_t(features.size()) / index_.dim;
    shard.skipped = inputs - shard.rows;
    shard.records_bytes = int64_t(lines.size());
    for (const float v : features)
      if (!std::isfinite(v))
        fail("{}: gives features that are not finite ({} of {})", r_.checkpoint, side.name,
             dataset_.source);
    write_file_atomic(in_folder(folder_, shard.records), lines);
    if (shard.skipped > 0) write_file_atomic(in_folder(folder_, shard.skipped_records), skipped);
    write_features(in_folder(folder_, shard.features), index_.files, index_.dtype, index_.dim,
                   features);
    return shard;
  }

  const std::string folder_;
  Retriever& r_;
  const Dataset& dataset_;
  IndexInfo wanted_, index_;
  std::vector<TextRef> captions_;
  std::optional<EvalReader> reader_;
  std::optional<Progress> progress_;
};

void run(Options o) {
  if (o.data.empty() == o.texts.empty())
    throw UsageError("one of --data and --texts is needed, to say what to embed");
  if (!o.texts.empty()) o.what = "texts";
  const auto r = open_retriever(o.checkpoint, o.vocabulary);
  DatasetOptions d;
  d.image_root = o.image_root;
  d.max_bad = o.max_bad;
  const Dataset dataset = o.texts.empty() ? open_and_tell(o.data, o.split, d) : read_texts(o.texts);
  const FolderLock lock(o.out);
  const IndexInfo index = Embedding(o, *r, dataset).run();
  fmt::print("{}: {} pictures ({} skipped), {} texts, {} values each\n", o.out, index.images.rows(),
             index.images.skipped(), index.texts.rows(), index.dim);
}

}  // namespace

void add_embed_command(CLI::App& app) {
  CLI::App* c =
      app.add_subcommand("embed", "Features of a data set's pictures and texts, into a folder");
  auto o = std::make_shared<Options>();
  c->add_option("--checkpoint", o->checkpoint, "stage 3's .safetensors")->required();
  c->add_option("--data", o->data,
                "pairs or pictures: JSON lines, COCO or Karpathy JSON, a folder, or tar shards");
  CLI::Option* texts =
      c->add_option("--texts", o->texts, "instead of --data: a file with a text a line");
  c->add_option("--out", o->out,
                "folder to write: index.json, and for every shard its features [rows, D] (in the "
                "tensor \"features\", or an .npy array) and its records as JSON lines, a line a "
                "row. If a run in it was stopped, this one goes on")
      ->required();
  c->add_option("--what", o->what, "images, texts or both")
      ->check(CLI::IsMember({"images", "texts", "both"}))
      ->capture_default_str()
      ->excludes(texts);
  c->add_option("--format", o->format, "safetensors or npy")
      ->check(CLI::IsMember({"safetensors", "npy"}))
      ->capture_default_str();
  c->add_option("--dtype", o->dtype, "f32 or f16")
      ->check(CLI::IsMember({"f32", "f16"}))
      ->capture_default_str();
  c->add_option("--shard-rows", o->shard_rows,
                "pictures or texts a shard; a run that is stopped loses at most one shard's work")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  c->add_option("--split", o->split, "split to use; default all")->excludes(texts);
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived, of all")
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
