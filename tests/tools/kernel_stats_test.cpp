// tools/kernel_stats.sh: ptxas's reports and cubins to a CSV, the check for spills, damaged input.
#include <fmt/format.h>

#include <cstdint>

#include "tests/tools/script.h"

namespace mome {
namespace {

constexpr char kHeader[] =
    "arch,kernel,registers,shared_bytes,stack_bytes,spill_store_bytes,spill_load_bytes,occupancy\n";

struct Kernel {
  std::string symbol;
  int threads = 0;  // of __launch_bounds__; 0: none
  int registers = 8, shared = 0, stack = 0, stores = 0, loads = 0;
};

// ptxas -v's words, as CUDA 12.9 and 13.0 write them.
std::string report(int arch, const std::vector<Kernel>& kernels) {
  std::string text = "ptxas info    : 0 bytes gmem\n";
  for (const Kernel& k : kernels) {
    text += fmt::format(
        "ptxas info    : Compiling entry function '{0}' for 'sm_{1}'\n"
        "ptxas info    : Function properties for {0}\n"
        "    {2} bytes stack frame, {3} bytes spill stores, {4} bytes spill loads\n"
        "ptxas info    : Used {5} registers, used 1 barriers, {6}{7}372 bytes cmem[0]\n"
        "ptxas info    : Compile time = 2.305 ms\n",
        k.symbol, arch, k.stack, k.stores, k.loads, k.registers,
        k.stack ? fmt::format("{} bytes cumulative stack size, ", k.stack) : "",
        k.shared ? fmt::format("{} bytes smem, ", k.shared) : "");
  }
  return text;
}

template <typename T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// An ELF file with a section .nv.info.SYMBOL for each kernel, as ptxas writes it.
std::string cubin(const std::vector<Kernel>& kernels) {
  std::string names(1, '\0'), body, table(64, '\0');  // section 0 is empty
  const auto section = [&](const std::string& name, const std::string& bytes) {
    put<uint32_t>(table, names.size());
    put<uint32_t>(table, 0);
    put<uint64_t>(table, 0);
    put<uint64_t>(table, 0);
    put<uint64_t>(table, 64 + body.size());
    put<uint64_t>(table, bytes.size());
    table.append(24, '\0');
    names += name + '\0';
    body += bytes;
  };
  for (const Kernel& k : kernels) {
    std::string info;
    for (int entry :
         {0x00015f03, 0x00040a04}) {  // one with a value in itself, one with 4 bytes after it
      put<uint32_t>(info, entry);
      if (entry == 0x00040a04)
        put<uint32_t>(info, 0x05040504);  // looks like a launch bound, is none
    }
    if (k.threads) {
      put<uint32_t>(info, 0x000c0504);
      for (int size : {k.threads / 2, 2, 1}) put<uint32_t>(info, size);
    }
    section(".nv.info." + k.symbol, info);
  }
  const std::string all_names = names + ".shstrtab" + '\0';
  section(".shstrtab", all_names);
  std::string header("\177ELF\2\1", 6);
  header.resize(40);
  put<uint64_t>(header, 64 + body.size());
  header.resize(58);
  for (size_t value : {size_t{64}, kernels.size() + 2, kernels.size() + 1})
    put<uint16_t>(header, value);
  return header + body + table;
}

class KernelStatsTest : public ScriptTest {
 protected:
  void compiled(int arch, const std::vector<Kernel>& kernels, const std::string& file = "op_cuda",
                const std::string& more = "") {
    const std::string base = "logs/sm_" + std::to_string(arch) + "/" + file;
    write(base + ".log", report(arch, kernels) + more);
    write(base + ".cubin", cubin(kernels));
  }
  Result stats(const std::string& options = "") {
    return bash("\"$tools/kernel_stats.sh\" --logs logs " + options);
  }
};

TEST_F(KernelStatsTest, NamesAreShortAndNumbersAreTheReports) {
  compiled(75, {{"_ZN4mome5probe12scale_kernelILi128E6__halfLb1EEEvPKT0_PS3_i", 256, 10, 512},
                {"_ZN4mome5probe10mma_kernelI13__nv_bfloat16LNS0_4ArchE1EEEvPKT_Pf", 0, 255},
                {"_ZN4mome12plain_kernelEPfi", 1024, 64, 0, 2176, 2292, 3128}});
  compiled(70, {{"_ZN4mome12plain_kernelEPfi", 1024, 32},
                {"_ZN4mome4cuda4normINS_4halfELi1EEEvliPKT_PKfS5_fPS3_PfS7_", 0, 54}});
  const Result r = stats();
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(r.out, std::string(kHeader) +
                       "70,\"norm<half, 1>\",54,0,0,0,0,0.562\n"
                       "70,plain_kernel,32,0,0,0,0,1.000\n"
                       "75,plain_kernel,64,0,2176,2292,3128,1.000\n"
                       "75,\"probe::mma_kernel<__nv_bfloat16, (probe::Arch)1>\",255,0,0,0,0,0.250\n"
                       "75,\"probe::scale_kernel<128, __half, true>\",10,512,0,0,0,1.000\n");
}

// Expected: CUDA's own cudaOccMaxActiveBlocksPerMultiprocessor (cuda_occupancy.h) with these
// numbers.
TEST_F(KernelStatsTest, OccupancyIsThatOfCudasCalculator) {
  const struct {
    int arch, threads, registers, shared;
    const char* share;
  } cases[] = {
      {70, 96, 30, 4096, "0.984"},    {70, 128, 96, 1000, "0.312"},   {70, 256, 63, 40000, "0.250"},
      {75, 34, 255, 20000, "0.188"},  {75, 512, 63, 0, "1.000"},      {80, 160, 168, 1, "0.156"},
      {80, 1000, 63, 32768, "0.500"}, {86, 128, 45, 9000, "0.833"},   {89, 32, 30, 0, "0.500"},
      {90, 128, 255, 16384, "0.125"}, {90, 384, 168, 49152, "0.188"}, {90, 1000, 66, 0, "0.000"},
      {100, 1024, 66, 0, "0.000"},    {120, 64, 48, 4096, "0.833"}};
  std::vector<std::string> rows;
  for (const auto& c : cases) {
    const std::string name = fmt::format("k{}_{}", c.threads, c.registers);
    compiled(c.arch,
             {{fmt::format("_ZN4mome{}{}Ev", name.size(), name), c.threads, c.registers, c.shared}},
             name);
    rows.push_back(
        fmt::format("\n{},{},{},{},0,0,0,{}\n", c.arch, name, c.registers, c.shared, c.share));
  }
  const Result r = stats();
  for (const std::string& row : rows)
    EXPECT_NE(r.out.find(row), std::string::npos) << row << r.out << r.err;
}

TEST_F(KernelStatsTest, NoSpillsNamesEachThatSpills) {
  compiled(80, {{"_ZN4mome4goodEv"}, {"_ZN4mome5stackEv", 0, 8, 0, 16}});
  EXPECT_EQ(stats("--no-spills").code, 0);
  compiled(90, {{"_ZN4mome3badILi64EEEvPf", 0, 32, 0, 64, 0, 12}}, "bad_cuda");
  // A function that is not inlined spills on its own account; its caller's line shows nothing of
  // it.
  compiled(80, {{"_ZN4mome6callerEv"}}, "call_cuda",
           "ptxas info    : Function properties for _ZN4mome5heavyEPKfi\n"
           "    0 bytes stack frame, 140 bytes spill stores, 144 bytes spill loads\n"
           "ptxas info    : Function properties for _ZN4mome5lightEv\n"
           "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n");
  const Result r = stats("--no-spills");
  EXPECT_EQ(r.code, 1);
  EXPECT_EQ(r.err,
            "kernel_stats: sm_80: heavy [function] spills: 140 bytes of stores, 144 of loads\n"
            "kernel_stats: sm_90: bad<64> spills: 0 bytes of stores, 12 of loads, 32 registers\n");
  EXPECT_EQ(
      r.out,
      std::string(kHeader) +
          "80,caller,8,0,0,0,0,1.000\n80,good,8,0,0,0,0,1.000\n"
          "80,heavy "
          "[function],,,0,140,144,\n80,stack,8,0,16,0,0,1.000\n90,bad<64>,32,0,64,0,12,1.000\n");
  EXPECT_EQ(stats().code, 0);  // a table is no check
}

TEST_F(KernelStatsTest, OneNameInTwoFilesGetsTheFilesName) {
  // nvcc and clang each mangle an anonymous namespace in their own way: that makes no two kernels.
  compiled(75, {{"_ZN4mome46_GLOBAL__N__468f5b5d_13_probe_cuda_cu_42680fb41kEPf"}}, "a_cuda");
  compiled(70, {{"_ZN4mome12_GLOBAL__N_11kEPf"}}, "a_cuda");
  EXPECT_EQ(stats().out, std::string(kHeader) + "70,k,8,0,0,0,0,1.000\n75,k,8,0,0,0,0,1.000\n");
  compiled(75,
           {{"_ZN4mome46_GLOBAL__N__99999999_13_other_cuda_cu_1268bbb21kEPf"}, {"_ZN4mome1kEi"}},
           "b_cuda");
  EXPECT_EQ(stats().out, std::string(kHeader) +
                             "70,a_cuda:k,8,0,0,0,0,1.000\n75,a_cuda:k,8,0,0,0,0,1.000\n"
                             "75,b_cuda:mome::(anonymous namespace)::k(float*),8,0,0,0,0,1.000\n"
                             "75,b_cuda:mome::k(int),8,0,0,0,0,1.000\n");
}

TEST_F(KernelStatsTest, DamagedInputIsAnErrorThatNamesTheFile) {
  const Kernel k{"_ZN4mome1kEv"}, other{"_ZN4mome5otherEv"};
  const auto fails = [&](const std::string& place, const std::string& what) {
    const Result r = stats();
    EXPECT_EQ(r.code, 1) << what;
    EXPECT_NE(r.err.find("kernel_stats: logs" + place), std::string::npos) << r.err;
    EXPECT_NE(r.err.find(what), std::string::npos) << r.err;
    EXPECT_EQ(r.out, "");
  };
  fails(": ", "no sm_*/*.log in it");
  compiled(75, {k, other});
  write("logs/sm_75/op_cuda.log", report(75, {k}));
  fails("/sm_75/op_cuda.log: ", "_ZN4mome5otherEv");  // a kernel that the report does not speak of
  const std::string text = report(75, {k, other});
  write("logs/sm_75/op_cuda.log", text.substr(0, text.rfind("ptxas info    : Used")));
  fails("/sm_75/op_cuda.log: ", "the report on _ZN4mome5otherEv is not whole");
  write("logs/sm_75/op_cuda.log", text);
  const std::string whole = cubin({k, other});
  for (size_t size : {size_t{0}, size_t{3}, size_t{50}, whole.size() / 2, whole.size() - 40}) {
    write("logs/sm_75/op_cuda.cubin", whole.substr(0, size));
    fails("/sm_75/op_cuda.cubin: ", size < 5 ? "not a 64-bit ELF file" : "a damaged cubin");
  }
  std::filesystem::remove(path("logs/sm_75/op_cuda.cubin"));
  fails("/sm_75/op_cuda.cubin: ", "did not compile");
  std::filesystem::rename(path("logs/sm_75"), path("logs/sm_33"));
  fails("/sm_33: ", "not an architecture known here");
}

TEST_F(KernelStatsTest, WrongUseIsTwo) {
  for (const std::string options :
       {"--logs", "--logs ''", "--logs logs x.cu", "--logs logs --arch 70", "--nonsense"}) {
    const Result r = bash("\"$tools/kernel_stats.sh\" " + options);
    EXPECT_EQ(r.code, 2) << options << r.err;
    EXPECT_NE(r.err.find("usage: tools/"), std::string::npos) << r.err;
    EXPECT_EQ(r.out, "");
  }
}

}  // namespace
}  // namespace mome
