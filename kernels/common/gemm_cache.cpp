#include "kernels/common/gemm_cache.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace mome {
namespace {

constexpr const char* kHead = "gemm1";  // of every line: the format's version

std::string path_for(const std::string& gpu, const std::string& version) {
  if (const char* path = std::getenv("MOME_GEMM_CACHE")) return path;
  std::string folder;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    folder = cache;
  else if (const char* home = std::getenv("HOME"); home && *home)
    folder = std::string(home) + "/.cache";
  else
    return "";
  std::string name = "gemm-" + gpu + "-" + version + ".txt";
  for (char& c : name)
    if (c == ' ' || c == '/') c = '_';
  return folder + "/mome/" + name;
}

/// FNV-1a of a line's text before its last field: a line that was cut or mixed with another one is
/// told from a whole one.
uint64_t hash(const std::string& text) {
  uint64_t h = 1469598103934665603ull;
  for (unsigned char c : text) h = (h ^ c) * 1099511628211ull;
  return h;
}

std::string line_of(const GemmKey& key, const GemmAlgorithm& algorithm) {
  std::ostringstream line;
  line << kHead;
  for (int64_t v : key) line << ' ' << v;
  for (uint64_t v : algorithm) line << ' ' << v;
  const std::string text = line.str();
  return text + ' ' + std::to_string(hash(text));
}

}  // namespace

GemmCache::GemmCache(const std::string& gpu, const std::string& version)
    : GemmCache(path_for(gpu, version)) {}

GemmCache::GemmCache(const std::string& path) : path_(path) {
  if (path_ == "none") path_.clear(), measures_ = false;
  read();
}

void GemmCache::read() {
  std::ifstream file(path_);
  for (std::string line; file && std::getline(file, line);) {
    std::istringstream in(line);
    std::string head;
    GemmKey key;
    GemmAlgorithm algorithm;
    in >> head;
    for (int64_t& v : key) in >> v;
    for (uint64_t& v : algorithm) in >> v;
    if (in && line == line_of(key, algorithm)) choices_[key] = algorithm;
  }
}

std::optional<GemmAlgorithm> GemmCache::find(const GemmKey& key) const {
  const auto found = choices_.find(key);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void GemmCache::add(const GemmKey& key, const GemmAlgorithm& algorithm) {
  choices_[key] = algorithm;
  if (path_.empty()) return;
  std::error_code ignored;  // a cache that cannot be written costs time, and is no error
  const std::filesystem::path parent = std::filesystem::path(path_).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, ignored);
  std::ofstream file(path_, std::ios::app);
  file << line_of(key, algorithm) + '\n' << std::flush;
}

}  // namespace mome
