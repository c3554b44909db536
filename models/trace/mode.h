// The modes of a trace: what each reads of the batch, and which heads it needs.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/shape.h"

namespace mome {

struct TraceMode {
  std::string name;
  int images = 1;                 // of a sample: 0, 1, or NLVR2's two
  bool texts = true;              // in.text_ids
  bool masked = false;            // in.text_ids_mlm and in.text_labels_mlm
  bool negatives = false;         // in.neg_image and in.neg_text
  const char* targets = nullptr;  // "vqa_targets" or "answers"
  bool loss = true;               // has a loss, and with it gradients and steps
};

/// Error for an unknown name, which lists the modes.
const TraceMode& trace_mode(const std::string& name);

/// Every mode, in the order of the specification.
const std::vector<TraceMode>& trace_modes();

/// Error that names what the model of `path` lacks for the mode.
void require_parts(const TraceMode& mode, const ModelShape& shape, const std::string& path);

}  // namespace mome
