// An expert (two products and the activation between them) against one dense product of equal FLOPs.
#pragma once
#include "bench/gpu/bench.h"
#include "kernels/bias_gelu/bias_gelu.h"
#include "kernels/common/gemm.h"
#include "kernels/linear/linear.h"

namespace mome::bench {

template <class T, class Queue>
void experts(Bench<Queue>& bench, const Cases& cases) {
  Queue& q = bench.queue();
  const int64_t d = cases.width, f = cases.hidden;
  for (const RowsCase& c : cases.experts) {
    const int64_t r = c.rows;
    Array<T, Queue> x(q, r * d), w1(q, f * d, 0.02), w2(q, d * f, 0.02), a(q, r * f), g(q, r * f), y(q, r * d), dy(q, r * d), dx(q, r * d);
    Array<float, Queue> b1(q, f), b2(q, d), dw1(q, f * d), dw2(q, d * f), db1(q, f), db2(q, d);
    const double products = 2.0 * double(r) * double(d) * double(f);
    // The yardstick: [R, D] x [D, 2F] is as much work as both products of the forward pass.
    Array<T, Queue> wide(q, 2 * f * d, 0.02), out(q, r * 2 * f);
    const double dense_ms = bench.time([&] {
      gemm<T>(q, Trans::kNo, Trans::kYes, r, 2 * f, d, 1, x.data(), d, wide.data(), d, 0, out.data(), 2 * f);
    });
    const double dense = 2 * products / (dense_ms * 1e-3) * 1e-12;
    bench.report("experts", "dense " + c.name, "forward", dense_ms, 2 * products, "TFLOP/s", 0);
    bench.report("experts", c.name, "forward", bench.time([&] {
      linear_forward<T>(q, r, d, f, x.data(), d, w1.data(), nullptr, a.data(), f);
      bias_gelu_forward<T>(q, Gelu::kErf, r, f, a.data(), b1.data(), g.data());
      linear_forward<T>(q, r, f, d, g.data(), f, w2.data(), b2.data(), y.data(), d);
    }), 2 * products, "TFLOP/s", dense);
    bench.report("experts", c.name, "backward", bench.time([&] {
      bias_gelu_forward<T>(q, Gelu::kErf, r, f, a.data(), b1.data(), g.data());
      linear_backward_weight<T>(q, r, f, d, g.data(), f, dy.data(), d, dw2.data(), db2.data());
      linear_backward_input<T>(q, r, f, d, dy.data(), d, w2.data(), g.data(), f, false);
      bias_gelu_backward<T>(q, Gelu::kErf, r, f, a.data(), b1.data(), g.data(), g.data(), db1.data());
      linear_backward_input<T>(q, r, d, f, g.data(), f, w1.data(), dx.data(), d, false);
      linear_backward_weight<T>(q, r, d, f, x.data(), d, g.data(), f, dw1.data(), nullptr);
    }), 4 * products, "TFLOP/s", dense);
  }
}

}  // namespace mome::bench
