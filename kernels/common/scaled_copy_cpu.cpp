// Reads and writes R W elements; 1 FLOP each: bound by memory traffic.
#include "kernels/common/scaled_copy.h"

#include <algorithm>

#include "kernels/common/parallel.h"

namespace mome {

template <class From, class To, class Queue>
void scaled_copy(Queue&, int64_t rows, int64_t width, double factor, const From* from,
                 int64_t ld_from, To* to, int64_t ld_to) {
  parallel_chunks(
      rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t r, int64_t end) {
        for (; r < end; ++r)
          for (int64_t c = 0; c < width; ++c)
            to[r * ld_to + c] = To(From(factor) * from[r * ld_from + c]);
      });
}

template void scaled_copy<float, float>(Cpu&, int64_t, int64_t, double, const float*, int64_t,
                                        float*, int64_t);
template void scaled_copy<double, double>(Cpu&, int64_t, int64_t, double, const double*, int64_t,
                                          double*, int64_t);

}  // namespace mome
