// Products by cuBLASLt. Row-major C = op(A) op(B) is column-major C^T = op(B)^T op(A)^T: the
// operands change places.
//
// fp32 operands: fp32 products and sums, no TF32. 16-bit operands: sums in fp32. Partial sums of
// split products are added in fp32 and rounded once. The library proposes up to 16 algorithms; the
// first use of a product times them (GemmCache). While work is captured nothing is timed: a product
// that was never seen takes the first proposal. Algorithms round differently: the same bits in two
// runs need the same cache file, or MOME_GEMM_CACHE=none.
#include "kernels/common/gemm.h"

#include <cublasLt.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/common/gemm_cache.h"
#include "kernels/common/gemm_count.h"
#include "kernels/common/scaled_copy.h"
#include "kernels/cuda/queue.h"

namespace mome {
namespace cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error("cuda: " + std::string(call) + ": " + cublasLtGetStatusName(status) +
                             " (" + cublasLtGetStatusString(status) + ")");
}
#define MOME_BLAS_CALL(call) check((call), #call)

template <class T>
constexpr cudaDataType_t type_of() {
  return std::is_same_v<T, float> ? CUDA_R_32F : std::is_same_v<T, half> ? CUDA_R_16F : CUDA_R_16BF;
}

/// RAII for cuBLASLt's descriptors.
template <class Handle, cublasStatus_t (*kDestroy)(Handle)>
struct Descriptor {
  Handle handle = nullptr;
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (handle) kDestroy(handle);
  }
};
using Operation = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

struct Timer {
  cudaEvent_t begin = nullptr, end = nullptr;
  Timer() {
    MOME_CUDA_CALL(cudaEventCreate(&begin));
    MOME_CUDA_CALL(cudaEventCreate(&end));
  }
  ~Timer() {
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
  }
  Timer(const Timer&) = delete;
};
struct Block {
  void* memory = nullptr;
  Block() = default;
  Block(const Block&) = delete;
  ~Block() { cudaFree(memory); }
};

/// The largest power of two up to 16 that divides the address.
int64_t alignment(const void* p) {
  const auto a = uintptr_t(p);
  return a % 16 == 0 ? 16 : int64_t(a & -a);
}

/// A product in cuBLASLt's order: the first operand is B.
struct Product {
  cudaDataType_t type, c_type;
  Trans ta, tb;
  int64_t m, n, k;
  float alpha;
  const void* a;
  int64_t lda;
  const void* b;
  int64_t ldb;
  float beta;
  const void* bias;
  void* c;
  int64_t ldc;

  GemmKey key() const {
    return {type,
            c_type,
            int64_t(ta) * 2 + int64_t(tb),
            m,
            n,
            k,
            lda,
            ldb,
            ldc,
            std::min({alignment(a), alignment(b), alignment(c)}),
            beta != 0,
            bias != nullptr};
  }
};

}  // namespace

/// What a queue keeps for its products.
struct Blas {
  static constexpr size_t kWorkspace = size_t{32} << 20;  // as much as Hopper's algorithms ask for
  static constexpr int kProposals = 16, kRounds = 3;

  explicit Blas(Queue& queue) : cache(queue.gpu_name(), std::to_string(cublasLtGetVersion())) {
    MOME_BLAS_CALL(cublasLtCreate(&handle));
    const cudaError_t e = cudaMalloc(&workspace, kWorkspace);
    if (e != cudaSuccess) cublasLtDestroy(handle);
    cuda::check(e, "cudaMalloc of cuBLASLt's 32 MiB workspace");
  }
  ~Blas() {
    cublasLtDestroy(handle);
    cudaFree(workspace);
  }
  Blas(const Blas&) = delete;

  void run(Queue& queue, const Product& p);

  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  GemmCache cache;

 private:
  struct Call;
  struct Proposals {
    cublasLtMatmulHeuristicResult_t list[kProposals];
    int count = 0;
  };
  cublasLtMatmulAlgo_t choose(Queue& queue, const Product& p, const Call& call);
  Proposals ask(Queue& queue, const Product& p, const Call& call);
  /// Index of the fastest proposal; -1 where none could be timed.
  int fastest(Queue& queue, const Product& p, const Call& call, const Proposals& proposals);
  std::map<GemmKey, cublasLtMatmulAlgo_t> chosen_;  // by this process, and checked
};

