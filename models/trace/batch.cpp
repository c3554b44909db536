#include "models/trace/batch.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr int64_t kIgnore = -100;  // PyTorch's label of a token that no loss is taken at

/// A dimension that a tensor should have: a number, or while that is unknown (0) its letter.
struct Dim {
  const char* letter;
  int64_t value;
};

class Reader {
 public:
  Reader(const NamedTensors& file, const TraceMode& mode, const ModelShape& shape)
      : file_(file), mode_(mode), config_(shape.config), classes_(shape.parts.vqa) {}

  TraceBatch read(int64_t steps) {
    const int64_t s = config_.image_size;
    for (int i = 0; i < mode_.images; ++i) {
      const NamedTensor& image = need(mode_.images == 1 ? "image" : fmt::format("image_{}", i));
      expect(image, {{"B", batch_.size}, {"3", 3}, {"S", s}, {"S", s}});
      batch_.size = image.shape[0];
      batch_.images.push_back(float_values(file_, image));
    }
    read_lengths();
    if (mode_.texts) {
      const std::vector<int64_t> ids = tokens("text_ids");
      for (int64_t b = 0; b < batch_.size; ++b) batch_.texts.push_back(real(ids, b));
    }
    if (mode_.masked) read_masked();
    if (mode_.negatives) read_negatives(steps);
    if (mode_.name == "vqa") read_scores();
    if (mode_.name == "nlvr2") read_answers();
    return std::move(batch_);
  }

 private:
  const NamedTensor& need(const std::string& name) const {
    if (const NamedTensor* tensor = file_.find("in." + name)) return *tensor;
    fail("{}: tensor `in.{}` is missing; mode {} reads {}", file_.path, name, mode_.name, wanted());
  }
  std::string wanted() const {
    std::string names = mode_.images == 0   ? ""
                        : mode_.images == 1 ? "in.image, "
                                            : "in.image_0, in.image_1, ";
    if (mode_.texts) names += "in.text_ids, ";
    names += "in.text_masks";
    if (mode_.masked) names += ", in.text_ids_mlm, in.text_labels_mlm";
    if (mode_.negatives) names += ", in.neg_image, in.neg_text";
    if (mode_.targets) names += fmt::format(", in.{}", mode_.targets);
    return names;
  }

  void expect(const NamedTensor& tensor, const std::vector<Dim>& dims) const {
    bool fits = tensor.shape.size() == dims.size() && tensor.elements > 0;
    std::string text;
    for (size_t i = 0; i < dims.size(); ++i) {
      fits = fits && (dims[i].value == 0 || tensor.shape[i] == dims[i].value);
      text += (i ? ", " : "") +
              (dims[i].value ? std::to_string(dims[i].value) : std::string(dims[i].letter));
    }
    if (!fits)
      fail("{}: tensor `{}` has shape {}; expected [{}]", file_.path, tensor.name,
           shape_text(tensor.shape), text);
  }

  std::vector<int64_t> integers(const NamedTensor& tensor) const {
    if (tensor.dtype != "I64")
      fail("{}: tensor `{}` is {}; expected I64", file_.path, tensor.name, tensor.dtype);
    std::vector<int64_t> values(size_t(tensor.elements));
    std::memcpy(values.data(), tensor.data, tensor.bytes);
    return values;
  }
  /// Error that names the element of a matrix with rows of `cols`.
  [[noreturn]] void bad(const NamedTensor& tensor, size_t i, int64_t cols, int64_t value,
                        const std::string& expected) const {
    const std::string at = tensor.shape.size() == 1
                               ? fmt::format("{}", i)
                               : fmt::format("{}, {}", int64_t(i) / cols, int64_t(i) % cols);
    fail("{}: tensor `{}`: element [{}] is {}; expected {}", file_.path, tensor.name, at, value,
         expected);
  }
  void within(const NamedTensor& tensor, const std::vector<int64_t>& values, int64_t cols,
              int64_t end, const char* what) const {
    for (size_t i = 0; i < values.size(); ++i)
      if (values[i] < 0 || values[i] >= end)
        bad(tensor, i, cols, values[i], fmt::format("{} from 0 to {}", what, end - 1));
  }

  /// in.text_masks: ones, then zeros.
  void read_lengths() {
    const NamedTensor& tensor = need("text_masks");
    expect(tensor, {{"B", batch_.size}, {"T", 0}});
    batch_.size = tensor.shape[0];
    batch_.padded = tensor.shape[1];
    if (batch_.padded > config_.text_length)
      fail("{}: tensor `{}` has shape {}; the model's longest text is of {} tokens", file_.path,
           tensor.name, shape_text(tensor.shape), config_.text_length);
    const std::vector<int64_t> mask = integers(tensor);
    for (int64_t b = 0; b < batch_.size; ++b) {
      int64_t length = 0;
      for (int64_t t = 0; t < batch_.padded; ++t) {
        const size_t i = size_t(b * batch_.padded + t);
        if (mask[i] != 0 && mask[i] != 1) bad(tensor, i, batch_.padded, mask[i], "0 or 1");
        if (mask[i] == 1 && length < t)
          bad(tensor, i, batch_.padded, 1, "ones for the real tokens, then zeros: a 0 came before");
        length += mask[i];
      }
      if (length == 0)
        fail("{}: tensor `{}`: row {} has no 1; expected a text of at least one token", file_.path,
             tensor.name, b);
      lengths_.push_back(length);
    }
  }

