// Square grids of another size: how position parameters follow when the image's size changes. Both
// schemes are separable, so one matrix [target, source] of weights says all. Double arithmetic.
#pragma once
#include <cstdint>
#include <vector>

namespace mome {

struct ResampleWeights {
  int64_t source = 0, target = 0;  // points of a side
  std::vector<double> weights;     // [target, source]
};

/// BEiT's scheme for relative position biases (Bao et al. 2022,
/// unilm/beit/run_class_finetuning.py), source = 2w-1 and target = 2w'-1 offsets of a side. The
/// source's offsets are spread about 0 with growing gaps 1, q, q^2, … such that they reach as far
/// as the target's; near offsets keep their values and far ones are stretched. Between them: cubic
/// splines (not-a-knot, as FITPACK's with s = 0); targets beyond the last source point take its
/// value. source must be odd and at least 5 (a grid of 3), else std::logic_error.
ResampleWeights geometric_weights(int64_t source, int64_t target);
/// The gaps' ratio q, by bisection as published: within (1.01, 1.5), to 1e-6.
double geometric_ratio(int64_t source, int64_t target);

/// PyTorch's interpolate(mode="bicubic", align_corners=False): Keys' kernel with a = -0.75 at pixel
/// centres, edges repeated, no antialiasing.
ResampleWeights bicubic_weights(int64_t source, int64_t target);

/// grid [source, source, columns] -> [target, target, columns], in both directions.
std::vector<double> resample_square(const ResampleWeights& w, const std::vector<double>& grid,
                                    int64_t columns);

}  // namespace mome
