#include "models/plan/network.h"

#include <algorithm>
#include <bit>

namespace mome {

double ring_all_reduce(double bytes, int64_t ranks, const Link& link) {
  const double n = double(ranks);
  return ranks <= 1 ? 0 : 2 * (n - 1) * link.start + 2 * (n - 1) / n * bytes / link.rate;
}

double tree_all_reduce(double bytes, int64_t ranks, const Link& link) {
  if (ranks <= 1) return 0;
  const double depth = std::bit_width(uint64_t(ranks - 1));  // ceil(log2 n)
  return 2 * depth * link.start + 2 * bytes / link.rate;
}

double all_reduce(double bytes, int64_t ranks, const Link& link) {
  return std::min(ring_all_reduce(bytes, ranks, link), tree_all_reduce(bytes, ranks, link));
}

double reduce_scatter(double bytes, int64_t ranks, const Link& link) {
  const double n = double(ranks);
  return ranks <= 1 ? 0 : (n - 1) * link.start + (n - 1) / n * bytes / link.rate;
}

double all_gather(double bytes, int64_t ranks, const Link& link) {
  return reduce_scatter(bytes, ranks, link);
}

double all_reduce(double bytes, const Cluster& c) {
  if (c.ranks <= c.per_node) return all_reduce(bytes, c.ranks, c.inside);
  return reduce_scatter(bytes, c.per_node, c.inside) +
         all_reduce(bytes / double(c.per_node), c.nodes(), c.share()) +
         all_gather(bytes, c.per_node, c.inside);
}

double reduce_scatter(double bytes, const Cluster& c) {
  if (c.ranks <= c.per_node) return reduce_scatter(bytes, c.ranks, c.inside);
  return reduce_scatter(bytes, c.per_node, c.inside) +
         reduce_scatter(bytes / double(c.per_node), c.nodes(), c.share());
}

double all_gather(double bytes, const Cluster& c) { return reduce_scatter(bytes, c); }

double exchange(double count, double bytes, const Cluster& c) {
  if (c.ranks <= 1 || count <= 0) return 0;
  const double n = double(c.ranks), here = double(std::min(c.per_node, c.ranks));
  const double near = count * bytes * (here - 1) / n, far = count * bytes * (n - here) / n;
  const bool nodes = c.ranks > c.per_node;
  return c.inside.start + near / c.inside.rate +
         (nodes ? c.outside.start + far / c.share().rate : 0);
}

double exposed(double communication, double window, double last) {
  return std::max(std::min(last, communication), communication - window);
}

}  // namespace mome
