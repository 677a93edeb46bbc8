"""Makes test/fixtures/optimizers.json: three updates of each optimizer by PyTorch (2.9 or later), in float64.

    python scripts/make-optimizer-reference.py

torch.optim.Muon orthogonalises in bfloat16 whatever it is given; the reference keeps float64 there, too.
"""
import json
import os

import torch
from torch.optim import _muon

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
learning_rates = [0.01, 0.02, 0.015]
settings = dict(weightDecay=0.3, betas=[0.8, 0.97], epsilon=1e-5, momentum=0.9)
# A tall and a wide matrix, one of three maps side by side, one outside the blocks, and a vector; sizes distinct primes.
parameters = {
    "blocks.0.tall.weight": ([7, 3], None),
    "blocks.0.wide.weight": ([3, 11], None),
    "blocks.0.attention.queryKeyValue.weight": ([5, 13], [7, 3, 3]),
    "embedding.tokens": ([13, 2], None),
    "finalNorm.gain": ([5], None),
}


def in_float64(source):
    """The orthogonalisation of torch.optim.Muon without its cast."""
    import inspect

    text = inspect.getsource(source).replace("dtype=torch.bfloat16, copy=True", "dtype=torch.float64, copy=True")
    assert "bfloat16" not in text
    names = dict(vars(_muon))
    exec(text, names)
    return names[source.__name__]


_muon._zeropower_via_newtonschulz = in_float64(_muon._zeropower_via_newtonschulz)


def updates(kind):
    start = {name: torch.randn(shape) for name, (shape, _) in parameters.items()}
    gradients = [{name: torch.randn(shape) for name, (shape, _) in parameters.items()} for _ in learning_rates]
    tensors, groups = {}, {"muon": [], "matrices": [], "vectors": []}
    for name, (shape, parts) in parameters.items():
        pieces = start[name].split(parts or shape[-1], dim=-1)
        tensors[name] = [torch.nn.Parameter(piece.clone()) for piece in pieces]
        group = "vectors" if len(shape) == 1 else "muon" if kind == "muon" and name.startswith("blocks.") else "matrices"
        groups[group] += tensors[name]
    decay, betas, eps = settings["weightDecay"], tuple(settings["betas"]), settings["epsilon"]
    optimizers = [
        torch.optim.AdamW(
            [{"params": groups["matrices"], "weight_decay": decay}, {"params": groups["vectors"], "weight_decay": 0}],
            betas=betas,
            eps=eps,
        )
    ]
    if groups["muon"]:
        optimizers.append(
            torch.optim.Muon(groups["muon"], weight_decay=decay, momentum=settings["momentum"], adjust_lr_fn="match_rms_adamw")
        )
    after = []
    for rate, gradient in zip(learning_rates, gradients):
        for name, (shape, parts) in parameters.items():
            for parameter, piece in zip(tensors[name], gradient[name].split(parts or shape[-1], dim=-1)):
                parameter.grad = piece.clone()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        after.append({name: torch.cat([p.detach() for p in tensors[name]], dim=-1).flatten().tolist() for name in parameters})
    flat = lambda values: {name: value.flatten().tolist() for name, value in values.items()}
    return {"start": flat(start), "gradients": [flat(g) for g in gradients], "after": after}


fixture = {
    "torch": torch.__version__,
    "learningRates": learning_rates,
    "settings": settings,
    "parameters": {name: {"shape": shape, **({"parts": parts} if parts else {})} for name, (shape, parts) in parameters.items()},
    "adamw": updates("adamw"),
    "muon": updates("muon"),
}
rounded = json.loads(json.dumps(fixture), parse_float=lambda text: float(f"{float(text):.9g}"))
path = os.path.join(os.path.dirname(__file__), "..", "test", "fixtures", "optimizers.json")
os.makedirs(os.path.dirname(path), exist_ok=True)
with open(path, "w") as file:
    json.dump(rounded, file)
    file.write("\n")
