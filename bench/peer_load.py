#!/usr/bin/env python3
"""Opening a checkpoint by another library: the peer of `mome bench load`.

torch: torch.load of a file that torch.save wrote; torch-mmap: the same with mmap=True;
safetensors: safetensors.torch.load_file. open_s ends when the state dict is there, use_s when every
tensor has been summed (both from the call on; importing the library does not count).
--write makes OUT, a torch.save file, of a safetensors file.

Prints one JSON line.
"""

import argparse
import json
import resource
import time


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--way", choices=("torch", "torch-mmap", "safetensors"))
    parser.add_argument("--write", metavar="OUT")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if bool(args.way) == bool(args.write):
        parser.error("one of --way and --write is expected")
    return args


def main():
    args = parse_args()
    import torch
    import safetensors
    import safetensors.torch
    if args.write:
        torch.save(safetensors.torch.load_file(args.file), args.write)
        return
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    if args.way == "safetensors":
        state = safetensors.torch.load_file(args.file)
    else:
        state = torch.load(args.file, map_location="cpu", weights_only=True,
                           mmap=args.way == "torch-mmap")
    opened = time.perf_counter()
    value = sum(float(tensor.sum()) for tensor in state.values())
    used = time.perf_counter()
    print(json.dumps({
        "version": safetensors.__version__ if args.way == "safetensors" else torch.__version__,
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "open_s": opened - start, "use_s": used - start, "value": value,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
