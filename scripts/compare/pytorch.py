"""The training step of the same decoder in PyTorch, timed: what scripts/compare/pytorch.mjs runs beside clm.

Prints one JSON object: the median of whole steps (forward, backward, clip, AdamW) in ms, and the peak memory. Written
as PyTorch users would write it for speed: fused attention, fused AdamW, torch.compile, autocast for bfloat16. With the
variables of torchrun in the environment it is one of several processes of DistributedDataParallel over gloo, what
scripts/compare/processes.mjs runs.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
for name in ("layers", "heads", "width", "context", "batch", "vocabulary", "steps"):
    parser.add_argument(f"--{name}", type=int, required=True)
parser.add_argument("--precision", choices=["float32", "bfloat16"], required=True)
parser.add_argument("--family", choices=["gpt2", "llama"], default="gpt2")
parser.add_argument("--micro-batches", type=int, default=1, help="a step and process")
parser.add_argument("--eager", action="store_true", help="without torch.compile")
options = parser.parse_args()
B, T, C, V = options.batch, options.context, options.width, options.vocabulary
is_llama, D = options.family == "llama", options.width // options.heads
F_width = (8 * C // 3 + 63) // 64 * 64 if is_llama else 4 * C
angles = torch.arange(T)[:, None] * 10000.0 ** (-2 * torch.arange(D // 2) / D)
cosines, sines = angles.cos(), angles.sin()


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(C))

    def forward(self, x):
        return F.rms_norm(x, (C,), self.gain, 1e-5) if is_llama else F.layer_norm(x, (C,), self.gain, None, 1e-5)


def rotate(x):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cosines - b * sines, b * cosines + a * sines), dim=-1).type_as(x)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = Norm(), Norm()
        self.query_key_value = nn.Linear(C, 3 * C, bias=False)
        self.output = nn.Linear(C, C, bias=False)
        self.up, self.down = nn.Linear(C, F_width, bias=False), nn.Linear(F_width, C, bias=False)
        if is_llama:
            self.gate = nn.Linear(C, F_width, bias=False)

    def forward(self, x):
        parts = self.query_key_value(self.attention_norm(x)).split(C, dim=2)
        q, k, v = (part.view(x.shape[0], T, options.heads, -1).transpose(1, 2) for part in parts)
        if is_llama:
            q, k = rotate(q), rotate(k)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(seen.transpose(1, 2).reshape(x.shape))
        y = self.feed_forward_norm(x)
        if is_llama:
            return x + self.down(F.silu(self.gate(y)) * self.up(y))
        return x + self.down(F.gelu(self.up(y), approximate="tanh"))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(V, C)
        self.positions = None if is_llama else nn.Embedding(T, C)
        self.blocks = nn.ModuleList(Block() for _ in range(options.layers))
        self.norm = Norm()
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, inputs, targets):
        x = self.tokens(inputs) if is_llama else self.tokens(inputs) + self.positions.weight
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, V).float(), targets.view(-1))


torch.manual_seed(1337)
decoder = Decoder()
run = decoder if options.eager else torch.compile(decoder)
is_distributed = "RANK" in os.environ
if is_distributed:
    torch.distributed.init_process_group("gloo")
    run = nn.parallel.DistributedDataParallel(run)
matrices = [p for p in decoder.parameters() if p.dim() == 2]
vectors = [p for p in decoder.parameters() if p.dim() < 2]
groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
ids = torch.randint(V, (B, T + 1))
inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def step():
    for micro_batch in range(options.micro_batches):
        # Gradients are exchanged after the last micro-batch alone.
        is_exchanged = not is_distributed or micro_batch == options.micro_batches - 1
        with contextlib.nullcontext() if is_exchanged else run.no_sync():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bfloat16"):
                loss = run(inputs, targets) / options.micro_batches
            loss.backward()
    torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


for _ in range(3 if options.micro_batches == 1 else 1):
    step()
milliseconds = []
for _ in range(options.steps):
    began = time.perf_counter()
    step()
    milliseconds.append((time.perf_counter() - began) * 1000)
peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"msPerStep": statistics.median(milliseconds), "peakMib": peak_mib, "version": torch.__version__}))
