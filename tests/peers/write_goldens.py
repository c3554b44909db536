#!/usr/bin/env python3
"""Runs the reference (vlmo_reference.py) in every mode and stores what went in and came out.

A reduced model with random parameters (tables and layer scales included) and one batch of texts of
different lengths go through every mode, with relative and with absolute positions. Needs torch,
numpy and safetensors; the tests need only the goldens.

    python3 tests/peers/write_goldens.py            rewrite tests/models/goldens
    python3 tests/peers/write_goldens.py --check    gradients against finite differences, no files
    python3 tests/peers/write_goldens.py --float32  how far PyTorch itself is from the goldens in
                                                    float32, no files

The seed is one whose float32 is good: PyTorch itself is within 4e-6 of the goldens, relative to each
tensor's largest element, as the official code is (3e-6). Of other draws (seed 24: 8e-5) contrast's
gradient is what is left after cancellation, and says little about a program.

Model: see vlmo_reference.py. Heads cannot be read off D alone: the relative table's 6 columns are
H x L. Files, all names and shapes as in `mome trace`:

batch.safetensors                what every mode reads: in.image, in.image_0, in.image_1 F32
    [B,3,S,S]; in.text_ids, in.text_masks, in.text_ids_mlm, in.text_labels_mlm I64 [B,T];
    in.neg_image, in.neg_text, in.answers I64 [B]; in.vqa_targets F32 [B,7]; and for stage 1
    in.mim_masks I64 [B,P], 1 = masked patch, patches row by row
POSITIONS.safetensors            parameters F32 of all modes' models together, under their official
    names. The values are exact: they were rounded before anything was computed. A mode's model has
    those of model_shapes(mode, POSITIONS), and of a type table of three rows the first two.
POSITIONS_MODE.safetensors       out.* and grad.<official name> F64 (labels I64). grad: of out.loss;
    absent where the mode gives the parameter none. Rows of padded text are zero:
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
           feats, ...} (cls_*: projected, L2-normalised; vlffn: the tail); infer_image_ft and
           infer_text_ft without the tail
  vqa      vqa_logits [B,7], vqa_loss = mean BCE x answers; nlvr2: nlvr2_logits [B,2], nlvr2_loss;
  nlvr2    irtr: irtr_i2t_logits [B,B], irtr_logit_scale, irtr_loss; loss
  irtr
POSITIONS_MODE_steps.safetensors five AdamW steps in the form of the official code and with its list
    of what decays: out.loss, out.lr [5], param.<official name> after them F64, and in.neg_* [5,B].
    stage3 at a constant rate; textmlm at two steps of warm-up, then a line to 0 at step 10.
"""

import argparse
import math
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from hf_adamw import adamw
from vlmo_reference import (ANSWERS, B, D, FIRST_VL, H, L, MODES, P, PATCH, SIZE, T, V, W,
                            frozen_in_stage2, model_shapes)

CLS, SEP, MASK = 2, 3, 4
LENGTHS = (12, 5, 9)  # with [CLS] and [SEP]
POSITIONS = ("relative", "absolute")
LR = 2e-4
RATES = {"stage3": [LR] * 5, "textmlm": [0, LR / 2] + [LR * (1 - t / 8) for t in range(3)]}


def draw_parameter(name, shape, rng):
    """Large enough that every term moves the result; rounded to float32, kept in float64."""
    x = rng.standard_normal(shape)
    if name.startswith("logit"):
        x = 2.0 + 0.3 * x
    elif "gamma" in name:
        x = 0.6 + 0.2 * x
    elif ("norm" in name or "LayerNorm" in name or "classifier.1" in name) and name.endswith("weight"):
        x = 1.0 + 0.2 * x
    elif name == "relative_position_bias_table":
        x = 0.7 * x
    elif name.endswith("bias"):
        x = 0.2 * x
    elif "embed" in name and "proj" not in name or "token" in name:
        x = 0.8 * x
    else:
        x = x / math.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(x, dtype=np.float32)).double()


def make_images(rng):
    """Pictures that differ as real ones do: each has its own colour, patches theirs, and noise.
    (Of noise alone all class tokens are nearly alike: what contrast and matching differentiate is
    then left after cancellation, and float32 itself is off by more than 1e-5.)"""
    x = sum(rng.uniform(-1, 1, (B, 3, n, n)).repeat(SIZE // n, 2).repeat(SIZE // n, 3) * share
            for n, share in ((1, 0.5), (W, 0.3), (SIZE, 0.2)))
    return torch.from_numpy(x.astype(np.float32)).double()


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
    images = [make_images(rng) for _ in range(2)]
    scores = torch.zeros(B, ANSWERS)  # answers of one, two, three, four annotators
    for b, answer, score in ((0, 2, 1.0), (0, 5, 0.3), (1, 0, 0.9), (1, 6, 0.6)):  # the third has none
        scores[b, answer] = score
    return {"image": images[0], "image_0": images[0], "image_1": images[1], "text_ids": ids,
            "text_masks": keep, "text_ids_mlm": masked, "text_labels_mlm": labels, "mim_masks": mim,
            "neg_image": torch.tensor([2, 0, 0]), "neg_text": torch.tensor([1, 2, 1]),
            "vqa_targets": scores, "answers": torch.tensor([1, 0, 1])}


def draw(shapes, seed):
    """Name by name, so that a parameter has the same values in every mode's model (of a type table
    of two rows: the first two of three)."""
    return {name: draw_parameter(name, shape, np.random.default_rng([seed, *name.encode()]))
            for name, shape in shapes.items()}


def make_parameters(mode, positions, seed, dtype=torch.float64):
    p = {k: v.to(dtype) for k, v in draw(model_shapes(mode, positions), seed).items()}
    for name, value in p.items():
        value.requires_grad_(not (mode == "textmlm" and frozen_in_stage2(name)))
    return p


def union_of_shapes(positions):
    shapes = {}
    for mode in MODES:  # nlvr2 is not the first: its larger type table takes the place of the others'
        shapes |= {k: max(s, shapes.get(k, s)) for k, s in model_shapes(mode, positions).items()}
    return shapes


def cast(batch, dtype):
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in batch.items()}


