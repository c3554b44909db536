#!/usr/bin/env python3
"""The benchmark's peer (bench/peer_vlmo.py) must do what the reference does: its speed counts then.

Both get the same float64 parameters, batch and negatives, no drop path or dropout; loss and
gradients of the three stages must agree to rounding, and the same parameters must be frozen; so
must the states that the forward benchmark computes (full texts).
Needs torch, numpy and safetensors.

    python3 tests/peers/check_bench_peer.py
"""

import pathlib
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import vlmo_reference as reference
from peer_vlmo import Vlmo
from write_goldens import make_batch, make_parameters

READS = {"pairs": ("image", "text_ids", "text_masks", "text_ids_mlm", "text_labels_mlm"),
         "text": ("text_ids_mlm", "text_masks", "text_labels_mlm"), "image": ("image", "mim_masks")}
RENAMED = (("mlm_score.dense", "mlm_score.transform.dense"), ("pooler.", "pooler.dense."),
           ("mlm_score.LayerNorm", "mlm_score.transform.LayerNorm"),
           ("mlm_score.decoder.bias", "mlm_score.bias"), ("itm_score.", "itm_score.fc."),
           ("_proj.weight", "_proj.fc.weight"), ("mask_token", "transformer.mask_token"))


def official(name):
    if name.startswith("transformer."):
        return name.replace("patch_embed.", "patch_embed.proj.")
    for ours, theirs in RENAMED:
        name = name.replace(ours, theirs)
    return name


def make_model(stage, p, drop_path=0.0):
    """The peer with the reference's parameters, and these by their official names."""
    model = Vlmo(stage, reference.L, reference.D, reference.H, reference.SIZE, reference.PATCH,
                 reference.FIRST_VL, reference.T, reference.T0, reference.V, drop_path=drop_path)
    ours = {official(name): value for name, value in model.named_parameters()}
    for name, value in ours.items():
        value.data.copy_(p[name].data)
    return model, ours


def check_states(seed=7):
    p, x = make_parameters("stage3", "relative", seed), make_batch(np.random.default_rng(seed))
    # In evaluation drop path must be off, whatever its rate is.
    model = make_model("pairs", p, drop_path=0.5)[0].eval()
    image, ids, keep = x["image"], x["text_ids"], torch.ones_like(x["text_masks"])
    fused = reference.infer(p, image, ids, keep)
    lone = reference.infer_single
    expected = {
        "image": lone(p, reference.embed_image(p, image), reference.image_keep(image), "imag",
                      tail=False)["feats"],
        "text": lone(p, reference.embed_text(p, ids), keep, "text", tail=False)["feats"],
        "fusion": torch.cat([fused["text_feats"], fused["image_feats"]], 1)}
    with torch.inference_mode():
        for part, inputs in (("image", {"image": image}), ("text", {"ids": ids}),
                             ("fusion", {"image": image, "ids": ids})):
            worst = ((model.states(**inputs) - expected[part]).abs().max()
                     / expected[part].abs().max()).item()
            print(f"forward {part}: worst relative difference {worst:.1e}")
            if not worst < 1e-12:
                sys.exit(f"forward {part}: the peer differs from the reference")


def check(stage, mode, seed=7):
    p, x = make_parameters(mode, "relative", seed), make_batch(np.random.default_rng(seed))
    model, ours = make_model(stage, p)
    model.draw_negatives = lambda similarity: (x["neg_image"], x["neg_text"])
    inputs = [x[k] == 1 if k == "mim_masks" else x[k] for k in READS[stage]]
    loss = getattr(model, f"{stage}_loss")(*inputs)
    expected = reference.MODES[mode](p, x)["loss"]
    loss.backward()
    expected.backward()
    worst = abs(loss.item() / expected.item() - 1)
    for name, value in p.items():
        mine = ours[name].grad if name in ours else None
        if (mine is None) != (value.grad is None):
            sys.exit(f"{stage}: {name}: only one of the two has a gradient")
        if mine is not None:
            worst = max(worst, ((mine - value.grad).abs().max() / value.grad.abs().max()).item())
    print(f"{stage}: loss {loss.item():.6f}, worst relative difference {worst:.1e}")
    if not worst < 1e-12:
        sys.exit(f"{stage}: the peer differs from the reference")


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    reference.HIDDEN = 4 * reference.D  # as published; the goldens' model is narrower
    for case in (("pairs", "stage3"), ("text", "textmlm"), ("image", "mim")):
        check(*case)
    check_states()
