#include "models/stages/trainer.h"

namespace mome {
namespace {

// The official list is of substrings (specification §4): everything with "bias", norm and norm1, BERT's LayerNorm. Experts'
// norm2_*, layer scale, tokens and embeddings do decay there.
bool decays_as_published(const std::string& name) {
  for (const char* part : {"bias", "LayerNorm.weight", "norm.weight", "norm1.weight", "norm2.weight"})
    if (name.find(part) != std::string::npos) return false;
  return true;
}

// Weights of linear layers, the patch projection and the word table: matrices that multiply activations.
bool is_matrix(const Parameter& p) {
  if (p.shape.size() < 2) return false;
  for (const char* part : {"token", "position", "pos_embed"})
    if (p.name.find(part) != std::string::npos) return false;
  return true;
}

}  // namespace

void apply_rules(ParameterSet& parameters, const StageConfig& stage) {
  if (stage.decay != "matrices" && stage.decay != "as-published")
    fail("recipe: decay = \"{}\" is unknown; expected \"matrices\" or \"as-published\"", stage.decay);
  for (int i = 0; i < int(parameters.list().size()); ++i) {
    Parameter& p = parameters[i];
    p.trained = true;
    for (const std::string& pattern : stage.freeze) p.trained = p.trained && !matches(pattern, p.name);
    const bool decays = stage.decay == "matrices" ? is_matrix(p) : decays_as_published(p.name);
    p.decay = decays ? stage.weight_decay : 0;
  }
}

}  // namespace mome
