#include "kernels/image/normalize.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;

struct Size {
  int64_t batch;
  int size, patch;
};
// None; one pixel; patches that split into packs of neither type, of floats alone, of both; a band
// of several passes.
const Size kSizes[] = {{0, 16, 16}, {1, 1, 1},  {2, 6, 2},  {2, 15, 5},
                       {1, 7, 7},   {3, 12, 4}, {2, 16, 8}, {1, 48, 16}};

template <class T>
void check(Size s, const Normalization& normalization) {
  SCOPED_TRACE(::testing::Message()
               << s.batch << " images of " << s.size << ", patches of " << s.patch);
  std::vector<uint8_t> images;
  for (int32_t v : testing::integer_vector(s.batch * s.size * s.size * 3, 256, 5))
    images.push_back(uint8_t(v));
  std::vector<float> want(images.size());
  patches_from_images<float>(cpu, images.data(), s.batch, s.size, s.patch, normalization,
                             want.data());
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<uint8_t, Queue> in(queue, images);
    DeviceArray<T, Queue> out(queue, images.size());
    patches_from_images<T>(queue, in.data(), s.batch, s.size, s.patch, normalization, out.data());
    EXPECT_EQ(testing::widened(out.read()), testing::widened(testing::rounded<T>(want)));
  });
}

TEST(PatchesGpu, AreTheCpusRounded) {
  const Normalization imagenet{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
  for (const Size& s : kSizes)
    for (const Normalization& n : {Normalization{}, imagenet}) {
      check<float>(s, n);
      check<half>(s, n);
      check<bf16>(s, n);
    }
}

}  // namespace
}  // namespace mome
