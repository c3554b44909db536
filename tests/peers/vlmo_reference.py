"""VLMo in plain float64 PyTorch, written from its specification: the oracle behind the goldens.

Padded, one pass per purpose and no drop path, as the official code runs (microsoft/unilm, vlmo/);
it shares nothing with the engine. A reduced model: L 3 layers, D 12, H 2 heads, F 24, VL experts
from block 1 (0-based), image 32 px, patch 8 (P 16 patches), T 12 text tokens, V 50 words, B 3,
7 answers. Positions are "relative" (Base, Large: a bias table with the text rows of T0 = 196,
A = 49 + 397 = 446, and H x L columns; layer scales) or "absolute" (Base+: embeddings, no layer scale).

`MODES[mode](parameters, batch)` returns what write_goldens.py stores as out.*; its head comment
says what each tensor is. Parameters are a dict under the names of the official checkpoints, and
which of them are there decides what is computed.
"""

import torch
import torch.nn.functional as F

L, D, H, HIDDEN, FIRST_VL = 3, 12, 2, 24, 1
SIZE, PATCH, T, T0, V, B, ANSWERS = 32, 8, 12, 196, 50, 3, 7
W = SIZE // PATCH
P = W * W
G = (2 * W - 1) ** 2
TABLE_ROWS = G + 3 + 2 * T0 + 2


# ---- parameters -------------------------------------------------------------------------------

def layer_norm_shapes(name):
    return {f"{name}.weight": (D,), f"{name}.bias": (D,)}


def linear_shapes(name, out, inp):
    return {f"{name}.weight": (out, inp), f"{name}.bias": (out,)}


def backbone_shapes(positions, experts_of_layer, types=2):
    s = {"transformer.cls_token": (1, 1, D), "transformer.patch_embed.proj.weight": (D, 3, PATCH, PATCH),
         "transformer.patch_embed.proj.bias": (D,), "token_type_embeddings.weight": (types, D)}
    if positions == "relative":
        s["relative_position_bias_table"] = (TABLE_ROWS, H * L)
    else:
        s["transformer.pos_embed"] = (1, P + 1, D)
    for layer in range(L):
        b = f"transformer.blocks.{layer}"
        s |= {f"{b}.attn.q_bias": (D,), f"{b}.attn.v_bias": (D,), f"{b}.attn.qkv.weight": (3 * D, D)}
        if positions == "relative":
            s |= {f"{b}.gamma_1": (D,), f"{b}.gamma_2": (D,)}
        s |= layer_norm_shapes(f"{b}.norm1") | linear_shapes(f"{b}.attn.proj", D, D)
        for e in experts_of_layer(layer):
            s |= layer_norm_shapes(f"{b}.norm2_{e}")
            s |= linear_shapes(f"{b}.mlp_{e}.fc1", HIDDEN, D)
            s |= linear_shapes(f"{b}.mlp_{e}.fc2", D, HIDDEN)
    return s | layer_norm_shapes("transformer.norm")


def text_shapes():
    s = {"text_embeddings.word_embeddings.weight": (V, D),
         "text_embeddings.position_embeddings.weight": (T, D),  # with relative positions never used
         "text_embeddings.token_type_embeddings.weight": (2, D)}
    return s | layer_norm_shapes("text_embeddings.LayerNorm") | linear_shapes("pooler.dense", D, D)


def mlm_shapes():
    s = linear_shapes("mlm_score.transform.dense", D, D)
    s |= layer_norm_shapes("mlm_score.transform.LayerNorm")
    return s | {"mlm_score.decoder.weight": (V, D), "mlm_score.bias": (V,)}


def contrast_shapes(tail):
    s = {f"itc{vl}_{side}_proj.fc.weight": (D, D) for vl in ("", "_vl")[:1 + tail]
         for side in ("text", "image")}
    return s | {f"logit{vl}_scale": () for vl in ("", "_vl")[:1 + tail]}


def classifier_shapes(name, inputs, classes):
    s = linear_shapes(f"{name}.0", 2 * D, inputs) | linear_shapes(f"{name}.3", classes, 2 * D)
    return s | {f"{name}.1.weight": (2 * D,), f"{name}.1.bias": (2 * D,)}