  std::vector<int64_t> tokens(const char* name) const {
    const NamedTensor& tensor = need(name);
    expect(tensor, {{"B", batch_.size}, {"T", batch_.padded}});
    std::vector<int64_t> ids = integers(tensor);
    within(tensor, ids, batch_.padded, config_.vocabulary, "a token of the vocabulary,");
    return ids;
  }
  std::vector<int32_t> real(const std::vector<int64_t>& ids, int64_t b) const {
    const auto row = ids.begin() + b * batch_.padded;
    return {row, row + lengths_[size_t(b)]};
  }

  void read_masked() {
    const std::vector<int64_t> ids = tokens("text_ids_mlm");
    const NamedTensor& tensor = need("text_labels_mlm");
    expect(tensor, {{"B", batch_.size}, {"T", batch_.padded}});
    const std::vector<int64_t> labels = integers(tensor);
    for (int64_t b = 0; b < batch_.size; ++b) {
      MaskedText text;
      text.tokens = real(ids, b);
      for (int64_t t = 0; t < batch_.padded; ++t) {
        const size_t i = size_t(b * batch_.padded + t);
        if (labels[i] == kIgnore) continue;
        if (labels[i] < 0 || labels[i] >= config_.vocabulary)
          bad(tensor, i, batch_.padded, labels[i],
              fmt::format("a label from 0 to {}, or {} for none", config_.vocabulary - 1, kIgnore));
        if (t >= lengths_[size_t(b)])
          bad(tensor, i, batch_.padded, labels[i], fmt::format("{} on padding", kIgnore));
        text.positions.push_back(int32_t(t));
        text.labels.push_back(int32_t(labels[i]));
      }
      batch_.masked.push_back(std::move(text));
    }
  }

  void read_negatives(int64_t steps) {
    const NamedTensor &image = need("neg_image"), &text = need("neg_text");
    const int64_t n = batch_.size;
    for (const NamedTensor* tensor : {&image, &text}) {
      if (steps > 0 && image.shape.size() == 2)
        expect(*tensor, {{"N", steps}, {"B", n}});
      else
        expect(*tensor, {{"B", n}});
    }
    const std::vector<int64_t> images = integers(image), texts = integers(text);
    within(image, images, n, n, "an image of the batch,");
    within(text, texts, n, n, "a text of the batch,");
    for (size_t i = 0; i < images.size(); i += size_t(n)) {
      const auto at = [&](const std::vector<int64_t>& v) {
        return std::vector<int32_t>(v.begin() + int64_t(i), v.begin() + int64_t(i) + n);
      };
      batch_.negatives.push_back({at(images), at(texts)});
    }
  }

  void read_scores() {
    const NamedTensor& tensor = need(mode_.targets);
    expect(tensor, {{"B", batch_.size}, {"answers", classes_}});
    const std::vector<double> scores = float_values(file_, tensor);
    batch_.targets.resize(size_t(batch_.size));
    for (size_t i = 0; i < scores.size(); ++i) {
      const int64_t b = int64_t(i) / classes_, c = int64_t(i) % classes_;
      if (!(scores[i] >= 0 && scores[i] <= 1))
        fail("{}: tensor `{}`: element [{}, {}] is {}; expected a score from 0 to 1", file_.path,
             tensor.name, b, c, scores[i]);
      if (scores[i] > 0) batch_.targets[size_t(b)].emplace_back(int32_t(c), float(scores[i]));
    }
  }
  void read_answers() {
    const NamedTensor& tensor = need(mode_.targets);
    expect(tensor, {{"B", batch_.size}});
    const std::vector<int64_t> labels = integers(tensor);
    within(tensor, labels, batch_.size, 2, "a label");
    for (const int64_t label : labels) batch_.targets.push_back({{int32_t(label), 1.0f}});
  }

  const NamedTensors& file_;
  const TraceMode& mode_;
  const ModelConfig& config_;
  const int64_t classes_;  // of the answers' head
  TraceBatch batch_;
  std::vector<int64_t> lengths_;  // [B]
};

}  // namespace

TraceBatch read_batch(const NamedTensors& inputs, const TraceMode& mode, const ModelShape& shape,
                      int64_t steps) {
  return Reader(inputs, mode, shape).read(steps);
}

Tensor trace_patches(const TraceBatch& batch, const ModelConfig& config, DType dtype,
                     Arena& arena) {
  const int64_t side = config.image_size, p = config.patch, grid = config.grid();
  const int64_t images = batch.size * int64_t(batch.images.size());
  Tensor patches = arena.tensor(images * config.patches(), 3 * p * p, dtype);
  dispatch(arena.device(), dtype, [&]<class T>(auto& queue) {
    std::vector<T> host(size_t(patches.count()));
    auto to = host.begin();
    for (const std::vector<double>& pixels : batch.images)
      for (int64_t b = 0; b < batch.size; ++b)
        for (int64_t patch = 0; patch < config.patches(); ++patch)
          for (int64_t c = 0; c < 3; ++c)
            for (int64_t y = 0; y < p; ++y) {
              const int64_t row = patch / grid * p + y, column = patch % grid * p;
              const double* from = pixels.data() + ((b * 3 + c) * side + row) * side + column;
              for (int64_t x = 0; x < p; ++x) {
                if constexpr (std::is_same_v<T, double>)
                  *to++ = from[x];
                else
                  *to++ = from_float<T>(float(from[x]));
              }
            }
    queue.upload(patches.data, host.data(), patches.bytes());
  });
  return patches;
}

}  // namespace mome
