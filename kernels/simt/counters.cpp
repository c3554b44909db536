#include "kernels/simt/counters.h"

#include <algorithm>
#include <mutex>
#include <tuple>

namespace mome::simt {

void Counters::add(const Counters& o) {
  launches += o.launches, blocks += o.blocks, threads += o.threads;
  barriers += o.barriers, collectives += o.collectives, mma += o.mma;
  global_requests += o.global_requests, global_sectors += o.global_sectors, ideal_sectors += o.ideal_sectors;
  shared_requests += o.shared_requests, shared_wavefronts += o.shared_wavefronts;
}

void AccessLog::global(int warp, int lane, const void* p, uint32_t bytes, const std::source_location& site) {
  const uint32_t n = occurrence_[{warp, lane, site.line(), site.column()}]++;
  uint64_t request = uint64_t(warp);
  for (uint64_t part : {uint64_t(site.line()), uint64_t(site.column()), uint64_t(n)})
    request = (request ^ part) * 0x9E3779B97F4A7C15u;
  global_.push_back({request, uintptr_t(p), bytes});
}

void AccessLog::shared(int warp, uint32_t sequence, const void* p, uint32_t bytes) {
  shared_.push_back({uint64_t(warp) << 32 | sequence, uintptr_t(p), bytes});
}

void AccessLog::settle(Counters& c) {
  const auto by_request = [](const Access& a, const Access& b) { return a.request < b.request; };
  std::stable_sort(global_.begin(), global_.end(), by_request);
  std::vector<uintptr_t> sectors;
  for (size_t i = 0; i < global_.size();) {
    size_t end = i;
    sectors.clear();
    int64_t bytes = 0;
    for (; end < global_.size() && global_[end].request == global_[i].request; ++end) {
      const Access& a = global_[end];
      bytes += a.bytes;
      for (uintptr_t s = a.address / 32; s <= (a.address + a.bytes - 1) / 32; ++s) sectors.push_back(s);
    }
    std::sort(sectors.begin(), sectors.end());
    const auto unique = std::unique(sectors.begin(), sectors.end()) - sectors.begin();
    ++c.global_requests;
    c.global_sectors += unique;
    c.ideal_sectors += std::min<int64_t>(unique, (bytes + 31) / 32);
    i = end;
  }
  std::stable_sort(shared_.begin(), shared_.end(), by_request);
  std::vector<uintptr_t> words;
  for (size_t i = 0; i < shared_.size();) {
    size_t end = i;
    words.clear();
    for (; end < shared_.size() && shared_[end].request == shared_[i].request; ++end) {
      const Access& a = shared_[end];
      for (uintptr_t w = a.address / 4; w <= (a.address + a.bytes - 1) / 4; ++w) words.push_back(w);
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    int64_t load[32] = {};
    for (uintptr_t w : words) ++load[w % 32];
    ++c.shared_requests;
    c.shared_wavefronts += *std::max_element(load, load + 32);
    i = end;
  }
  global_.clear();
  shared_.clear();
  occurrence_.clear();
}

namespace {
std::mutex mutex;
std::map<std::string, Counters>& totals() {
  static std::map<std::string, Counters> t;
  return t;
}
}  // namespace

std::map<std::string, Counters> counters() {
  std::lock_guard lock(mutex);
  return totals();
}
void reset_counters() {
  std::lock_guard lock(mutex);
  totals().clear();
}
void add_counters(const std::string& kernel, const Counters& c) {
  std::lock_guard lock(mutex);
  totals()[kernel].add(c);
}

}  // namespace mome::simt
