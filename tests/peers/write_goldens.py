#!/usr/bin/env python3
"""Runs the reference (vlmo_reference.py) in every mode and stores what went in and came out.

A reduced model with random parameters (relative table and layer scales included) and one batch of
texts of different lengths go through every mode; each mode writes goldens/<mode>.safetensors. Needs
torch, numpy and safetensors; the tests need only the goldens.

    python3 tests/peers/write_goldens.py            rewrite tests/models/goldens
    python3 tests/peers/write_goldens.py --check    gradients against finite differences, no files

Model: L 3 layers, D 12, H 2 heads, F 48, VL experts from block 1 (0-based), image 32 px, patch 8
(P 16 patches), T 12 text tokens, V 50 words, B 3. Heads cannot be read off D alone: the table's 6
columns are H x L. The relative table has the text rows of T0 = 196: A = 49 + 397 = 446.

param.<official name>  F32. The values are exact: they were rounded before anything was computed.
                       Files hold the parameters of the mode's model: stage3, mlm, itc, itm, infer,
                       dual the stage-3 model; textmlm the stage-2 model (no VL experts, no contrast
                       or matching heads); mim the image model (V experts) with its head.
grad.<official name>   F64, derivative of out.loss; absent where the mode gives the parameter none.
in.image               F32 [B,3,S,S]            in.text_ids, in.text_masks  I64 [B,T]
in.text_ids_mlm        I64 [B,T] masked ids     in.text_labels_mlm  I64 [B,T] id or -100
in.neg_image           I64 [B] image for text b in.neg_text         I64 [B] text for image b
in.mim_masks           I64 [B,P] 1 = masked patch, patches row by row
out.* is F64 (labels I64); rows of padded text are zero:
  stage3   mlm_loss = 0.25 CE, itc_loss = 0.5 (ITC + tail's ITC), itm_loss = CE, loss = their sum,
           and all that mlm, itc and itm write
  mlm      mlm_logits [B,T,V], mlm_loss, loss
  itc      itc_i2t_logits, itc_t2i_logits [B,B] (V and L experts), itc_vl_i2t_logits,
           itc_vl_t2i_logits [B,B] (tails), itc_logit_scale, itc_logit_vl_scale (after exp),
           itc_loss, loss. One process: the gradient is the exact one, not divided by a world size.
  itm      weights_t2i, weights_i2t [B,B] (softmax of the ITC logits, diagonal zero, not
           renormalised), itm_logits [3B,2] (positive; negative image; negative text), itm_labels
           [3B], itm_loss, loss
  textmlm  stage 2 (weight 1, frozen weights have no gradient): text_feats [B,T,D], raw_cls_feats
           [B,D] (before the final norm), mlm_logits, mlm_loss, loss
  mim      stage 1: mim_pred, mim_target [M,3pp] for the M masked patches in order (b, patch),
           mim_loss, loss. `transformer.mask_token` [1,1,D] takes the place of the masked patches'
           embeddings before the class token and the type embedding are added; `mim_head` is Linear
           D -> 3pp on their states after the final norm. A patch's 3pp values are in order
           (channel, row, column), as in patch_embed.proj.weight; its target is
           (x - mean) / sqrt(var + 1e-6), mean and unbiased variance (divisor 3pp - 1) over all its 3pp
           values. Loss: mean over M x 3pp.
  infer    hidden.0 (input of block 0) ... hidden.L [B,T+P+1,D], text first; text_feats, image_feats
           (after the final norm), cls_feats [B,D] (pooled), raw_cls_feats [B,D]
  dual     infer_image.{image_feats,cls_feats,cls_vlffn_feats,raw_cls_feats} and infer_text.{text_
           feats, ...} (cls_*: projected, L2-normalised; vlffn: the tail)
"""

import argparse
import math
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

from vlmo_reference import (B, D, FIRST_VL, H, L, MODES, P, PATCH, SIZE, T, V, frozen_in_stage2,
                            model_shapes)

CLS, SEP, MASK = 2, 3, 4
LENGTHS = (12, 5, 9)  # with [CLS] and [SEP]
READS = {"mlm": "image text_ids_mlm text_masks text_labels_mlm", "itc": "image text_ids text_masks",
         "itm": "image text_ids text_masks neg_image neg_text", "mim": "image mim_masks",
         "textmlm": "text_ids_mlm text_masks text_labels_mlm",
         "stage3": "image text_ids text_masks text_ids_mlm text_labels_mlm neg_image neg_text"}
READS["infer"] = READS["dual"] = READS["itc"]


def draw_parameter(name, shape, rng):
    """Large enough that every term moves the result; rounded to float32, kept in float64."""
    x = rng.standard_normal(shape)
    if name.startswith("logit"):
        x = 2.0 + 0.3 * x
    elif "gamma" in name:
        x = 0.6 + 0.2 * x
    elif ("norm" in name or "LayerNorm" in name) and name.endswith("weight"):
        x = 1.0 + 0.2 * x
    elif name == "relative_position_bias_table":
        x = 0.7 * x
    elif name.endswith("bias"):
        x = 0.2 * x
    elif "embeddings" in name or "token" in name:
        x = 0.8 * x
    else:
        x = x / math.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(x, dtype=np.float32)).double()


