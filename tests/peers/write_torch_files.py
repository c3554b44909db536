#!/usr/bin/env python3
"""Writes the small PyTorch files of tests/runtime/torch_files, which torch_file_test.cpp reads.

Needs torch; the tests need only the files.   python3 tests/peers/write_torch_files.py
Tensor number n of a file holds n, n + 0.25, n + 0.5, … in row-major order (integers: n, n + 1, …).
"""
import argparse
import collections
import os
import pathlib
import zipfile

import torch

FOLDER = pathlib.Path(__file__).parent.parent / "runtime" / "torch_files"


def values(n, *shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    step = 0.25 if dtype.is_floating_point else 1
    return (n + step * torch.arange(count, dtype=torch.float64)).to(dtype).reshape(shape)


def plain():
    """A module's state dict (with its _metadata) and a tensor of every dtype."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    with torch.no_grad():
        for n, parameter in enumerate(module.parameters()):
            parameter.copy_(values(n, *parameter.shape))
    state = module.state_dict()
    dtypes = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16,
              torch.int8, torch.uint8]
    for n, dtype in enumerate(dtypes):
        state[str(dtype)[6:]] = values(n + 4, 2, 2, dtype=dtype)
    state["bool"] = torch.tensor([True, False, True])
    state["scalar"] = torch.tensor(2.6593)
    state["empty"] = torch.zeros(0, 4)
    state["parameter"] = torch.nn.Parameter(values(12, 2))
    return state


def strided():
    """Views: transposed, sliced, shared storages, a size-1 dimension with a strange stride."""
    base = values(1, 4, 6)
    return collections.OrderedDict(transposed=base.t(), rows=base[1:3], columns=base[:, 2:5],
                                   whole=base, permuted=values(2, 2, 3, 4).permute(2, 0, 1),
                                   one=values(3, 3).as_strided((1, 3), (7, 1)))


def lightning():
    """What Lightning 1.5 leaves around a state dict, with the optimizer's state and a callback."""
    weight = torch.nn.Parameter(values(1, 2, 2))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    with torch.no_grad():
        weight.copy_(values(1, 2, 2))
    return {"epoch": 3, "global_step": 2**40, "pytorch-lightning_version": "1.5.5",
            "state_dict": collections.OrderedDict([("module.w", weight.data)]),
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
            "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [{"last_epoch": 7}],
            "hparams": argparse.Namespace(seed=1, betas=(0.9, 0.98), names={"a", "b"}, raw=b"\x00\xff",
                                          big=2**80, negative=-5)}


def main():
    FOLDER.mkdir(exist_ok=True)
    files = {
        "plain.pt": plain(), "strided.pt": strided(), "lightning.ckpt": lightning(),
        "deepspeed.pt": {"module": collections.OrderedDict([("module.w", values(1, 2, 2, dtype=torch.float16))]),
                         "global_steps": 5, "dtype": torch.float16, "shape": torch.Size([2])},
        "beit.pth": {"model": {"w": values(1, 2, 2)}, "args": argparse.Namespace(lr=1e-3)},
        "numbers.pt": {"epoch": 3, "loss": 0.5}, "tensor.pt": values(1, 2),
        "expanded.pt": {"e": torch.ones(1).expand(1000)}, "whole_model.pt": torch.nn.Linear(2, 2),
    }
    for name, content in files.items():
        torch.save(content, FOLDER / name)
    torch.save({"w": values(1, 2)}, FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"w": values(1, 2)}, FOLDER / "protocol4.pt", pickle_protocol=4)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(FOLDER / "script.pt"))
    torch.serialization.set_crc32_options(False)
    torch.save({"w": values(1, 2, 2)}, FOLDER / "no_crc.pt")
    # What a user gets who unpacks a checkpoint and packs it again with an archiver.
    with zipfile.ZipFile(FOLDER / "beit.pth") as source, \
            zipfile.ZipFile(FOLDER / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in source.namelist():
            packed.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), source.read(entry),
                            zipfile.ZIP_DEFLATED)
    for file in sorted(FOLDER.iterdir()):
        print(f"{os.path.getsize(file):6d} {file.name}")


if __name__ == "__main__":
    main()
