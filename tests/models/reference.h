// VLMo by plain loops in double, one padded-free sequence at a time and nothing shared between sequences:
// the oracle of the packed engine. Written from the specification, with none of the engine's kernels.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "models/mome/model.h"

namespace mome::testing {

using Matrix = std::vector<std::vector<double>>;

class Reference {
 public:
  explicit Reference(const MomeModel& model) : c_(model.config()), model_(model) {}

  // Final states (after the norm) of one sequence: text rows first, then image rows. text or patches may be empty.
  // branch: which expert text-only / image-only states take from the first VL block on.
  Matrix run(const std::vector<int>& text, const Matrix& patches, bool tail, bool has_vl) const {
    Matrix x;
    for (size_t t = 0; t < text.size(); ++t) x.push_back(embed_text(text[t], t));
    const size_t nt = text.size();
    if (!patches.empty()) {
      for (size_t p = 0; p <= patches.size(); ++p) x.push_back(embed_image(p ? &patches[p - 1] : nullptr, p));
    }
    for (int64_t l = 0; l < c_.layers; ++l) {
      const std::string pre = "transformer.blocks." + std::to_string(l) + ".";
      const bool vl = has_vl && l >= c_.vl_from && ((nt && !patches.empty()) || tail);
      attention(x, nt, l, pre);
      for (size_t r = 0; r < x.size(); ++r) {
        const std::string e = vl ? "vl" : r < nt ? "text" : "imag";
        std::vector<double> h = norm(x[r], pre + "norm2_" + e, 1e-6);
        h = linear(h, pre + "mlp_" + e + ".fc1");
        for (double& v : h) v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
        h = linear(h, pre + "mlp_" + e + ".fc2");
        for (int64_t i = 0; i < c_.width; ++i) x[r][i] += gamma(pre + "gamma_2", i) * h[i];
      }
    }
    for (auto& row : x) row = norm(row, "transformer.norm", 1e-6);
    return x;
  }

