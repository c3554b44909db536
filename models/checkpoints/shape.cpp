#include "models/checkpoints/shape.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"

namespace mome {
namespace {

using nlohmann::json;

struct ToJson {
  json& out;
  template <class T>
  void operator()(const char* key, T& value, const char*) {
    out[key] = value;
  }
};
struct FromJson {
  const json& in;
  template <class T>
  void operator()(const char* key, T& value, const char*) {
    if (in.contains(key)) value = in.at(key).get<T>();
  }
};

/// Size along a dimension of a tensor with this many of them.
int64_t size_of_dim(const NamedTensors& file, std::string_view name, size_t dimensions,
                    size_t dim) {
  const NamedTensor& tensor = file.at(name);
  if (tensor.shape.size() != dimensions || tensor.elements == 0)
    fail("{}: tensor `{}` has shape {}; expected {} dimensions", file.path, name,
         shape_text(tensor.shape), dimensions);
  return tensor.shape[dim];
}

int64_t square_root(int64_t value) {
  const auto root = int64_t(std::llround(std::sqrt(double(value))));
  return root * root == value ? root : 0;
}

int64_t infer_grid(const NamedTensors& file) {
  const bool relative = file.find(kTableName) != nullptr;
  const char* name = relative ? kTableName : kImagePositionsName;
  const int64_t rows = relative ? size_of_dim(file, name, 2, 0) : size_of_dim(file, name, 3, 1);
  const int64_t grid = relative ? grid_of_table_rows(rows) : grid_of_position_rows(rows);
  if (grid == 0)
    fail("{}: tensor `{}` has {} rows, which no square grid of patches has", file.path, name, rows);
  return grid;
}

int64_t infer_heads(const NamedTensors& file, const ModelConfig& c, int64_t heads) {
  if (file.find(kTableName)) {
    const int64_t columns = size_of_dim(file, kTableName, 2, 1);
    if (columns % c.layers != 0 || (heads != 0 && heads * c.layers != columns))
      fail("{}: tensor `{}` has {} columns; expected heads times {} layers", file.path, kTableName,
           columns, c.layers);
    return columns / c.layers;
  }
  if (heads != 0) return heads;
  for (const char* name : {"vlmo-base", "vlmo-base-plus", "vlmo-large"})
    if (const ModelConfig p = published_config(name); p.width == c.width) return p.heads;
  fail(
      "{}: a model of width {} with absolute positions does not say how many attention heads it "
      "has: give --heads (mome trace: --set model.heads=N)",
      file.path, c.width);
}

bool has_prefix(const NamedTensors& file, std::string_view prefix) {
  for (const NamedTensor& t : file.list)
    if (t.name.starts_with(prefix)) return true;
  return false;
}

/// Blocks "transformer.blocks.0." … without a gap.
int64_t count_blocks(const NamedTensors& tensors) {
  int64_t blocks = 0;
  while (has_prefix(tensors, fmt::format("transformer.blocks.{}.", blocks))) ++blocks;
  return blocks;
}

/// A description is text that anyone may have written: sizes whose products overflow are refused.
void check_limits(const std::string& path, const ModelConfig& c) {
  const auto within = [&](const char* key, int64_t value, int64_t largest) {
    if (value > largest)
      fail("{}: metadata \"{}\": {} is {}; expected {} or less", path, kModelKey, key, value,
           largest);
  };
  within("image_size", c.image_size, 1 << 16);
  within("patch", c.patch, 1 << 12);
  within("width", c.width, 1 << 16);
  within("layers", c.layers, 1 << 12);
  within("mlp_ratio", c.mlp_ratio, 1 << 8);
  within("text_length", c.text_length, 1 << 24);
  within("vocabulary", c.vocabulary, 1 << 28);
  within("itc_dim", c.itc_dim, 1 << 24);
}

/// Classes of the head whose last Linear this is; 0 if the file has no such head.
int64_t infer_classes(const NamedTensors& file, const std::string& last) {
  return file.find(last) ? size_of_dim(file, last, 2, 0) : 0;
}

}  // namespace

std::string describe(const ModelShape& shape) {
  json j, fields;
  ModelConfig c = shape.config;
  ToJson writer{fields};
  visit(writer, c);
  const ModelParts& p = shape.parts;
  j["shape"] = fields;
  j["parts"] = {
      {"image", p.image}, {"text", p.text}, {"fused", p.fused}, {"mim", p.mim},
      {"mlm", p.mlm},     {"itm", p.itm},   {"itc", p.itc},     {"mim_classes", p.mim_classes}};
  // Of downstream tasks, where there are some: a pretrained file reads as it always did.
  if (p.vqa) j["parts"]["vqa"] = p.vqa;
  if (p.entailment) j["parts"]["entailment"] = p.entailment;
  if (p.image_classes) j["parts"]["image_classes"] = p.image_classes;
  if (p.nlvr2) j["parts"]["nlvr2"] = true;
  if (p.pooler) j["parts"]["pooler"] = true;
  return j.dump();
}

ModelShape parse_description(const std::string& path, const std::string& text) {
  ModelShape shape;
  try {
    const json j = json::parse(text);
    FromJson reader{j.at("shape")};
    visit(reader, shape.config);
    const json& q = j.at("parts");
    ModelParts& p = shape.parts;
    p.image = q.at("image"), p.text = q.at("text"), p.fused = q.at("fused"), p.mim = q.at("mim");
    p.mlm = q.at("mlm"), p.itm = q.at("itm"), p.itc = q.at("itc");
    p.mim_classes = q.at("mim_classes");
    p.vqa = q.value("vqa", int64_t{0}), p.entailment = q.value("entailment", int64_t{0});
    p.image_classes = q.value("image_classes", int64_t{0});
    p.nlvr2 = q.value("nlvr2", false), p.pooler = q.value("pooler", false);
  } catch (const json::exception& e) {
    fail("{}: metadata \"{}\" does not describe a model: {}", path, kModelKey, e.what());
  }
  check(shape.config);
  check_limits(path, shape.config);
  return shape;
}

ModelConfig published_config(const std::string& name, int64_t image_size) {
  ModelConfig c;  // its defaults are VLMo-Base
  c.image_size = image_size;
  if (name == "vlmo-base") return c;
  c.layers = 24, c.heads = 16, c.vl_from = 21;
  if (name == "vlmo-base-plus") {
    c.width = 544, c.positions = "absolute", c.layer_scale = 0;
    return c;
  }
  if (name == "vlmo-large") {
    c.width = 1024;
    return c;
  }
  fail("no model `{}` was published; expected vlmo-base, vlmo-base-plus or vlmo-large", name);
}

int64_t grid_of_table_rows(int64_t rows) {
  const int64_t side = rows > kTextTableRows ? square_root(rows - kTextTableRows) : 0;
  return side % 2 == 1 ? (side + 1) / 2 : 0;
}

int64_t grid_of_position_rows(int64_t rows) { return rows > 1 ? square_root(rows - 1) : 0; }

ModelShape infer_shape(const NamedTensors& file, int64_t heads) {
  if (const auto it = file.metadata.find(kModelKey); it != file.metadata.end())
    return parse_description(file.path, it->second);
  ModelShape shape;
  ModelConfig& c = shape.config;
  ModelParts& p = shape.parts;
  c.layers = count_blocks(file);
  if (c.layers == 0)
    fail("{}: no tensor `transformer.blocks.0.…`; expected a checkpoint of VLMo or BEiT",
         file.path);
  p.image = has_prefix(file, "transformer.patch_embed.");
  p.text = has_prefix(file, "text_embeddings.");
  p.mlm = has_prefix(file, "mlm_score.");
  p.itm = has_prefix(file, "itm_score.");
  p.itc = has_prefix(file, "itc_text_proj.") || has_prefix(file, "itc_image_proj.");
  p.mim = has_prefix(file, "mim_head.");
  p.vqa = infer_classes(file, "vqa_classifier.3.weight");
  p.entailment = infer_classes(file, "snli_ve_classifier.3.weight");
  p.image_classes = infer_classes(file, "head.weight");
  p.nlvr2 = has_prefix(file, "nlvr2_classifier.");

  c.width = size_of_dim(file, "transformer.blocks.0.norm1.weight", 1, 0);
  const char* expert = p.image ? "imag" : "text";
  const int64_t hidden =
      size_of_dim(file, fmt::format("transformer.blocks.0.mlp_{}.fc1.weight", expert), 2, 0);
  if (hidden % c.width != 0)
    fail("{}: experts of width {}; expected a multiple of {}", file.path, hidden, c.width);
  c.mlp_ratio = hidden / c.width;
  c.positions = file.find(kTableName) ? "relative" : "absolute";
  c.heads = infer_heads(file, c, heads);
  if (p.image) c.patch = size_of_dim(file, "transformer.patch_embed.proj.weight", 4, 3);
  c.image_size = infer_grid(file) * c.patch;
  c.layer_scale = file.find("transformer.blocks.0.gamma_1") ? 0.1 : 0;
  c.vl_from = 0;
  while (c.vl_from < c.layers &&
         !has_prefix(file, fmt::format("transformer.blocks.{}.mlp_vl.", c.vl_from)))
    ++c.vl_from;
  p.fused = c.vl_from < c.layers;
  p.pooler = p.fused && !p.has_pooler() &&
             has_prefix(file, "pooler.dense.");  // only a fused pass is pooled
  if (p.text) {
    c.vocabulary = size_of_dim(file, "text_embeddings.word_embeddings.weight", 2, 0);
    if (file.find(kTextPositionsName)) c.text_length = size_of_dim(file, kTextPositionsName, 2, 0);
  }
  c.itc_tail = !p.itc || has_prefix(file, "itc_vl_text_proj.");
  if (p.itc) {
    const int64_t features = size_of_dim(file, "itc_text_proj.fc.weight", 2, 0);
    c.itc_dim = features == c.width ? 0 : features;
  }
  if (p.mim) {
    const int64_t outputs = size_of_dim(file, "mim_head.weight", 2, 0);
    p.mim_classes = outputs == 3 * c.patch * c.patch ? 0 : outputs;
  }
  check(c);
  return shape;
}

}  // namespace mome
