"""Makes test/huggingface/fixtures: random tiny models of each kind as transformers saves them, with their logits, loss
and gradients in float32, and loss and gradient norm of three updates by AdamW. Run it with a Python that has torch, transformers and safetensors:

    python scripts/make-reference.py

Every size is different, so that two of them exchanged cannot go unnoticed. Weights are far from their usual small
initial values, or half of the mathematics would not show.
"""
import json, pathlib, shutil
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, SmolLM3Config

OUT = pathlib.Path(__file__).parent.parent / "test" / "huggingface" / "fixtures"
CHARACTERS = "abcdefghijklm"
# A clip that takes hold, and an epsilon above the rounding of gradients that are zero but for it (the keys' biases).
UPDATE = dict(learningRate=0.01, betas=[0.8, 0.95], epsilon=1e-4, weightDecay=0.2, gradientClip=0.5)
V, B, T = len(CHARACTERS), 2, 7

gpt2 = dict(vocab_size=V, n_positions=T, n_embd=15, n_layer=2, n_head=3, n_inner=23, bos_token_id=None, eos_token_id=None)
llama = dict(vocab_size=V, hidden_size=30, intermediate_size=29, num_hidden_layers=2, num_attention_heads=6,
             num_key_value_heads=2, head_dim=4, max_position_embeddings=T, bos_token_id=None, eos_token_id=None)
llama3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32, rope_theta=500.0)

# name: configuration, type of the file, options
MODELS = {
    "gpt2": (GPT2Config(**gpt2), torch.float32, {}),
    "gpt2-untied": (GPT2Config(**gpt2, tie_word_embeddings=False, layer_norm_epsilon=1e-3), torch.float32, {}),
    "llama": (LlamaConfig(**llama, rope_parameters=llama3, rms_norm_eps=1e-2), torch.float32, {}),
    "llama-biases": (LlamaConfig(**{**llama, "num_key_value_heads": 6}, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                                 rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=700.0)), torch.float32, {"version": 4}),
    "smollm": (LlamaConfig(**{**llama, "vocab_size": V + 3, "hidden_size": 18, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 2},
                           tie_word_embeddings=True), torch.float32, {"version": 4}),
    "mistral": (MistralConfig(**llama, sliding_window=T), torch.bfloat16, {"shards": True}),
    "qwen2": (Qwen2Config(**{k: v for k, v in llama.items() if k not in ("head_dim", "hidden_size")}, hidden_size=24), torch.float16, {}),
    "qwen3": (Qwen3Config(**llama, tie_word_embeddings=True), torch.float32, {"version": 4}),
    "llama-attention-biases": (LlamaConfig(**llama, attention_bias=True), torch.float32, {}),
    "smollm3": (SmolLM3Config(**{**{k: v for k, v in llama.items() if k != "head_dim"}, "hidden_size": 24, "num_hidden_layers": 3},
                              no_rope_layer_interval=2, pad_token_id=None), torch.float32, {}),
}


def as_transformers_4(config):
    """Where version 4 wrote what version 5 writes elsewhere."""
    rope = config.pop("rope_parameters", None)
    if rope:
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.57.1"


def updates(folder, inputs, targets):
    """Loss and gradient norm before each of three updates, and the loss after them."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    matrices, vectors = ([p for p in model.parameters() if (p.dim() > 1) == is_matrix] for is_matrix in (True, False))
    groups = [{"params": matrices, "weight_decay": UPDATE["weightDecay"]}, {"params": vectors, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, lr=UPDATE["learningRate"], betas=UPDATE["betas"], eps=UPDATE["epsilon"])
    steps = []
    for step in range(4):
        loss = torch.nn.functional.cross_entropy(model(inputs, use_cache=False).logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), UPDATE["gradientClip"])
        optimizer.step()
        steps.append(dict(loss=loss.item(), gradientNorm=norm.item()))
    return steps


def make(name, config, dtype, options):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(sum(map(ord, name)))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.randn_like(parameter) * 0.3 + (1 if parameter.dim() == 1 else 0)).to(dtype).float())
    model.to(dtype).save_pretrained(folder, max_shard_size="3KB" if options.get("shards") else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    # Read back, since half a model's RoPE frequencies would be half numbers too.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    inputs, targets = torch.randint(V, (B, T)), torch.randint(V, (B, T))
    logits = model(inputs, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    (folder / "gradients").mkdir()
    save_file({n: p.grad for n, p in model.named_parameters()}, folder / "gradients" / "model.safetensors")

    path = folder / "config.json"
    written = json.loads(path.read_text())
    if options.get("version") == 4:
        as_transformers_4(written)
    path.write_text(json.dumps(written, indent=1) + "\n")
    (folder / "tokenizer.json").write_text(
        json.dumps({"format": "clm-tokenizer", "version": 1, "kind": "characters", "characters": CHARACTERS}) + "\n")
    reference = dict(inputs=inputs.flatten().tolist(), targets=targets.flatten().tolist(),
                     loss=loss.item(), logits=logits.detach().flatten().tolist(),
                     update=UPDATE, steps=updates(folder, inputs, targets))
    (folder / "reference.json").write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    for name, (config, dtype, options) in MODELS.items():
        make(name, config, dtype, options)
        print(name, sorted(path.name for path in (OUT / name).iterdir()))
