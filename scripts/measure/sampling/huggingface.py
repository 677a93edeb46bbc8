"""Greedy completions by transformers, timed on request: what scripts/measure/sampling.mjs runs beside clm.

huggingface.py make FOLDER     writes a random GPT-2 of 124M parameters, float32
huggingface.py serve FOLDER    answers JSON lines: {"batch","promptTokens","tokens"} → {"seconds"}
"""

import json
import sys
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

command, folder = sys.argv[1:]
if command == "make":
    torch.manual_seed(1)
    GPT2LMHeadModel(GPT2Config(bos_token_id=None, eos_token_id=None)).save_pretrained(folder)
else:
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    print(json.dumps({"version": sys.modules["transformers"].__version__, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        ids = torch.randint(256, (asked["batch"], asked["promptTokens"]))
        began = time.perf_counter()
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, max_new_tokens=asked["tokens"]
        )
        seconds = time.perf_counter() - began
        assert made.shape[1] == asked["promptTokens"] + asked["tokens"]
        print(json.dumps({"seconds": seconds}), flush=True)
