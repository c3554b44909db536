#include "kernels/common/philox.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mome {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0),
            (PhiloxWords{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, ~0ull),
            (PhiloxWords{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822ull),
            (PhiloxWords{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamsAreIndependentOfOrder) {
  RandomStream a(7, 3, Purpose::kTest, 5), b(7, 3, Purpose::kTest, 5), c(7, 3, Purpose::kTest, 6);
  const uint32_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
}

TEST(Philox, MomentsOfUniformAndNormal) {
  RandomStream r(1, 0, Purpose::kTest, 0);
  const int n = 200000;
  double mean = 0, square = 0, normal = 0, normal_square = 0;
  for (int i = 0; i < n; ++i) {
    const double u = r.uniform(), z = r.normal();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    mean += u / n, square += u * u / n, normal += z / n, normal_square += z * z / n;
  }
  // Five standard errors of each estimator.
  EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(square, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n));
  EXPECT_NEAR(normal, 0, 5 * std::sqrt(1.0 / n));
  EXPECT_NEAR(normal_square, 1, 5 * std::sqrt(2.0 / n));
}

}  // namespace mome
