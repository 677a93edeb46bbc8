"""Makes what scripts/check/references/completions.mjs compares clm with: random GPT-2 and Llama models with their
greedy completions by transformers, and what its logits processors keep of random logits.

    python scripts/check/references/completions.py FOLDER
"""

import json, pathlib, sys
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

torch.set_num_threads(1)  # the models are tiny
out = pathlib.Path(sys.argv[1])
characters = "".join(chr(c) for c in range(33, 33 + 59))
V, T, prompts, tokens = len(characters), 307, 20, 256
MODELS = {
    "gpt2": GPT2Config(
        vocab_size=V, n_positions=T, n_embd=48, n_layer=3, n_head=4, n_inner=83, bos_token_id=None, eos_token_id=None
    ),
    "llama": LlamaConfig(
        vocab_size=V,
        hidden_size=42,
        intermediate_size=71,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=T,
        bos_token_id=None,
        eos_token_id=None,
    ),
}
for name, config in MODELS.items():
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():  # far from the small initial values, or every completion would be one token over and over
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.25)
    folder = out / name
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(
        json.dumps({"format": "clm-tokenizer", "version": 1, "kind": "characters", "characters": characters})
    )
    lines = []
    for i in range(prompts):
        ids = torch.randint(V, (1, 1 + 2 * i))
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens, pad_token_id=0
        )[0, ids.shape[1] :]
        lines.append({"prompt": "".join(characters[j] for j in ids[0]), "tokenIds": made.tolist()})
    (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

torch.manual_seed(12)
cases, width = 1000, 997
settings, logits, scores = [], [], []
for i in range(cases):
    row = (torch.randn(width) * (0.5 + 4 * torch.rand(1))).float()
    one = lambda low, high: low + (high - low) * torch.rand(1).item()
    case = dict(
        temperature=one(0.2, 2),
        topK=int(one(1, width)) if i % 2 else None,
        topP=one(0.05, 0.999) if i % 3 else None,
        minP=one(0.001, 0.5) if i % 5 > 1 else None,
        repetitionPenalty=one(0.5, 2) if i % 7 > 2 else 1.0,
        seen=torch.randint(width, (23,)).tolist(),
        logitBias={str(int(one(0, width))): float(int(one(-9, 9)))},
    )
    x, ids = row.double()[None], torch.tensor([case["seen"]])
    steps = [SequenceBiasLogitsProcessor({(int(k),): v for k, v in case["logitBias"].items()})]
    steps += [RepetitionPenaltyLogitsProcessor(case["repetitionPenalty"])]
    steps += [TemperatureLogitsWarper(case["temperature"])]
    steps += [TopKLogitsWarper(case["topK"])] if case["topK"] else []
    steps += [TopPLogitsWarper(case["topP"])] if case["topP"] else []
    steps += [MinPLogitsWarper(case["minP"])] if case["minP"] else []
    for step in steps:
        x = step(ids, x)
    settings.append(case)
    logits.append(row)
    scores.append(x[0])
(out / "settings.json").write_text(json.dumps(settings))
torch.stack(logits).numpy().tofile(out / "logits.bin")
torch.stack(scores).double().numpy().tofile(out / "scores.bin")