/// The descriptors of one product.
struct Blas::Call {
  Operation operation;
  Layout a, b, c;

  explicit Call(const Product& p) {
    MOME_BLAS_CALL(cublasLtMatmulDescCreate(&operation.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t first = p.tb == Trans::kYes ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = p.ta == Trans::kYes ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(CUBLASLT_MATMUL_DESC_TRANSA, first);
    set(CUBLASLT_MATMUL_DESC_TRANSB, second);
    if (p.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t(p.c_type));
    }
    const bool tb = p.tb == Trans::kYes, ta = p.ta == Trans::kYes;
    MOME_BLAS_CALL(cublasLtMatrixLayoutCreate(&b.handle, p.type, uint64_t(tb ? p.k : p.n),
                                              uint64_t(tb ? p.n : p.k), p.ldb));
    MOME_BLAS_CALL(cublasLtMatrixLayoutCreate(&a.handle, p.type, uint64_t(ta ? p.m : p.k),
                                              uint64_t(ta ? p.k : p.m), p.lda));
    MOME_BLAS_CALL(
        cublasLtMatrixLayoutCreate(&c.handle, p.c_type, uint64_t(p.n), uint64_t(p.m), p.ldc));
  }
  template <class V>
  void set(cublasLtMatmulDescAttributes_t attribute, const V& value) {
    MOME_BLAS_CALL(
        cublasLtMatmulDescSetAttribute(operation.handle, attribute, &value, sizeof value));
  }
  cublasStatus_t launch(Blas& blas, cudaStream_t stream, const Product& p, void* to,
                        const cublasLtMatmulAlgo_t& algorithm) const {
    return cublasLtMatmul(blas.handle, operation.handle, &p.alpha, p.b, b.handle, p.a, a.handle,
                          &p.beta, to, c.handle, to, c.handle, &algorithm, blas.workspace,
                          kWorkspace, stream);
  }
};

// Products that add to C are timed on a block of their own, the others on C, which the real one
// then writes again.
int Blas::fastest(Queue& queue, const Product& p, const Call& call, const Proposals& proposals) {
  Block scratch;
  if (p.beta != 0) {
    const size_t bytes = size_t((p.m - 1) * p.ldc + p.n) * (p.c_type == CUDA_R_32F ? 4 : 2);
    if (cudaMalloc(&scratch.memory, bytes) != cudaSuccess) {
      cudaGetLastError();
      return -1;
    }
    queue.fill(scratch.memory, 0, bytes);
  }
  void* const c = p.beta != 0 ? scratch.memory : p.c;
  Timer timer;
  float best = 0;
  int winner = -1;
  for (int i = 0; i < proposals.count; ++i) {
    const auto once = [&] {
      return call.launch(*this, queue.stream(), p, c, proposals.list[i].algo) ==
             CUBLAS_STATUS_SUCCESS;
    };
    if (!once()) continue;  // and the first call of an algorithm loads its code
    float times[kRounds];
    for (float& t : times) {
      MOME_CUDA_CALL(cudaEventRecord(timer.begin, queue.stream()));
      once();
      MOME_CUDA_CALL(cudaEventRecord(timer.end, queue.stream()));
      MOME_CUDA_CALL(cudaEventSynchronize(timer.end));
      MOME_CUDA_CALL(cudaEventElapsedTime(&t, timer.begin, timer.end));
    }
    std::sort(times, times + kRounds);
    if (winner < 0 || times[kRounds / 2] < best) winner = i, best = times[kRounds / 2];
  }
  return winner;
}

Blas::Proposals Blas::ask(Queue& queue, const Product& p, const Call& call) {
  Preference preference;
  MOME_BLAS_CALL(cublasLtMatmulPreferenceCreate(&preference.handle));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    MOME_BLAS_CALL(
        cublasLtMatmulPreferenceSetAttribute(preference.handle, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspace});
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t(alignment(p.b)));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t(alignment(p.a)));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t(alignment(p.c)));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t(alignment(p.c)));
  Proposals out;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle, call.operation.handle, call.b.handle, call.a.handle, call.c.handle, call.c.handle,
      preference.handle, kProposals, out.list, &out.count);
  if (status != CUBLAS_STATUS_SUCCESS || out.count == 0)
    throw std::runtime_error("cuda: cuBLASLt has no way to the product " + std::to_string(p.m) +
                             " x " + std::to_string(p.n) + " x " + std::to_string(p.k) + " on " +
                             queue.gpu_name() + ": " + cublasLtGetStatusName(status));
  return out;
}

