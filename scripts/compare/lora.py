"""LoRA by PEFT on PyTorch: what lora.mjs runs beside clm.

lora.py make FOLDER                       writes a random model of the size of SmolLM2-135M
lora.py train FOLDER TEXT STEPS THREADS   trains an adapter; prints milliseconds and losses of the steps
"""

import json
import random
import sys
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, logging

logging.disable_progress_bar()
command, folder, *rest = sys.argv[1:]
SIZES = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9)
OTHER = dict(num_key_value_heads=3, vocab_size=49152, max_position_embeddings=2048, tie_word_embeddings=True)
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make() -> None:
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig(**SIZES, **OTHER, bos_token_id=None, eos_token_id=None)).save_pretrained(folder)


def windows(text: str) -> list[list[int]]:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(Path(folder, "tokenizer.json")))
    ids = tokenizer(Path(text).read_text(errors="replace"), add_special_tokens=False)["input_ids"]
    made = [ids[i : i + 257] for i in range(0, len(ids) - 257, 256)]
    random.Random(1).shuffle(made)
    return made


def train(text: str, steps: int, threads: int) -> None:
    from peft import LoraConfig, get_peft_model

    torch.set_num_threads(threads)
    base = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)  # attention: sdpa, the fast one
    model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS)).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, fused=True)
    data = windows(text)
    milliseconds, losses = [], []
    for step in range(steps):
        began = time.perf_counter()
        ids = torch.tensor([data[step % len(data)]])
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[0], ids[0, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        milliseconds.append((time.perf_counter() - began) * 1000)
    print(json.dumps({"milliseconds": milliseconds, "losses": losses}))


if command == "make":
    make()
else:
    train(rest[0], int(rest[1]), int(rest[2]))
