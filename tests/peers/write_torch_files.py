#!/usr/bin/env python3
"""Writes the small PyTorch files of tests/runtime/torch_files, which torch_file_test.cpp reads.

Needs torch; the tests need only the files.   python3 tests/peers/write_torch_files.py
Tensor number n of a file holds n, n + 0.25, … in row-major order (integers: n, n + 1, …).
legacy.pt and script.pt differ from run to run: PyTorch writes addresses and numbers into them.
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
            "hparams": argparse.Namespace(seed=1, betas=(0.9, 0.98), names={"a"}, raw=b"\x00\xff",
                                          big=2**80, negative=-5)}


def beit_small(fine_tuned):
    """BEiT's names at width 8: 2 blocks, 2 heads, images of 12 pixels in patches of 4, hidden 16.
    Fine-tuned files have a table for each block, fc_norm and a head; others share a table."""
    shapes = {"cls_token": (1, 1, 8), "patch_embed.proj.weight": (8, 3, 4, 4),
              "patch_embed.proj.bias": (8,)}
    for i in range(2):
        block = {"gamma_1": (8,), "gamma_2": (8,), "norm1.weight": (8,), "norm1.bias": (8,),
                 "attn.q_bias": (8,), "attn.v_bias": (8,), "attn.qkv.weight": (24, 8),
                 "attn.proj.weight": (8, 8), "attn.proj.bias": (8,), "norm2.weight": (8,),
                 "norm2.bias": (8,), "mlp.fc1.weight": (16, 8), "mlp.fc1.bias": (16,),
                 "mlp.fc2.weight": (8, 16), "mlp.fc2.bias": (8,)}
        if fine_tuned:
            block["attn.relative_position_bias_table"] = (28, 2)
        shapes.update({f"blocks.{i}.{name}": shape for name, shape in block.items()})
    last = {"fc_norm.weight": (8,), "fc_norm.bias": (8,), "head.weight": (5, 8), "head.bias": (5,)}
    pre_trained = {"rel_pos_bias.relative_position_bias_table": (28, 2), "mask_token": (1, 1, 8),
                   "norm.weight": (8,), "norm.bias": (8,), "lm_head.weight": (4, 8)}
    shapes.update(last if fine_tuned else pre_trained)
    state = {name: values(n, *shape) for n, (name, shape) in enumerate(shapes.items())}
    holder = "blocks.0.attn" if fine_tuned else "rel_pos_bias"
    state[holder + ".relative_position_index"] = torch.arange(100).reshape(10, 10)
    return {"model": state}


def vlmo_small(dtype):
    """The official code's stage 3 at width 8: 2 blocks (the second with a VL expert), 2 heads,
    images of 12 pixels in patches of 4, hidden 16, texts of 7 of 11 tokens, relative positions
    (with the position table that such models never read) and the index buffers of released
    files."""
    norm = lambda name: {name + ".weight": (8,), name + ".bias": (8,)}
    linear = lambda name, out, in_: {name + ".weight": (out, in_), name + ".bias": (out,)}
    shapes = {"relative_position_bias_table": (25 + 397, 4), "transformer.cls_token": (1, 1, 8),
              "transformer.patch_embed.proj.weight": (8, 3, 4, 4),
              "transformer.patch_embed.proj.bias": (8,)}
    for i in range(2):
        block = f"transformer.blocks.{i}."
        shapes |= {block + "gamma_1": (8,), block + "gamma_2": (8,), **norm(block + "norm1"),
                   block + "attn.q_bias": (8,), block + "attn.v_bias": (8,),
                   block + "attn.qkv.weight": (24, 8), **linear(block + "attn.proj", 8, 8)}
        for expert in ("text", "imag", "vl")[:2 + i]:
            shapes |= {**norm(f"{block}norm2_{expert}"),
                       **linear(f"{block}mlp_{expert}.fc1", 16, 8),
                       **linear(f"{block}mlp_{expert}.fc2", 8, 16)}
    embeddings = "text_embeddings."
    shapes |= {**norm("transformer.norm"), embeddings + "word_embeddings.weight": (11, 8),
               embeddings + "position_embeddings.weight": (7, 8),
               embeddings + "token_type_embeddings.weight": (2, 8), **norm(embeddings + "LayerNorm"),
               "token_type_embeddings.weight": (2, 8), **linear("pooler.dense", 8, 8),
               "mlm_score.bias": (11,), **linear("mlm_score.transform.dense", 8, 8),
               **norm("mlm_score.transform.LayerNorm"), "mlm_score.decoder.weight": (11, 8),
               **linear("itm_score.fc", 2, 8), "logit_scale": (), "logit_vl_scale": ()}
    shapes |= {f"itc_{end}_proj.fc.weight": (8, 8)
               for end in ("text", "image", "vl_text", "vl_image")}
    state = collections.OrderedDict(
        (name, values(n, *shape, dtype=dtype)) for n, (name, shape) in enumerate(shapes.items()))
    state[embeddings + "position_ids"] = torch.arange(7).reshape(1, 7)
    state["relative_position_index"] = torch.zeros(10, 10, dtype=torch.int64)
    return state


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(1)
    files = {
        "plain.pt": plain(), "strided.pt": strided(), "lightning.ckpt": lightning(),
        "deepspeed.pt": {"module": collections.OrderedDict(
                             [("module.w", values(1, 2, 2, dtype=torch.float16))]),
                         "global_steps": 5, "dtype": torch.float16, "shape": torch.Size([2])},
        "beit_fine_tuned.pth": beit_small(True), "beit_pre_trained.pth": beit_small(False),
        "beit.pth": {"model": {"w": values(1, 2, 2)}, "args": argparse.Namespace(lr=1e-3)},
        "vlmo_plain.pt": vlmo_small(torch.float64),
        "vlmo_lightning.ckpt": {"epoch": 9, "global_step": 100,
                                "pytorch-lightning_version": "1.5.5",
                                "state_dict": vlmo_small(torch.float32)},
        "vlmo_deepspeed.pt": {"module": collections.OrderedDict(
            ("module." + name, value) for name, value in vlmo_small(torch.float16).items())},
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
