// The shapes that mome_bench_gpu and its PyTorch peers both run (bench/gpu/cases.py says the same).
// Letters: B sequences, N tokens, H heads, d head dim, R rows, D width, F hidden.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mome::bench {

struct AttentionCase {
  std::string name;
  int64_t batch, tokens;
};
struct RowsCase {
  std::string name;
  int64_t rows;
};

struct Cases {
  int64_t heads = 12, head_dim = 64, width = 768, hidden = 3072;
  // 197, 577: images of 224 and 384 pixels; 237: with 40 text tokens; 901: 480 pixels.
  std::vector<AttentionCase> attention = {{"N197", 64, 197}, {"N237", 64, 237}, {"N577", 16, 577}, {"N901", 8, 901}};
  // A batch of 64 images, and of 64 pairs.
  std::vector<RowsCase> norms = {{"R12608", 12608}, {"R15168", 15168}};
  std::vector<RowsCase> experts = {{"R12608", 12608}, {"R2560", 2560}};
  int64_t copy_bytes = int64_t{1} << 30;
};

/// The same code on a few rows: what the simt device can do in a second.
inline Cases small_cases() {
  Cases c;
  c.heads = 2, c.width = 128, c.hidden = 256;
  c.attention = {{"N37", 2, 37}};
  c.norms = {{"R64", 64}};
  c.experts = {{"R33", 33}};
  c.copy_bytes = 1 << 20;
  return c;
}

}  // namespace mome::bench
