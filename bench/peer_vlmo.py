"""VLMo's three stages in plain good PyTorch (see peer_pytorch.py for what is run and why).

Letters: B sequences, N tokens, T padded text length, P patches, D width, H heads, L layers.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

TRAINED_IN_STAGE2 = ("text_embeddings", "token_type_embeddings", "mlp_text", "norm2_text",
                     "mlm_score", "relative_position_bias_table", "transformer.norm")


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x, bias):
        B, N, D = x.shape
        qkv_bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, qkv_bias).view(B, N, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(y.transpose(1, 2).reshape(B, N, D))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


def add_branch(x, gamma, y, drop):
    """x + drop * gamma * y; drop None: no drop path, one operation instead of three."""
    return torch.addcmul(x, gamma, y) if drop is None else x + drop * (gamma * y)


class Block(nn.Module):
    """One shared attention, experts with a norm each. `kind` is an expert's name, or "split": the
    first `split_at` tokens are text for the L expert, the rest image for the V expert."""

    def __init__(self, width, heads, experts, split_at):
        super().__init__()
        self.split_at = split_at
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.gamma_1 = nn.Parameter(torch.full((width,), 0.1))
        self.gamma_2 = nn.Parameter(torch.full((width,), 0.1))
        for e in experts:
            setattr(self, f"norm2_{e}", nn.LayerNorm(width, eps=1e-6))
            setattr(self, f"mlp_{e}", Mlp(width))

    def expert(self, x, kind, drop):
        y = getattr(self, f"mlp_{kind}")(getattr(self, f"norm2_{kind}")(x))
        return add_branch(x, self.gamma_2, y, drop)

    def forward(self, x, bias, drop, kind):
        """x [B,N,D]; bias [B or 1,H,N,N]; drop [3,B,1,1]: drop-path factors of the attention and of
        one or two experts, or three times None."""
        x = add_branch(x, self.gamma_1, self.attn(self.norm1(x), bias), drop[0])
        if kind == "split":
            text, image = x[:, :self.split_at], x[:, self.split_at:]
            return torch.cat([self.expert(text, "text", drop[1]),
                              self.expert(image, "imag", drop[2])], 1)
        return self.expert(x, kind, drop[1])


class Transformer(nn.Module):
    def __init__(self, layers, width, heads, patch, split_at, experts_of_layer):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.blocks = nn.ModuleList(
            Block(width, heads, experts_of_layer(i), split_at) for i in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)


class TextEmbeddings(nn.Module):
    def __init__(self, vocabulary, width, dropout):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width, padding_idx=0)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = dropout

    def forward(self, ids):
        x = self.word_embeddings(ids) + self.token_type_embeddings.weight[0]
        return F.dropout(self.LayerNorm(x), self.dropout, self.training)


class MlmHead(nn.Module):
    def __init__(self, width, vocabulary):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.decoder = nn.Linear(width, vocabulary)

    def forward(self, feats, labels):
        logits = self.decoder(self.LayerNorm(F.gelu(self.dense(feats))))
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def position_indices(w, T, T0):
    """Rows of the relative table: image [P+1,P+1], text [T,T], both [T+P+1,T+P+1], and their
    number (official layout, specification of the published code)."""
    side = 2 * w - 1
    n = side * side + 3
    rows = n + 2 * T0 + 2
    r, c = torch.arange(w * w) // w, torch.arange(w * w) % w
    image = torch.empty(w * w + 1, w * w + 1, dtype=torch.long)
    image[1:, 1:] = ((r[:, None] - r + w - 1) * side + c[:, None] - c + w - 1)
    image[0, :], image[:, 0] = n - 3, n - 2
    image[0, 0] = n - 1
    t = torch.arange(T)
    text = n + T0 + (t - t[:, None])
    text[0, :], text[:, 0] = rows - 3, rows - 2
    text[0, 0] = rows - 1
    both = torch.full((T + len(image), T + len(image)), n, dtype=torch.long)
    both[T:, :T] = n + 1
    both[:T, :T], both[T:, T:] = text, image
    return {"imag": image, "text": text, "vl": both}, rows


class Vlmo(nn.Module):
    def __init__(self, stage, layers, width, heads, size, patch, first_vl, T, T0, vocabulary,
                 drop_path):
        super().__init__()
        self.layers, self.heads, self.first_vl = layers, heads, first_vl
        self.T, self.patch, self.P = T, patch, (size // patch) ** 2
        indices, rows = position_indices(size // patch, self.T, T0)
        for kind, index in indices.items():
            self.register_buffer(f"index_{kind}", index.flatten(), persistent=False)
        keep = 1 - torch.linspace(0, drop_path, layers)
        self.register_buffer("keep_rate", keep.view(layers, 1, 1, 1, 1), persistent=False)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, heads * layers))
        self.transformer = Transformer(
            layers, width, heads, patch, self.T,
            lambda i: ("imag",) + ("text",) * (stage != "image")
            + ("vl",) * (stage == "pairs" and i >= first_vl))
        self.token_type_embeddings = nn.Embedding(2, width)
        if stage == "image":
            self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
            self.mim_head = nn.Linear(width, 3 * patch * patch)
        else:
            self.text_embeddings = TextEmbeddings(vocabulary, width, drop_path)
            self.mlm_score = MlmHead(width, vocabulary)
        if stage == "pairs":
            self.pooler = nn.Linear(width, width)
            self.itm_score = nn.Linear(width, 2)
            for name in ("text", "image", "vl_text", "vl_image"):
                setattr(self, f"itc_{name}_proj", nn.Linear(width, width, bias=False))
            self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
            self.logit_vl_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.apply(self.initialise)
        if stage == "text":
            for name, p in self.named_parameters():
                p.requires_grad_(any(t in name for t in TRAINED_IN_STAGE2))

    @staticmethod
    def initialise(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    # ---- encoder ------------------------------------------------------------------------------

    def bias(self, kind, keep=None):
        """Additive attention masks of all layers, each [B or 1,H,N,N]; keep [B,N], 1 = real."""
        n = math.isqrt(len(getattr(self, f"index_{kind}")))
        bias = F.embedding(getattr(self, f"index_{kind}"), self.relative_position_bias_table)
        bias = bias.view(n, n, self.layers, self.heads).permute(2, 3, 0, 1).contiguous()
        if keep is None:
            return bias[:, None].unbind(0)
        padding = torch.zeros(keep.shape).masked_fill_(keep == 0, float("-inf"))[:, None, None]
        return [b + padding for b in bias.unbind(0)]

    def drop_path(self, B):
        if not self.training:
            return [(None, None, None)] * self.layers
        keep = self.keep_rate.expand(self.layers, 3, B, 1, 1)
        return (torch.bernoulli(keep) / keep).unbind(0)

    def embed_image(self, image, mask=None):
        x = self.transformer.patch_embed(image).flatten(2).transpose(1, 2)
        if mask is not None:
            x = torch.where(mask[:, :, None], self.mask_token, x)
        x = torch.cat([self.transformer.cls_token.expand(len(x), -1, -1), x], 1)
        return x + self.token_type_embeddings.weight[1]

    def embed_text(self, ids):
        return self.text_embeddings(ids) + self.token_type_embeddings.weight[0]

    def encode(self, x, kind, biases, first=0):
        """Blocks first..L-1; returns the last state and the one that enters the first VL block."""
        drops, at_vl = self.drop_path(len(x)), x
        for i in range(first, self.layers):
            if i == self.first_vl:
                at_vl = x
            kind_here = "split" if kind == "fusion" and i < self.first_vl else \
                "vl" if kind == "fusion" else kind
            x = self.transformer.blocks[i](x, biases[i], drops[i], kind_here)
        return x, at_vl

    def fuse(self, image, ids, keep=None):
        x = torch.cat([self.embed_text(ids), self.embed_image(image)], 1)
        if keep is not None:
            keep = F.pad(keep, (0, self.P + 1), value=1)
        return self.transformer.norm(self.encode(x, "fusion", self.bias("vl", keep))[0])

    def states(self, image=None, ids=None):
        """All tokens' states after the final norm, of images, of texts, or of both fused (text
        first). Texts have no padding, so no key mask."""
        if image is not None and ids is not None:
            return self.fuse(image, ids)
        kind = "text" if image is None else "imag"
        x = self.embed_text(ids) if image is None else self.embed_image(image)
        return self.transformer.norm(self.encode(x, kind, self.bias(kind))[0])

    # ---- objectives ---------------------------------------------------------------------------

    def features(self, x, kind, biases):
        """ITC's two features of one modality: of its own experts, and of the tail."""
        name = {"imag": "image", "text": "text"}[kind]
        own, at_vl = self.encode(x, kind, biases)
        tail, _ = self.encode(at_vl, "vl", biases, self.first_vl)
        own, tail = (self.transformer.norm(s)[:, 0] for s in (own, tail))
        return (F.normalize(getattr(self, f"itc_{name}_proj")(own), dim=-1),
                F.normalize(getattr(self, f"itc_vl_{name}_proj")(tail), dim=-1))

    @staticmethod
    def gather(own):
        """Features of all ranks, in their order; the gradient reaches this rank's (official)."""
        if not torch.distributed.is_initialized():
            return own
        parts = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, own.detach().contiguous())
        parts[torch.distributed.get_rank()] = own
        return torch.cat(parts)

    def contrast(self, image, ids, keep):
        v = self.features(self.embed_image(image), "imag", self.bias("imag"))
        t = self.features(self.embed_text(ids), "text", self.bias("text", keep))
        v, t = ([self.gather(f) for f in side] for side in (v, t))
        target = torch.arange(len(v[0]))
        s = self.logit_scale.exp() * v[0] @ t[0].T
        s_vl = self.logit_vl_scale.exp() * v[1] @ t[1].T
        losses = [F.cross_entropy(m, target) for m in (s, s.T, s_vl, s_vl.T)]
        n, first = len(image), 0
        if torch.distributed.is_initialized():  # hard negatives are drawn among a rank's own
            first = torch.distributed.get_rank() * n
        return sum(losses) / 4, s.detach()[first:first + n, first:first + n]

    @staticmethod
    def draw_negatives(similarity):
        """An image for every text and a text for every image, each not its own. [B,B] -> 2 x [B]"""
        own = torch.eye(len(similarity), dtype=torch.bool)
        # A tiny floor: a row whose positive takes all the mass could not be drawn from.
        return [torch.multinomial((s.softmax(1) + 1e-9).masked_fill_(own, 0), 1).squeeze(1)
                for s in (similarity.T, similarity)]

    def match(self, image, ids, keep, similarity):
        B = len(image)
        i, t = self.draw_negatives(similarity)
        feats = [self.fuse(image, ids, keep), self.fuse(image[i], ids, keep),
                 self.fuse(image, ids[t], keep[t])]
        pooled = torch.tanh(self.pooler(torch.cat([f[:, 0] for f in feats])))
        labels = torch.zeros(3 * B, dtype=torch.long)
        labels[:B] = 1
        return F.cross_entropy(self.itm_score(pooled), labels)

    def pairs_loss(self, image, ids, keep, masked, labels):
        mlm = self.mlm_score(self.fuse(image, masked, keep)[:, :self.T], labels)
        itc, similarity = self.contrast(image, ids, keep)
        return 0.25 * mlm + itc + self.match(image, ids, keep, similarity)

    def text_loss(self, masked, keep, labels):
        x, _ = self.encode(self.embed_text(masked), "text", self.bias("text", keep))
        return self.mlm_score(self.transformer.norm(x), labels)

    def image_loss(self, image, mask):
        x, _ = self.encode(self.embed_image(image, mask), "imag", self.bias("imag"))
        patches = F.unfold(image, self.patch, stride=self.patch).transpose(1, 2)[mask]
        mean, var = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True, unbiased=True)
        target = (patches - mean) * torch.rsqrt(var + 1e-6)
        return F.mse_loss(self.mim_head(self.transformer.norm(x)[:, 1:][mask]), target)


