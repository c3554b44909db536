// The fastest way to each product, as measured on this GPU: kept in memory and in a text file, one
// line a product, so that later runs neither measure again nor choose otherwise. The file is of one
// GPU model and one cuBLAS version (both in its name); lines that are damaged, or from another
// version, are left aside.
//
// Path: $MOME_GEMM_CACHE, or $XDG_CACHE_HOME/mome/gemm-<gpu>-<version>.txt, or ~/.cache/mome/….
// MOME_GEMM_CACHE=none: nothing is measured, every product takes the library's first proposal.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace mome {

/// What a choice depends on: types, transposes, sizes, strides, alignment, whether C is read,
/// whether a bias is added.
using GemmKey = std::array<int64_t, 12>;
/// The library's words for an algorithm.
using GemmAlgorithm = std::array<uint64_t, 8>;

class GemmCache {
 public:
  /// gpu and version name the file.
  GemmCache(const std::string& gpu, const std::string& version);
  /// Reads and writes `path`; empty: memory only.
  explicit GemmCache(const std::string& path);

  /// False: MOME_GEMM_CACHE=none.
  bool measures() const { return measures_; }
  std::optional<GemmAlgorithm> find(const GemmKey& key) const;
  /// Keeps the choice, and appends it to the file where that can be written.
  void add(const GemmKey& key, const GemmAlgorithm& algorithm);

 private:
  void read();
  std::string path_;
  bool measures_ = true;
  std::map<GemmKey, GemmAlgorithm> choices_;
};

}  // namespace mome
