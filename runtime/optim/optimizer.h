// One optimiser step over a parameter set: gradient norm, clipping, AdamW, moving average.
#pragma once
#include "runtime/optim/parameters.h"

namespace mome {

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-8;
  double clip = 0;     // largest global gradient norm; 0: no clipping
  double average = 0;  // decay of the moving average of the parameters; 0: none kept
};

struct OptimizerReport {
  double grad_norm = 0;  // before clipping
  bool skipped = false;  // gradients were not finite: nothing was changed
};

/// Step t (1-based) with rate lr over the trained parameters. A step with a NaN or Inf gradient is skipped.
OptimizerReport optimizer_step(ParameterSet& parameters, const OptimizerOptions& options, double lr, int64_t t);

}  // namespace mome
