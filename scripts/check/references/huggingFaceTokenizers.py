"""Hugging Face's side of check-tokenizers.mjs: trains tokenizers of every kind, and encodes texts with them."""

import json, sys, time
import numpy as np
from tokenizers import Tokenizer, AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

END = AddedToken("<|endoftext|>", special=True, normalized=False)
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CAPITALS, OTHERS, CONTRACTIONS = (
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?" + CAPITALS + "*" + OTHERS + "+" + CONTRACTIONS + "?",
        r"[^\r\n\p{L}\p{N}]?" + CAPITALS + "+" + OTHERS + "*" + CONTRACTIONS + "?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def documents(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def texts(path):
    for text, _ in documents(path):
        yield text


def byte_level(pre_tokenizer, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def make(kind):
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "gpt2":
        return byte_level(plain)
    if kind == "roberta":
        return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    if kind == "llama3":
        return byte_level(split(LLAMA3), ignore_merges=True)
    if kind == "o200k":
        return byte_level(split(O200K), ignore_merges=True)
    if kind == "qwen2":
        tokenizer = byte_level(split(QWEN2))
        tokenizer.normalizer = normalizers.NFC()
        return tokenizer
    if kind == "smollm":
        return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain]))
    if kind == "llama2":
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        # for training only, so that no token spans a space, as SentencePiece has it
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"▁+[^▁]*"), "isolated")
        return tokenizer
    raise ValueError(kind)


def train(kind, sources, size, output):
    tokenizer = make(kind)
    if kind == "llama2":
        special = [
            AddedToken(t, special=True, normalized=False)
            for t in ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
        ]
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, limit_alphabet=1000, show_progress=False)
    else:
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    start = time.time()
    tokenizer.train_from_iterator(texts(sources), trainer)
    seconds = time.time() - start
    if kind == "llama2":
        tokenizer.pre_tokenizer = None
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    if kind == "llama3":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
    if kind == "qwen2":
        tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("café", normalized=True)])
    if kind == "roberta":
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
        tokenizer.add_tokens(
            [
                AddedToken("<r>", rstrip=True, normalized=False),
                AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
                AddedToken("word", single_word=True, normalized=False),
            ]
        )
    saved = json.loads(tokenizer.to_str())
    if kind == "llama2":  # bytes are vocabulary, not special tokens
        saved["added_tokens"] = saved["added_tokens"][:3]
    with open(output, "w") as file:
        json.dump(saved, file, ensure_ascii=False)
    print(json.dumps({"seconds": seconds}))


def encode(path, sources, output, special):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = not special
    with open(output, "wb") as file:
        for text, composed in documents(sources):
            if tokenizer.normalizer is not None and tokenizer.model.byte_fallback is not True:
                # the tables of tokenizers are older than Node's: text with later combining characters is left out
                if tokenizer.normalizer.normalize_str(text) != composed:
                    file.write(np.array([-1], dtype="<i4").tobytes())
                    continue
            ids = tokenizer.encode(text).ids
            file.write(np.array([len(ids)] + ids, dtype="<i4").tobytes())


def fixture(kind, training, sources, size, output):
    """A small tokenizer, the texts it was trained on, and the ids of texts, for the tests."""
    train(kind, training, size, output)
    with open(output) as file:
        saved = json.load(file)
    tokenizer = Tokenizer.from_file(output)
    cases = []
    for text in texts(sources):
        tokenizer.encode_special_tokens = True
        case = {"text": text, "ids": tokenizer.encode(text).ids}
        tokenizer.encode_special_tokens = False
        case["idsWithSpecialTokens"] = tokenizer.encode(text).ids
        cases.append(case)
    training_texts = list(texts(training)) if kind == "gpt2" else []
    with open(output, "w") as file:
        json.dump(
            {"tokenizer": saved, "trainingTexts": training_texts, "cases": cases},
            file,
            ensure_ascii=False,
            separators=(",", ":"),
        )


if sys.argv[1] == "fixture":
    fixture(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6])
elif sys.argv[1] == "train":
    train(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
else:
    encode(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5] == "special")
