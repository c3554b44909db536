#include "runtime/io/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "kernels/common/philox.h"
#include "runtime/io/sliced_crc.h"

namespace mome {
namespace {

// RFC 3720, appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32c, KnownAnswers) {
  std::string rising;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

// The instruction and the tables, at every length and alignment of the last and first bytes, in one
// piece and in two.
TEST(Crc32c, TheTablesAgreeAndPiecesGoOn) {
  RandomStream random(1, 0, Purpose::kInit, 0);
  std::string bytes;
  for (int i = 0; i < 80; ++i) bytes += static_cast<char>(random.below(256));
  for (size_t begin = 0; begin < 9; ++begin)
    for (size_t end = begin; end <= bytes.size(); ++end) {
      const std::string_view all = std::string_view(bytes).substr(begin, end - begin);
      const uint32_t want = SlicedCrc<kCrc32cPolynomial>::of(all.data(), all.size(), 0);
      EXPECT_EQ(crc32c(all), want);
      const size_t middle = all.size() / 3;
      EXPECT_EQ(crc32c(all.substr(middle), crc32c(all.substr(0, middle))), want);
    }
}

}  // namespace
}  // namespace mome