def run_mode(mode, positions, seed, dtype=torch.float64):
    p, x = make_parameters(mode, positions, seed, dtype), cast(make_batch(np.random.default_rng(seed)), dtype)
    out = MODES[mode](p, x)
    tensors = {f"out.{k}": v.detach() for k, v in out.items()}
    if "loss" in out:
        out["loss"].backward()
        tensors |= {f"grad.{k}": v.grad for k, v in p.items() if v.grad is not None}
    return tensors


def run_steps(mode, positions, seed, dtype=torch.float64):
    p, x = make_parameters(mode, positions, seed, dtype), cast(make_batch(np.random.default_rng(seed)), dtype)
    rates, tensors = RATES[mode], {}
    if mode == "stage3":  # other negatives each step: any but the pair's own
        shift = torch.tensor([[1 + (t + b) % (B - 1) for b in range(B)] for t in range(len(rates))])
        negatives = {"neg_image": (torch.arange(B) + shift) % B, "neg_text": (torch.arange(B) - shift) % B}
        tensors = {f"in.{k}": v for k, v in negatives.items()}

    def loss(p, t):
        return MODES[mode](p, x | {k[3:]: v[t] for k, v in tensors.items()})["loss"]

    tensors["out.loss"] = torch.tensor(adamw(p, loss, rates), dtype=torch.float64)
    tensors["out.lr"] = torch.tensor(rates, dtype=torch.float64)
    return tensors | {f"param.{k}": v.detach() for k, v in p.items() if v.grad is not None}


def runs(seed, dtype=torch.float64):
    """(name of the file, function that makes its tensors)"""
    for positions in POSITIONS:
        for mode in MODES:
            yield f"{positions}_{mode}", lambda: run_mode(mode, positions, seed, dtype)
        for mode in RATES:
            yield f"{positions}_{mode}_steps", lambda: run_steps(mode, positions, seed, dtype)


def save(tensors, folder, name, seed):
    # One tensor may stand under two names (loss and mlm_loss); the file wants storage for each.
    tensors = {k: v.contiguous().clone() for k, v in tensors.items()}
    path = folder / f"{name}.safetensors"
    # One metadata entry: the writer's order of several is random, and a rerun must change no byte.
    about = {"about": f"seed={seed} layers={L} width={D} heads={H} first_vl={FIRST_VL} image={SIZE} "
                      f"patch={PATCH} text={T} vocabulary={V}"}
    save_file(tensors, path, metadata=about)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {len(tensors)} tensors")


def write(folder, seed):
    folder.mkdir(parents=True, exist_ok=True)
    batch = cast(make_batch(np.random.default_rng(seed)), torch.float32)
    save({f"in.{k}": v for k, v in batch.items()}, folder, "batch", seed)
    for positions in POSITIONS:
        save({k: v.float() for k, v in draw(union_of_shapes(positions), seed).items()}, folder,
             positions, seed)
    for name, make in runs(seed):
        save(make(), folder, name, seed)


def compare_float32(folder, seed):
    """PyTorch's own float32 against the goldens: error over each tensor's largest element."""
    for name, make in runs(seed, torch.float32):
        golden, errors = load_file(folder / f"{name}.safetensors"), []
        for k, v in make().items():
            scale = golden[k].abs().max().item()
            if golden[k].is_floating_point() and scale > 0:
                errors.append(((v.double() - golden[k]).abs().max().item() / scale, k))
        errors.sort(reverse=True)
        print(name, *(f"{k} {e:.1e}" for e, k in errors[:3]))


def check_gradients(mode, positions, seed, samples=4, step=1e-5):
    """Largest error of central differences, relative to the parameter's largest gradient."""
    p, x = make_parameters(mode, positions, seed), make_batch(np.random.default_rng(seed))
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
    print(f"{mode}, {positions}: worst relative error {worst[0]:.1e} at {worst[1]}")
    return worst[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--check", action="store_true", help="finite differences instead of files")
    parser.add_argument("--float32", action="store_true", help="PyTorch's float32 against the files")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the goldens",
                        default=pathlib.Path(__file__).parents[1] / "models" / "goldens")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the files' last bits, would depend on it
    if args.check:
        worst = max(check_gradients(m, positions, args.seed) for m in MODES for positions in POSITIONS
                    if m not in ("infer", "dual"))
        raise SystemExit(0 if worst < 1e-6 else f"gradients differ: {worst:.1e}")
    if args.float32:
        compare_float32(args.out, args.seed)
    else:
        write(args.out, args.seed)


if __name__ == "__main__":
    main()
