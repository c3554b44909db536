// The LayerNorm family against the bandwidth of a copy of 1 GiB in the same run.
#pragma once
#include "bench/gpu/bench.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/residual_norm/residual_norm.h"

namespace mome::bench {

/// GB/s of a device-to-device copy: bytes read plus bytes written.
template <class Queue>
double copy_bandwidth(Bench<Queue>& bench, const Cases& cases) {
  Queue& q = bench.queue();
  void *from = q.allocate(size_t(cases.copy_bytes)), *to = q.allocate(size_t(cases.copy_bytes));
  q.fill(from, 1, size_t(cases.copy_bytes));
  const double ms = bench.time([&] { q.copy(to, from, size_t(cases.copy_bytes)); });
  q.synchronize();
  q.release(from);
  q.release(to);
  bench.report("norms", "copy", "forward", ms, 2.0 * double(cases.copy_bytes), "GB/s", 0);
  return 2.0 * double(cases.copy_bytes) / (ms * 1e-3) * 1e-9;
}

template <class T, class Queue>
void norms(Bench<Queue>& bench, const Cases& cases) {
  Queue& q = bench.queue();
  const double copy = copy_bandwidth(bench, cases);
  const int64_t d = cases.width;
  for (const RowsCase& c : cases.norms) {
    const int64_t n = c.rows * d;
    const double matrix = double(n) * sizeof(T);
    Array<T, Queue> x(q, n), h(q, n), y(q, n), out(q, n), dy(q, n), dn(q, n), dx(q, n), dh(q, n);
    Array<float, Queue> weight(q, d), bias(q, d), gamma(q, d), mean(q, c.rows), rstd(q, c.rows), dw(q, d), db(q, d), dg(q, d);
    // reads x, writes y
    bench.report("norms", "layer_norm " + c.name, "forward", bench.time([&] {
      layer_norm_forward<T>(q, c.rows, d, x.data(), weight.data(), bias.data(), 1e-6f, y.data(), mean.data(), rstd.data());
    }), 2 * matrix, "GB/s", copy);
    // reads x and dy, writes dx
    bench.report("norms", "layer_norm " + c.name, "backward", bench.time([&] {
      layer_norm_backward<T>(q, c.rows, d, x.data(), weight.data(), mean.data(), rstd.data(), dy.data(), dx.data(), false, dw.data(), db.data());
    }), 3 * matrix, "GB/s", copy);
    ResidualNorm<T> a;
    a.rows = c.rows, a.width = d, a.gamma = gamma.data(), a.weight = weight.data(), a.bias = bias.data(), a.eps = 1e-6f;
    // reads x and h, writes y and n
    bench.report("norms", "residual_norm " + c.name, "forward", bench.time([&] {
      residual_norm_forward<T>(q, a, x.data(), h.data(), y.data(), out.data(), mean.data(), rstd.data());
    }), 4 * matrix, "GB/s", copy);
    // reads h, y, dy and dn, writes dx and dh
    bench.report("norms", "residual_norm " + c.name, "backward", bench.time([&] {
      residual_norm_backward<T>(q, a, h.data(), y.data(), mean.data(), rstd.data(), dy.data(), dn.data(), dx.data(), dh.data(), dg.data(), dw.data(), db.data());
    }), 6 * matrix, "GB/s", copy);
  }
}

}  // namespace mome::bench
