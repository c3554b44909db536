// What communication costs: the α–β model (Hockney 1994; collectives as in Thakur, Rabenseifner and
// Gropp 2005, and NCCL's rings and double binary trees). A message of s bytes takes α + s / β.
// Seconds and bytes throughout.
#pragma once
#include <cstdint>

namespace mome {

struct Link {
  double rate = 0;   // β, bytes/s
  double start = 0;  // α, s
};

double ring_all_reduce(double bytes, int64_t ranks, const Link& link);  // 2 (n-1) α + 2 (n-1)/n s/β
double tree_all_reduce(double bytes, int64_t ranks,
                       const Link& link);  // 2 ceil(log2 n) α + 2 s/β, pipelined both ways
double all_reduce(double bytes, int64_t ranks, const Link& link);  // the faster
double reduce_scatter(double bytes, int64_t ranks,
                      const Link& link);  // (n-1) α + (n-1)/n s/β; s: the whole vector
double all_gather(double bytes, int64_t ranks, const Link& link);  // the same

/// Nodes of `per_node` ranks: first inside the node, then every rank with its namesakes of other
/// nodes over its share of the node's adapters, then inside the node again.
struct Cluster {
  int64_t ranks = 1, per_node = 8;
  Link inside, outside;  // outside: of a whole node
  int64_t nodes() const { return (ranks + per_node - 1) / per_node; }
  Link share() const { return {outside.rate / double(per_node), outside.start}; }
};
double all_reduce(double bytes, const Cluster& cluster);
double reduce_scatter(double bytes, const Cluster& cluster);
double all_gather(double bytes, const Cluster& cluster);
/// Every rank receives `count` messages of `bytes` each from ranks drawn uniformly, itself
/// included.
double exchange(double count, double bytes, const Cluster& cluster);

/// What is seen of `communication` that runs beside `window` seconds of computation, when its last
/// part (a bucket) can start only after the window.
double exposed(double communication, double window, double last);

}  // namespace mome
