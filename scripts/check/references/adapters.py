"""The Python half of scripts/check/references/adapters.mjs, which calls it:

adapters.py make FOLDER ROUNDS     random adapters of every fixture as PEFT saves them, with PEFT's logits
adapters.py compare FOLDER         loads the exports that FOLDER/exports.json names, adapters onto their bases, and
                                   compares their logits with clm's
"""

import importlib, json, pathlib, random, sys
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "fixtures"))
models = importlib.import_module("models")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def options(kind, dice):
    """Settings of LoraConfig, of which clm takes all but those of `odd`."""
    every = ["c_attn", "c_proj", "c_fc"] if kind.startswith("gpt2") else models_of_llama
    some = dice.sample(every, dice.randint(1, len(every)))
    targets = dice.choice([some, some, "all-linear", r".*\.\d+\..*(" + "|".join(some) + ")"])
    chosen = dict(r=dice.randint(1, 6), lora_alpha=dice.choice([1, 3, 16, 0.5]), target_modules=targets)
    if dice.random() < 0.3:
        chosen["use_rslora"] = True
    if dice.random() < 0.4:
        chosen["rank_pattern"] = {dice.choice([some[0], r"(h|layers)\.1\..*"]): dice.randint(1, 9)}
    if dice.random() < 0.4:
        chosen["alpha_pattern"] = {dice.choice([some[-1], r"(h|layers)\.0\..*" + some[0]]): 5}
    if isinstance(targets, list) and dice.random() < 0.3:
        chosen["layers_to_transform"] = dice.choice([0, [1], [0, 1]])
    if isinstance(targets, list) and len(some) > 1 and dice.random() < 0.2:
        chosen["exclude_modules"] = [some[0]]
    odd = dice.choice([{}, {}, {}, {}, dict(use_dora=True), dict(bias="all"), dict(modules_to_save=["lm_head"])])
    return chosen, odd


models_of_llama = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make(out, rounds):
    dice = random.Random(5)
    torch.manual_seed(5)
    for name in models.MODELS:
        for number in range(int(rounds)):
            chosen, odd = options(name, dice)
            base = load(models.OUT / name)
            config = LoraConfig(**chosen, **odd, task_type="CAUSAL_LM", fan_in_fan_out=name.startswith("gpt2"))
            model = get_peft_model(base, config).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter) * 0.3)
            folder = out / "adapters" / f"{name}-{number}"
            model.save_pretrained(folder)
            if chosen["target_modules"] == "all-linear":
                path = folder / "adapter_config.json"
                path.write_text(json.dumps({**json.loads(path.read_text()), "target_modules": "all-linear"}))
            ids = [dice.randrange(models.V) for _ in range(models.T)]
            loaded = PeftModel.from_pretrained(load(models.OUT / name), folder).eval()
            expected = dict(
                base=name, ids=ids, odd=list(odd), chosen=chosen, logits=logits_of(loaded, ids).flatten().tolist()
            )
            (folder / "expected.json").write_text(json.dumps(expected))


def compare(out):
    for export in json.loads((out / "exports.json").read_text()):
        model = load(export["base"] or export["folder"])
        if export["base"]:
            model = PeftModel.from_pretrained(model, export["folder"]).eval()
        logits = logits_of(model, export["ids"])
        own = torch.tensor(export["logits"]).view_as(logits)
        difference = ((logits - own).abs().max() / own.abs().max()).item()
        print(json.dumps(dict(name=export["name"], difference=difference)))


{"make": make, "compare": compare}[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])