def model_shapes(mode, positions):
    """The model that the official code trains in a mode."""
    if mode == "mim":
        return backbone_shapes(positions, lambda layer: ("imag",)) | {
            "transformer.mask_token": (1, 1, D)} | linear_shapes("mim_head", 3 * PATCH * PATCH, D)
    if mode == "textmlm":
        return backbone_shapes(positions, lambda layer: ("text", "imag")) | text_shapes() | mlm_shapes()
    experts = lambda layer: ("text", "imag", "vl") if layer >= FIRST_VL else ("text", "imag")
    s = backbone_shapes(positions, experts, types=3 if mode == "nlvr2" else 2) | text_shapes()
    if mode == "vqa":
        return s | classifier_shapes("vqa_classifier", D, ANSWERS)
    if mode == "nlvr2":
        return s | classifier_shapes("nlvr2_classifier", 2 * D, 2)
    if mode == "irtr":
        return s | contrast_shapes(tail=False)
    return s | mlm_shapes() | linear_shapes("itm_score.fc", 2, D) | contrast_shapes(tail=True)


def frozen_in_stage2(name):
    trained = ("text_embeddings", "token_type_embeddings", "mlp_text", "norm2_text", "mlm_score",
               "relative_position_bias_table", "transformer.norm")
    return not any(t in name for t in trained)


# ---- relative positions -----------------------------------------------------------------------

def image_index():
    n = G + 3
    m = torch.zeros(P + 1, P + 1, dtype=torch.long)
    for i in range(P):
        for j in range(P):
            rows, cols = i // W - j // W, i % W - j % W
            m[1 + i, 1 + j] = (rows + W - 1) * (2 * W - 1) + cols + W - 1
    m[0, :], m[:, 0] = n - 3, n - 2
    m[0, 0] = n - 1
    return m


def text_index():
    n = G + 3
    m = torch.zeros(T, T, dtype=torch.long)
    for i in range(T):
        for j in range(T):
            m[i, j] = n + 2 + (T0 - 2) + (j - i)
    m[0, :], m[:, 0] = TABLE_ROWS - 3, TABLE_ROWS - 2
    m[0, 0] = TABLE_ROWS - 1
    return m


def pair_index():
    n = G + 3
    to_image = torch.full((T, P + 1), n, dtype=torch.long)
    to_text = torch.full((P + 1, T), n + 1, dtype=torch.long)
    return torch.cat([torch.cat([text_index(), to_image], 1),
                      torch.cat([to_text, image_index()], 1)], 0)


INDEX = {"imag": image_index(), "text": text_index(), "vl": pair_index()}


# ---- encoder ----------------------------------------------------------------------------------

def linear(p, name, x):
    return F.linear(x, p[f"{name}.weight"], p.get(f"{name}.bias"))


def norm(p, name, x, eps=1e-6):
    return F.layer_norm(x, (D,), p[f"{name}.weight"], p[f"{name}.bias"], eps)


