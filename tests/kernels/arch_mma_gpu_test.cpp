// The tile types of kernels/arch against plain loops: as each architecture's lanes hold them, on
// the simt device.
#include "kernels/arch/mma_native.cuh"
#include "kernels/simt/fault.h"
#include "tests/kernels/gpu_testing.h"

namespace mome::simt {
namespace {

enum class Form { kPlain, kA, kB, kBoth, kChained, kRowSum };

constexpr int kLd = 24;  // 48 bytes: an odd number of 16, for 16-bit elements

/// One warp: out [16][16] = c + A B, where A and B lie in shared memory in the order that `form`
/// says. kChained: what came out is A of another product with B. kRowSum: out [16][0] = the sums of
/// C's rows by shuffles.
template <class Tile>
__global__ void product(Form form, const typename Tile::Element* a, const typename Tile::Element* b,
                        const float* c, float* out) {
  using T = typename Tile::Element;
  SHARED(T, sa, 16 * (kLd + 16 / sizeof(T)));
  SHARED(T, sb, 16 * (kLd + 16 / sizeof(T)));
  SHARED(T, scratch, Tile::kScratch + 1);
  constexpr int kStride = sizeof(T) == 4 ? 20 : kLd;
  const int lane = int(threadIdx.x);
  for (int i = lane; i < 256; i += 32) {
    sa[size_t(i / 16 * kStride + i % 16)] = load(a + i);
    sb[size_t(i / 16 * kStride + i % 16)] = load(b + i);
  }
  __syncthreads();
  Acc acc;
  for (int r = 0; r < 2; ++r)
    for (int q = 0; q < 4; ++q)
      acc.value[r * 4 + q] = load(c + Tile::row(lane, r) * 16 + Tile::col(lane, q));
  typename Tile::A fa;
  typename Tile::At fat;
  typename Tile::B fb;
  typename Tile::Bt fbt;
  Tile::load_a(fa, sa, kStride);
  Tile::load_a_t(fat, sa, kStride);
  Tile::load_b(fb, sb, kStride);
  Tile::load_b_t(fbt, sb, kStride);
  if (form == Form::kPlain) Tile::mma(acc, fa, fb);
  if (form == Form::kA) Tile::mma(acc, fat, fb);
  if (form == Form::kB) Tile::mma(acc, fa, fbt);
  if (form == Form::kBoth) Tile::mma(acc, fat, fbt);
  if (form == Form::kChained) {
    Tile::to_a(fa, acc, scratch);
    acc.clear();
    Tile::mma(acc, fa, fb);
    Tile::to_a(fa, acc, scratch);  // and the same scratch again
    acc.clear();
    Tile::mma(acc, fa, fbt);
  }
  if (form == Form::kRowSum)
    for (int r = 0; r < 2; ++r) {
      float sum = 0;
      for (int q = 0; q < 4; ++q) sum += acc.value[r * 4 + q];
      sum += __shfl_xor_sync(kFullMask, sum, Tile::kRowMask0);
      sum += __shfl_xor_sync(kFullMask, sum, Tile::kRowMask1);
      for (int q = 0; q < 4; ++q) acc.value[r * 4 + q] = sum;
    }
  for (int r = 0; r < 2; ++r)
    for (int q = 0; q < 4; ++q)
      store(out + Tile::row(lane, r) * 16 + Tile::col(lane, q), acc.value[r * 4 + q]);
}

using Matrix = std::vector<float>;

/// c + A B; element (i, k) of A is a[i * 16 + k], transposed a[k * 16 + i]; of B, b[n * 16 + k],
/// transposed b[k * 16 + n].
Matrix plain(const Matrix& a, bool at, const Matrix& b, bool bt, Matrix c) {
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < 16; ++n)
        c[size_t(i * 16 + n)] +=
            a[size_t(at ? k * 16 + i : i * 16 + k)] * b[size_t(bt ? k * 16 + n : n * 16 + k)];
  return c;
}

/// Small whole numbers: every sum is exact in fp32, and exact as T where it is an operand again.
Matrix whole(uint64_t stream, uint32_t below) {
  Matrix m;
  for (int32_t v : testing::integer_vector(256, below, stream))
    m.push_back(float(v) - float(below / 2));
  return m;
}

template <class Tile>
class ArchMma : public ::testing::Test {
 public:
  using T = typename Tile::Element;
  const Matrix a = whole(1, 7), b = whole(2, 7), c = whole(3, 9), unit = whole(4, 3);

