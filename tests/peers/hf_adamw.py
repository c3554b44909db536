"""AdamW as the official VLMo code runs it (transformers 4.8), in plain PyTorch: part of the goldens' oracle."""

import torch


def decays(name):
    """The official list of what does not decay: parts of names."""
    return not any(part in name for part in ("bias", "LayerNorm.weight", "norm.weight",
                                             "norm1.weight", "norm2.weight"))


def adamw(p, loss_of_step, rates, decay=0.01, beta1=0.9, beta2=0.98, eps=1e-8):
    """AdamW in the form of transformers 4.8: eps beside the uncorrected second moment, decay after
    the update and on what it left; parameters without a gradient are passed over. Returns the
    losses."""
    moments = {k: (torch.zeros_like(v), torch.zeros_like(v)) for k, v in p.items()}
    losses = []
    for t, lr in enumerate(rates):
        for v in p.values():
            v.grad = None
        loss = loss_of_step(p, t)
        loss.backward()
        losses.append(loss.item())
        correction = (1 - beta2 ** (t + 1)) ** 0.5 / (1 - beta1 ** (t + 1))
        with torch.no_grad():
            for name, w in p.items():
                if w.grad is None:
                    continue
                m, v = moments[name]
                m.mul_(beta1).add_(w.grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(w.grad, w.grad, value=1 - beta2)
                w.sub_(lr * correction * m / (v.sqrt() + eps))
                if decays(name):
                    w.sub_(lr * decay * w)
    return losses
