# The cuda device of mome_kernels: kernels/*/*_cuda.cu through the CUDA compiler and the host code of kernels/cuda.
#
# nvcc (preset cuda): the toolkit in PATH or CUDAToolkit_ROOT, CUDA 12.0 or newer.
# clang++ (preset volta): for V100 where nvcc is CUDA 13's, which no longer knows it. CMake's CUDA language wants an nvcc
# beside clang, so the few files are compiled by rules of our own, with the CUDA 12.9 root that tools/volta_toolkit.sh makes.
file(GLOB CUDA_HOST_SOURCES CONFIGURE_DEPENDS kernels/cuda/*.cpp)

if(CMAKE_CUDA_COMPILER MATCHES "clang")
  set(MOME_VOLTA_ROOT "" CACHE PATH "CUDA 12.9 root: tools/volta_toolkit.sh DIR --with-cublas makes it")
  find_program(MOME_CUDA_CLANG ${CMAKE_CUDA_COMPILER} REQUIRED)
  if(NOT EXISTS ${MOME_VOLTA_ROOT}/include/cublasLt.h)
    message(FATAL_ERROR "preset volta: MOME_VOLTA_ROOT=\"${MOME_VOLTA_ROOT}\" holds no CUDA with cuBLAS; "
      "run tools/volta_toolkit.sh DIR --with-cublas and configure with -DMOME_VOLTA_ROOT=DIR")
  endif()
  file(STRINGS ${MOME_VOLTA_ROOT}/include/cuda.h version REGEX "^#define CUDA_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+" version "${version}")
  math(EXPR major "${version} / 1000")
  math(EXPR minor "${version} % 1000 / 10")
  set(MOME_CUDA_VERSION ${major}.${minor})
  set(MOME_CUDA_COMPILER ${MOME_CUDA_CLANG})
  set(flags -x cuda --cuda-path=${MOME_VOLTA_ROOT} -std=c++20 -O3 -DNDEBUG -Wno-unknown-cuda-version
    -DMOME_WITH_CUDA -I${CMAKE_SOURCE_DIR})
  foreach(architecture ${CMAKE_CUDA_ARCHITECTURES})
    string(REGEX REPLACE "-.*" "" architecture ${architecture})
    list(APPEND flags --cuda-gpu-arch=sm_${architecture})
  endforeach()
  foreach(source ${GPU_SOURCES})
    file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR} ${source})
    string(REGEX REPLACE "[/.]" "_" name ${relative})
    set(object ${CMAKE_BINARY_DIR}/volta/${name}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${CMAKE_CUDA_COMPILER_LAUNCHER} ${MOME_CUDA_CLANG} ${flags} -MD -MT ${object} -MF ${object}.d -c ${source} -o ${object}
      DEPENDS ${source} DEPFILE ${object}.d COMMENT "Building CUDA object ${relative} with clang" VERBATIM)
    target_sources(mome_kernels PRIVATE ${object})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/volta)
  target_include_directories(mome_kernels SYSTEM PUBLIC ${MOME_VOLTA_ROOT}/include)
  target_link_libraries(mome_kernels PUBLIC ${MOME_VOLTA_ROOT}/lib/libcublasLt.so.12
    ${MOME_VOLTA_ROOT}/lib/libcudart_static.a ${CMAKE_DL_LIBS} rt)
  # An NCCL beside a newer toolkit has no code for V100: only one that lies in the root, or that is named, is taken.
  find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 PATHS ${MOME_VOLTA_ROOT}/lib NO_DEFAULT_PATH)
  find_path(NCCL_INCLUDE_DIR nccl.h PATHS ${MOME_VOLTA_ROOT}/include NO_DEFAULT_PATH)
else()
  find_package(CUDAToolkit 12.0 REQUIRED)
  set(MOME_CUDA_VERSION ${CUDAToolkit_VERSION})
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  # Every GPU that the toolkit knows from V100 on; PTX for those to come.
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real)
    if(CUDAToolkit_VERSION VERSION_LESS 13)
      list(PREPEND CMAKE_CUDA_ARCHITECTURES 70-real)
    endif()
    if(CUDAToolkit_VERSION VERSION_LESS 12.8)
      list(APPEND CMAKE_CUDA_ARCHITECTURES 90)
    else()
      list(APPEND CMAKE_CUDA_ARCHITECTURES 90-real 120-virtual)
    endif()
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(MOME_CUDA_COMPILER ${CMAKE_CUDA_COMPILER})
  target_sources(mome_kernels PRIVATE ${GPU_SOURCES})
  set_target_properties(mome_kernels PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
  target_compile_options(mome_kernels PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-lineinfo>)
  target_link_libraries(mome_kernels PUBLIC CUDA::cudart_static CUDA::cublasLt)
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
endif()
if(NCCL_LIBRARY AND NCCL_INCLUDE_DIR)
  set(MOME_NCCL ON)
endif()

target_sources(mome_kernels PRIVATE ${CUDA_HOST_SOURCES})
target_compile_definitions(mome_flags INTERFACE MOME_WITH_CUDA)
# What a GPU is told that this program has no code for.
string(REPLACE ";" "," architectures "${CMAKE_CUDA_ARCHITECTURES}")
set_source_files_properties(${CMAKE_SOURCE_DIR}/kernels/cuda/queue.cpp PROPERTIES
  COMPILE_DEFINITIONS "MOME_CUDA_ARCHITECTURES=\"${architectures}\"")
set(DEVICES "${DEVICES}, cuda")
