"""Ways in which folders of public models differ from what transformers saves today, for huggingFaceFolders.py.

Each takes the config, the tensors and what to write beside them, changes them, and returns whether it applied: "shards"
(tensors by name), "index" (complete, none, stale, short), "whole" (False: no model.safetensors), "count" of shards, and
"generation" (generation_config.json).
"""

import random
import torch

chance = random.Random()


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
    linear = dict(rope_type="linear", factor=5.0)
    config["rope_scaling"] = chance.choice([None, linear, dict(type="linear", factor=5.0)])
    return True


def no_theta(config, tensors, files):
    if "rope_parameters" not in config:
        return False
    config["rope_parameters"].pop("rope_theta")
    return True


def default_left_out(config, tensors, files):
    keys = ["tie_word_embeddings", "hidden_act", "rms_norm_eps", "head_dim", "num_key_value_heads", "n_inner"]
    key = chance.choice(keys)
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
