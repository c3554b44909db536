#!/usr/bin/env python3
"""Runs parts of the GPU kernel table and appends them to one CSV, each row with the machine it was measured on.

    python3 bench/gpu/table.py --program build/cuda/bin/mome_bench_gpu --mome build/cuda/bin/mome \
        --parts attention,norms,experts,step --dtype bf16 --out bench/results/gpu.csv

Columns: date (UTC), gpu, sm_clock_mhz and memory_clock_mhz (now / maximum), driver, toolkit, commit, part, case, pass, dtype,
ms (median, L2 overwritten before each run), rate and unit (GB/s of the least traffic, TFLOP/s, or pairs/s), reference
(measured in the same run: copy bandwidth, or the rate of one dense cuBLAS product), fraction = rate / reference, peer (the
fastest PyTorch form that can do the case), peer_ms, ratio = peer_ms / ms. Without PyTorch the last three are empty.
"""

import argparse
import csv
import datetime
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = ("date", "gpu", "sm_clock_mhz", "memory_clock_mhz", "driver", "toolkit", "commit", "part", "case", "pass", "dtype",
           "ms", "rate", "unit", "reference", "fraction", "peer", "peer_ms", "ratio")


def lines_of(command):
    """JSON lines of a program; its other words go to the screen. Empty if it cannot be run."""
    print("table:", " ".join(map(str, command)), file=sys.stderr)
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        print(f"table: {command[0]} ended with {run.returncode}", file=sys.stderr)
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")], run.returncode


def smi(query):
    run = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", "-i", "0"],
                         capture_output=True, text=True)
    return run.stdout.strip()


def machine(toolkit):
    sm, sm_max, memory, memory_max = (v.strip() for v in smi("clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem").split(","))
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty=+dirty", "--exclude=*"],
                            capture_output=True, text=True).stdout.strip()
    return {"date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "gpu": smi("name"),
            "sm_clock_mhz": f"{sm}/{sm_max}", "memory_clock_mhz": f"{memory}/{memory_max}",
            "driver": smi("driver_version"), "toolkit": toolkit, "commit": commit}


def peers_of(python, part, dtype):
    """(case, pass) -> (peer, ms) of the fastest."""
    lines, _ = lines_of([python, HERE / "peer_kernels.py", part, "--dtype", dtype])
    best = {}
    for line in lines:
        key = (line["case"], line["pass"])
        if "ms" in line and (key not in best or line["ms"] < best[key][1]):
            best[key] = (line["peer"], line["ms"])
    return best


def step_rows(args, dtype):
    """One row of whole training steps: mome beside the faster of PyTorch's two modes."""
    common = ["--model", args.model, "--stage", "pairs", "--batch", str(args.batch), "--device", "cuda", "--dtype", dtype]
    ours, code = lines_of([args.mome, "bench", "step", *common, "--steps", "20", "--warmup", "5", "--json"])
    if code or not ours:
        return [], 1
    row = {"part": "step", "case": f"{args.model} pairs batch {args.batch}", "pass": "step", "dtype": dtype,
           "ms": ours[0]["step_s"] * 1e3, "rate": ours[0]["pairs_per_s"], "unit": "pairs/s"}
    best = None
    for mode in ([], ["--compile"]):
        peer, _ = lines_of([args.python, HERE.parent / "peer_pytorch.py", *common, "--steps", "20", "--warmup", "8", *mode])
        if peer and (best is None or peer[0]["step_s"] < best[1]):
            best = (peer[0]["mode"], peer[0]["step_s"])
    if best:
        row.update(peer=best[0], peer_ms=best[1] * 1e3, ratio=best[1] / ours[0]["step_s"])
    return [row], 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="build/cuda/bin/mome_bench_gpu")
    parser.add_argument("--mome", default="build/cuda/bin/mome")
    parser.add_argument("--parts", default="attention,norms,experts,step")
    parser.add_argument("--dtype", default="bf16", choices=("f32", "bf16", "fp16"))
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    has_torch = subprocess.run([args.python, "-c", "import torch; assert torch.cuda.is_available()"],
                               capture_output=True).returncode == 0
    if not has_torch:
        print("table: PyTorch with a GPU is not there: the peer columns stay empty", file=sys.stderr)
    rows, failed, toolkit = [], 0, ""
    for part in args.parts.split(","):
        if part == "step":
            new, code = step_rows(args, args.dtype)
        else:
            new, code = lines_of([args.program, "--part", part, "--dtype", args.dtype])
            best = peers_of(args.python, part, args.dtype) if has_torch else {}
            for row in new:
                peer = best.get((row["case"], row["pass"]))
                if peer:
                    row.update(peer=peer[0], peer_ms=peer[1], ratio=peer[1] / row["ms"])
                toolkit = row.pop("toolkit", toolkit)
        failed |= code != 0
        rows += new
    here = machine(toolkit)
    path = pathlib.Path(args.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        if fresh:
            out.writeheader()
        for row in rows:
            values = {**here, **row}
            out.writerow({c: f"{v:.5g}" if isinstance(v := values.get(c, ""), float) else v for c in COLUMNS})
    print(f"table: {len(rows)} rows added to {path}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
