#include "models/mome/layout.h"

#include <algorithm>

namespace mome {
namespace {

void append(std::vector<int32_t>& index, int64_t begin, int64_t count) {
  for (int64_t i = 0; i < count; ++i) index.push_back(int32_t(begin + i));
}

}  // namespace

MomeLayout::MomeLayout(const LayoutOptions& options, int64_t images, std::vector<int32_t> text_lengths,
                       std::vector<SequenceSpec> sequences)
    : options_(options), text_lengths_(std::move(text_lengths)), sequences_(std::move(sequences)) {
  MOME_CHECK(options_.has_lower || options_.has_upper);
  std::vector<int64_t> text_begin(text_lengths_.size());
  distinct_rows = images * options_.image_tokens;
  for (size_t t = 0; t < text_lengths_.size(); ++t) {
    MOME_CHECK(text_lengths_[t] >= 1);
    text_begin[t] = distinct_rows;
    distinct_rows += text_lengths_[t];
  }

  // Streams: one a sequence, and after them one a tail. Below the VL blocks tails do not exist yet.
  std::vector<Stream> streams(sequences_.size());
  for (size_t s = 0; s < sequences_.size(); ++s) {
    MOME_CHECK(sequences_[s].image >= 0 || sequences_[s].text >= 0);
    MOME_CHECK(sequences_[s].image < images && sequences_[s].text < int32_t(text_lengths_.size()));
    MOME_CHECK(!sequences_[s].tail || !fused(int(s)));
    streams[s].sequence = int32_t(s);
  }
  tail_stream_.assign(sequences_.size(), -1);
  std::vector<Stream> lower_streams = streams;
  if (options_.has_upper)
    for (size_t s = 0; s < sequences_.size(); ++s)
      if (sequences_[s].tail) {
        tail_stream_[s] = int32_t(streams.size());
        streams.push_back({int32_t(s), true});
      }

  if (options_.has_lower) lower = place(false, lower_streams);
  if (options_.has_upper) upper = place(true, streams);
  streams_ = options_.has_upper ? streams : lower_streams;

  // Enter: every row of the first block names its distinct input's row.
  const std::vector<Stream>& first = options_.has_lower ? lower_streams : streams;
  std::vector<int32_t> index(size_t(options_.has_lower ? lower.rows : upper.rows));
  const auto fill = [](std::vector<int32_t>& to, int64_t at, int64_t from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[size_t(at + i)] = int32_t(from + i);
  };
  for (const Stream& s : first) {
    const SequenceSpec& q = sequences_[s.sequence];
    if (q.image >= 0) fill(index, s.image_begin, q.image * options_.image_tokens, options_.image_tokens);
    if (q.text >= 0) fill(index, s.text_begin, text_begin[q.text], text_lengths_[q.text]);
  }
  enter = make_gather(distinct_rows, std::move(index));

  if (options_.has_lower && options_.has_upper) {
    std::vector<int32_t> again(size_t(upper.rows));
    for (const Stream& s : streams) {
      const SequenceSpec& q = sequences_[s.sequence];
      const Stream& from = lower_streams[s.sequence];
      if (q.image >= 0) fill(again, s.image_begin, from.image_begin, options_.image_tokens);
      if (q.text >= 0) fill(again, s.text_begin, from.text_begin, text_lengths_[q.text]);
    }
    relayout = make_gather(lower.rows, std::move(again));
  }
  prune(options_.has_upper ? upper : lower);
}

BlockRows MomeLayout::place(bool is_upper, std::vector<Stream>& streams) const {
  BlockRows b;
  const auto images = [&](auto wanted) {
    const int64_t begin = b.rows;
    for (Stream& s : streams) {
      if (sequences_[s.sequence].image < 0 || !wanted(s)) continue;
      s.image_begin = b.rows;
      b.rows += options_.image_tokens;
    }
    return RowRange{begin, b.rows - begin};
  };
  const auto texts = [&](auto wanted) {
    const int64_t begin = b.rows;
    for (Stream& s : streams) {
      if (sequences_[s.sequence].text < 0 || !wanted(s)) continue;
      s.text_begin = b.rows;
      b.rows += text_lengths_[sequences_[s.sequence].text];
    }
    return RowRange{begin, b.rows - begin};
  };
  const auto alone = [&](const Stream& s) { return !s.tail && !fused(s.sequence); };
  const auto tail = [&](const Stream& s) { return s.tail; };
  const auto both = [&](const Stream& s) { return fused(s.sequence); };

  const RowRange image_only = images(alone), image_tails = images(tail), fused_images = images(both);
  const RowRange fused_texts = texts(both), text_tails = texts(tail), text_only = texts(alone);
  if (is_upper) {
    b.vision = image_only;
    b.fused = {image_tails.begin, image_tails.count + fused_images.count + fused_texts.count + text_tails.count};
    b.language = text_only;
  } else {
    b.vision = {0, image_only.count + fused_images.count};
    b.language = {fused_texts.begin, fused_texts.count + text_only.count};
    b.fused = {b.language.begin, 0};
  }

  b.attention.q_position.resize(size_t(b.rows));
  b.attention_sample.resize(size_t(b.rows));
  b.expert_sample.resize(size_t(b.rows));
  for (const Stream& s : streams) {
    const SequenceSpec& q = sequences_[s.sequence];
    const int32_t sample = 2 * (q.key < 0 ? s.sequence : q.key) + s.tail;
    const auto mark = [&](int64_t begin, int64_t count, int64_t position, int32_t half) {
      for (int64_t r = 0; r < count; ++r) {
        b.attention.q_position[size_t(begin + r)] = int32_t(position + r);
        b.attention_sample[size_t(begin + r)] = sample;
        b.expert_sample[size_t(begin + r)] = is_upper ? sample : 2 * sample + half;
      }
    };
    if (q.text >= 0) mark(s.text_begin, text_lengths_[q.text], 0, 0);
    if (q.image >= 0) mark(s.image_begin, options_.image_tokens, options_.text_capacity, 1);
  }
  attend(b, streams);
  return b;
}

void MomeLayout::attend(BlockRows& b, const std::vector<Stream>& streams) const {
  for (const Stream& s : streams) {
    const SequenceSpec& q = sequences_[s.sequence];
    AttentionSequence a{};
    if (q.text >= 0) {
      a.q_begin[0] = a.k_begin[0] = int32_t(s.text_begin);
      a.q_count[0] = a.k_count[0] = text_lengths_[q.text];
    }
    if (q.image >= 0) {
      a.q_begin[1] = a.k_begin[1] = int32_t(s.image_begin);
      a.q_count[1] = a.k_count[1] = int32_t(options_.image_tokens);
    }
    a.k_position[0] = 0;
    a.k_position[1] = int32_t(options_.text_capacity);
    b.attention.sequences.push_back(a);
  }
}

// The read rows keep the order of the layout, so expert ranges stay contiguous.
void MomeLayout::prune(const BlockRows& from) {
  std::vector<uint8_t> wanted(size_t(from.rows), options_.prune ? 0 : 1);
  const auto mark = [&](int64_t begin, int64_t length, bool all, const std::vector<int32_t>& tokens) {
    if (all) std::fill_n(wanted.begin() + begin, length, uint8_t(1));
    for (int32_t t : tokens) {
      MOME_CHECK(t >= 0 && t < length);
      wanted[size_t(begin + t)] = 1;
    }
  };
  for (const Stream& s : streams_) {
    const SequenceSpec& q = sequences_[s.sequence];
    if (q.text >= 0) mark(s.text_begin, text_lengths_[q.text], q.read_all_text, q.read_text);
    if (q.image >= 0) mark(s.image_begin, options_.image_tokens, q.read_all_image, q.read_image);
  }
  std::vector<int32_t> rank(size_t(from.rows) + 1, 0), index;
  for (int64_t r = 0; r < from.rows; ++r) {
    rank[size_t(r) + 1] = rank[size_t(r)] + wanted[size_t(r)];
    if (wanted[size_t(r)]) append(index, r, 1);
  }
  const auto range = [&](RowRange r) {
    return RowRange{rank[size_t(r.begin)], rank[size_t(r.begin + r.count)] - rank[size_t(r.begin)]};
  };
  last.rows = int64_t(index.size());
  last.vision = range(from.vision);
  last.language = range(from.language);
  last.fused = range(from.fused);
  last.attention.sequences = from.attention.sequences;
  for (AttentionSequence& a : last.attention.sequences)
    for (int seg = 0; seg < 2; ++seg) {
      const int32_t begin = rank[size_t(a.k_begin[seg])], end = rank[size_t(a.k_begin[seg] + a.k_count[seg])];
      a.q_begin[seg] = begin;
      a.q_count[seg] = end - begin;
    }
  for (int32_t r : index) {
    last.attention.q_position.push_back(from.attention.q_position[size_t(r)]);
    last.attention_sample.push_back(from.attention_sample[size_t(r)]);
    last.expert_sample.push_back(from.expert_sample[size_t(r)]);
  }
  for (Stream& s : streams_) {
    s.text_read = rank[size_t(s.text_begin)];
    s.image_read = rank[size_t(s.image_begin)];
  }
  read = make_gather(from.rows, std::move(index));
}

const MomeLayout::Stream& MomeLayout::stream(int sequence, bool tail) const {
  MOME_CHECK(!tail || tail_stream_[size_t(sequence)] >= 0);
  return streams_[size_t(tail ? tail_stream_[size_t(sequence)] : sequence)];
}

int32_t MomeLayout::row(int64_t first, const std::vector<int32_t>& tokens, bool all, int64_t length, int token) const {
  MOME_CHECK(token >= 0 && token < length);
  if (all || !options_.prune) return int32_t(first + token);
  const auto it = std::lower_bound(tokens.begin(), tokens.end(), token);
  MOME_CHECK(it != tokens.end() && *it == token);  // only tokens that were named can be read
  return int32_t(first + (it - tokens.begin()));
}

int32_t MomeLayout::text_row(int sequence, int token, bool tail) const {
  const SequenceSpec& q = sequences_[size_t(sequence)];
  return row(stream(sequence, tail).text_read, q.read_text, q.read_all_text, text_length(sequence), token);
}

int32_t MomeLayout::image_row(int sequence, int token, bool tail) const {
  const SequenceSpec& q = sequences_[size_t(sequence)];
  return row(stream(sequence, tail).image_read, q.read_image, q.read_all_image, options_.image_tokens, token);
}

int64_t MomeLayout::text_length(int sequence) const {
  const int32_t t = sequences_[size_t(sequence)].text;
  return t < 0 ? 0 : text_lengths_[size_t(t)];
}

}  // namespace mome
