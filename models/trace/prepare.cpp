#include "models/trace/prepare.h"

#include "kernels/image/normalize.h"
#include "runtime/core/error.h"
#include "runtime/image/augment.h"
#include "runtime/image/decode.h"

namespace mome {

NamedTensors prepare_inputs(const ModelConfig& config, const std::vector<std::string>& image_files,
                            const std::vector<std::string>& texts, const WordPiece& words,
                            const std::string& vocabulary_file) {
  if (words.size() != config.vocabulary)
    fail("{}: has {} tokens; the checkpoint expects {}", vocabulary_file, words.size(),
         config.vocabulary);
  const auto n = int64_t(image_files.size());
  if (n == 0 || image_files.size() != texts.size())
    throw UsageError(
        fmt::format("{} --image and {} --text; expected as many of each", n, texts.size()));
  const int64_t side = config.image_size, pixels = 3 * side * side, t = config.text_length;
  std::vector<float> image(size_t(n * pixels));
  std::vector<int64_t> ids(size_t(n * t), words.pad()), masks(size_t(n * t), 0);
  for (int64_t b = 0; b < n; ++b) {
    RandomStream unused(0, 0, Purpose::kAugment, 0);
    const Image resized =
        augment(read_image(image_files[size_t(b)]), int(side), Augmentation{}, unused);
    // One patch as large as the picture: [3, S, S].
    patches_from_images<float>(cpu, resized.pixels.data(), 1, int(side), int(side), Normalization{},
                               image.data() + b * pixels);
    const std::vector<int32_t> tokens = words.encode_text(texts[size_t(b)], int(t));
    std::copy(tokens.begin(), tokens.end(), ids.begin() + b * t);
    std::fill_n(masks.begin() + b * t, tokens.size(), 1);
  }
  NamedTensors inputs;
  inputs.path = "--image and --text";
  inputs.list = {make_tensor("in.image", "F32", {n, 3, side, side}, std::move(image)),
                 make_tensor("in.text_ids", "I64", {n, t}, std::move(ids)),
                 make_tensor("in.text_masks", "I64", {n, t}, std::move(masks))};
  return inputs;
}

}  // namespace mome
