#!/usr/bin/env python3
"""Pairs `mome bench step` with its PyTorch peer (peer_pytorch.py) and writes a CSV row per case.

The two run alternately, A B A B ..., so that whatever else the machine does hits both; the ratio
is the median of the pairs' ratios, its range stands beside it. The peer runs in the faster of its
modes, eager or torch.compile, found once a case before the pairs.

    python3 bench/compare_step.py tiny:pairs small:pairs base:pairs --out bench/results/step_cpu.csv

Columns: date (UTC), machine (processor) and the cores this process may use, mome_commit ("+dirty"
when the tree has changes), torch version, model, stage, batch, threads, pairs (runs of each), steps
(timed, a run), pairs/s of both (medians), ratio = mome / peer, peak resident memory of both (MiB,
medians) and rss_ratio = mome / peer; peer_import_rss_mib is what PyTorch takes before any model.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys

from peer_pytorch import MODELS

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = ("date", "machine", "cores", "mome_commit", "torch", "model", "stage", "batch", "threads",
           "pairs", "steps", "mome_pairs_per_s", "peer_pairs_per_s", "ratio", "ratio_min",
           "ratio_max", "mome_rss_mib", "peer_rss_mib", "rss_ratio", "peer_mode",
           "peer_import_rss_mib")
STEPS = {"tiny": 10, "small": 8, "base": 3}  # timed steps a run, some ten seconds on two cores


def add_common(parser):
    """Options of every comparison of two programs in pairs."""
    parser.add_argument("--pairs", type=int, default=3, help="runs of each program a row")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peer-mode", choices=("auto", "eager", "compile"), default="auto")
    parser.add_argument("--mome", default=str(HERE.parent / "build" / "release" / "bin" / "mome"))
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds a run may take")
    parser.add_argument("--out", type=pathlib.Path, help="append here instead of printing")


def check_common(parser, args, columns):
    if args.pairs < 1 or args.threads < 1 or (args.steps or 1) < 1:
        parser.error("--pairs, --steps and --threads must be positive")
    check_files(parser, args, columns)


def check_files(parser, args, columns):
    """Of every comparison: the program is there, and --out is a table of these columns."""
    if not shutil.which(args.mome):
        parser.error(f"{args.mome}: no such program; build it, or say --mome PATH")
    if args.out and args.out.exists() and args.out.stat().st_size:
        header = args.out.read_text().split("\n", 1)[0].split(",")
        if tuple(header) != columns:
            parser.error(f"{args.out}: its header is another; expected {','.join(columns)}")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", default=["tiny:pairs", "small:pairs", "base:pairs"],
                        help="MODEL:STAGE[:BATCH] ... (default: all models' stage 3)")
    parser.add_argument("--steps", type=int, help="timed steps a run (default: by model)")
    add_common(parser)
    args = parser.parse_args()
    check_common(parser, args, COLUMNS)
    args.cases = []
    for row in args.rows:
        model, stage, batch = (row.split(":") + ["", ""])[:3]
        if row.count(":") not in (1, 2) or model not in MODELS or stage not in (
                "image", "text", "pairs") or not (batch.isdecimal() or row.count(":") == 1):
            parser.error(f"{row!r}: expected MODEL:STAGE or MODEL:STAGE:BATCH with MODEL one of "
                         f"{', '.join(MODELS)}, STAGE one of image, text, pairs")
        args.cases.append((model, stage, int(batch) if batch else MODELS[model][5]))
    return args


def run_program(command, timeout):
    """What a program printed; this one ends here if that one failed."""
    name, shown = pathlib.Path(sys.argv[0]).stem, " ".join(command)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except OSError as e:
        sys.exit(f"{name}: cannot run {command[0]}: {e.strerror}")
    except subprocess.TimeoutExpired:
        sys.exit(f"{name}: no result in {timeout} s: {shown}")
    if done.returncode:
        sys.exit(f"{name}: exit status {done.returncode} from: {shown}\n{done.stderr[-4000:]}")
    return done.stdout


def run_json(command, timeout, numbers):
    """One run: the JSON object on the last line that a program printed, which has these numbers."""
    out = run_program(command, timeout)
    try:
        result = json.loads(out.strip().split("\n")[-1])
        for key in numbers:
            float(result[key])
    except (ValueError, KeyError, TypeError) as e:
        sys.exit(f"{pathlib.Path(sys.argv[0]).stem}: no JSON with {', '.join(numbers)} ({e!r}) "
                 f"from: {' '.join(command)}")
    return result


def run(command, timeout, rate):
    """One run, told on standard error; `rate` names its speed."""
    result = run_json(command, timeout, (rate, "peak_rss_mib"))
    print(f"# {result[rate]:9.3f} {rate} {result['peak_rss_mib']:8.0f} MiB  {' '.join(command)}",
          file=sys.stderr, flush=True)
    return result


def processor():
    try:
        for line in open("/proc/cpuinfo", encoding="utf-8"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def mome_commit():
    def git(*words):
        return subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True,
                              check=True).stdout.strip()
    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=10", "HEAD") + ("+dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def alternate(mome, peer, args, rate):
    """Runs of both in turn: the two lists of results, the ratios of their rates, the peer's mode.
    The peer's mode is the faster one of a run each, unless --peer-mode says which."""
    modes = {"eager": peer, "compile": [*peer, "--compile"]}
    mode = args.peer_mode
    if mode == "auto":
        trial = {m: run(command, args.timeout, rate)[rate] for m, command in modes.items()}
        mode = max(trial, key=trial.get)
    runs = [(run(mome, args.timeout, rate), run(modes[mode], args.timeout, rate))
            for _ in range(args.pairs)]
    ours, theirs = zip(*runs)
    return ours, theirs, [a[rate] / b[rate] for a, b in runs], mode


def middle(side, key):
    return statistics.median(r[key] for r in side)


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


def compare(model, stage, batch, args):
    steps = args.steps or STEPS[model]
    work = ["--model", model, "--stage", stage, "--batch", str(batch), "--steps", str(steps),
            "--threads", str(args.threads), "--json"]
    mome = [args.mome, "bench", "step", *work]
    peer = [args.python, str(HERE / "peer_pytorch.py"), *work]
    ours, theirs, ratios, mode = alternate(mome, peer, args, "pairs_per_s")
    rss = middle(ours, "peak_rss_mib"), middle(theirs, "peak_rss_mib")
    return dict(zip(COLUMNS, (
        today(), processor(), len(os.sched_getaffinity(0)), mome_commit(),
        theirs[0]["torch"], model, stage, batch, args.threads, args.pairs, steps,
        f"{middle(ours, 'pairs_per_s'):.4g}", f"{middle(theirs, 'pairs_per_s'):.4g}",
        f"{statistics.median(ratios):.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}",
        f"{rss[0]:.0f}", f"{rss[1]:.0f}", f"{rss[0] / rss[1]:.3f}", mode,
        f"{middle(theirs, 'import_rss_mib'):.0f}")))


def write_table(columns, rows, out):
    """Each row as soon as it is known: a later failure loses nothing. out None: standard output."""
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        file = open(out, "a", newline="", encoding="utf-8") if out else sys.stdout
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if (out and file.tell() == 0) or (not out and number == 0):
            writer.writeheader()
        writer.writerow(row)
        if out:
            file.close()


def write_rows(columns, cases, compare, out):
    """A row for every case."""
    write_table(columns, (compare(*case) for case in cases), out)


def main():
    args = parse_args()
    write_rows(COLUMNS, args.cases, lambda *case: compare(*case, args), args.out)


if __name__ == "__main__":
    main()