  Matrix run(Form form, const Matrix& a, const Matrix& b, const Matrix& c, uint64_t seed,
             bool count = false) {
    Queue queue({.seed = seed, .count = count});
    testing::DeviceArray<T, Queue> da(queue, testing::rounded<T>(a)),
        db(queue, testing::rounded<T>(b));
    testing::DeviceArray<float, Queue> dc(queue, c), out(queue, 256);
    queue.launch("product", product<Tile>, {1}, {32}, 0, form, da.data(), db.data(), dc.data(),
                 out.data());
    return out.read();
  }
};
using Tiles = ::testing::Types<Ampere<half>, Ampere<bf16>, Turing<half>, Volta<half>, Fma<float>>;
TYPED_TEST_SUITE(ArchMma, Tiles);

TYPED_TEST(ArchMma, ProductsInEveryStorageOrder) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    EXPECT_EQ(this->run(Form::kPlain, this->a, this->b, this->c, seed),
              plain(this->a, false, this->b, false, this->c));
    EXPECT_EQ(this->run(Form::kA, this->a, this->b, this->c, seed),
              plain(this->a, true, this->b, false, this->c));
    EXPECT_EQ(this->run(Form::kB, this->a, this->b, this->c, seed),
              plain(this->a, false, this->b, true, this->c));
    EXPECT_EQ(this->run(Form::kBoth, this->a, this->b, this->c, seed),
              plain(this->a, true, this->b, true, this->c));
  }
}

TYPED_TEST(ArchMma, AccumulatorBecomesOperand) {
  // The second operand is -1, 0 or 1: sums stay below 256, which bf16 holds exactly.
  const Matrix zero(256, 0.0f), first = plain(this->c, false, this->unit, false, zero);
  for (uint64_t seed = 0; seed < 5; ++seed)
    EXPECT_EQ(this->run(Form::kChained, this->a, this->unit, this->c, seed),
              plain(first, false, this->unit, true, zero));
}

TYPED_TEST(ArchMma, RowsAreJoinedByTheTwoMasks) {
  Matrix want;
  for (int i = 0; i < 256; ++i) {
    float sum = 0;
    for (int n = 0; n < 16; ++n) sum += this->c[size_t(i / 16 * 16 + n)];
    want.push_back(sum);
  }
  for (uint64_t seed = 0; seed < 5; ++seed)
    EXPECT_EQ(this->run(Form::kRowSum, this->a, this->b, this->c, seed), want);
}

TYPED_TEST(ArchMma, LanesCoverTheAccumulatorOnce) {
  std::vector<int> times(256, 0);
  for (int lane = 0; lane < 32; ++lane)
    for (int r = 0; r < 2; ++r)
      for (int q = 0; q < 4; ++q) {
        ++times[size_t(TypeParam::row(lane, r) * 16 + TypeParam::col(lane, q))];
        EXPECT_EQ(TypeParam::col(lane, q),
                  TypeParam::col(lane, q & 2) + (q & 1));  // pairs are neighbours
      }
  EXPECT_EQ(times, std::vector<int>(256, 1));
}

TYPED_TEST(ArchMma, OperandsAreReadWithoutBankConflicts) {
  reset_counters();
  this->run(Form::kBoth, this->a, this->b, this->c, 0, true);
  const Counters both = counters()["product"];
  reset_counters();
  EXPECT_GT(both.shared_requests, 0);
  if (!std::is_same_v<TypeParam, Fma<float>>) {  // its transposed A is read element by element, no
                                                 // kernel's hot path
    EXPECT_EQ(both.mma,
              (std::is_base_of_v<Ampere<typename TypeParam::Element>, TypeParam> ? 2 : 4));
    EXPECT_EQ(both.shared_wavefronts, both.shared_requests);
  }
}

__global__ void copy_kernel(const float* in, float* out, bool waits) {
  SHARED(float, tile, 256);
  const int t = int(threadIdx.x);
  copy_async(tile + size_t(4 * t), in + 4 * t);
  commit_copies();
  if (t < 32) copy_async(tile + size_t(128 + 4 * t), in + 4 * t);  // never waited for
  commit_copies();
  if (waits) wait_copies<1>();
  __syncthreads();
  const int other = int(blockDim.x) - 1 - t;
  for (int i = 0; i < 4; ++i) store(out + 4 * t + i, float(tile[size_t(4 * other + i)]));
}

TEST(ArchCopy, AsynchronousCopiesArriveAtTheirWait) {
  const Matrix in = whole(5, 100);
  Queue queue;
  testing::DeviceArray<float, Queue> from(queue, in), to(queue, 128);
  queue.launch("copy", copy_kernel, {1}, {32}, 0, from.data(), to.data(), true);
  const auto out = to.read();
  for (int i = 0; i < 128; ++i) EXPECT_EQ(out[size_t(i)], in[size_t(4 * (31 - i / 4) + i % 4)]);
  queue.launch("copy", copy_kernel, {1}, {32}, 0, from.data(), to.data(), false);
  for (float v : to.read()) EXPECT_TRUE(std::isnan(v));
}

__global__ void crooked_kernel(int offset) {
  SHARED(half, tile, 512);
  uint32_t r[4];
  load_matrices<false>(r, tile + size_t(offset));
}

TEST(ArchCopy, MatricesMustBeAligned) {
  Queue queue;
  EXPECT_NO_THROW(queue.launch("crooked", crooked_kernel, {1}, {32}, 0, 8));
  EXPECT_THROW(queue.launch("crooked", crooked_kernel, {1}, {32}, 0, 4), Fault);
  EXPECT_THROW(queue.launch("crooked", crooked_kernel, {1}, {32}, 0, 512), Fault);
}

}  // namespace
}  // namespace mome::simt
