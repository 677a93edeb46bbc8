"""The other side of measure-tokenizers.mjs: tiktoken and Hugging Face's tokenizers on the same texts, a time a line.

speed.py tiktoken RANKS TEXTS | huggingface TOKENIZER TEXTS | train SIZE TEXTS
Each line of input asks for one round; what a package that is not installed would do is answered with {"missing": NAME}.
"""

import base64, json, os, sys, time

what, argument, sources = sys.argv[1:]
os.environ["TOKENIZERS_PARALLELISM"] = "true" if what == "train" else "false"
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def rounds():
    with open(sources, encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    if what == "tiktoken":
        import tiktoken

        with open(argument) as file:
            ranks = {base64.b64decode(token): rank for rank, token in enumerate(json.load(file))}
        encoding = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
        return lambda: sum(len(encoding.encode_ordinary(text)) for text in texts)
    if what == "huggingface":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(argument)
        tokenizer.encode_special_tokens = True
        return lambda: sum(len(tokenizer.encode(text).ids) for text in texts)
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    def train():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=int(argument),
            special_tokens=[AddedToken("<|endoftext|>")],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return tokenizer.get_vocab_size()

    return train


try:
    run = rounds()
except ImportError as error:
    print(json.dumps({"missing": error.name}), flush=True)
    sys.exit()
print(json.dumps({"ready": True}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    tokens = run()
    print(json.dumps({"seconds": time.perf_counter() - start, "tokens": tokens}), flush=True)
