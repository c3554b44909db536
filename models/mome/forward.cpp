// The forward pass: embeddings, blocks, final norm. One function a step; the layout does the routing.
#include "kernels/dropout/dropout.h"
#include "models/mome/model.h"

namespace mome {
namespace {
constexpr double kBlockEps = 1e-6;   // the transformer's LayerNorms
constexpr double kBertEps = 1e-12;   // BERT's
constexpr uint64_t kPassStreams = 1 << 20;  // drop-path and dropout streams of one pass
}  // namespace

const RelativeIndex& MomeModel::relative_index(int64_t text_capacity, bool with_image) const {
  auto& slot = index_[{text_capacity, with_image}];
  if (!slot)
    slot = std::make_unique<RelativeIndex>(make_relative_index(text_capacity, with_image ? config_.grid() : 0, config_.grid()));
  return *slot;
}

std::shared_ptr<MomeLayout> MomeModel::layout(const ForwardInputs& inputs, std::vector<SequenceSpec> sequences, bool prune) const {
  LayoutOptions options;
  options.image_tokens = config_.patches() + 1;
  options.text_capacity = inputs.text_lengths.empty() ? 0 : config_.text_length;
  options.has_upper = parts_.fused && config_.vl_from < config_.layers;
  options.has_lower = !options.has_upper || config_.vl_from > 0;
  options.prune = prune;
  return std::make_shared<MomeLayout>(options, inputs.images, inputs.text_lengths, std::move(sequences));
}

// Distinct inputs, images first: [images*(P+1) + text tokens, D].
Var* MomeModel::embed(Tape& tape, const ForwardInputs& in, const ForwardOptions& options) {
  Var *image = nullptr, *text = nullptr;
  Var* type = on(tape, type_);
  const int64_t d = config_.width;
  if (in.images > 0) {
    MOME_CHECK(in.patches.rows == in.images * config_.patches());
    Var* weight = on(tape, patch_weight_);  // [D, 3, p, p] seen as [D, 3p^2]
    Var* position = on(tape, pos_embed_);
    if (position) {  // [1, P+1, D] seen as [P+1, D]
      Tensor v = position->value, g = position->grad;
      v.rows = config_.patches() + 1, v.cols = d;
      if (g) g.rows = v.rows, g.cols = v.cols;
      position = tape.leaf(v, g);
    }
    const auto tokens = [&](Var* patches, int64_t images, int64_t type_row) {
      return patch_embedding(tape, patches, images, config_.patches(), on(tape, cls_), position, tape.leaf_rows(type, type_row, 1),
                             in.masked, on(tape, mask_token_));
    };
    if (in.second_from < 0) {
      image = tokens(linear(tape, tape.leaf(in.patches), weight, on(tape, patch_bias_)), in.images, 1);
    } else {
      MOME_CHECK(parts_.nlvr2 && in.second_from <= in.images && !in.masked);
      const int64_t first = in.second_from * config_.patches();
      Var* one = linear(tape, tape.leaf(in.patches.slice(0, first)), weight, on(tape, patch_bias_));
      Var* two = linear(tape, tape.leaf(in.patches.slice(first, in.patches.rows - first)), weight, on(tape, patch_bias_));
      image = concat_rows(tape, tokens(one, in.second_from, 1), tokens(two, in.images - in.second_from, 2));
    }
  }
  if (!in.tokens.empty()) {
    Var* bert_type = tape.leaf_rows(on(tape, text_type_), 0, 1);
    Var* e = text_embedding(tape, on(tape, word_), bert_type, on(tape, text_pos_), in.tokens, text_position_, 0, parameters_.compute_dtype());
    e = layer_norm(tape, e, on(tape, text_norm_weight_), on(tape, text_norm_bias_), kBertEps);
    e = dropout(tape, e, text_draws_, options.dropout, options.seed, options.step, options.pass * kPassStreams);
    text = add_row(tape, e, tape.leaf_rows(type, 0, 1));
  }
  if (!image) return text;
  if (!text) return image;
  return concat_rows(tape, image, text);
}

Var* MomeModel::drop_path(Tape& tape, const std::vector<int32_t>& sample, int64_t block, int branch, const ForwardOptions& options) {
  const double rate = config_.layers > 1 ? options.drop_path * double(block) / double(config_.layers - 1) : options.drop_path;
  if (rate <= 0) return nullptr;
  const int64_t rows = int64_t(sample.size());
  Var* scale = tape.output(rows, 1, parameters_.dtype(), {});
  dispatch(tape.device(), parameters_.compute_dtype(), [&]<class T>(auto& q) {
    drop_path_scale<T>(q, rows, tape.on_device(sample), rate, options.seed, options.step,
                       options.pass * kPassStreams + uint64_t(2 * block + branch) + 1, scale->value.as<Real<T>>());
  });
  return scale;
}

ForwardOutput MomeModel::forward(Tape& tape, const ForwardInputs& in, const MomeLayout& layout, const ForwardOptions& options) {
  text_position_.clear();
  text_draws_.clear();
  MOME_CHECK(in.text_keys.empty() || in.text_keys.size() == in.text_lengths.size());
  for (size_t i = 0; i < in.text_lengths.size(); ++i)
    for (int32_t t = 0; t < in.text_lengths[i]; ++t) {
      text_position_.push_back(t);
      text_draws_.push_back(int64_t(in.text_keys.empty() ? int64_t(i) : in.text_keys[i]) * config_.text_length + t);
    }
  MOME_CHECK(text_position_.size() == in.tokens.size());
  MOME_CHECK(in.tokens.empty() || parts_.text);
  MOME_CHECK(in.images == 0 || parts_.image);

  Var* x = embed(tape, in, options);
  MOME_CHECK(x->rows() == layout.distinct_rows);
  Var* table = on(tape, table_);
  const RelativeIndex* index =
      table ? &relative_index(in.tokens.empty() ? 0 : config_.text_length, in.images > 0) : nullptr;
  const int64_t first_upper = layout.upper.rows ? config_.vl_from : config_.layers;
  Var* n = layer_norm(tape, x, on(tape, blocks_[0].norm1_weight), on(tape, blocks_[0].norm1_bias), kBlockEps);

  ForwardOutput out;
  for (int64_t l = 0; l < config_.layers; ++l) {
    const Block& b = blocks_[size_t(l)];
    const bool upper = l >= first_upper;
    // Norm and projection run once per distinct row; then rows spread out over the sequences that use them.
    const GatherPlan* spread = l == 0 ? &layout.enter : l == first_upper ? &layout.relayout : nullptr;
    const bool pruned = l + 1 == config_.layers && !layout.read.identity;
    const BlockRows& rows = l + 1 == config_.layers ? layout.last : upper ? layout.upper : layout.lower;
    Var* bias = table ? relative_bias(tape, table, *index, l, config_.heads) : nullptr;
    Var *qkv_weight = on(tape, b.qkv), *q_bias = on(tape, b.q_bias), *v_bias = on(tape, b.v_bias);

    Var *q, *kv = nullptr;
    if (!pruned) {
      q = qkv_linear(tape, n, qkv_weight, q_bias, v_bias, 0, 3);
      if (spread) q = gather_rows(tape, q, *spread), x = gather_rows(tape, x, *spread);
    } else {
      kv = qkv_linear(tape, n, qkv_weight, q_bias, v_bias, 1, 2);
      if (spread) {
        kv = gather_rows(tape, kv, *spread);
        n = gather_rows(tape, n, *spread);
        x = gather_rows(tape, x, *spread);
      }
      q = qkv_linear(tape, gather_rows(tape, n, layout.read), qkv_weight, q_bias, v_bias, 0, 1);
      x = gather_rows(tape, x, layout.read);
    }
    if (options.hidden) options.hidden(l, x, rows);
    Var* a = attention(tape, q, kv, rows.attention, config_.heads, bias);
    a = linear(tape, a, on(tape, b.proj_weight), on(tape, b.proj_bias));

    std::vector<NormRange> norms;
    std::vector<ExpertRange> ffn;
    const auto add = [&](const Expert& e, RowRange r) {
      if (r.count == 0) return;
      MOME_CHECK(e.fc1_weight >= 0);
      norms.push_back({r.begin, r.count, on(tape, e.norm_weight), on(tape, e.norm_bias)});
      ffn.push_back({r.begin, r.count, on(tape, e.fc1_weight), on(tape, e.fc1_bias), on(tape, e.fc2_weight), on(tape, e.fc2_bias)});
    };
    add(b.vision, rows.vision);
    add(b.language, rows.language);
    add(b.fused, rows.fused);

    Var* scale1 = drop_path(tape, rows.attention_sample, l, 0, options);
    const ResidualOut mid = residual_norm(tape, x, a, on(tape, b.gamma1), scale1 ? scale1->value : Tensor{}, norms, kBlockEps);
    Var* h = experts(tape, mid.n, ffn, gelu_, options.recompute);
    Var* scale2 = drop_path(tape, rows.expert_sample, l, 1, options);
    const bool end = l + 1 == config_.layers;
    const int weight = end ? norm_weight_ : blocks_[size_t(l + 1)].norm1_weight;
    const int norm_bias = end ? norm_bias_ : blocks_[size_t(l + 1)].norm1_bias;
    const ResidualOut next = residual_norm(tape, mid.y, h, on(tape, b.gamma2), scale2 ? scale2->value : Tensor{},
                                           {{0, rows.rows, on(tape, weight), on(tape, norm_bias)}}, kBlockEps);
    x = next.y;
    n = next.n;
  }
  if (options.hidden) options.hidden(config_.layers, x, layout.last);
  out.states = n;
  out.raw = x;
  return out;
}

}  // namespace mome
