"""
What the `gguf` package reads of files, and what transformers computes with a folder. Prints JSON on stdout.

    readers.py fields FILE …     metadata; of each tensor shape, type and the SHA-256 of its float32 values; a line each
    readers.py logits FOLDER     of transformers, after each of the token ids on stdin
"""

import hashlib
import json
import sys


def fields(path: str) -> None:
    import numpy as np
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items() if not name.startswith('GGUF.')}
    tensors = {}
    for tensor in reader.tensors:
        values = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        shape = [int(size) for size in tensor.shape][::-1]
        digest = hashlib.sha256(values.tobytes()).hexdigest()
        tensors[tensor.name] = {'shape': shape, 'type': tensor.tensor_type.name, 'sha256': digest}
    print(json.dumps({'metadata': metadata, 'tensors': tensors}))


def logits(folder: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        print(json.dumps(model(torch.tensor([json.load(sys.stdin)])).logits[0].flatten().tolist()))


for argument in sys.argv[2:]:
    {'fields': fields, 'logits': logits}[sys.argv[1]](argument)
