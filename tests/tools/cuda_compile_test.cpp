// tools/cuda_compile.sh: which compiler takes which architecture, what is told when one is missing
// or a file does not compile; and, where a CUDA compiler is here, a real kernel through to its
// statistics.
#include "tests/tools/script.h"

namespace mome {
namespace {

// Stands in for both compilers: writes its name and architecture as the cubin, fails on "broken".
constexpr char kCompiler[] = R"(#!/usr/bin/env bash
[ "$1" != --list-gpu-code ] || { printf 'sm_75\nsm_80\nsm_90\n'; exit; }
for argument; do
  case $argument in
    *arch=sm_*) arch=${argument##*=} ;;
    --cuda-path=*) root=" root ${argument##*/}" ;;
    *.cu) file=$argument ;;
    *.cubin) out=$argument ;;
  esac
done
grep -q broken "$file" && { echo "ptxas info : 0 bytes gmem"; echo "$file(1): error: broken"; exit 1; } >&2
grep -q warns "$file" && echo "ptxas warning : slow" >&2
echo "${0##*/} $arch$root" > "$out"
)";

class CudaCompileTest : public ScriptTest {
 protected:
  void SetUp() override {
    ScriptTest::SetUp();
    write("bin/nvcc", kCompiler, true);
    write("bin/clang++-19", kCompiler, true);
    write("root/volta_toolkit.txt", "");
    write("a_cuda.cu", "fine");
    write("b_cuda.cu", "fine");
  }
  Result compile(const std::string& options, const std::string& before = "") {
    return bash(
        "export CCACHE_DISABLE=1 CUDACXX=$PWD/bin/nvcc PATH=$PWD/bin:$PATH "
        "MOME_VOLTA_TOOLKIT=$PWD/root\n" +
        before + "\n\"$tools/cuda_compile.sh\" --out out " + options);
  }
  std::string cubin(const std::string& name) { return read_file(path("out/" + name + ".cubin")); }
  bool exists(const std::string& name) { return std::filesystem::exists(path(name)); }
};

TEST_F(CudaCompileTest, NvccTakesWhatItKnowsAndClangTheRest) {
  const Result r = compile("a_cuda.cu b_cuda.cu");
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(r.out, "");
  for (const std::string arch : {"sm_75", "sm_80", "sm_90"}) {
    EXPECT_EQ(cubin(arch + "/a_cuda"), "nvcc " + arch + "\n");
    EXPECT_EQ(cubin(arch + "/b_cuda"), "nvcc " + arch + "\n");
  }
  EXPECT_EQ(cubin("sm_70/a_cuda"), "clang++-19 sm_70 root root\n");
  EXPECT_EQ(compile("--arch 90a a_cuda.cu").code, 0);
  EXPECT_EQ(cubin("sm_90a/a_cuda"), "nvcc sm_90a\n");
  EXPECT_FALSE(
      exists("out/sm_70/a_cuda.cubin"));  // of the run before: it would be counted as this one's
}

TEST_F(CudaCompileTest, AnArchitectureWithoutCompilerIsToldOrAnError) {
  Result r = compile("--toolkit absent a_cuda.cu");
  EXPECT_EQ(r.code, 0);
  EXPECT_NE(r.err.find("sm_70 is left out: "), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("/absent (tools/volta_toolkit.sh "), std::string::npos) << r.err;
  EXPECT_TRUE(exists("out/sm_75/a_cuda.cubin"));
  EXPECT_FALSE(exists("out/sm_70"));
  r = compile("--toolkit absent --require-all a_cuda.cu");
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("--require-all was given"), std::string::npos) << r.err;
  r = compile("--toolkit absent --arch 70 a_cuda.cu");
  EXPECT_EQ(r.code, 3);
  EXPECT_NE(r.err.find("nothing was compiled"), std::string::npos) << r.err;
  r = compile("--arch 75 a_cuda.cu", "CUDACXX=absent");  // without nvcc clang takes all
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(cubin("sm_75/a_cuda"), "clang++-19 sm_75 root root\n");
  r = compile(
      "--arch 70 a_cuda.cu",  // hides the system's clang++-19, if there is one
      "command() { [ \"$2\" != clang++-19 ] && builtin command \"$@\"; }; export -f command");
  EXPECT_EQ(r.code, 3);
  EXPECT_NE(r.err.find("clang++-19 is not installed"), std::string::npos) << r.err;
}

