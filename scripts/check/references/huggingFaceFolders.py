"""Makes random Hugging Face folders, each with the logits that transformers computes from it, or its refusal.

    huggingFaceFolders.py FOLDER COUNT SEED

Each starts as a tiny random model that transformers saves, then is changed in up to three ways that folders of public
models show: other spellings of config.json, keys at two places, a prefix too few or too many, heads that are tied,
stored beside the embedding or alone, missing and additional tensors, shards, stale indexes, tokens that end texts.
FOLDER/folders.jsonl gets a line for each: {"name", "kind", "changes", "inputs", "logits"} or {…, "refusal"}. Two kinds
that transformers refuses are plain in what they mean, shards without a useful index and tied models that store the
head alone: their refusal comes with the logits of the same tensors as a whole file, "meant".
"""

import json, pathlib, random, sys
import torch
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
chance = random.Random(seed)
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


# Changes: each takes config, tensors and a dict of files to write beside, and returns whether it applied.


def version_4(config, tensors, files):
    parameters = config.pop("rope_parameters", None)
    if parameters:
        config["rope_theta"] = parameters.pop("rope_theta")
        config["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
        if config["rope_scaling"] and chance.random() < 0.5:
            config["rope_scaling"]["type"] = config["rope_scaling"].pop("rope_type")
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.40.0"
    return True


def two_thetas(config, tensors, files):
    if "rope_parameters" not in config:
        return False
    config["rope_theta"] = 77.0
    return True


def two_scalings(config, tensors, files):
    if "rope_parameters" not in config:
        return False
    config["rope_scaling"] = chance.choice([None, dict(rope_type="linear", factor=5.0), dict(type="linear", factor=5.0)])
    return True


def no_theta(config, tensors, files):
    if "rope_parameters" not in config:
        return False
    config["rope_parameters"].pop("rope_theta")
    return True


def default_left_out(config, tensors, files):
    key = chance.choice(["tie_word_embeddings", "hidden_act", "rms_norm_eps", "head_dim", "num_key_value_heads", "n_inner"])
    return config.pop(key, "absent") != "absent"


def harmless_keys(config, tensors, files):
    config.update(
        use_mrope=False, unsloth_fixed=True, n_special=0, predict_special_tokens=True, pretraining_tp=1, use_cache=False
    )
    return True


def no_prefix(config, tensors, files):
    prefix = "transformer." if config["model_type"] == "gpt2" else "model."
    for name in list(tensors):
        if name.startswith(prefix):
            tensors[name[len(prefix) :]] = tensors.pop(name)
    return True


def two_prefixes(config, tensors, files):
    for name in list(tensors):
        tensors[f"model.{name}"] = tensors.pop(name)
    return True


def other_head(config, tensors, files):
    embedding = embedding_of(tensors)
    tensors["lm_head.weight"] = torch.randn_like(tensors[embedding])
    return True


def equal_head(config, tensors, files):
    tensors["lm_head.weight"] = tensors[embedding_of(tensors)].clone()
    return True


def head_alone(config, tensors, files):
    tensors["lm_head.weight"] = tensors.pop(embedding_of(tensors))
    return True


def no_head(config, tensors, files):
    return tensors.pop("lm_head.weight", None) is not None


def other_tie(config, tensors, files):
    config["tie_word_embeddings"] = not config.get("tie_word_embeddings", True)
    return True


def missing_tensor(config, tensors, files):
    tensors.pop(chance.choice(sorted(tensors)))
    return True


def additional_tensor(config, tensors, files):
    layer = "h.0.attn" if config["model_type"] == "gpt2" else "model.layers.0.self_attn"
    name = chance.choice([f"{layer}.bias", f"{layer}.masked_bias", f"{layer}.rotary_emb.inv_freq", f"{layer}.surprise"])
    tensors[name] = torch.randn(3)
    return True


def additional_layer(config, tensors, files):
    for key in ("n_layer", "num_hidden_layers"):
        if key in config:
            config[key] += 1
    return True


def fewer_layers(config, tensors, files):
    for key in ("n_layer", "num_hidden_layers"):
        if config.get(key, 0) > 1:
            config[key] -= 1
            return True
    return False


def whole_beside_shards(config, tensors, files):
    files["shards"] = {name: torch.randn_like(tensor) for name, tensor in tensors.items()}
    files["index"] = "complete"
    return True


def shards(config, tensors, files):
    files["shards"] = dict(tensors)
    files["index"] = chance.choice(["complete", "complete", "none", "stale", "short"])
    files["whole"] = False
    return True


def single_shard(config, tensors, files):
    files["shards"], files["index"], files["whole"], files["count"] = dict(tensors), "complete", False, 1
    return True


def second_sizes(config, tensors, files):
    if config["model_type"] != "gpt2":
        return False
    config["hidden_size"] = chance.choice([15, 30])
    return True


def other_ends(config, tensors, files):
    files["generation"] = dict(eos_token_id=chance.choice([4, [4, 6], None]), temperature=0.5)
    return True


def half(config, tensors, files):
    to = chance.choice([torch.float16, torch.bfloat16])
    for name, tensor in tensors.items():
        tensors[name] = tensor.to(to)
    return True


CHANGES = [
    version_4, version_4, two_thetas, two_scalings, no_theta, default_left_out, harmless_keys, no_prefix, two_prefixes,
    other_head, equal_head, head_alone, no_head, other_tie, missing_tensor, additional_tensor, additional_layer,
    fewer_layers, whole_beside_shards, shards, single_shard, second_sizes, other_ends, half,
]  # fmt: skip


def embedding_of(tensors):
    return next(name for name in tensors if name.endswith(("wte.weight", "embed_tokens.weight")))


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
