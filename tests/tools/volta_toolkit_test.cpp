// tools/volta_toolkit.sh with small wheels made here instead of NVIDIA's: what it puts together,
// that it is whole or not there, and what it says when something is missing.
#include "tests/tools/script.h"

namespace mome {
namespace {

class VoltaToolkitTest : public ScriptTest {
 protected:
  void SetUp() override {
    ScriptTest::SetUp();
    if (IsSkipped()) return;
    if (std::system("python3 -c 'import pip' 2> /dev/null") != 0) GTEST_SKIP() << "no pip here";
    const std::string ptxas = "#!/bin/sh\necho 'Cuda compilation tools, release 12.9, V12.9.86'\n";
    wheel("nvidia_cuda_nvcc_cu12", "12.9.86",
          {{"cuda_nvcc/bin/ptxas", ptxas},
           {"cuda_nvcc/nvvm/libdevice/libdevice.10.bc", "x"},
           {"cuda_nvcc/include/crt/host_config.h", "x"}});
    wheel("nvidia_cuda_runtime_cu12", "12.9.79",
          {{"cuda_runtime/include/cuda.h", "x"},
           {"cuda_runtime/include/cuda_runtime.h", "x"},
           {"cuda_runtime/include/cuda_fp16.h", "x"},
           {"cuda_runtime/include/cuda_bf16.h", "x"},
           {"cuda_runtime/include/__init__.py", ""},
           {"cuda_runtime/lib/libcudart_static.a", "x"},
           {"cuda_runtime/lib/libcudart.so.12", "x"}});
    wheel("nvidia_cuda_cccl_cu12", "12.9.27", {{"cuda_cccl/include/nv/target", "x"}});
  }

  // A wheel is a zip file with the package's files and a few lines about it.
  void wheel(const std::string& name, const std::string& version,
             const std::vector<std::pair<std::string, std::string>>& files) {
    std::filesystem::remove_all(path("w"));
    for (const auto& [file, text] : files) write("w/nvidia/" + file, text);
    const std::string about = "w/" + name + "-" + version + ".dist-info/";
    write(about + "METADATA",
          "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n");
    write(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
    write(about + "RECORD", "");
    const Result r = bash("mkdir -p wheels && cd w && python3 -m zipfile -c ../wheels/" + name +
                          "-" + version + "-py3-none-any.whl *");
    ASSERT_EQ(r.code, 0) << r.err;
  }

  // pip is told to look in the folder of wheels and nowhere else.
  Result make(const std::string& arguments, const std::string& before = "") {
    return bash("export PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/wheels\n" +
                before + "\n\"$tools/volta_toolkit.sh\" " + arguments);
  }
  bool exists(const std::string& name) { return std::filesystem::exists(path(name)); }
  void fails(const Result& r, const std::string& message) {
    EXPECT_EQ(r.code, 1) << r.out;
    EXPECT_NE(r.err.find("volta_toolkit: "), std::string::npos) << r.err;
    EXPECT_NE(r.err.find(message), std::string::npos) << r.err;
    EXPECT_FALSE(exists("root.tmp"));
  }
};

TEST_F(VoltaToolkitTest, MakesARootOnce) {
  write("root.tmp/root/left_by_a_killed_run", "x");
  Result r = make("root/");
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("volta_toolkit: made root: "), std::string::npos) << r.out;
  for (const std::string file :
       {"bin/ptxas", "include/cuda.h", "include/crt/host_config.h", "include/nv/target",
        "lib64/libcudart_static.a", "lib/libcudart.so"})
    EXPECT_TRUE(exists("root/" + file)) << file;
  EXPECT_FALSE(exists("root/include/__init__.py"));
  EXPECT_FALSE(exists("root/left_by_a_killed_run"));
  EXPECT_FALSE(exists("root.tmp"));
  // CMake's two questions, from which it takes where the root is and its version.
  r = bash(
      "root/bin/ptxas --version; root/bin/nvcc --version; root/bin/nvcc -v __cmake_determine_cuda; "
      "root/bin/nvcc x.cu");
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.out.find("release 12.9, V12.9.86\n#$ TOP=" +
                       std::filesystem::canonical(path("root")).string() + "\n"),
            std::string::npos)
      << r.out;
  EXPECT_NE(r.err.find("compile with clang++-19"), std::string::npos) << r.err;

  std::filesystem::remove_all(path("wheels"));
  r = make("root");
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("volta_toolkit: root is there: "), std::string::npos) << r.out;
}

