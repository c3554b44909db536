#include "runtime/optim/parameters.h"

#include <sys/mman.h>

#include <cstring>
#include <numeric>

#include "kernels/common/philox.h"

namespace mome {
namespace {

// FNV-1a: the stream of a parameter's initial values depends on its name, so a model with one head
// more starts from the same body.
uint64_t name_hash(const std::string& name) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (unsigned char c : name) h = (h ^ c) * 0x100000001b3ull;
  return h;
}

template <class T>
void fill(T* out, const Parameter& p, uint64_t seed) {
  RandomStream random(seed, name_hash(p.name), Purpose::kInit, 0);
  for (int64_t i = 0; i < p.count; ++i) {
    double v = 0;
    switch (p.init) {
      case Init::kZeros: break;
      case Init::kOnes: v = 1; break;
      case Init::kConstant: v = p.init_scale; break;
      case Init::kNormal: v = p.init_scale * random.normal(); break;
      case Init::kTruncatedNormal:  // timm's trunc_normal_: cut at +-2 absolute, which never happens at .02
        do v = p.init_scale * random.normal(); while (std::abs(v) > 2);
        break;
      case Init::kUniform: v = random.uniform(-p.init_scale, p.init_scale); break;
    }
    out[i] = T(float(v));  // the same values in float and double
  }
}

}  // namespace

ParameterSet::~ParameterSet() {
  for (void* p : {values_, grads_, moment1_, moment2_, average_})
    if (p) munmap(p, bytes());
}

int ParameterSet::add(std::string name, std::vector<int64_t> shape, Init init, double init_scale) {
  MOME_CHECK(!values_ && !index_.count(name));
  Parameter p;
  p.count = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  p.begin = total_;
  p.init = init;
  p.init_scale = init_scale;
  p.shape = std::move(shape);
  p.name = std::move(name);
  total_ += (p.count + 15) / 16 * 16;  // every parameter starts on a cache line
  index_[p.name] = int(list_.size());
  list_.push_back(std::move(p));
  return int(list_.size()) - 1;
}

void* ParameterSet::map_zeros() const {
  void* p = mmap(nullptr, std::max<size_t>(bytes(), 1), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) fail("no memory for {} parameters ({} MiB)", total_, bytes() >> 20);
  return p;
}

void ParameterSet::allocate() {
  MOME_CHECK(!values_);
  values_ = map_zeros();
  grads_ = map_zeros();
  moment1_ = map_zeros();
  moment2_ = map_zeros();
}

void ParameterSet::initialize(uint64_t seed) {
  for (size_t i = 0; i < list_.size(); ++i)
    dispatch(dtype_, [&]<class T>() { fill(value(int(i)).as<T>(), list_[i], seed); });
}

int ParameterSet::find(const std::string& name) const {
  auto it = index_.find(name);
  return it == index_.end() ? -1 : it->second;
}

Tensor ParameterSet::view(void* arena, int i) const {
  const Parameter& p = list_[i];
  if (!arena) return {};
  const int64_t rows = p.shape.size() < 2 ? 1 : p.shape[0];
  return {static_cast<char*>(arena) + size_t(p.begin) * size_of(dtype_), rows,
          rows ? p.count / rows : 0, dtype_};
}

std::vector<AdamWRange> ParameterSet::trained_ranges() const {
  std::vector<AdamWRange> ranges;
  for (const Parameter& p : list_) {
    if (!p.trained) continue;
    const int64_t end = (p.end() + 15) / 16 * 16;  // padding is zero and stays zero
    if (!ranges.empty() && ranges.back().end == p.begin && ranges.back().decay == p.decay &&
        ranges.back().lr_scale == p.lr_scale)
      ranges.back().end = end;
    else
      ranges.push_back({p.begin, end, p.lr_scale, p.decay});
  }
  return ranges;
}

void ParameterSet::zero_grads() {
  for (const AdamWRange& r : trained_ranges())
    std::memset(static_cast<char*>(grads_) + size_t(r.begin) * size_of(dtype_), 0,
                size_t(r.end - r.begin) * size_of(dtype_));
}

void ParameterSet::keep_average() {
  if (!average_) average_ = map_zeros();
  std::memcpy(average_, values_, bytes());
}

int64_t ParameterSet::parameter_count(bool trained_only) const {
  int64_t n = 0;
  for (const Parameter& p : list_)
    if (p.trained || !trained_only) n += p.count;
  return n;
}

bool matches(const std::string& pattern, const std::string& name) {
  // Greedy match with one backtracking point: linear for patterns of this kind.
  size_t p = 0, n = 0, star = std::string::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace mome
