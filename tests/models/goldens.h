// The goldens of tests/peers/write_goldens.py: what goes into a mode, and what must come out.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "models/trace/trace.h"

namespace mome::testing {

inline NamedTensors golden(const std::string& name) {
  return read_tensors(std::string(MOME_SOURCE_DIR) + "/tests/models/goldens/" + name +
                      ".safetensors");
}

/// Whether the model that the official code trains in this mode has the parameter.
inline bool belongs(const std::string& name, const std::string& mode) {
  const auto any = [&](std::initializer_list<const char*> parts) {
    for (const char* part : parts)
      if (name.find(part) != std::string::npos) return true;
    return false;
  };
  const bool head =
      any({"mlm_score", "itm_score", "itc_", "logit_", "vqa_classifier", "nlvr2_classifier"});
  if (mode == "mim") return !head && !any({"text", "_vl.", "pooler"});
  if (any({"mim_head", "mask_token"})) return false;
  if (!head) return mode != "textmlm" || !any({"_vl."});
  if (mode == "textmlm") return any({"mlm_score"});
  if (mode == "irtr") return any({"itc_text_proj", "itc_image_proj", "logit_scale"});
  if (mode == "vqa" || mode == "nlvr2") return any({(mode + "_classifier").c_str()});
  return !any({"classifier"});
}

/// That model with these positions ("relative" or "absolute"), as a file of its parameters.
inline NamedTensors golden_checkpoint(const std::string& positions, const std::string& mode) {
  NamedTensors checkpoint = golden(positions);
  std::erase_if(checkpoint.list, [&](const NamedTensor& t) { return !belongs(t.name, mode); });
  for (NamedTensor& t : checkpoint.list)
    if (t.name == "token_type_embeddings.weight" && mode != "nlvr2") {  // two rows of three
      t.elements = t.elements / 3 * 2, t.bytes = t.bytes / 3 * 2;
      t.shape[0] = 2;
    }
  return checkpoint;
}

inline TraceOptions golden_options(const std::string& positions, const std::string& mode) {
  TraceOptions options;
  options.mode = mode;
  if (positions == "absolute") options.config.model.heads = 2;  // which no shape says
  return options;
}

/// The trace of a mode on the goldens' checkpoint.
inline NamedTensors golden_trace(const std::string& positions, const NamedTensors& inputs,
                                 const TraceOptions& options) {
  const NamedTensors checkpoint =
      with_parameters(golden_checkpoint(positions, options.mode), inputs);
  return trace(checkpoint, trace_shape(checkpoint, options), inputs, options);
}

inline std::vector<double> numbers(const NamedTensors& file, const NamedTensor& tensor) {
  if (tensor.dtype != "I64") return float_values(file, tensor);
  std::vector<int64_t> values(size_t(tensor.elements));
  std::memcpy(values.data(), tensor.data, tensor.bytes);
  return {values.begin(), values.end()};
}

/// Error of a tensor, relative to the expected one's largest element (0 of nothing but zeros: as it
/// is).
inline double relative_error(const std::vector<double>& result,
                             const std::vector<double>& expected) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(result[i] - expected[i]);
    worst = error <= worst ? worst : error;  // NaN counts
    largest = std::max(largest, std::abs(expected[i]));
  }
  return largest > 0 ? worst / largest : worst;
}

/// The tensors with the prefix: the same names on both sides, the same shapes, and every value
/// within `tolerance` of its tensor's largest element.
inline void expect_same(const NamedTensors& result, const NamedTensors& expected,
                        const std::string& prefix, double tolerance) {
  int compared = 0;
  for (const NamedTensor& t : result.list)
    EXPECT_TRUE(!t.name.starts_with(prefix) || expected.find(t.name)) << t.name << " is too much";
  for (const NamedTensor& want : expected.list) {
    if (!want.name.starts_with(prefix)) continue;
    const NamedTensor* got = result.find(want.name);
    ASSERT_TRUE(got) << want.name << " is missing";
    ASSERT_EQ(got->shape, want.shape) << want.name;
    EXPECT_EQ(got->dtype == "I64", want.dtype == "I64") << want.name;
    EXPECT_LE(relative_error(numbers(result, *got), numbers(expected, want)), tolerance)
        << want.name;
    ++compared;
  }
  EXPECT_GT(compared, 0) << prefix;
}

}  // namespace mome::testing
