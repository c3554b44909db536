#!/usr/bin/env python3
"""The work of `mome bench search` by another library: the k rows with the largest dot products.

torch-whole: all scores at once (matmul), then topk. torch-blocks: matmul and topk for 65,536 rows
at a time, then topk of their winners: no matrix of queries x rows. faiss: IndexFlatIP. Vectors are
normal values, each row to length 1, in float32 in memory; the seed differs from ours, which the
time does not depend on.

Prints one JSON line with queries_per_s from the median call of each case.
"""

import argparse
import json
import resource
import statistics
import time

BLOCK = 65536  # rows


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--way", choices=("torch-whole", "torch-blocks", "faiss"), required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--queries", default="1,256", help="queries asked at once, with commas")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3,
                        help="timed calls a case; five times as many of few queries")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.queries = [int(q) for q in args.queries.split(",")]
    if min(args.rows, args.dim, args.top, args.repeats, args.threads, *args.queries) < 1:
        parser.error("all numbers must be positive")
    return args


def torch_search(args):
    import torch
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)

    def unit(n):
        x = torch.empty(n, args.dim)
        for part in x.split(BLOCK):
            part.normal_()
            part /= part.norm(dim=1, keepdim=True)
        return x
    rows = unit(args.rows)

    def whole(queries):
        return (queries @ rows.T).topk(min(args.top, args.rows), dim=1)

    def blocks(queries):
        scores, numbers = [], []
        for begin in range(0, args.rows, BLOCK):
            part = rows[begin:begin + BLOCK]
            best = (queries @ part.T).topk(min(args.top, len(part)), dim=1)
            scores.append(best.values)
            numbers.append(best.indices + begin)
        best = torch.cat(scores, 1).topk(min(args.top, args.rows), dim=1)
        return best.values, torch.cat(numbers, 1).gather(1, best.indices)
    return torch.__version__, unit, whole if args.way == "torch-whole" else blocks


def faiss_search(args):
    import faiss
    import numpy as np
    faiss.omp_set_num_threads(args.threads)
    random = np.random.default_rng(1)

    def unit(n):
        x = random.standard_normal((n, args.dim), dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(args.dim)
    for begin in range(0, args.rows, BLOCK):
        index.add(unit(min(BLOCK, args.rows - begin)))
    return faiss.__version__, unit, lambda queries: index.search(queries, args.top)


def main():
    args = parse_args()
    version, unit, search = (faiss_search if args.way == "faiss" else torch_search)(args)
    results = []
    for n in args.queries:
        queries = unit(n)
        search(queries)
        seconds = []
        repeats = 5 * args.repeats if n < 16 else args.repeats
        for _ in range(repeats):
            start = time.perf_counter()
            search(queries)
            seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        results.append({"queries": n, "queries_per_s": n / middle, "seconds": middle,
                        "repeats": repeats})
    print(json.dumps({"version": version, "way": args.way, "results": results, "peak_rss_mib":
                      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
