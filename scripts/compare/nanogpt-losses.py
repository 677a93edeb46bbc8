"""Trains nanoGPT's own model from clm's initial weights on clm's micro-batches.

scripts/compare/nanogpt-losses.mjs runs it.

Reads parameters.json (names and shapes), parameters.bin (float32), batches.bin (int32: inputs (B,T), targets (B,T) of
each update), validation.bin (int32 token ids) and settings.json in --folder. Prints the losses as JSON.
"""

import argparse
import json
import math
import sys

import numpy as np
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--nanogpt", required=True, help="a checkout of nanoGPT")
parser.add_argument("--folder", required=True)
options = parser.parse_args()
sys.path.insert(0, options.nanogpt)
from model import GPT, GPTConfig  # noqa: E402

read = lambda name, dtype: np.fromfile(f"{options.folder}/{name}", dtype=dtype)  # noqa: E731
settings = json.load(open(f"{options.folder}/settings.json"))
steps, B, T, V = (settings[key] for key in ("steps", "microBatchSize", "contextLength", "vocabularySize"))
with torch.no_grad():
    size = dict(
        block_size=T, vocab_size=V, n_layer=settings["layers"], n_head=settings["heads"], n_embd=settings["width"]
    )
    model = GPT(GPTConfig(**size, dropout=0.0, bias=False))
    values, at = read("parameters.bin", np.float32), 0
    for entry in json.load(open(f"{options.folder}/parameters.json")):
        count = math.prod(entry["shape"])
        value = torch.from_numpy(values[at : at + count].reshape(entry["shape"]).copy())
        at += count
        parts = entry["name"].split(".")
        target = {"embedding.tokens": "transformer.wte.weight", "embedding.positions": "transformer.wpe.weight"}.get(
            entry["name"]
        )
        if parts[0] == "blocks" and parts[-1] == "weight":
            path = {
                "attention.queryKeyValue": "attn.c_attn",
                "attention.output": "attn.c_proj",
                "feedForward.up": "mlp.c_fc",
                "feedForward.down": "mlp.c_proj",
            }[".".join(parts[2:4])]
            target, value = f"transformer.h.{parts[1]}.{path}.weight", value.T  # clm's matrices are (inputs, outputs)
        if target is None:
            assert parts[-1] == "gain" and bool((value == 1).all()), entry["name"]  # nanoGPT's gains start at 1 too
        else:
            model.get_parameter(target).copy_(value)
    assert at == len(values)

peak, final, warmup = settings["learningRate"], settings["finalLearningRate"], settings["warmupSteps"]
optimizer = model.configure_optimizers(settings["weightDecay"], peak, settings["betas"], "cpu")
batches = torch.from_numpy(read("batches.bin", np.int32).astype(np.int64)).view(steps, 2, B, T)
losses = []
for step in range(steps):
    cosine = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
    rate = peak * (step + 1) / (warmup + 1) if step < warmup else final + cosine * (peak - final)
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = model(*batches[step])[1]
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings["gradientClip"])
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    losses.append(loss.item())
validation = torch.from_numpy(read("validation.bin", np.int32).astype(np.int64))
windows = (len(validation) - 1) // T
inputs, targets = validation[: windows * T].view(windows, T), validation[1 : windows * T + 1].view(windows, T)
with torch.no_grad():
    total = sum(model(x, y)[1].item() * len(x) for x, y in zip(inputs.split(64), targets.split(64)))
print(json.dumps({"losses": losses, "validationLoss": total / windows}))