TEST_F(VoltaToolkitTest, CublasIsAddedAndNotDroppedAgain) {
  ASSERT_EQ(make("root").code, 0);
  fails(make("root --with-cublas"), "pip could not fetch the wheels");
  EXPECT_TRUE(exists("root/bin/ptxas"));  // what was there stays when more cannot be had
  wheel("nvidia_cublas_cu12", "12.9.1.4",
        {{"cublas/include/cublasLt.h", "x"},
         {"cublas/lib/libcublas.so.12", "x"},
         {"cublas/lib/libcublasLt.so.12", "x"}});
  wheel("nvidia_nccl_cu12", "2.32.3",
        {{"nccl/include/nccl.h", "x"}, {"nccl/lib/libnccl.so.2", "x"}});
  Result r = make("--with-cublas root");
  ASSERT_EQ(r.code, 0) << r.err;
  for (const std::string file :
       {"bin/ptxas", "lib/libcublas.so", "lib/libcublasLt.so", "lib/libnccl.so"})
    EXPECT_TRUE(exists("root/" + file)) << file;
  EXPECT_EQ(make("root").code, 0);  // it holds all that this asks for
  r = make("root", "sed -i s/nvcc-cu12==.*/nvcc-cu12==12.8/ root/volta_toolkit.txt");
  fails(r, "say --with-cublas to renew it");
  EXPECT_TRUE(exists("root/lib/libcublas.so"));
}

TEST_F(VoltaToolkitTest, NothingIsLeftWhenItCannotBeMade) {
  fails(make("root", "mv wheels/nvidia_cuda_cccl* ."), "pip could not fetch the wheels");
  fails(make("root",
             "mkdir bin; printf '#!/bin/sh\\nexit 1\\n' > bin/python3; chmod +x bin/python3; "
             "PATH=$PWD/bin:$PATH"),
        "python3 has no pip");
  fails(make("root",
             "mv nvidia_cuda_cccl* wheels; rm bin/python3\n"
             "df() { echo; echo disk 9 9 7 9; }; export -f df"),
        "7 MB free, 250 MB are needed");
  // No file may grow beyond 8 KiB: what a full disk does.
  wheel("nvidia_cuda_cccl_cu12", "12.9.27",
        {{"cuda_cccl/include/nv/target", std::string(20000, 'x')}});
  fails(make("root", "trap '' XFSZ; ulimit -f 8"), "none-any.whl cannot be unpacked: ");
  wheel("nvidia_cuda_cccl_cu12", "12.9.27", {{"cuda_cccl/include/elsewhere/target", "x"}});
  fails(make("root"), "wrong wheel layout: include/nv/target is in none of ");
  write("wheels/nvidia_cuda_cccl_cu12-12.9.27-py3-none-any.whl", "no zip file");
  fails(make("root"), "");
  EXPECT_FALSE(exists("root"));
}

TEST_F(VoltaToolkitTest, AForeignFolderIsLeftAlone) {
  write("root/mine", "x");
  fails(make("root"), "root exists and was not made by this script");
  EXPECT_TRUE(exists("root/mine"));
  fails(make("root/mine"), "root/mine exists and was not made by this script");
  Result r = make("new", "mkdir new.tmp; exec 9< new.tmp; flock 9");
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("another run is making it"), std::string::npos) << r.err;
  for (const std::string arguments : {"", "--with-cublas", "a b", "a --what"}) {
    r = make(arguments);
    EXPECT_EQ(r.code, 2) << arguments;
    EXPECT_NE(r.err.find("usage: tools/volta_toolkit.sh DIR"), std::string::npos) << r.err;
  }
}

// clang's call of fatbinary, as clang++-19 writes it, and what CUDA 13's takes.
TEST_F(VoltaToolkitTest, FatbinaryIsCalledInTheFormThatTakesSm70) {
  ASSERT_EQ(make("root").code, 0);
  write("cuda/bin/fatbinary", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n", true);
  const Result r = bash(
      "PATH=$PWD/root/bin:$PATH CUDA_PATH=$PWD/cuda root/bin/fatbinary -64 --create 'a b.fatbin' "
      "--image=profile=sm_70,file=a,b.o --image=profile=compute_70,file=c.s "
      "--image=profile=sm_90a,file=d.o");
  EXPECT_EQ(r.out,
            "-64\n--create\na "
            "b.fatbin\n--image3=kind=elf,sm=70,file=a,b.o\n--image3=kind=ptx,sm=70,file=c.s\n"
            "--image3=kind=elf,sm=90a,file=d.o\n")
      << r.err;
}

}  // namespace
}  // namespace mome
