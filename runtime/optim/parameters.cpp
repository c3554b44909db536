#include "runtime/optim/parameters.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
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
      case Init::kZeros:
        break;
      case Init::kOnes:
        v = 1;
        break;
      case Init::kConstant:
        v = p.init_scale;
        break;
      case Init::kNormal:
        v = p.init_scale * random.normal();
        break;
      case Init::kTruncatedNormal:  // timm's trunc_normal_: cut at +-2 absolute, which never
                                    // happens at .02
        do v = p.init_scale * random.normal();
        while (std::abs(v) > 2);
        break;
      case Init::kUniform:
        v = random.uniform(-p.init_scale, p.init_scale);
        break;
    }
    out[i] = T(float(v));  // the same values in float and double
  }
}

}  // namespace

ParameterSet::~ParameterSet() {
  try {
    device_.synchronize();           // work that is still queued reads these
  } catch (const std::exception&) {  // was reported to whoever waited, or the program ends by
                                     // another error
  }
  for (void* p : {values_, grads_, average_}) give_back(p, bytes(dtype_));
  for (void* p : {moment1_, moment2_}) give_back(p, moment_bytes());
  give_back(copies_, bytes(compute_dtype_));
}

void ParameterSet::give_back(void* block, size_t bytes) const {
  if (!block) return;
  if (device_.is_host())
    munmap(block, bytes);
  else
    device_.release(block);
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
  total_ += (p.count + kAlignment - 1) / kAlignment * kAlignment;
  index_[p.name] = int(list_.size());
  list_.push_back(std::move(p));
  uses_.push_back({});
  return int(list_.size()) - 1;
}

void* ParameterSet::zeros(size_t n) const {
  if (!device_.is_host()) {
    void* p = device_.allocate(n);
    device_.zero(p, n);
    return p;
  }
  void* p =
      mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) fail("no memory for {} parameters ({} MiB)", total_, n >> 20);
  return p;
}

void ParameterSet::allocate() {
  MOME_CHECK(!values_ && !(device_.is_host() && compute_dtype_ != dtype_));
  values_ = zeros(bytes(dtype_));
  grads_ = zeros(bytes(dtype_));
  moment1_ = zeros(bytes(dtype_));
  moment2_ = zeros(bytes(dtype_));
  if (compute_dtype_ != dtype_) copies_ = zeros(bytes(compute_dtype_));
}

void ParameterSet::initialize(uint64_t seed) {
  std::vector<char> staged;  // a parameter on its way to a device
  for (size_t i = 0; i < list_.size(); ++i)
    dispatch(dtype_, [&]<class T>() {
      const Tensor to = writable_value(int(i));
      if (device_.is_host()) return fill(to.as<T>(), list_[i], seed);
      staged.resize(to.bytes());
      fill(reinterpret_cast<T*>(staged.data()), list_[i], seed);
      device_.upload(to.data, staged.data(), to.bytes());
    });
  refresh_copies();
}

void ParameterSet::refresh_copies(int64_t begin, int64_t count) {
  if (!copies_) return;
  dispatch(device_, compute_dtype_, [&]<class T>(auto& queue) {
    if constexpr (sizeof(T) == 2)
      round_copy<T>(queue, count, static_cast<const Real<T>*>(values_) + begin, static_cast<T*>(copies_) + begin);
  });
}

size_t ParameterSet::moment_bytes() const {
  if (shard_.empty()) return bytes(dtype_);
  int64_t n = 0;
  for (const auto& [begin, end] : shard_) n += end - begin;
  return size_t(n) * size_of(dtype_);
}

void ParameterSet::shard_moments(std::vector<std::pair<int64_t, int64_t>> ranges) {
  MOME_CHECK(moment1_ && !ranges.empty());
  device_.synchronize();
  for (void* p : {moment1_, moment2_}) give_back(p, moment_bytes());
  moment1_ = moment2_ = nullptr;
  for (const auto& [begin, end] : ranges)
    MOME_CHECK(begin < end && begin % kAlignment == 0 && end % kAlignment == 0);
  shard_ = std::move(ranges);
  moment1_ = zeros(moment_bytes());
  moment2_ = zeros(moment_bytes());
}

int64_t ParameterSet::moments_shift(int64_t i) const {
  if (shard_.empty()) return 0;
  int64_t before = 0;
  for (const auto& [begin, end] : shard_) {
    if (i >= begin && i < end) return before - begin;
    before += end - begin;
  }
  MOME_CHECK(!"an element of the shard was expected");
  return 0;
}

void ParameterSet::zero_moments() {
  for (void* p : {moment1_, moment2_}) device_.zero(p, moment_bytes());
}

int ParameterSet::find(const std::string& name) const {
  auto it = index_.find(name);
  return it == index_.end() ? -1 : it->second;
}

void ParameterSet::adopt(int i, const void* values, std::shared_ptr<const void> owner) {
  MOME_CHECK(device_.is_host() && values_ && !average_ && values && owner);
  MOME_CHECK(reinterpret_cast<uintptr_t>(values) % size_of(dtype_) == 0);
  adopted_.resize(list_.size());
  adopted_[size_t(i)] = {values, std::move(owner)};
}

Tensor ParameterSet::adopted_view(int i) const {
  Tensor t = view(values_, i);
  t.data = const_cast<void*>(adopted_[size_t(i)].values);  // a Tensor has no read-only kind
  return t;
}

Tensor ParameterSet::view(void* arena, int i, DType dtype) const {
  const Parameter& p = list_[i];
  if (!arena) return {};
  const int64_t rows = p.shape.size() < 2 ? 1 : p.shape[0];
  return {static_cast<char*>(arena) + size_t(p.begin) * size_of(dtype), rows,
          rows ? p.count / rows : 0, dtype};
}

std::vector<AdamWRange> ParameterSet::trained_ranges() const {
  std::vector<AdamWRange> ranges;
  for (const Parameter& p : list_) {
    if (!p.trained) continue;
    const int64_t end = (p.end() + kAlignment - 1) / kAlignment * kAlignment;  // padding is zero and stays zero
    if (!ranges.empty() && ranges.back().end == p.begin && ranges.back().decay == p.decay &&
        ranges.back().lr_scale == p.lr_scale)
      ranges.back().end = end;
    else
      ranges.push_back({p.begin, end, p.lr_scale, p.decay});
  }
  return ranges;
}

void ParameterSet::zero_grads() {
  uses_.assign(list_.size(), {});
  // Neighbours at once whatever their rules: on a GPU every run is a launch.
  int64_t begin = 0, end = 0;
  const auto zero = [&] {
    device_.zero(static_cast<char*>(grads_) + size_t(begin) * size_of(dtype_),
                 size_t(end - begin) * size_of(dtype_));
  };
  for (const AdamWRange& r : trained_ranges()) {
    if (r.begin != end) {
      zero();
      begin = r.begin;
    }
    end = r.end;
  }
  zero();
}

void ParameterSet::keep_average() {
  const void* now = values();
  if (!average_) average_ = zeros(bytes(dtype_));
  device_.copy(average_, now, bytes(dtype_));
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
