#!/usr/bin/env python3
"""The work of `mome bench step` in plain good PyTorch: the peer of the speed table.

VLMo trained on made-up inputs, on the CPU in fp32 or with --device cuda and --dtype bf16 or fp16
(autocast; fp16 with dynamic loss scaling): padded batches, F.scaled_dot_product_attention
with the relative bias and the key mask as its additive mask, and the official code's passes
(microsoft/unilm, vlmo/). A stage-3 step is one MLM fusion pass, an image and a text pass with their
tails for ITC, three ITM fusion passes with hard negatives drawn from the ITC similarities, and
fused AdamW. The MLM head runs over all text tokens, as in the official code.
Beside the official code it has every cheap improvement: the bias is gathered once a pass for all
layers, drop-path masks are drawn once a pass, and --compile runs blocks and heads through
torch.compile (all blocks of one kind share one compiled form).

Inputs: images N(0,1); text length, [CLS] and [SEP] included, round(N(12, 3)) clipped to 6..40 and
padded to 40 (stage text: uniform 60..196, padded to 196); 15 % of a text's words masked (at least
one); stage image: 40 % of the patches masked, their normalised pixels regressed. Stage text has the
stage-2 freezing: language experts, embeddings, MLM head, relative table and final norm are trained.

Prints one JSON line; pairs_per_s counts samples, from the median step after --warmup steps.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time


MODELS = {  # layers, width, heads, image size, first block with a VL expert, batch
    "tiny": (4, 192, 3, 96, 3, 32),
    "small": (6, 256, 4, 128, 5, 16),
    "base": (12, 768, 12, 224, 10, 4),
}
PATCH, VOCABULARY, T0, DROP_PATH = 16, 30522, 196, 0.1


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="tiny")
    parser.add_argument("--stage", choices=("image", "text", "pairs"), default="pairs")
    parser.add_argument("--batch", type=int, help="sequences a step (default: the model's)")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them, not timed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("f32", "bf16", "fp16"), default="f32")
    parser.add_argument("--ranks", type=int, default=1,
                        help="processes, each with a share of --batch and of --threads: DistributedDataParallel over gloo")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)  # of a process that --ranks started
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help="torch.compile instead of eager")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="no effect: the output is always JSON")
    args = parser.parse_args()
    args.batch = args.batch or MODELS[args.model][5]
    if min(args.batch, args.steps, args.threads) < 1 or args.warmup < 0:
        parser.error("--batch, --steps and --threads must be positive, --warmup not negative")
    if args.batch % args.ranks or args.threads % args.ranks:
        parser.error("--batch and --threads must be multiples of --ranks")
    if args.stage == "pairs" and args.batch // args.ranks < 2:
        parser.error("--stage pairs needs --batch of at least 2: negatives come from the batch")
    return args


def peak_rss_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def start_ranks(args):
    """Starts the processes and ends with what rank 0 printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *sys.argv, "--port", str(port)]
    ranks = [subprocess.Popen([*command, "--rank", str(r)], stdout=None if r == 0 else subprocess.DEVNULL) for r in range(args.ranks)]
    sys.exit(max(rank.wait() for rank in ranks))


def main():
    args = parse_args()
    if args.ranks > 1 and args.rank is None:
        start_ranks(args)
    threads = args.threads // args.ranks
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch starts its threads
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch
    from peer_vlmo import Trainer

    import_rss = peak_rss_mib()
    torch.set_num_threads(threads)
    if args.ranks > 1:
        torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{args.port}",
                                             rank=args.rank, world_size=args.ranks)
    torch.set_default_device(args.device)
    torch.manual_seed(args.seed + (args.rank or 0))
    layers, width, heads, size, first_vl, _ = MODELS[args.model]
    trainer = Trainer(
        args.batch // args.ranks, args.compile,
        {"f32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[args.dtype], stage=args.stage, layers=layers, width=width, heads=heads,
        size=size, patch=PATCH, first_vl=first_vl, T=T0 if args.stage == "text" else 40, T0=T0,
        vocabulary=VOCABULARY, drop_path=DROP_PATH)
    seconds, losses = [], []
    for _ in range(args.warmup + args.steps):
        batch = trainer.make_batch()  # untimed, as a loader's threads would make it
        if args.device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        losses.append(trainer.step(batch))
        seconds.append(time.perf_counter() - start)
    if not all(map(lambda x: x == x, losses)):
        sys.exit(f"peer_pytorch: the loss is not a number: {losses}")
    step, rss = statistics.median(seconds[args.warmup:]), peak_rss_mib()
    if args.ranks > 1:  # they step together; the memory is all of theirs
        sums = torch.tensor([step / args.ranks, rss])
        torch.distributed.all_reduce(sums)
        step, rss = sums.tolist()
        torch.distributed.destroy_process_group()
        if args.rank > 0:
            return
    print(json.dumps({
        "program": "pytorch", "model": args.model, "stage": args.stage, "batch": args.batch,
        "steps": args.steps, "threads": args.threads, "ranks": args.ranks,
        "mode": "compile" if args.compile else "eager", "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "dtype": args.dtype,
        "gpu_peak_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1)
        if args.device == "cuda" else None,
        "pairs_per_s": round(args.batch / step, 4),
        "step_s": round(step, 5), "peak_rss_mib": round(rss, 1),
        "import_rss_mib": round(import_rss, 1), "loss_first": round(losses[0], 5),
        "loss_last": round(losses[-1], 5), "parameters": trainer.parameter_count()}))


if __name__ == "__main__":
    main()