cublasLtMatmulAlgo_t Blas::choose(Queue& queue, const Product& p, const Call& call) {
  const GemmKey key = p.key();
  if (const auto found = chosen_.find(key); found != chosen_.end()) return found->second;
  cublasLtMatmulAlgo_t algorithm;
  static_assert(sizeof algorithm.data == sizeof(GemmAlgorithm));
  if (const auto kept = cache.find(key)) {
    std::copy(kept->begin(), kept->end(), algorithm.data);
    cublasLtMatmulHeuristicResult_t result{};
    if (cublasLtMatmulAlgoCheck(handle, call.operation.handle, call.b.handle, call.a.handle,
                                call.c.handle, call.c.handle, &algorithm,
                                &result) == CUBLAS_STATUS_SUCCESS &&
        result.workspaceSize <= kWorkspace)
      return chosen_[key] = algorithm;
  }
  const Proposals proposals = ask(queue, p, call);
  algorithm = proposals.list[0].algo;
  if (queue.capturing()) return algorithm;
  if (!cache.measures()) return chosen_[key] = algorithm;
  const int winner = fastest(queue, p, call, proposals);
  if (winner < 0) return algorithm;
  algorithm = proposals.list[winner].algo;
  GemmAlgorithm words;
  std::copy(std::begin(algorithm.data), std::end(algorithm.data), words.begin());
  cache.add(key, words);
  return chosen_[key] = algorithm;
}

void Blas::run(Queue& queue, const Product& p) {
  Call call(p);
  MOME_BLAS_CALL(call.launch(*this, queue.stream(), p, p.c, choose(queue, p, call)));
}

namespace {

Blas& blas_of(Queue& queue) {
  queue.make_current();
  if (!queue.blas()) {
    if (queue.capturing())
      throw std::logic_error(
          "cuda: the first product of a queue while work is captured; run one before the capture");
    queue.blas() = std::make_shared<Blas>(queue);
  }
  return *queue.blas();
}

}  // namespace
}  // namespace cuda

template <class T, class C, class Queue>
void gemm(Queue& queue, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, Real<T> alpha,
          const T* a, int64_t lda, const T* b, int64_t ldb, Real<T> beta, C* c, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  queue.make_current();
  if (k <= 0) {
    if (beta == 0)
      MOME_CUDA_CALL(cudaMemset2DAsync(c, size_t(ldc) * sizeof(C), 0, size_t(n) * sizeof(C),
                                       size_t(m), queue.stream()));
    else if (beta != 1)
      scaled_copy(queue, m, n, beta, c, ldc, c, ldc);
    return;
  }
  count_gemm(m, n, k);
  const cuda::Range range(queue, "gemm");
  cuda::blas_of(queue).run(queue, {cuda::type_of<T>(), cuda::type_of<C>(), ta, tb, m, n, k, alpha,
                                   a, lda, b, ldb, beta, nullptr, c, ldc});
}

template <class T, class Queue>
void gemm_bias(Queue& queue, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a,
               int64_t lda, const T* b, int64_t ldb, const T* bias, T* c, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return scaled_copy(queue, m, n, 1, bias, 0, c, ldc);
  count_gemm(m, n, k);
  const cuda::Range range(queue, "gemm_bias");
  cuda::blas_of(queue).run(queue, {cuda::type_of<T>(), cuda::type_of<T>(), ta, tb, m, n, k, 1, a,
                                   lda, b, ldb, 0, bias, c, ldc});
}

#define MOME_INSTANCE(T, C)                                                                        \
  template void gemm<T, C>(cuda::Queue&, Trans, Trans, int64_t, int64_t, int64_t, float, const T*, \
                           int64_t, const T*, int64_t, float, C*, int64_t);
MOME_INSTANCE(float, float)
MOME_INSTANCE(half, half)
MOME_INSTANCE(half, float)
MOME_INSTANCE(bf16, bf16)
MOME_INSTANCE(bf16, float)
#undef MOME_INSTANCE

#define MOME_INSTANCE(T)                                                                      \
  template void gemm_bias<T>(cuda::Queue&, Trans, Trans, int64_t, int64_t, int64_t, const T*, \
                             int64_t, const T*, int64_t, const T*, T*, int64_t);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
