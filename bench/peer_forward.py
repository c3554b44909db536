#!/usr/bin/env python3
"""The work of `mome bench forward` in plain good PyTorch: the peer of compare_forward.py.

VLMo's forward pass in evaluation on made-up inputs, on the CPU in fp32, under
torch.inference_mode: images alone through the V experts, texts alone through the L experts, or both
fused (V and L experts, then VL experts), to all tokens' states after the final norm. Attention is
F.scaled_dot_product_attention with the relative position bias as its additive mask. Texts have the
full length (40 tokens), so that padding costs neither side anything, and no key mask is added,
where the official code (microsoft/unilm, vlmo/) always adds one. The bias is gathered once a pass
for all layers, as there; a residual with its layer scale is one operation; --compile runs the
blocks through torch.compile.

Prints one JSON line; sequences_per_s is of the median pass after --warmup passes.
"""

import argparse
import json
import os
import statistics
import sys
import time

from peer_pytorch import MODELS, PATCH, T0, VOCABULARY, peak_rss_mib

TEXT_LENGTH = 40


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="base")
    parser.add_argument("--part", choices=("image", "text", "fusion"), default="fusion")
    parser.add_argument("--image-size", type=int, help="a multiple of 16 (default: the model's)")
    parser.add_argument("--batch", type=int, default=8, help="sequences a pass")
    parser.add_argument("--steps", type=int, default=5, help="timed passes")
    parser.add_argument("--warmup", type=int, default=1, help="passes before them, not timed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--compile", action="store_true", help="torch.compile instead of eager")
    parser.add_argument("--json", action="store_true", help="no effect: the output is always JSON")
    args = parser.parse_args()
    args.image_size = args.image_size or MODELS[args.model][3]
    if min(args.batch, args.steps, args.threads) < 1 or args.warmup < 0:
        parser.error("--batch, --steps and --threads must be positive, --warmup not negative")
    if args.image_size < PATCH or args.image_size % PATCH:
        parser.error(f"--image-size must be a multiple of {PATCH}")
    return args


def main():
    args = parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch starts its threads
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch
    from peer_vlmo import Encoder

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    layers, width, heads, _, first_vl, _ = MODELS[args.model]
    encoder = Encoder(args.part, args.batch, args.compile, layers=layers, width=width,
                      heads=heads, size=args.image_size, patch=PATCH, first_vl=first_vl,
                      T=TEXT_LENGTH, T0=T0, vocabulary=VOCABULARY, drop_path=0.0)
    inputs, seconds = encoder.make_batch(), []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        states = encoder.step(inputs)
        seconds.append(time.perf_counter() - start)
    if not states.isfinite().all():
        sys.exit("peer_forward: a state is not a number")
    step = statistics.median(seconds[args.warmup:])
    print(json.dumps({
        "program": "pytorch", "model": args.model, "part": args.part, "image_size": args.image_size,
        "batch": args.batch, "tokens": states.shape[0] * states.shape[1], "steps": args.steps,
        "threads": args.threads, "mode": "compile" if args.compile else "eager",
        "torch": torch.__version__, "sequences_per_s": args.batch / step, "step_s": step,
        "mean_size": states.abs().mean().item(), "peak_rss_mib": peak_rss_mib()}))


if __name__ == "__main__":
    main()
