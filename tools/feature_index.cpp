#include "tools/feature_index.h"

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kernels/common/parallel.h"
#include "runtime/core/error.h"
#include "runtime/data/hash.h"
#include "runtime/io/safetensors.h"
#include "runtime/log/progress.h"

namespace mome {
namespace {

constexpr const char* kFingerprint = "checkpoint_fingerprint";

nlohmann::ordered_json to_json(const Record& record) {
  // Absolute: the index may lie anywhere and be searched from any folder.
  const auto file = std::filesystem::absolute(record.image.file).lexically_normal();
  nlohmann::ordered_json j = {{"key", record.key}, {"image", file.string()}};
  if (record.image.size > 0) {
    j["member"] = record.image.member;
    j["offset"] = record.image.offset;
    j["size"] = record.image.size;
  }
  j["captions"] = record.captions;
  return j;
}

Record from_json(const nlohmann::json& j) {
  Record r;
  r.key = j.at("key");
  r.image.file = j.at("image");
  if (j.contains("size")) {
    r.image.member = j.at("member");
    r.image.offset = j.at("offset");
    r.image.size = j.at("size");
  }
  r.captions = j.at("captions").get<std::vector<std::string>>();
  return r;
}

const std::string& metadata(const SafeTensors& file, const char* key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end())
    fail("{}: its metadata has no \"{}\"; expected a file of `mome embed`", file.path(), key);
  return it->second;
}

void check_checkpoint(const SafeTensors& file, const Retriever& r) {
  const std::string theirs = metadata(file, kFingerprint),
                    ours = checkpoint_fingerprint(r.checkpoint);
  if (theirs == ours) return;
  const auto named = file.metadata().find("checkpoint");
  fail(
      "{}: was made by another checkpoint ({}, fingerprint {}) than {} (fingerprint {}); features "
      "of two models cannot be compared: run `mome embed` with this one",
      file.path(), named == file.metadata().end() ? "unknown" : named->second, theirs, r.checkpoint,
      ours);
}

// Copies tensor `name`: [n, dim], or [n] for dim = 0.
template <class T>
std::vector<T> column(const SafeTensors& file, const char* name, const char* dtype, int64_t dim) {
  const auto* t = file.find(name);
  if (!t) fail("{}: has no tensor \"{}\"; run `mome embed` with --what both", file.path(), name);
  const bool shaped = dim > 0 ? t->shape.size() == 2 && t->shape[1] == dim : t->shape.size() == 1;
  if (t->dtype != dtype || !shaped)
    fail("{}: tensor \"{}\" is {} [{}]; expected {} {}", file.path(), name, t->dtype,
         fmt::join(t->shape, ", "), dtype,
         dim > 0 ? fmt::format("[.., {}], the width of this checkpoint's features", dim) : "[..]");
  std::vector<T> out(static_cast<size_t>(t->elements));
  std::memcpy(out.data(), t->data, t->bytes);
  return out;
}

}  // namespace

std::string checkpoint_fingerprint(const std::string& path) {
  const SafeTensors file(path);
  const auto& tensors = file.tensors();
  std::vector<uint64_t> values(tensors.size());
  parallel_chunks(int64_t(tensors.size()), 1, [&](int64_t i, int64_t) {
    const auto& t = tensors[size_t(i)];
    values[size_t(i)] = hash64({reinterpret_cast<const char*>(t.data), t.bytes});
  });
  std::string all;
  for (const auto& [key, value] : file.metadata()) all += fmt::format("{}={}\n", key, value);
  for (size_t i = 0; i < tensors.size(); ++i)
    all += fmt::format("{} {} [{}] {:016x}\n", tensors[i].name, tensors[i].dtype,
                       fmt::join(tensors[i].shape, ", "), values[i]);
  return fmt::format("{:016x}", hash64(all));
}

FeatureIndex make_index(Retriever& r, Dataset dataset, bool images, bool texts, double max_bad) {
  FeatureIndex index;
  index.dataset = std::move(dataset);
  const std::vector<int32_t> pictures = all_records(index.dataset);
  const std::vector<TextRef> captions = all_captions(index.dataset);
  const int64_t before = images ? int64_t(pictures.size()) : 0;
  Progress progress("embedding", before + (texts ? int64_t(captions.size()) : 0));
  EvalReader reader(
      index.dataset, &r.words,
      r.reader_options(max_bad, [&](const std::string& line) { progress.note(line); }));
  if (images)
    index.images = image_features(*r.model, reader, pictures, r.arena, index.image_record,
                                  [&](int64_t done) { progress.update(done); });
  if (texts) {
    index.texts = text_features(*r.model, reader, captions, r.arena,
                                [&](int64_t done) { progress.update(before + done); });
    for (const TextRef& t : captions) index.text_record.push_back(t.record);
  }
  return index;
}

void save_index(const std::string& path, const FeatureIndex& index, const Retriever& r, bool images,
                bool texts) {
  const int64_t dim = r.model->config().features();
  const std::vector<int64_t> image_record(index.image_record.begin(), index.image_record.end()),
      text_record(index.text_record.begin(), index.text_record.end());
  std::vector<TensorEntry> tensors;
  const auto add = [&](const char* features, const char* record, const std::vector<float>& f,
                       const std::vector<int64_t>& of) {
    tensors.push_back({features, "F32", {int64_t(of.size()), dim}, f.data()});
    tensors.push_back({record, "I64", {int64_t(of.size())}, of.data()});
  };
  if (images) add("image_features", "image_record", index.images, image_record);
  if (texts) add("text_features", "text_record", index.texts, text_record);
  nlohmann::ordered_json records = nlohmann::ordered_json::array();
  for (const Record& record : index.dataset.records) records.push_back(to_json(record));
  write_safetensors(
      path, tensors,
      {{"records", records.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)},
       {"source", index.dataset.source},
       {"checkpoint", r.checkpoint},
       {kFingerprint, checkpoint_fingerprint(r.checkpoint)}});
}

FeatureIndex load_index(const std::string& path, const Retriever& r, bool images) {
  const SafeTensors file(path);
  FeatureIndex index;
  index.dataset.source = path;
  const std::string& records = metadata(file, "records");
  try {
    for (const auto& j : nlohmann::json::parse(records))
      index.dataset.records.push_back(from_json(j));
  } catch (const nlohmann::json::exception& e) {
    fail("{}: metadata \"records\": {}", path, e.what());
  }
  check_checkpoint(file, r);
  const int64_t dim = r.model->config().features();
  std::vector<float>& features = images ? index.images : index.texts;
  features = column<float>(file, images ? "image_features" : "text_features", "F32", dim);
  const auto record = column<int64_t>(file, images ? "image_record" : "text_record", "I64", 0);
  if (record.size() * size_t(dim) != features.size())
    fail("{}: features and records differ in number", path);
  for (int64_t i : record) {
    if (i < 0 || i >= int64_t(index.dataset.records.size()))
      fail("{}: names record {} of {}", path, i, index.dataset.records.size());
    (images ? index.image_record : index.text_record).push_back(int32_t(i));
  }
  return index;
}

}  // namespace mome
