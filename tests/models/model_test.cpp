// The packed engine against a per-sequence double-precision reference, for random mixtures of sequences.
#include "models/mome/model.h"

#include <gtest/gtest.h>

#include "kernels/common/philox.h"
#include "tests/models/reference.h"

namespace mome::testing {
namespace {

struct Read {
  int sequence, token;
  bool image, tail;
};

struct Case {
  ModelConfig config;
  std::unique_ptr<MomeModel> model;
  ForwardInputs inputs;
  std::vector<double> patches;
  std::vector<SequenceSpec> sequences;
  std::vector<Read> reads;
  Matrix weights;  // of the reads: the scalar under test is sum weights . states
};

ModelConfig small(int64_t layers, int64_t vl_from, const std::string& positions) {
  ModelConfig c;
  c.image_size = 12, c.patch = 4, c.width = 12, c.heads = 2, c.layers = layers, c.mlp_ratio = 2;
  c.vl_from = vl_from, c.positions = positions, c.text_length = 9, c.vocabulary = 17;
  c.layer_scale = positions == "relative" ? 0.3 : 0;
  return c;
}

// Random lengths, orders and modes; every kind of read.
Case make_case(uint64_t seed, ModelConfig config, bool fused) {
  Case k;
  k.config = config;
  ModelParts parts = ModelParts::stage_pairs();
  parts.fused = fused;
  k.model = std::make_unique<MomeModel>(config, parts, DType::kF64);
  RandomStream random(seed, 0, Purpose::kTest, 1);
  ParameterSet& p = k.model->parameters();
  for (size_t i = 0; i < p.list().size(); ++i) {
    double* v = p.value(int(i)).as<double>();
    for (int64_t j = 0; j < p[int(i)].count; ++j) v[j] = 0.4 * random.normal() + (p[int(i)].init == Init::kOnes ? 1 : 0);
  }
  const int64_t patches = config.patches();
  k.inputs.images = 2 + random.below(2);
  k.patches.resize(size_t(k.inputs.images * patches * 48));
  for (double& v : k.patches) v = random.normal();
  k.inputs.patches = {k.patches.data(), k.inputs.images * patches, 48, DType::kF64};
  const int texts = 3;
  for (int t = 0; t < texts; ++t) {
    const int n = 1 + int(random.below(uint32_t(config.text_length)));
    k.inputs.text_lengths.push_back(n);
    for (int i = 0; i < n; ++i) k.inputs.tokens.push_back(int32_t(1 + random.below(16)));
  }
  const int count = 5 + int(random.below(4));
  for (int s = 0; s < count; ++s) {
    SequenceSpec q;
    const int kind = int(random.below(3));
    if (kind != 0) q.image = int32_t(random.below(uint32_t(k.inputs.images)));
    if (kind != 1) q.text = int32_t(random.below(texts));
    q.tail = fused && kind != 2 && random.below(2);
    const auto pick = [&](int64_t length, std::vector<int32_t>& tokens, bool& all) {
      all = random.below(4) == 0;
      for (int32_t t = 0; !all && t < length; ++t)
        if (random.below(3) == 0) tokens.push_back(t);
    };
    if (q.text >= 0) pick(k.inputs.text_lengths[q.text], q.read_text, q.read_all_text);
    if (q.image >= 0) pick(patches + 1, q.read_image, q.read_all_image);
    k.sequences.push_back(q);
    for (int tail = 0; tail < (q.tail ? 2 : 1); ++tail) {
      if (q.text >= 0)
        for (int t = 0; t < k.inputs.text_lengths[q.text]; ++t)
          if (q.read_all_text || std::count(q.read_text.begin(), q.read_text.end(), t)) k.reads.push_back({s, t, false, tail == 1});
      if (q.image >= 0)
        for (int t = 0; t <= patches; ++t)
          if (q.read_all_image || std::count(q.read_image.begin(), q.read_image.end(), t)) k.reads.push_back({s, t, true, tail == 1});
    }
  }
  for (size_t r = 0; r < k.reads.size(); ++r) {
    k.weights.emplace_back();
    for (int64_t i = 0; i < config.width; ++i) k.weights.back().push_back(random.normal());
  }
  return k;
}

// States of all reads by the reference.
Matrix reference_states(const Case& k, bool fused) {
  const Reference reference(*k.model);
  Matrix out;
  int last = -1;
  bool last_tail = false;
  Matrix states;
  for (const Read& r : k.reads) {
    const SequenceSpec& q = k.sequences[size_t(r.sequence)];
    size_t nt = q.text >= 0 ? size_t(k.inputs.text_lengths[size_t(q.text)]) : 0;
    if (r.sequence != last || r.tail != last_tail) {
      std::vector<int> text;
      int begin = 0;
      for (int t = 0; t < q.text; ++t) begin += k.inputs.text_lengths[size_t(t)];
      for (size_t t = 0; t < nt; ++t) text.push_back(k.inputs.tokens[size_t(begin) + t]);
      Matrix patches;
      for (int64_t p = 0; q.image >= 0 && p < k.config.patches(); ++p) {
        const double* from = k.patches.data() + (q.image * k.config.patches() + p) * 48;
        patches.emplace_back(from, from + 48);
      }
      states = reference.run(text, patches, r.tail, fused);
      last = r.sequence, last_tail = r.tail;
    }
    out.push_back(states[(r.image ? nt : 0) + size_t(r.token)]);
  }
  return out;
}

double weighted(const Case& k, const Matrix& states) {
  double sum = 0;
  for (size_t r = 0; r < states.size(); ++r)
    for (size_t i = 0; i < states[r].size(); ++i) sum += k.weights[r][i] * states[r][i];
  return sum;
}

int64_t state_row(const MomeLayout& layout, const Read& r) {
  return r.image ? layout.image_row(r.sequence, r.token, r.tail) : layout.text_row(r.sequence, r.token, r.tail);
}

// Runs the engine; leaves gradients of the weighted sum in the parameter set.
Matrix engine_states(Case& k, bool prune) {
  Arena arena;
  Tape tape(arena);
  const auto layout = k.model->layout(k.inputs, k.sequences, prune);
  k.model->parameters().zero_grads();
  const ForwardOutput out = k.model->forward(tape, k.inputs, *layout, {});
  Matrix states;
  bool add;
  Tensor grad = tape.grad(out.states, &add);
  std::fill_n(grad.as<double>(), grad.count(), 0.0);
  for (size_t r = 0; r < k.reads.size(); ++r) {
    const int64_t row = state_row(*layout, k.reads[r]);
    const double* v = out.states->value.slice(row, 1).as<double>();
    states.emplace_back(v, v + k.config.width);
    for (int64_t i = 0; i < k.config.width; ++i) grad.as<double>()[row * k.config.width + i] += k.weights[r][size_t(i)];
  }
  tape.backward();
  EXPECT_EQ(arena.in_use(), 0u);
  return states;
}

double worst(const Matrix& a, const Matrix& b) {
  double w = 0;
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < a[i].size(); ++j) w = std::max(w, std::abs(a[i][j] - b[i][j]));
  return w;
}

struct Shape {
  int64_t layers, vl_from;
  const char* positions;
  bool fused;
};
class Packed : public ::testing::TestWithParam<Shape> {};

TEST_P(Packed, StatesAndGradientsEqualThePerSequenceReference) {
  const Shape shape = GetParam();
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    Case k = make_case(seed, small(shape.layers, shape.vl_from, shape.positions), shape.fused);
    const Matrix expected = reference_states(k, shape.fused);
    const Matrix states = engine_states(k, true);
    // States are of order 1; double sums over some tens of terms.
    EXPECT_LT(worst(states, expected), 1e-12) << "seed " << seed;

    // Gradients against central differences of the reference, a few elements of every parameter.
    ParameterSet& p = k.model->parameters();
    RandomStream random(seed, 1, Purpose::kTest, 2);
    for (size_t i = 0; i < p.list().size(); ++i) {
      const std::string& name = p[int(i)].name;
      if (name.starts_with("itc") || name.starts_with("itm") || name.starts_with("mlm") || name.starts_with("pooler") || name.starts_with("logit"))
        continue;
      double* v = p.value(int(i)).as<double>();
      const double* g = p.grad(int(i)).as<double>();
      for (int trial = 0; trial < 1 + int(seed == 1); ++trial) {
        const int64_t j = random.below(uint32_t(p[int(i)].count));
        const double h = 1e-4, old = v[j];
        v[j] = old + h;
        const double up = weighted(k, reference_states(k, shape.fused));
        v[j] = old - h;
        const double down = weighted(k, reference_states(k, shape.fused));
        v[j] = old;
        const double difference = (up - down) / (2 * h);
        // h^2 truncation and 1e-15 / h cancellation on sums of order 100.
        EXPECT_NEAR(g[j], difference, 2e-5 * std::max(1.0, std::abs(difference))) << name << "[" << j << "] seed " << seed;
      }
    }
  }
}

