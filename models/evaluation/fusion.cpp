#include "models/evaluation/fusion.h"

#include "models/objectives/objectives.h"

namespace mome {

std::vector<float> matching_scores(MomeModel& model, const Batch& images, const Batch& texts,
                                   const std::vector<Pairing>& pairs, Arena& arena) {
  ForwardInputs in;
  in.images = images.size;
  in.patches = batch_patches(model, images, arena);
  in.tokens = texts.tokens;
  for (int64_t b = 0; b < texts.size; ++b)
    in.text_lengths.push_back(texts.text_begin[size_t(b) + 1] - texts.text_begin[size_t(b)]);
  std::vector<SequenceSpec> sequences;
  for (const Pairing& p : pairs) {
    SequenceSpec s;
    s.image = p.image;
    s.text = p.text;
    s.read_text = {0};
    sequences.push_back(s);
  }
  const auto layout = model.layout(in, sequences);
  std::vector<float> scores;
  {
    Tape tape(arena, false);
    const ForwardOutput out = model.forward(tape, in, *layout, {});
    std::vector<int32_t> rows;
    for (size_t s = 0; s < sequences.size(); ++s) rows.push_back(layout->text_row(int(s), 0));
    const GatherPlan cls = make_gather(out.states->rows(), std::move(rows));
    const Tensor logits = model.itm_logits(tape, out.states, cls)->value;
    dispatch(tape.device(), logits.dtype, [&]<class T>(auto& q) {
      std::vector<T> host(size_t(logits.count()));
      q.download(host.data(), logits.data, logits.bytes());
      for (size_t s = 0; s < sequences.size(); ++s) scores.push_back(to_float(host[2 * s + 1]) - to_float(host[2 * s]));
    });
  }
  arena.release(in.patches.data);
  return scores;
}

MaskedWords masked_words(MomeModel& model, const Batch& images,
                         const std::vector<MaskedText>& texts, const std::vector<int32_t>& image,
                         Arena& arena) {
  ForwardInputs in;
  std::vector<SequenceSpec> sequences;
  std::vector<int32_t> labels;
  bool pictures = false;
  for (size_t b = 0; b < texts.size(); ++b) {
    if (texts[b].positions.empty()) continue;
    SequenceSpec s;
    s.image = image[b];
    pictures = pictures || image[b] >= 0;
    s.text = int32_t(in.text_lengths.size());
    s.read_text.assign(texts[b].positions.begin(), texts[b].positions.end());
    sequences.push_back(s);
    in.tokens.insert(in.tokens.end(), texts[b].tokens.begin(), texts[b].tokens.end());
    in.text_lengths.push_back(int32_t(texts[b].tokens.size()));
    labels.insert(labels.end(), texts[b].labels.begin(), texts[b].labels.end());
  }
  MaskedWords result;
  if (sequences.empty()) return result;
  if (pictures) {
    in.images = images.size;
    in.patches = batch_patches(model, images, arena);
  }
  const auto layout = model.layout(in, sequences);
  {
    Tape tape(arena, false);
    const ForwardOutput out = model.forward(tape, in, *layout, {});
    std::vector<int32_t> rows;
    for (size_t s = 0; s < sequences.size(); ++s)
      for (int32_t t : sequences[s].read_text) rows.push_back(layout->text_row(int(s), t));
    const GatherPlan plan = make_gather(out.states->rows(), std::move(rows));
    Readout readout(arena);
    const LossOut r = cross_entropy_loss(tape, model.mlm_logits(tape, out.states, plan), labels, 1, nullptr, readout);
    readout.read();
    result = {r.correct(), r.count};
  }
  if (pictures) arena.release(in.patches.data);
  return result;
}

}  // namespace mome