def make_batch(rng):
    ids = torch.zeros(B, T, dtype=torch.long)
    keep = torch.zeros(B, T, dtype=torch.long)
    for b, n in enumerate(LENGTHS):
        ids[b, 1:n - 1] = torch.from_numpy(rng.integers(5, V, n - 2))
        ids[b, 0], ids[b, n - 1], keep[b, :n] = CLS, SEP, 1
    masked, labels = ids.clone(), torch.full((B, T), -100)
    # Masked, replaced by a random word, kept: the three fates of a chosen token.
    for b, t, new in ((0, 2, MASK), (0, 7, 31), (0, 10, MASK), (1, 3, MASK), (2, 1, int(ids[2, 1])),
                      (2, 6, MASK)):
        labels[b, t], masked[b, t] = ids[b, t], new
    mim = torch.zeros(B, P, dtype=torch.long)
    for b, n in enumerate((7, 5, 6)):
        mim[b, torch.from_numpy(rng.permutation(P)[:n])] = 1
    image = torch.from_numpy(rng.uniform(-1, 1, (B, 3, SIZE, SIZE)).astype(np.float32)).double()
    return {"image": image, "text_ids": ids, "text_masks": keep, "text_ids_mlm": masked,
            "text_labels_mlm": labels, "mim_masks": mim, "neg_image": torch.tensor([2, 0, 0]),
            "neg_text": torch.tensor([1, 2, 1])}


def make_parameters(mode, seed):
    """Drawn name by name, so that a parameter has the same values in every mode's model."""
    p = {}
    for name, shape in model_shapes(mode).items():
        rng = np.random.default_rng([seed, *name.encode()])
        p[name] = draw_parameter(name, shape, rng)
        p[name].requires_grad_(not (mode == "textmlm" and frozen_in_stage2(name)))
    return p


def write_golden(mode, folder, seed):
    p, x = make_parameters(mode, seed), make_batch(np.random.default_rng(seed))
    out = MODES[mode](p, x)
    tensors = {f"param.{k}": v.detach().float() for k, v in p.items()}
    for k in READS[mode].split():
        tensors[f"in.{k}"] = x[k].float() if x[k].is_floating_point() else x[k]
    tensors |= {f"out.{k}": v.detach().contiguous() for k, v in out.items()}
    if "loss" in out:
        out["loss"].backward()
        tensors |= {f"grad.{k}": v.grad for k, v in p.items() if v.grad is not None}
    # One tensor may stand under two names (loss and mlm_loss); the file wants storage for each.
    tensors = {k: v.contiguous().clone() for k, v in tensors.items()}
    path = folder / f"{mode}.safetensors"
    # One metadata entry: the writer's order of several is random, and a rerun must change no byte.
    about = {"about": f"mode={mode} seed={seed} layers={L} width={D} heads={H} first_vl={FIRST_VL} "
                      f"image={SIZE} patch={PATCH} text={T} vocabulary={V}"}
    save_file(tensors, path, metadata=about)
    loss = f"loss {out['loss'].item():.6f}" if "loss" in out else ""
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {len(tensors)} tensors {loss}")


def check_gradients(mode, seed, samples=4, step=1e-5):
    """Largest error of central differences, relative to the parameter's largest gradient."""
    p, x = make_parameters(mode, seed), make_batch(np.random.default_rng(seed))
    MODES[mode](p, x)["loss"].backward()
    rng, worst = np.random.default_rng(seed + 1), (0.0, "")
    for name, value in p.items():
        if value.grad is None:
            continue
        flat, grad = value.data.view(-1), value.grad.reshape(-1)
        scale = grad.abs().max().item()
        # The largest entry always, then random ones: a table has mostly zero gradients.
        chosen = [int(grad.abs().argmax())] + rng.integers(0, flat.numel(), samples - 1).tolist()
        for i in chosen:
            kept, losses = flat[i].item(), []
            for sign in (1, -1):
                flat[i] = kept + sign * step
                with torch.no_grad():
                    losses.append(MODES[mode](p, x)["loss"].item())
            flat[i] = kept
            # Rounding of the two losses bounds what a difference can resolve where scale is tiny.
            floor = 1e-15 * abs(losses[0]) / step * 100
            error = abs((losses[0] - losses[1]) / (2 * step) - grad[i].item()) / (scale + floor)
            worst = max(worst, (error, f"{name}[{i}]"))
    print(f"{mode}: worst relative error {worst[0]:.1e} at {worst[1]}")
    return worst[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="finite differences instead of files")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the goldens",
                        default=pathlib.Path(__file__).parents[1] / "models" / "goldens")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the files' last bits, would depend on it
    if args.check:
        worst = max(check_gradients(m, args.seed) for m in MODES if m not in ("infer", "dual"))
        raise SystemExit(0 if worst < 1e-6 else f"gradients differ: {worst:.1e}")
    args.out.mkdir(parents=True, exist_ok=True)
    for mode in MODES:
        write_golden(mode, args.out, args.seed)


if __name__ == "__main__":
    main()
