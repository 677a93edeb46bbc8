"""Makes random Hugging Face folders, each with the logits that transformers computes from it, or its refusal.

    huggingFaceFolders.py FOLDER COUNT SEED

Each starts as a tiny random model that transformers saves, then is changed in up to three ways that folders of public
models show: other spellings of config.json, keys at two places, a prefix too few or too many, heads that are tied,
stored beside the embedding or alone, missing and additional tensors, shards, stale indexes, tokens that end texts.
FOLDER/folders.jsonl gets a line for each: {"name", "kind", "changes", "inputs", "logits"} or {…, "refusal"}. Two
kinds that transformers refuses are plain in what they mean, shards without a useful index and tied models that store
the head alone: their refusal comes with the logits of the same tensors as a whole file, "meant".
"""

import json, pathlib, sys
import torch
from folderChanges import CHANGES, chance
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
    logging,
)

logging.set_verbosity_error()
logging.disable_progress_bar()
out, count, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance.seed(seed)
CHARACTERS = "abcdefghijklm"
V, T = len(CHARACTERS), 9


def llama_sizes():
    heads, shared = chance.choice([(6, 2), (4, 4), (4, 1), (6, 3)])
    size = chance.choice([2, 4, 6])
    return dict(
        vocab_size=V + chance.choice([0, 0, 3]),
        hidden_size=heads * size,
        intermediate_size=chance.choice([17, 29]),
        num_hidden_layers=chance.choice([1, 2]),
        num_attention_heads=heads,
        num_key_value_heads=shared,
        head_dim=size,
        max_position_embeddings=T,
        tie_word_embeddings=chance.random() < 0.5,
        rms_norm_eps=chance.choice([1e-6, 1e-5, 1e-2]),
        rope_parameters=rope(),
        bos_token_id=None,
        eos_token_id=chance.choice([None, 3, [3, 5]]),
    )


def rope():
    theta = chance.choice([10000.0, 500.0, 1e6])
    kind = chance.choice(["default", "default", "linear", "llama3"])
    if kind == "linear":
        return dict(rope_type=kind, rope_theta=theta, factor=chance.choice([2.0, 3.0]))
    if kind == "llama3":
        return dict(
            rope_type=kind,
            rope_theta=theta,
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        )
    return dict(rope_type=kind, rope_theta=theta)


def without_head_size(sizes):
    return {key: value for key, value in sizes.items() if key != "head_dim"}


def gpt2():
    return GPT2Config(
        vocab_size=V,
        n_positions=T,
        n_embd=15,
        n_layer=chance.choice([1, 2]),
        n_head=3,
        n_inner=chance.choice([None, 23]),
        tie_word_embeddings=chance.random() < 0.7,
        layer_norm_epsilon=chance.choice([1e-5, 1e-3]),
        bos_token_id=None,
        eos_token_id=chance.choice([None, 3]),
    )


KINDS = {
    "gpt2": gpt2,
    "llama": lambda: LlamaConfig(**llama_sizes(), attention_bias=chance.random() < 0.3, mlp_bias=chance.random() < 0.3),
    "mistral": lambda: MistralConfig(**llama_sizes(), sliding_window=chance.choice([None, T, 4])),
    "qwen2": lambda: Qwen2Config(**without_head_size(llama_sizes()), use_sliding_window=chance.random() < 0.2),
    "qwen3": lambda: Qwen3Config(**llama_sizes(), attention_bias=chance.random() < 0.3),
    "smollm3": lambda: SmolLM3Config(**without_head_size(llama_sizes()), no_rope_layer_interval=2, pad_token_id=None),
}


def write(folder, config, tensors, files):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(
        json.dumps({"format": "clm-tokenizer", "version": 1, "kind": "characters", "characters": CHARACTERS})
    )
    if "generation" in files:
        (folder / "generation_config.json").write_text(json.dumps(files["generation"]))
    if files.get("whole", True):
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    if "shards" not in files:
        return
    parts = files.get("count", 2)
    names = [f"model-{i + 1:05}-of-{parts:05}.safetensors" for i in range(parts)]
    held = {name: dict(list(files["shards"].items())[i::parts]) for i, name in enumerate(names)}
    for name, part in held.items():
        save_file(part, folder / name, metadata={"format": "pt"})
    if files["index"] == "none":
        return
    where = {tensor: name for name, part in held.items() for tensor in part}
    if files["index"] == "stale":
        where = {tensor: name.replace(f"of-{parts:05}", "of-00007") for tensor, name in where.items()}
    if files["index"] == "short":
        where.pop(chance.choice(sorted(where)))
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=where)))


def answer(folder, inputs):
    """Logits, or why there are none: what transformers itself makes up at random is a refusal too."""
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    except Exception as error:
        return dict(refusal=f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}")
    if info["missing_keys"] or info["mismatched_keys"]:
        return dict(refusal=f"missing {sorted(info['missing_keys'])[:2]}")
    logits = model.eval()(torch.tensor([inputs]), use_cache=False).logits
    return dict(logits=logits.detach().flatten().tolist())


def meant(folder, config, tensors, files, inputs):
    """The answer for the same tensors in one file, with the head of a tied model as its embedding."""
    whole = dict(files.get("shards", tensors) if not files.get("whole", True) else tensors)
    name = "transformer.wte.weight" if config["model_type"] == "gpt2" else "model.embed_tokens.weight"
    if config.get("tie_word_embeddings", config["model_type"] == "gpt2") and "lm_head.weight" in whole:
        whole.setdefault(name, whole["lm_head.weight"])
    write(folder, config, whole, {})
    return answer(folder, inputs).get("logits")


with open(out / "folders.jsonl", "w") as lines:
    for i in range(count):
        kind = chance.choice(sorted(KINDS))
        torch.manual_seed(chance.randrange(2**31))
        model = AutoModelForCausalLM.from_config(KINDS[kind](), attn_implementation="eager")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3 + (1 if parameter.dim() == 1 else 0))
        original = out / "original"
        model.save_pretrained(original)
        config = json.loads((original / "config.json").read_text())
        tensors = load_file(original / "model.safetensors")
        for file in original.iterdir():
            file.unlink()
        files, changes = {}, []
        for change in chance.sample(CHANGES, chance.choice([0, 1, 1, 2, 2, 3])):
            try:
                if change(config, tensors, files):
                    changes.append(change.__name__)
            except (StopIteration, KeyError):
                pass  # an earlier change took away what this one needs
        name = f"{i:05}-{kind}"
        write(out / name, config, tensors, files)
        inputs = [chance.randrange(V) for _ in range(T)]
        line = dict(name=name, kind=kind, changes=changes, inputs=inputs, **answer(out / name, inputs))
        if "refusal" in line and {"shards", "head_alone"} & set(changes):
            line["meant"] = meant(out / f"{name}-meant", config, tensors, files, inputs)
        lines.write(json.dumps(line) + "\n")
