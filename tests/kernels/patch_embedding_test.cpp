#include "kernels/patch_embedding/patch_embedding.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::normal_vector;

template <class T>
struct Gradients {
  std::vector<T> proj, mask, cls, position, type;
};

template <class T>
struct Case {
  int64_t batch, patches, width;
  bool with_mask, with_position;
  std::vector<T> proj, mask_token, cls, position, type, dx;
  std::vector<uint8_t> masked;
  Case(int64_t b, int64_t p, int64_t d, bool mask, bool pos)
      : batch(b),
        patches(p),
        width(d),
        with_mask(mask),
        with_position(pos),
        proj(normal_vector<T>(b * p * d, 1)),
        mask_token(normal_vector<T>(d, 2)),
        cls(normal_vector<T>(d, 3)),
        position(normal_vector<T>((p + 1) * d, 4)),
        type(normal_vector<T>(d, 5)),
        dx(normal_vector<T>(b * (p + 1) * d, 6)) {
    for (int32_t v : testing::integer_vector(b * p, 5, 7)) masked.push_back(v < 2);
  }
  const uint8_t* mask() const { return with_mask ? masked.data() : nullptr; }
  std::vector<T> forward() const {
    std::vector<T> x(dx.size());
    patch_embedding_forward(cpu, batch, patches, width, proj.data(), mask(),
                            with_mask ? mask_token.data() : nullptr, cls.data(),
                            with_position ? position.data() : nullptr, type.data(), x.data());
    return x;
  }
  Gradients<T> blank() const {
    return {std::vector<T>(proj.size(), 9), std::vector<T>(width, 1), std::vector<T>(width, 2),
            std::vector<T>((patches + 1) * width, 3), std::vector<T>(width, 4)};
  }
  Gradients<T> backward() const {
    Gradients<T> g = blank();
    patch_embedding_backward(cpu, batch, patches, width, mask(), dx.data(), g.proj.data(), g.mask.data(),
                             g.cls.data(), g.position.data(), g.type.data());
    return g;
  }
  // Both directions as loops over single elements.
  Gradients<T> plain(std::vector<T>* x) const {
    Gradients<T> g = blank();
    x->resize(dx.size());
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t t = 0; t <= patches; ++t)
        for (int64_t c = 0; c < width; ++c) {
          const int64_t at = (b * (patches + 1) + t) * width + c;
          const int64_t patch = b * patches + t - 1;
          const bool hidden = t > 0 && with_mask && masked[patch];
          const T base = t == 0 ? cls[c] : hidden ? mask_token[c] : proj[patch * width + c];
          (*x)[at] = base + (with_position ? position[t * width + c] : T(0)) + type[c];
          if (t == 0) g.cls[c] += dx[at];
          if (t > 0) g.proj[patch * width + c] = hidden ? T(0) : dx[at];
          if (hidden) g.mask[c] += dx[at];
          g.position[t * width + c] += dx[at];
          g.type[c] += dx[at];
        }
    return g;
  }
};

const std::array<int64_t, 3> kSizes[] = {
    {1, 1, 1}, {3, 4, 5}, {2, 0, 3}, {7, 37, 67}, {2, 197, 13}};

TEST(PatchEmbedding, EqualsTheFormula) {
  for (auto [b, p, d] : kSizes)
    for (bool mask : {false, true})
      for (bool position : {false, true}) {
        SCOPED_TRACE(::testing::Message() << b << " x " << p << " x " << d << ", mask " << mask);
        const Case<double> c(b, p, d, mask, position);
        std::vector<double> x;
        const Gradients<double> want = c.plain(&x), got = c.backward();
        EXPECT_TRUE(testing::close_to(c.forward(), x, 1e-15));
        EXPECT_EQ(got.proj, want.proj);
        EXPECT_TRUE(testing::close_to(got.mask, want.mask, 1e-13));
        EXPECT_TRUE(testing::close_to(got.cls, want.cls, 1e-13));
        EXPECT_TRUE(testing::close_to(got.position, want.position, 1e-13));
        EXPECT_TRUE(testing::close_to(got.type, want.type, 1e-13));
      }
}