 private:
  const double* at(const std::string& name) const {
    const int p = model_.parameters().find(name);
    if (p < 0) throw std::logic_error("no parameter " + name);
    return model_.parameters().value(p).as<double>();
  }
  double at(const std::string& name, int64_t i) const { return at(name)[i]; }
  double gamma(const std::string& name, int64_t i) const { return c_.layer_scale > 0 ? at(name, i) : 1.0; }
  std::vector<double> norm(const std::vector<double>& x, const std::string& name, double eps) const {
    double mean = 0, var = 0;
    for (double v : x) mean += v / double(x.size());
    for (double v : x) var += (v - mean) * (v - mean) / double(x.size());
    std::vector<double> y(x.size());
    const double *w = at(name + ".weight"), *b = at(name + ".bias");
    for (size_t i = 0; i < x.size(); ++i) y[i] = (x[i] - mean) / std::sqrt(var + eps) * w[i] + b[i];
    return y;
  }
  std::vector<double> linear(const std::vector<double>& x, const std::string& name) const {
    const int64_t out = model_.parameters()[model_.parameters().find(name + ".bias")].count, in = int64_t(x.size());
    const double *w = at(name + ".weight"), *b = at(name + ".bias");
    std::vector<double> y(size_t(out), 0.0);
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) y[size_t(o)] += w[o * in + i] * x[size_t(i)];
      y[size_t(o)] += b[o];
    }
    return y;
  }
  std::vector<double> embed_text(int token, size_t position) const {
    std::vector<double> e(static_cast<size_t>(c_.width));
    const int64_t d = c_.width;
    for (int64_t i = 0; i < d; ++i) {
      e[size_t(i)] = at("text_embeddings.word_embeddings.weight", token * d + i) + at("text_embeddings.token_type_embeddings.weight", i);
      if (c_.positions == "absolute") e[size_t(i)] += at("text_embeddings.position_embeddings.weight", int64_t(position) * d + i);
    }
    e = norm(e, "text_embeddings.LayerNorm", 1e-12);
    for (int64_t i = 0; i < d; ++i) e[size_t(i)] += at("token_type_embeddings.weight", i);
    return e;
  }
  std::vector<double> embed_image(const std::vector<double>* patch, size_t position) const {
    const int64_t d = c_.width;
    std::vector<double> e(static_cast<size_t>(d));
    if (patch) e = linear(*patch, "transformer.patch_embed.proj");
    for (int64_t i = 0; i < d; ++i) {
      if (!patch) e[size_t(i)] = at("transformer.cls_token", i);
      if (c_.positions == "absolute") e[size_t(i)] += at("transformer.pos_embed", int64_t(position) * d + i);
      e[size_t(i)] += at("token_type_embeddings.weight", d + i);
    }
    return e;
  }
  // Row of the relative table for two tokens of the sequence; nt text tokens come first.
  int64_t table_row(size_t i, size_t j, size_t nt) const {
    const int64_t w = c_.grid(), g = (2 * w - 1) * (2 * w - 1), n = g + 3, a = g + 397;
    const bool ti = i < nt, tj = j < nt;
    if (ti && !tj) return n;
    if (!ti && tj) return n + 1;
    if (ti) {
      if (i == 0 && j == 0) return a - 1;
      if (i == 0) return a - 3;
      if (j == 0) return a - 2;
      return n + 2 + 194 + (int64_t(j) - int64_t(i));
    }
    const int64_t p = int64_t(i - nt), q = int64_t(j - nt);
    if (p == 0 && q == 0) return n - 1;
    if (p == 0) return n - 3;
    if (q == 0) return n - 2;
    const int64_t rp = (p - 1) / w, cp = (p - 1) % w, rq = (q - 1) / w, cq = (q - 1) % w;
    return (rp - rq + w - 1) * (2 * w - 1) + (cp - cq + w - 1);
  }
  void attention(Matrix& x, size_t nt, int64_t l, const std::string& pre) const {
    const int64_t d = c_.width, hd = d / c_.heads;
    const size_t n = x.size();
    const double *w = at(pre + "attn.qkv.weight"), *q_bias = at(pre + "attn.q_bias"), *v_bias = at(pre + "attn.v_bias");
    const double* table = c_.positions == "relative" ? at("relative_position_bias_table") : nullptr;
    Matrix q(n), k(n), v(n), o(n, std::vector<double>(static_cast<size_t>(d), 0.0));
    for (size_t r = 0; r < n; ++r) {
      const std::vector<double> y = norm(x[r], pre + "norm1", 1e-6);
      for (int64_t part = 0; part < 3; ++part) {
        std::vector<double> z(static_cast<size_t>(d), 0.0);
        for (int64_t c = 0; c < d; ++c) {
          for (int64_t i = 0; i < d; ++i) z[size_t(c)] += w[(part * d + c) * d + i] * y[size_t(i)];
          if (part == 0) z[size_t(c)] += q_bias[c];
          if (part == 2) z[size_t(c)] += v_bias[c];
        }
        (part == 0 ? q : part == 1 ? k : v)[r] = z;
      }
    }
    for (int64_t h = 0; h < c_.heads; ++h)
      for (size_t i = 0; i < n; ++i) {
        std::vector<double> s(n);
        double top = -1e300, sum = 0;
        for (size_t j = 0; j < n; ++j) {
          for (int64_t c = 0; c < hd; ++c) s[j] += q[i][size_t(h * hd + c)] * k[j][size_t(h * hd + c)];
          s[j] /= std::sqrt(double(hd));
          if (table) s[j] += table[table_row(i, j, nt) * c_.heads * c_.layers + l * c_.heads + h];
          top = std::max(top, s[j]);
        }
        for (double& e : s) sum += (e = std::exp(e - top));
        for (size_t j = 0; j < n; ++j)
          for (int64_t c = 0; c < hd; ++c) o[i][size_t(h * hd + c)] += s[j] / sum * v[j][size_t(h * hd + c)];
      }
    for (size_t r = 0; r < n; ++r) {
      const std::vector<double> y = linear(o[r], pre + "attn.proj");
      for (int64_t i = 0; i < d; ++i) x[r][size_t(i)] += gamma(pre + "gamma_1", i) * y[size_t(i)];
    }
  }

  ModelConfig c_;
  const MomeModel& model_;
};

}  // namespace mome::testing
