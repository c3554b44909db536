#!/usr/bin/env python3
"""PyTorch's side of the GPU kernel table: the same shapes as mome_bench_gpu, timed in the same way.

    python3 bench/gpu/peer_kernels.py attention|norms|experts --dtype bf16

Every case is timed with CUDA events after a warm-up, the L2 cache overwritten before each run; the
median is printed as a JSON line {part, case, pass, dtype, peer, ms}. Peers of attention with an
additive bias [H, N, N] that is trained: eager products and softmax (through torch.compile), SDPA
with the bias as attn_mask, flex_attention with the bias as captured tensor. A peer that cannot do a
case prints a line with its error instead of a time.
"""

import argparse
import json
import statistics
import sys

import torch
import torch.nn.functional as F

from cases import ATTENTION, EXPERT_ROWS, HEAD_DIM, HEADS, HIDDEN, NORM_ROWS, WIDTH

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def milliseconds(f, runs=20, warmup=5):
    """Median time of f() on the GPU with a cold L2."""
    flush = torch.empty(64 * 2**20, dtype=torch.float32)
    for _ in range(warmup):
        f()
    times = []
    for _ in range(runs):
        flush.zero_()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        f()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def report(part, case, which, dtype, peer, f):
    line = {"part": part, "case": case, "pass": which, "dtype": dtype, "peer": peer}
    try:
        line["ms"] = round(milliseconds(f), 5)
    except Exception as error:  # a peer that cannot do this shape is a result, too
        line["error"] = str(error).split("\n")[0][:200]
    print(json.dumps(line), flush=True)


def time_both(part, case, dtype, peer, forward, inputs):
    """Times forward(), and backward alone with the forward's graph kept."""
    def run_forward():
        with torch.no_grad():
            forward()
    report(part, case, "forward", dtype, peer, run_forward)
    try:
        out = forward()
        out = out if isinstance(out, tuple) else (out,)
        grads = [torch.randn_like(o) for o in out]
    except Exception as error:
        print(json.dumps({"part": part, "case": case, "pass": "backward", "dtype": dtype, "peer": peer,
                          "error": str(error).split("\n")[0][:200]}), flush=True)
        return
    report(part, case, "backward", dtype, peer,
           lambda: torch.autograd.grad(out, inputs, grads, retain_graph=True))


def attention(dtype):
    from torch.nn.attention.flex_attention import flex_attention
    flex = torch.compile(flex_attention, dynamic=False)
    for case, (batch, n) in ATTENTION.items():
        q, k, v = (torch.randn(batch, HEADS, n, HEAD_DIM, dtype=DTYPES[dtype], requires_grad=True)
                   for _ in range(3))
        bias = torch.randn(HEADS, n, n, requires_grad=True)
        inputs = (q, k, v, bias)

        def eager():
            s = (q @ k.transpose(-1, -2)).float() * HEAD_DIM**-0.5 + bias
            return s.softmax(-1).to(q.dtype) @ v

        def sdpa():
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=bias.to(q.dtype).expand(batch, -1, -1, -1))

        def flexible():
            return flex(q, k, v, score_mod=lambda s, b, h, i, j: s + bias[h, i, j])

        time_both("attention", case, dtype, "compile", torch.compile(eager, dynamic=False), inputs)
        time_both("attention", case, dtype, "sdpa", sdpa, inputs)
        time_both("attention", case, dtype, "flex", flexible, inputs)


def norms(dtype):
    for case, rows in NORM_ROWS.items():
        x, h = (torch.randn(rows, WIDTH, dtype=DTYPES[dtype], requires_grad=True) for _ in range(2))
        weight, bias, gamma = (torch.randn(WIDTH, requires_grad=True) for _ in range(3))

        def layer_norm():
            return F.layer_norm(x.float(), (WIDTH,), weight, bias, 1e-6).to(x.dtype)

        def residual_norm():
            y = x + (gamma * h).to(x.dtype)
            return y, F.layer_norm(y.float(), (WIDTH,), weight, bias, 1e-6).to(x.dtype)

        for name, f, inputs in (("layer_norm", layer_norm, (x, weight, bias)),
                                ("residual_norm", residual_norm, (x, h, weight, bias, gamma))):
            time_both("norms", f"{name} {case}", dtype, "compile", torch.compile(f, dynamic=False), inputs)


def experts(dtype):
    for case, rows in EXPERT_ROWS.items():
        x = torch.randn(rows, WIDTH, dtype=DTYPES[dtype], requires_grad=True)
        w1, b1, w2, b2 = (torch.randn(*s, dtype=DTYPES[dtype], requires_grad=True) * 0.02
                          for s in ((HIDDEN, WIDTH), (HIDDEN,), (WIDTH, HIDDEN), (WIDTH,)))
        w1, b1, w2, b2 = (t.detach().requires_grad_() for t in (w1, b1, w2, b2))

        def expert():
            return F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2)

        time_both("experts", case, dtype, "compile", torch.compile(expert, dynamic=False),
                  (x, w1, b1, w2, b2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=("attention", "norms", "experts"))
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("peer_kernels: PyTorch sees no GPU")
    torch.set_default_device("cuda")
    torch.manual_seed(1)
    {"attention": attention, "norms": norms, "experts": experts}[args.part](args.dtype)


if __name__ == "__main__":
    main()
