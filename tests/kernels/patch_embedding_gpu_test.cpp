#include "kernels/patch_embedding/patch_embedding.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::normal_vector;

struct Size {
  int64_t batch, patches, width;
};
const Size kSizes[] = {{0, 4, 8},  {1, 1, 1},   {2, 0, 4},   {3, 4, 31},
                       {5, 7, 33}, {9, 3, 127}, {4, 5, 128}, {2, 6, 132}};

/// What the gradients start from, and what they become.
template <class R>
struct Gradients {
  std::vector<R> proj, mask, cls, position, type;
};

template <class T>
struct Case {
  int64_t batch, patches, width;
  std::vector<T> proj, dx;
  std::vector<float> mask_token, cls, position, type;
  std::vector<uint8_t> masked;
  explicit Case(Size s)
      : batch(s.batch),
        patches(s.patches),
        width(s.width),
        proj(testing::rounded<T>(normal_vector<float>(batch * patches * width, 1))),
        dx(testing::rounded<T>(normal_vector<float>(batch * (patches + 1) * width, 6))),
        mask_token(normal_vector<float>(width, 2)),
        cls(normal_vector<float>(width, 3)),
        position(normal_vector<float>((patches + 1) * width, 4)),
        type(normal_vector<float>(width, 5)) {
    for (int32_t v : testing::integer_vector(batch * patches, 5, 7)) masked.push_back(v < 2);
  }
  template <class R>
  std::vector<R> cpu_forward(bool mask, bool positions) const {
    const auto as = [](const std::vector<float>& v) { return std::vector<R>(v.begin(), v.end()); };
    std::vector<R> x(dx.size());
    patch_embedding_forward<R>(
        cpu, batch, patches, width, as(testing::widened(proj)).data(),
        mask ? masked.data() : nullptr, mask ? as(mask_token).data() : nullptr, as(cls).data(),
        positions ? as(position).data() : nullptr, as(type).data(), x.data());
    return x;
  }
  template <class R>
  Gradients<R> blank() const {
    return {std::vector<R>(proj.size()), std::vector<R>(width, 1), std::vector<R>(width, 2),
            std::vector<R>(position.size(), 3), std::vector<R>(width, 4)};
  }
  template <class R>
  Gradients<R> cpu_backward(bool mask) const {
    Gradients<R> g = blank<R>();
    const std::vector<float> d = testing::widened(dx);
    patch_embedding_backward<R>(cpu, batch, patches, width, mask ? masked.data() : nullptr,
                                std::vector<R>(d.begin(), d.end()).data(), g.proj.data(),
                                g.mask.data(), g.cls.data(), g.position.data(), g.type.data());
    return g;
  }
};

template <class T>
void check(Size s, bool option) {
  SCOPED_TRACE(::testing::Message() << s.batch << " x " << s.patches << " x " << s.width
                                    << ", mask and positions " << option);
  const Case<T> c(s);
  const auto want = c.template cpu_forward<double>(option, option);
  const auto plain = testing::rounded<T>(c.template cpu_forward<float>(option, option));
  const auto oracle = c.template cpu_backward<double>(option);
  const auto near = c.template cpu_backward<float>(option);
  std::vector<float> first;
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> proj(queue, c.proj), dx(queue, c.dx), x(queue, c.dx.size()),
        dproj(queue, c.proj.size());
    DeviceArray<float, Queue> mask_token(queue, c.mask_token), cls(queue, c.cls),
        position(queue, c.position), type(queue, c.type);
    DeviceArray<uint8_t, Queue> masked(queue, c.masked);
    const auto start = c.template blank<float>();
    DeviceArray<float, Queue> dmask(queue, start.mask), dcls(queue, start.cls),
        dposition(queue, start.position), dtype(queue, start.type);
    const uint8_t* mask = option ? masked.data() : nullptr;
    patch_embedding_forward<T>(queue, s.batch, s.patches, s.width, proj.data(), mask,
                               option ? mask_token.data() : nullptr, cls.data(),
                               option ? position.data() : nullptr, type.data(), x.data());
    patch_embedding_backward<T>(queue, s.batch, s.patches, s.width, mask, dx.data(), dproj.data(),
                                dmask.data(), dcls.data(), dposition.data(), dtype.data());
    EXPECT_TRUE(testing::as_exact_as(x.read(), plain, want));
    EXPECT_EQ(testing::widened(dproj.read()), near.proj);
    EXPECT_TRUE(testing::as_exact_as(dmask.read(), near.mask, oracle.mask));
    EXPECT_TRUE(testing::as_exact_as(dcls.read(), near.cls, oracle.cls));
    EXPECT_TRUE(testing::as_exact_as(dposition.read(), near.position, oracle.position));
    EXPECT_TRUE(testing::as_exact_as(dtype.read(), near.type, oracle.type));
    const auto all = testing::joined(testing::widened(x.read()), dmask.read(), dcls.read(),
                                     dposition.read(), dtype.read());
    if (first.empty()) first = all;
    EXPECT_EQ(all, first);  // bit for bit under every schedule

    // Each gradient alone is the same.
    DeviceArray<T, Queue> proj_alone(queue, c.proj.size());
    DeviceArray<float, Queue> mask_alone(queue, start.mask), cls_alone(queue, start.cls),
        position_alone(queue, start.position), type_alone(queue, start.type);
    const auto run = [&](T* p, float* m, float* l, float* o, float* t) {
      patch_embedding_backward<T>(queue, s.batch, s.patches, s.width, mask, dx.data(), p, m, l, o,
                                  t);
    };
    run(proj_alone.data(), nullptr, nullptr, nullptr, nullptr);
    run(nullptr, mask_alone.data(), nullptr, nullptr, nullptr);
    run(nullptr, nullptr, cls_alone.data(), nullptr, nullptr);
    run(nullptr, nullptr, nullptr, position_alone.data(), nullptr);
    run(nullptr, nullptr, nullptr, nullptr, type_alone.data());
    EXPECT_EQ(testing::widened(proj_alone.read()), near.proj);
    EXPECT_EQ(mask_alone.read(), dmask.read());
    EXPECT_EQ(cls_alone.read(), dcls.read());
    EXPECT_EQ(position_alone.read(), dposition.read());
    EXPECT_EQ(type_alone.read(), dtype.read());
  });
}

TEST(PatchEmbeddingGpu, BothDirectionsAreAsExactAsThePlainForms) {
  for (const Size& s : kSizes)
    for (bool option : {false, true}) {
      check<float>(s, option);
      check<half>(s, option);
      check<bf16>(s, option);
    }
}

}  // namespace
}  // namespace mome
