// mome_bench_gpu: the kernel table of one GPU. Without a GPU (or with --device simt) the same code runs on the interpreter
// with small shapes: a check of the harness, whose times say nothing.
#include <CLI/CLI.hpp>

#include "bench/gpu/parts_attention.h"
#include "bench/gpu/parts_experts.h"
#include "bench/gpu/parts_norms.h"
#include "kernels/simt/queue.h"

#if defined(MOME_WITH_CUDA)
#include "kernels/cuda/queue.h"
#endif

namespace mome::bench {
namespace {

template <class T, class Queue>
void run_part(const std::string& part, Bench<Queue>& bench, const Cases& cases) {
  if (part == "attention") attention<T>(bench, cases);
  else if (part == "norms") norms<T>(bench, cases);
  else if (part == "experts") experts<T>(bench, cases);
  else throw CLI::ValidationError("--part " + part + ": expected attention, norms or experts");
}

template <class Queue>
void run(Queue& queue, const std::string& part, const std::string& dtype, const std::string& toolkit, const Cases& cases) {
  Bench<Queue> bench(queue, dtype, toolkit);
  if (dtype == "f32") run_part<float>(part, bench, cases);
  else if (dtype == "fp16") run_part<half>(part, bench, cases);
  else if (dtype == "bf16") run_part<bf16>(part, bench, cases);
  else throw CLI::ValidationError("--dtype " + dtype + ": expected f32, fp16 or bf16");
}

}  // namespace
}  // namespace mome::bench

int main(int argc, char** argv) {
  using namespace mome;
  CLI::App app("Times the GPU kernels; one JSON line a case");
  std::string part = "attention", dtype = "bf16", device = "cuda";
  app.add_option("--part", part, "attention, norms or experts")->capture_default_str();
  app.add_option("--dtype", dtype, "f32, fp16 or bf16")->capture_default_str();
  app.add_option("--device", device, "cuda, or simt: small shapes on the interpreter")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    if (device == "simt") {
      simt::Queue queue;
      bench::run(queue, part, dtype, "", bench::small_cases());
      return 0;
    }
#if defined(MOME_WITH_CUDA)
    if (device == "cuda" && cuda::device_count() > 0) {
      cuda::Queue queue(0);
      bench::run(queue, part, dtype, cuda::toolkit_version(), bench::Cases());
      return 0;
    }
#endif
    fmt::print(stderr, "mome_bench_gpu: no GPU can be used here\n");
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "mome_bench_gpu: {}\n", e.what());
    return 1;
  }
}