TEST(PatchEmbedding, FloatIsAsExactAsAPlainLoop) {
  for (auto [b, p, d] : kSizes) {
    const Case<float> c(b, p, d, true, true);
    std::vector<float> naive_x;
    std::vector<double> x;
    const Gradients<float> got = c.backward(), naive = c.plain(&naive_x);
    const Gradients<double> oracle = Case<double>(b, p, d, true, true).plain(&x);
    EXPECT_TRUE(testing::within_twice(c.forward(), naive_x, x));
    EXPECT_TRUE(testing::within_twice(got.mask, naive.mask, oracle.mask));
    EXPECT_TRUE(testing::within_twice(got.cls, naive.cls, oracle.cls));
    EXPECT_TRUE(testing::within_twice(got.position, naive.position, oracle.position));
    EXPECT_TRUE(testing::within_twice(got.type, naive.type, oracle.type));
  }
}

TEST(PatchEmbedding, GradientsMatchFiniteDifferences) {
  const Case<double> c(3, 5, 2, true, true);
  const Gradients<double> got = c.backward(), blank = c.blank();
  const auto check = [&](std::vector<double> Case<double>::*member, std::vector<double> gradient,
                         const std::vector<double>& before) {
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] -= before[i];
    Case<double> at = c;
    return testing::gradient_matches(
        [&](const std::vector<double>& value) {
          at.*member = value;
          return testing::weighted_sum(at.forward(), c.dx);
        },
        c.*member, gradient, 1e-9);
  };
  EXPECT_TRUE(check(&Case<double>::proj, got.proj, std::vector<double>(got.proj.size(), 0)));
  EXPECT_TRUE(check(&Case<double>::mask_token, got.mask, blank.mask));
  EXPECT_TRUE(check(&Case<double>::cls, got.cls, blank.cls));
  EXPECT_TRUE(check(&Case<double>::position, got.position, blank.position));
  EXPECT_TRUE(check(&Case<double>::type, got.type, blank.type));
}

TEST(PatchEmbedding, EachGradientAlone) {
  const Case<float> c(7, 37, 67, true, true);
  const Gradients<float> all = c.backward();
  Gradients<float> g = c.blank();
  const auto run = [&](float* proj, float* mask, float* cls, float* position, float* type) {
    patch_embedding_backward(cpu, c.batch, c.patches, c.width, c.mask(), c.dx.data(), proj, mask, cls,
                             position, type);
  };
  run(g.proj.data(), nullptr, nullptr, nullptr, nullptr);
  run(nullptr, g.mask.data(), nullptr, nullptr, nullptr);
  run(nullptr, nullptr, g.cls.data(), nullptr, nullptr);
  run(nullptr, nullptr, nullptr, g.position.data(), nullptr);
  run(nullptr, nullptr, nullptr, nullptr, g.type.data());
  EXPECT_EQ(g.proj, all.proj);
  EXPECT_EQ(g.mask, all.mask);
  EXPECT_EQ(g.cls, all.cls);
  EXPECT_EQ(g.position, all.position);
  EXPECT_EQ(g.type, all.type);
}

TEST(PatchEmbedding, NoImagesTouchNothing) {
  const Case<float> c(0, 4, 3, true, true);
  EXPECT_TRUE(c.forward().empty());
  EXPECT_EQ(c.backward().type, std::vector<float>(3, 4));
}

TEST(PatchEmbedding, ThreadsDoNotChangeBits) {
  const Case<float> c(7, 197, 67, true, true);
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    const Gradients<float> g = c.backward();
    return testing::joined(c.forward(), g.proj, g.mask, g.cls, g.position, g.type);
  }));
}

}  // namespace
}  // namespace mome