def compile_blocks(model):
    torch._dynamo.config.recompile_limit = 64  # kinds of block x lengths
    for module in (*model.transformer.blocks, getattr(model, "mlm_score", None)):
        if module is not None:
            module.compile(dynamic=False)


class Encoder:
    """A stage-3 model's forward pass in evaluation, of one part: "image", "text" or "fusion"."""

    def __init__(self, part, batch, compiled, **model):
        self.part, self.B, self.size = part, batch, model["size"]
        self.vocabulary = model["vocabulary"]
        self.model = Vlmo("pairs", **model).eval()
        if compiled:
            compile_blocks(self.model)

    def make_batch(self):
        inputs = {}
        if self.part != "text":
            inputs["image"] = torch.randn(self.B, 3, self.size, self.size)
        if self.part != "image":
            inputs["ids"] = torch.randint(1000, self.vocabulary, (self.B, self.model.T))
        return inputs

    def step(self, inputs):
        with torch.inference_mode():
            return self.model.states(**inputs)


class Trainer:
    """A model, its AdamW and made-up batches."""

    def __init__(self, batch, compiled, dtype=None, **model):
        """dtype: of torch.autocast (None: everything in fp32); fp16 has dynamic loss scaling."""
        self.stage, self.B = model["stage"], batch
        device = torch.get_default_device().type
        self.cast = torch.autocast(device, dtype=dtype, enabled=dtype is not None)
        self.scaler = torch.amp.GradScaler(device, enabled=dtype is torch.float16)
        self.size, self.vocabulary = model["size"], model["vocabulary"]
        self.model = Vlmo(**model)
        self.loss = getattr(self.model, f"{self.stage}_loss")
        if compiled:
            compile_blocks(self.model)
        if torch.distributed.is_initialized():
            # DDP's forward is the loss, so that every parameter's gradient is reduced in backward.
            class Loss(nn.Module):
                def __init__(self, model, loss):
                    super().__init__()
                    self.model, self.loss = model, loss

                def forward(self, *batch):
                    return self.loss(*batch)
            self.loss = nn.parallel.DistributedDataParallel(Loss(self.model, self.loss), static_graph=True, gradient_as_bucket_view=True)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            [{"params": [p for p in trained if p.ndim >= 2], "weight_decay": 0.01},
             {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0}],
            lr=1e-4, betas=(0.9, 0.98), eps=1e-8, fused=True)

    def parameter_count(self):
        return sum(p.numel() for p in self.model.parameters())

    def make_text(self):
        B, T = self.B, self.model.T
        if self.stage == "text":
            length = torch.randint(60, T + 1, (B,))
        else:
            length = (12 + 3 * torch.randn(B)).round().long().clamp(6, T)
        at = torch.arange(T)
        keep = (at < length[:, None]).long()
        ids = torch.randint(1000, self.vocabulary, (B, T))
        ids[:, 0] = 101
        ids = torch.where(at == length[:, None] - 1, 102, ids) * keep
        word = (at > 0) & (at < length[:, None] - 1)
        rank = torch.rand(B, T).masked_fill_(~word, 2.0).argsort(1).argsort(1)
        chosen = rank < (0.15 * length).round().clamp(min=1)[:, None]
        return ids, keep, ids.masked_fill(chosen, 103), ids.masked_fill(~chosen, -100)

    def make_batch(self):
        if self.stage == "text":
            _, keep, masked, labels = self.make_text()
            return masked, keep, labels
        image = torch.randn(self.B, 3, self.size, self.size)
        if self.stage == "image":
            rank = torch.rand(self.B, self.model.P).argsort(1).argsort(1)
            return image, rank < round(0.4 * self.model.P)
        return (image, *self.make_text())

    def step(self, batch):
        self.optimiser.zero_grad(set_to_none=True)
        with self.cast:
            loss = self.loss(*batch)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return loss.item()