def attention(p, layer, x, keep, index):
    b = f"transformer.blocks.{layer}.attn"
    q_bias, v_bias = p[f"{b}.q_bias"], p[f"{b}.v_bias"]
    qkv = F.linear(x, p[f"{b}.qkv.weight"], torch.cat([q_bias, torch.zeros_like(q_bias), v_bias]))
    q, k, v = qkv.reshape(*x.shape[:2], 3, H, D // H).permute(2, 0, 3, 1, 4)
    scores = (q * (D // H) ** -0.5) @ k.transpose(-1, -2)
    if "relative_position_bias_table" in p:
        columns = p["relative_position_bias_table"][:, layer * H:(layer + 1) * H]
        scores = scores + columns[index].permute(2, 0, 1)
    scores = scores.masked_fill(keep[:, None, None, :] == 0, float("-inf"))
    y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
    return linear(p, f"{b}.proj", y)


def expert(p, layer, kind, x):
    b = f"transformer.blocks.{layer}"
    hidden = F.gelu(linear(p, f"{b}.mlp_{kind}.fc1", norm(p, f"{b}.norm2_{kind}", x)))
    return p.get(f"{b}.gamma_2", 1.0) * linear(p, f"{b}.mlp_{kind}.fc2", hidden)


def block(p, layer, x, keep, index, kind):
    """kind "split": text rows through the L expert, image rows through the V expert."""
    b = f"transformer.blocks.{layer}"
    x = x + p.get(f"{b}.gamma_1", 1.0) * attention(p, layer, norm(p, f"{b}.norm1", x), keep, index)
    if kind == "split":
        text, imag = x[:, :T], x[:, T:]
        return torch.cat([text + expert(p, layer, "text", text),
                          imag + expert(p, layer, "imag", imag)], 1)
    return x + expert(p, layer, kind, x)


def embed_image(p, image, mask=None, type_row=1):
    x = F.conv2d(image, p["transformer.patch_embed.proj.weight"],
                 p["transformer.patch_embed.proj.bias"], stride=PATCH).flatten(2).transpose(1, 2)
    if mask is not None:
        x = torch.where(mask[:, :, None] == 1, p["transformer.mask_token"], x)
    x = torch.cat([p["transformer.cls_token"].expand(x.shape[0], -1, -1), x], 1)
    return x + p.get("transformer.pos_embed", 0.0) + p["token_type_embeddings.weight"][type_row]


def embed_text(p, ids):
    x = p["text_embeddings.word_embeddings.weight"][ids]
    x = x + p["text_embeddings.token_type_embeddings.weight"][0]
    if "relative_position_bias_table" not in p:
        x = x + p["text_embeddings.position_embeddings.weight"][:ids.shape[1]]
    return norm(p, "text_embeddings.LayerNorm", x, 1e-12) + p["token_type_embeddings.weight"][0]


def image_keep(image):
    return torch.ones(image.shape[0], P + 1, dtype=torch.long)


def infer(p, image, ids, keep, type_row=1):
    """The fusion pass."""
    x = torch.cat([embed_text(p, ids), embed_image(p, image, type_row=type_row)], 1)
    keep = torch.cat([keep, image_keep(image)], 1)
    hidden = [x]
    for layer in range(L):
        x = block(p, layer, x, keep, INDEX["vl"], "split" if layer < FIRST_VL else "vl")
        hidden.append(x)
    feats = norm(p, "transformer.norm", x)
    return {"hidden": hidden, "text_feats": feats[:, :T], "image_feats": feats[:, T:],
            "cls_feats": torch.tanh(linear(p, "pooler.dense", feats[:, 0])),
            "raw_cls_feats": x[:, 0]}


def infer_single(p, x, keep, kind, tail):
    """One modality alone through its own experts; with `tail` also through the VL experts' tail.
    Contrast features where the model has their heads."""
    hidden = [x]
    for layer in range(L):
        hidden.append(block(p, layer, hidden[-1], keep, INDEX[kind], kind))
    feats = norm(p, "transformer.norm", hidden[-1])
    out = {"feats": feats, "raw_cls_feats": hidden[-1][:, 0]}
    name = {"imag": "image", "text": "text"}[kind]
    states = {"cls_feats": (f"itc_{name}_proj.fc", feats)}
    if tail:
        x = hidden[FIRST_VL]
        for layer in range(FIRST_VL, L):
            x = block(p, layer, x, keep, INDEX[kind], "vl")
        states["cls_vlffn_feats"] = (f"itc_vl_{name}_proj.fc", norm(p, "transformer.norm", x))
    for key, (head, state) in states.items():
        if f"{head}.weight" in p:
            z = linear(p, head, state[:, 0])
            out[key] = z / z.norm(dim=-1, keepdim=True)
    return out


# ---- objectives -------------------------------------------------------------------------------

def mlm(p, feats, labels, keep):
    h = F.gelu(linear(p, "mlm_score.transform.dense", feats))
    h = norm(p, "mlm_score.transform.LayerNorm", h, 1e-12)
    logits = F.linear(h, p["mlm_score.decoder.weight"]) + p["mlm_score.bias"]
    loss = F.cross_entropy(logits.reshape(-1, V), labels.reshape(-1), ignore_index=-100)
    return logits * keep[:, :, None], loss


def run_mlm(p, x):
    feats = infer(p, x["image"], x["text_ids_mlm"], x["text_masks"])["text_feats"]
    logits, loss = mlm(p, feats, x["text_labels_mlm"], x["text_masks"])
    return {"mlm_logits": logits, "mlm_loss": 0.25 * loss, "loss": 0.25 * loss}


def contrast(p, x, tail=True):
    image = infer_single(p, embed_image(p, x["image"]), image_keep(x["image"]), "imag", tail)
    text = infer_single(p, embed_text(p, x["text_ids"]), x["text_masks"], "text", tail)
    return image, text


def contrast_loss(i2t):
    target = torch.arange(B)
    return 0.5 * (F.cross_entropy(i2t, target) + F.cross_entropy(i2t.T, target))


def run_itc(p, x):
    image, text = contrast(p, x)
    out, losses = {}, []
    for key, tag, scale in (("cls_feats", "", "logit_scale"),
                            ("cls_vlffn_feats", "vl_", "logit_vl_scale")):
        i2t = p[scale].exp() * image[key] @ text[key].T
        losses.append(contrast_loss(i2t))
        out |= {f"itc_{tag}i2t_logits": i2t, f"itc_{tag}t2i_logits": i2t.T,
                f"itc_logit_{tag}scale": p[scale].exp()}
    loss = 0.5 * (losses[0] + losses[1])
    return out | {"itc_loss": loss, "loss": loss}


def run_itm(p, x):
    with torch.no_grad():
        logits = run_itc(p, x)
        diagonal = torch.eye(B, dtype=torch.bool)
        weights = {k: logits[f"itc_{k}_logits"].softmax(1).masked_fill(diagonal, 0)
                   for k in ("t2i", "i2t")}
    own = torch.arange(B)
    pairs = ((own, own), (x["neg_image"], own), (own, x["neg_text"]))
    pooled = [infer(p, x["image"][i], x["text_ids"][t], x["text_masks"][t])["cls_feats"]
              for i, t in pairs]
    logits = linear(p, "itm_score.fc", torch.cat(pooled))
    labels = torch.tensor([1] * B + [0] * 2 * B)
    loss = F.cross_entropy(logits, labels)
    return {"weights_t2i": weights["t2i"], "weights_i2t": weights["i2t"], "itm_logits": logits,
            "itm_labels": labels, "itm_loss": loss, "loss": loss}


def run_stage3(p, x):
    parts = [run_mlm(p, x), run_itc(p, x), run_itm(p, x)]
    out = {k: v for part in parts for k, v in part.items()}
    return out | {"loss": sum(part["loss"] for part in parts)}


def run_textmlm(p, x):
    keep = x["text_masks"]
    r = infer_single(p, embed_text(p, x["text_ids_mlm"]), keep, "text", False)
    logits, loss = mlm(p, r["feats"], x["text_labels_mlm"], keep)
    return {"text_feats": r["feats"] * keep[:, :, None], "raw_cls_feats": r["raw_cls_feats"],
            "mlm_logits": logits, "mlm_loss": loss, "loss": loss}


def run_mim(p, x):
    image, mask = x["image"], x["mim_masks"]
    r = infer_single(p, embed_image(p, image, mask), image_keep(image), "imag", False)
    patches = F.unfold(image, PATCH, stride=PATCH).transpose(1, 2)[mask == 1]
    mean, var = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True, unbiased=True)
    target = (patches - mean) / torch.sqrt(var + 1e-6)
    pred = linear(p, "mim_head", r["feats"][:, 1:][mask == 1])
    loss = ((pred - target) ** 2).mean()
    return {"mim_pred": pred, "mim_target": target, "mim_loss": loss, "loss": loss}


def run_infer(p, x):
    r = infer(p, x["image"], x["text_ids"], x["text_masks"])
    keep = torch.cat([x["text_masks"], image_keep(x["image"])], 1)[:, :, None]
    out = {f"hidden.{i}": h * keep for i, h in enumerate(r.pop("hidden"))}
    return out | r | {"text_feats": r["text_feats"] * keep[:, :T]}


def run_dual(p, x):
    out = {}
    for tail, suffix in ((True, ""), (False, "_ft")):
        image, text = contrast(p, x, tail)
        image["image_feats"] = image.pop("feats")
        text["text_feats"] = text.pop("feats") * x["text_masks"][:, :, None]
        out |= {f"infer_{side}{suffix}.{k}": v for side, r in (("image", image), ("text", text))
                for k, v in r.items()}
    return out


# ---- downstream tasks -------------------------------------------------------------------------

def classify(p, name, x):
    x = linear(p, f"{name}.0", x)
    x = F.layer_norm(x, (2 * D,), p[f"{name}.1.weight"], p[f"{name}.1.bias"], 1e-5)
    return linear(p, f"{name}.3", F.gelu(x))


def run_vqa(p, x):
    pooled = infer(p, x["image"], x["text_ids"], x["text_masks"])["cls_feats"]
    logits = classify(p, "vqa_classifier", pooled)
    loss = F.binary_cross_entropy_with_logits(logits, x["vqa_targets"].to(logits)) * ANSWERS
    return {"vqa_logits": logits, "vqa_loss": loss, "loss": loss}


def run_nlvr2(p, x):
    pooled = [infer(p, x[f"image_{i}"], x["text_ids"], x["text_masks"], type_row=1 + i)["cls_feats"]
              for i in range(2)]
    logits = classify(p, "nlvr2_classifier", torch.cat(pooled, 1))
    loss = F.cross_entropy(logits, x["answers"])
    return {"nlvr2_logits": logits, "nlvr2_loss": loss, "loss": loss}


def run_irtr(p, x):
    image, text = contrast(p, x, tail=False)
    i2t = p["logit_scale"].exp() * image["cls_feats"] @ text["cls_feats"].T
    loss = contrast_loss(i2t)
    return {"irtr_i2t_logits": i2t, "irtr_logit_scale": p["logit_scale"].exp(), "irtr_loss": loss,
            "loss": loss}


MODES = {"stage3": run_stage3, "mlm": run_mlm, "itc": run_itc, "itm": run_itm,
         "textmlm": run_textmlm, "mim": run_mim, "infer": run_infer, "dual": run_dual,
         "vqa": run_vqa, "nlvr2": run_nlvr2, "irtr": run_irtr}
