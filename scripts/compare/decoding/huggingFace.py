"""A random model of the Llama kind, and transformers completing with it: what decoding.mjs runs beside clm.

huggingFace.py make FOLDER           writes the model (126M parameters, 16 layers, float32) for transformers
huggingFace.py gguf FOLDER FILE TYPE writes it for llama.cpp, in F32, BF16 or Q8_0
huggingFace.py serve FOLDER DTYPE    answers JSON lines: {"batch","promptTokens","tokens"} → {"seconds"}
huggingFace.py first FOLDER          prints milliseconds from the start of the process to the first token
"""

import json
import sys
import time
from pathlib import Path

command, folder, *rest = sys.argv[1:]
SIZES = dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=16, num_attention_heads=12)
OTHER = dict(num_key_value_heads=4, vocab_size=32768, max_position_embeddings=8192, tie_word_embeddings=True)
GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def make() -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(**SIZES, **OTHER, bos_token_id=None, eos_token_id=None)
    LlamaForCausalLM(config).save_pretrained(folder)


def write_gguf(file: str, kind: str) -> None:
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    quantisation = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_file_type({"F32": 0, "BF16": 32, "Q8_0": 7}[kind])
    writer.add_context_length(OTHER["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(OTHER["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(64)
    vocabulary = json.loads(Path(folder, "tokenizer.json").read_text())["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges([f"{tokens[0]} {tokens[1]}"])
    for name, values in load_file(str(Path(folder, "model.safetensors"))).items():
        parts = name.split(".")
        if name == "model.embed_tokens.weight":
            target = "token_embd.weight"
        elif name == "model.norm.weight":
            target = "output_norm.weight"
        else:
            target = f"blk.{parts[2]}.{GGUF_NAMES['.'.join(parts[3:-1])]}.weight"
        heads = SIZES["num_attention_heads"] if "q_proj" in name else OTHER["num_key_value_heads"]
        if "q_proj" in name or "k_proj" in name:  # llama.cpp rotates neighbours
            values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        values = np.ascontiguousarray(values, np.float32)
        if values.ndim == 2 and kind != "F32":
            writer.add_tensor(target, gguf.quantize(values, quantisation), raw_dtype=quantisation)
        else:
            writer.add_tensor(target, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def completer(dtype: str):
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def complete(batch: int, prompt_tokens: int, tokens: int) -> float:
        ids = torch.randint(256, (batch, prompt_tokens))
        began = time.perf_counter()
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, max_new_tokens=tokens
        )
        assert made.shape[1] == prompt_tokens + tokens
        return time.perf_counter() - began

    return complete


def age_of_process() -> float:
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - started / 100


if command == "make":
    make()
elif command == "gguf":
    write_gguf(*rest)
elif command == "first":
    completer("float32")(1, 8, 1)
    print(json.dumps({"ms": 1000 * age_of_process()}))
else:
    complete = completer(rest[0])
    print(json.dumps({"version": sys.modules["transformers"].__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"seconds": complete(asked["batch"], asked["promptTokens"], asked["tokens"])}), flush=True)