TEST_F(CudaCompileTest, FailuresNameFileAndArchitectureAndTheRestIsCompiled) {
  write("c_cuda.cu", "broken");
  write("d_cuda.cu", "warns");
  const Result r = compile("--arch 70,90 a_cuda.cu c_cuda.cu d_cuda.cu");
  EXPECT_EQ(r.code, 1);
  for (const std::string arch : {"sm_70", "sm_90"}) {
    EXPECT_NE(r.err.find("c_cuda.cu does not compile for " + arch + ":\n"), std::string::npos)
        << r.err;
    EXPECT_NE(r.err.find(arch + "/d_cuda.log:ptxas warning : slow"), std::string::npos) << r.err;
    EXPECT_TRUE(exists("out/" + arch + "/a_cuda.cubin"));
    EXPECT_FALSE(exists("out/" + arch + "/c_cuda.cubin"));
  }
  EXPECT_NE(r.err.find("c_cuda.cu(1): error: broken"), std::string::npos) << r.err;
  EXPECT_EQ(r.err.find("0 bytes gmem"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("2 of 6 do not compile"), std::string::npos) << r.err;
}

TEST_F(CudaCompileTest, WrongInputIsRefused) {
  for (const std::string options :
       {"--arch", "--arch x", "--arch 70,,75", "--arch 70,", "--what", "--toolkit ''"}) {
    const Result r = compile(options);
    EXPECT_EQ(r.code, 2) << options << r.err;
    EXPECT_NE(r.err.find("usage: "), std::string::npos) << r.err;
  }
  write("text.txt", "");
  write("sub/a_cuda.cu", "fine");
  const std::pair<std::string, std::string> cases[] = {
      {"absent.cu", "absent.cu: no such file"},
      {"text.txt", "text.txt: expected a file that ends in .cu"},
      {"a_cuda.cu sub/a_cuda.cu", "two files are called a_cuda.cu"}};
  for (const auto& [files, message] : cases) {
    const Result r = compile(files);
    EXPECT_EQ(r.code, 1) << files;
    EXPECT_NE(r.err.find(message), std::string::npos) << r.err;
  }
  EXPECT_FALSE(exists("out"));
  EXPECT_EQ(compile("a_cuda.cu", "touch out").code,
            1);  // a file where the results' folder should be
}

// The words of the real ptxas and the real cubin's launch bound.
TEST_F(CudaCompileTest, ARealKernelsStatistics) {
  write("real_cuda.cu", R"(#include <cuda_fp16.h>
namespace mome {
template <int N, typename T>
__global__ void __launch_bounds__(1024) shift_kernel(const T* x, T* y) {
  __shared__ T row[N];
  row[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = row[(threadIdx.x + 1) % N];
}
template __global__ void shift_kernel<768, __half>(const __half*, __half*);
__global__ void __launch_bounds__(1024, 1) spill_kernel(const float* x, float* y) {
  float a[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) a[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 96; ++i) y[i * 1024 + threadIdx.x] = a[i] * a[(7 * i + 1) % 96];
}
}
)");
  const Result r = bash("\"$tools/kernel_stats.sh\" --no-spills --arch 75 --out out real_cuda.cu");
  if (r.code == 3) GTEST_SKIP() << "no CUDA compiler here:\n" << r.err;
  EXPECT_EQ(r.code, 1) << r.err;
  EXPECT_NE(r.err.find("kernel_stats: sm_75: spill_kernel spills: "), std::string::npos) << r.err;
  EXPECT_EQ(r.err.find("shift_kernel"), std::string::npos) << r.err;
  // 1024 threads fill Turing's 32 warps at any register count; 768 halves are 1536 bytes.
  EXPECT_NE(r.out.find("75,\"shift_kernel<768, __half>\","), std::string::npos) << r.out;
  EXPECT_NE(r.out.find(",1536,0,0,0,1.000\n75,spill_kernel,64,0,"), std::string::npos) << r.out;
}

}  // namespace
}  // namespace mome
