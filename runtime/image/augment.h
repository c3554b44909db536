// From a picture of any size to the S x S that the model takes, in training and in evaluation.
#pragma once
#include <optional>
#include <string>

#include "kernels/common/philox.h"
#include "runtime/image/image.h"

namespace mome {

/// What happens to a picture. Kinds:
///   none    bicubic resize to S x S, aspect ratio ignored (VLMo's evaluation)
///   vlmo    random resized crop (area 0.5-1, aspect 3/4-4/3, bicubic), flip, RandAugment N = 2, M
///   = 7
///           (VLMo's training, runtime/image/randaugment.h)
///   gentle  bicubic resize to S x S, then one small affine warp and a small change of colour.
///   Ranges,
///           each drawn uniformly, s = strength: zoom 1 - 0.2 s to 1 + 0.25 s; shift +-6 s % of S;
///           turn +-11.5 s degrees; aspect, contrast (about 127.5) +-15 s %; every channel +-7.5 s
///           grey levels. (s = 0.4: zoom 0.92-1.10, 2.4 %, 4.6 degrees, 6 %, 6 %, 3 levels.)
struct Augmentation {
  std::string kind = "none";
  double strength = 0.4;  // gentle only, in [0, 4]
  int fill = 255;         // gentle only: gray level of what the warp uncovers, in [0, 255]
  std::optional<bool> flip = std::nullopt;  // mirror with probability 1/2; unset: only vlmo does
};

/// Throws Error for a kind that does not exist and for values out of range.
void check_augmentation(const Augmentation& augmentation);

/// torchvision's RandomResizedCrop.get_params with scale 0.5-1 and ratio 3/4-4/3: ten tries, then
/// the central crop of the nearest allowed ratio. width, height >= 1.
Crop random_resized_crop(int width, int height, RandomStream& random);

/// What augment() looks at of a picture of width x height: a random crop for vlmo, else all of it.
/// Draws what augment() draws first. Throws as check_augmentation.
Crop draw_crop(int width, int height, const Augmentation& augmentation, RandomStream& random);

/// By how much (1, 2, 4 or 8) both sides of a picture may be reduced before it is augmented for
/// training, so that no crop which can be drawn is smaller than size x size after it: nothing is
/// ever enlarged for having been reduced. 1 for kind none, which evaluation uses.
int reduction(int width, int height, int size, const Augmentation& augmentation);

/// What augment() does after draw_crop(), with `crop` of `image`.
Image augment_crop(const Image& image, const Crop& crop, int size, const Augmentation& augmentation,
                   RandomStream& random);

/// The picture augmented and brought to size x size. All randomness is drawn from `random`: the
/// same stream gives the same pixels. `image` is not empty, size >= 1. Throws as
/// check_augmentation.
Image augment(const Image& image, int size, const Augmentation& augmentation, RandomStream& random);

}  // namespace mome