TEST_P(Packed, PruningChangesNothing) {
  const Shape shape = GetParam();
  Case k = make_case(11, small(shape.layers, shape.vl_from, shape.positions), shape.fused);
  const Matrix full = engine_states(k, false);
  const ParameterSet& p = k.model->parameters();
  const double* g = static_cast<const double*>(p.grads());
  const std::vector<double> full_grads(g, g + p.count());
  const Matrix pruned = engine_states(k, true);
  EXPECT_LT(worst(full, pruned), 1e-13);
  for (int64_t i = 0; i < p.count(); ++i) ASSERT_NEAR(full_grads[size_t(i)], g[i], 1e-10 * std::max(1.0, std::abs(g[i])));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Packed,
                         ::testing::Values(Shape{3, 1, "relative", true}, Shape{2, 1, "absolute", true}, Shape{2, 0, "relative", true},
                                           Shape{1, 0, "relative", true}, Shape{4, 2, "relative", true}, Shape{2, 9, "relative", false}));

TEST(Tape, SameAddressesEveryStep) {
  Case k = make_case(5, small(3, 1, "relative"), true);
  Arena arena;
  std::vector<void*> first;
  for (int step = 0; step < 3; ++step) {
    Tape tape(arena);
    const auto layout = k.model->layout(k.inputs, k.sequences);
    const ForwardOutput out = k.model->forward(tape, k.inputs, *layout, {});
    bool add;
    Tensor grad = tape.grad(out.states, &add);
    std::fill_n(grad.as<double>(), grad.count(), 1.0);
    const std::vector<void*> now = {out.states->value.data, out.raw->value.data, grad.data};
    if (step == 0) first = now;
    EXPECT_EQ(now, first);
    tape.backward();
  }
}

}  // namespace
}  // namespace mome::testing
