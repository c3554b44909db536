#include "runtime/optim/gradient_sync.h"

#include <algorithm>

namespace mome {

GradientSync::GradientSync(ParameterSet& parameters, Communicator& communicator, const GradientSyncOptions& options)
    : parameters_(parameters), communicator_(communicator), options_(options), lane_(communicator) {
  // Every bucket falls into equal shards of whole cache lines. What that takes of a frozen neighbour is zeros.
  const int64_t unit = ParameterSet::kAlignment * communicator.size();
  const int64_t longest = std::max<int64_t>(1, options.bucket_bytes / int64_t(size_of(parameters.dtype())) / unit) * unit;
  MOME_CHECK(communicator.size() <= ParameterSet::kMostShards);
  const auto& list = parameters.list();
  buckets_of_.resize(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].trained || list[i].count == 0) continue;
    int64_t begin = list[i].begin / unit * unit;
    const int64_t end = (list[i].end() + unit - 1) / unit * unit;
    if (!buckets_.empty() && begin < buckets_.back().end) begin = buckets_.back().end;
    while (begin < end) {
      // Neighbours share a bucket until it is full; a gap of frozen parameters begins a new one.
      if (buckets_.empty() || buckets_.back().end != begin || begin - buckets_.back().begin >= longest) buckets_.push_back({begin, begin, {}});
      Bucket& b = buckets_.back();
      begin = b.end = std::min(end, b.begin + longest);
    }
  }
  for (size_t k = 0; k < buckets_.size(); ++k)
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i].trained && list[i].begin < buckets_[k].end && list[i].end() > buckets_[k].begin) {
        buckets_[k].parameters.push_back(int(i));
        buckets_of_[i].push_back(int(k));
      }
  for (const Bucket& b : buckets_) {
    const int64_t share = (b.end - b.begin) / communicator.size();
    if (!options.shard) owned_.push_back({b.begin, b.end});
    else owned_.push_back({b.begin + communicator.rank() * share, b.begin + (communicator.rank() + 1) * share});
  }
  left_ = buckets_.size();
  if (!options.shard) return;
  std::vector<std::pair<int64_t, int64_t>> moments;
  for (const ArenaRange& r : owned_) moments.emplace_back(r.begin, r.end);
  if (!moments.empty()) parameters.shard_moments(std::move(moments));
  parameters.wait_before_use([this](int i) {
    if (!gathering_) return;
    for (int k : buckets_of_[size_t(i)]) receive(buckets_[size_t(k)]);
  });
}

GradientSync::~GradientSync() { parameters_.wait_before_use(nullptr); }

void GradientSync::reduce_during(Tape& tape) {
  // The first node of the tape that reads one of a bucket's parameters is the last one to add to it.
  std::vector<size_t> last(buckets_.size(), Tape::kNever);
  for (size_t k = 0; k < buckets_.size(); ++k)
    for (int i : buckets_[k].parameters) last[k] = std::min(last[k], parameters_.first_node(i, tape));
  tape.after_each_node([this, last = std::move(last)](size_t node) {
    while (left_ > 0 && last[left_ - 1] >= node) post(buckets_[--left_]);
  });
}

void GradientSync::post(const Bucket& b) {
  char* grads = static_cast<char*>(parameters_.grads());
  const DType dtype = parameters_.dtype();
  void* data = grads + size_t(b.begin) * size_of(dtype);
  const int64_t count = b.end - b.begin;
  if (!options_.shard) {
    lane_.post([=](Communicator& c) { c.all_reduce(data, count, dtype); });
    return;
  }
  lane_.post([=](Communicator& c) {
    const int64_t share = count / c.size();
    c.reduce_scatter(data, static_cast<char*>(data) + size_t(c.rank() * share) * size_of(dtype), share, dtype);
  });
}

void GradientSync::finish() {
  while (left_ > 0) post(buckets_[--left_]);
  lane_.wait_all();
  left_ = buckets_.size();
}

void GradientSync::gather_values() {
  if (!options_.shard) return;
  char* values = static_cast<char*>(parameters_.values());
  const size_t size = size_of(parameters_.dtype());
  for (Bucket& b : buckets_) {
    char* data = values + size_t(b.begin) * size;
    const size_t share = size_t(b.end - b.begin) / size_t(communicator_.size()) * size;
    b.gathered = lane_.post([=](Communicator& c) { c.all_gather(data + size_t(c.rank()) * share, data, share); });
    b.pending = true;
  }
  gathering_ = true;
}

std::vector<ArenaRange> GradientSync::shard() const {
  std::vector<ArenaRange> ranges = owned_;
  if (communicator_.rank() == 0) {
    int64_t end = 0;
    for (const Bucket& b : buckets_) {
      if (b.begin > end) ranges.push_back({end, b.begin});
      end = b.end;
    }
    if (end < parameters_.count()) ranges.push_back({end, parameters_.count()});
  }
  std::sort(ranges.begin(), ranges.end(), [](const ArenaRange& a, const ArenaRange& b) { return a.begin < b.begin; });
  for (ArenaRange& r : ranges) r.end = std::min(r.end, parameters_.count());
  std::erase_if(ranges, [](const ArenaRange& r) { return r.begin >= r.end; });
  return ranges;
}

void GradientSync::gather(void* arena) {
  MOME_CHECK(options_.shard);
  const size_t size = size_of(parameters_.dtype());
  for (const Bucket& b : buckets_) {
    char* data = static_cast<char*>(arena) + size_t(b.begin) * size;
    const size_t share = size_t(b.end - b.begin) / size_t(communicator_.size()) * size;
    communicator_.all_gather(data + size_t(communicator_.rank()) * share, data, share);
  }
}

void GradientSync::receive(Bucket& b) {
  if (!b.pending) return;
  lane_.wait(b.gathered);
  parameters_.refresh_copies(b.begin, b.end - b.begin);
  b.pending = false;
}

void GradientSync::settle() {
  for (Bucket& b : buckets_) receive(b);
  gathering_ = false;
}

}  // namespace mome
