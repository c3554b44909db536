// Runs the stages of a recipe: each starts from the previous one's checkpoint and resumes where it stopped.
#pragma once
#include <string>

#include "models/stages/training.h"

namespace mome {

/// Sets which parameters a stage trains (its freeze patterns) and which decay.
void apply_rules(ParameterSet& parameters, const StageConfig& stage);

/// Stage names in their order.
inline constexpr const char* kStages[3] = {"image", "text", "pairs"};

/// Trains `only` ("image", "text", "pairs") or, if it is empty, every stage that has steps, in order. Finished
/// stages are skipped. Writes OUTPUT/log.jsonl, OUTPUT/tensorboard/, OUTPUT/<stage>/step-N.* and
/// OUTPUT/<stage>.safetensors. Throws Error for anything that the user can mend.
Outcome pretrain(const Recipe& recipe, const std::string& only);

}  // namespace mome
