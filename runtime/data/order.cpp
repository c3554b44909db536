#include "runtime/data/order.h"

#include <limits>
#include <numeric>
#include <utility>

#include "runtime/core/error.h"

namespace mome {

std::vector<int32_t> permutation(int64_t n, RandomStream random) {
  MOME_CHECK(n >= 0 && n <= std::numeric_limits<int32_t>::max());
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[random.below(uint32_t(i + 1))]);
  return order;
}

std::vector<int32_t> permutation(int64_t n, uint64_t seed, uint64_t epoch) {
  return permutation(n, RandomStream(seed, epoch, Purpose::kOrder, 0));
}

SampleOrder::SampleOrder(int64_t n, uint64_t seed) : n_(n), seed_(seed) { MOME_CHECK(n >= 1); }

SampleOrder::Permutation SampleOrder::permutation_of(uint64_t epoch) const {
  const std::lock_guard lock(mutex_);
  Permutation& kept = kept_[epoch];
  if (!kept) kept = std::make_shared<const std::vector<int32_t>>(permutation(n_, seed_, epoch));
  const Permutation result = kept;
  // Samples are asked for nearly in order; an early epoch that is asked for again is made again.
  constexpr size_t kKept = 4;
  while (kept_.size() > kKept) kept_.erase(kept_.begin());
  return result;
}

Order::Sample SampleOrder::at(int64_t g) const {
  const uint64_t epoch = uint64_t(g / n_);
  return {epoch, (*permutation_of(epoch))[g % n_]};
}

}  // namespace mome
