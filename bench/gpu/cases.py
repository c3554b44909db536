"""The shapes that mome_bench_gpu and its PyTorch peers both run (bench/gpu/cases.h says the same).

Letters: B sequences, N tokens, H heads, d head dim, R rows, D width, F hidden.
"""

# name: (B, N); H 12, d 64. 197, 577: images of 224 and 384 pixels; 237: with 40 text tokens; 901: 480 pixels.
ATTENTION = {"N197": (64, 197), "N237": (64, 237), "N577": (16, 577), "N901": (8, 901)}
HEADS, HEAD_DIM = 12, 64
# name: rows; D 768: a batch of 64 images, and of 64 pairs.
NORM_ROWS = {"R12608": 12608, "R15168": 15168}
WIDTH, HIDDEN = 768, 3072
EXPERT_ROWS = {"R12608": 12608, "R2560": 2560}
