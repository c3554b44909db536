#include "models/trace/mode.h"

#include "runtime/core/error.h"

namespace mome {

const std::vector<TraceMode>& trace_modes() {
  static const std::vector<TraceMode> modes = {
      {.name = "infer", .loss = false},
      {.name = "dual", .loss = false},
      {.name = "mlm", .texts = false, .masked = true},
      {.name = "itc"},
      {.name = "itm", .negatives = true},
      {.name = "stage3", .masked = true, .negatives = true},
      {.name = "textmlm", .images = 0, .texts = false, .masked = true},
      {.name = "vqa", .targets = "vqa_targets"},
      {.name = "nlvr2", .images = 2, .targets = "answers"},
      {.name = "irtr"},
  };
  return modes;
}

const TraceMode& trace_mode(const std::string& name) {
  std::string names;
  for (const TraceMode& mode : trace_modes()) {
    if (mode.name == name) return mode;
    names += (names.empty() ? "" : ", ") + mode.name;
  }
  throw UsageError(fmt::format("--mode {} is unknown; expected one of {}", name, names));
}

void require_parts(const TraceMode& mode, const ModelShape& shape, const std::string& path) {
  const ModelParts& p = shape.parts;
  const auto want = [&](bool ok, const char* what) {
    if (!ok)
      fail(
          "{}: the model has no {}, which mode {} needs (a parameter can be added as param.<name>)",
          path, what, mode.name);
  };
  const bool contrast = mode.name == "dual" || mode.name == "itc" || mode.name == "irtr";
  const bool matching = mode.name == "itm" || mode.name == "stage3";
  want(p.text, "text embeddings (text_embeddings.*)");
  want(p.image || mode.images == 0, "image embeddings (transformer.patch_embed.*)");
  want(p.mlm || !mode.masked, "masked-word head (mlm_score.*)");
  want(p.itc || !(contrast || matching), "contrast heads (itc_*_proj.*, logit_scale)");
  want(p.itm || !matching, "matching head (itm_score.*, pooler.*)");
  want(p.vqa > 0 || mode.name != "vqa", "head of answers (vqa_classifier.*)");
  want(p.nlvr2 || mode.name != "nlvr2", "head of statements (nlvr2_classifier.*)");
  want(p.has_pooler() || mode.name != "infer", "pooler (pooler.dense.*)");
}

}  // namespace mome
