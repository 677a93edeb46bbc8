"""The Python half of scripts/check/references/transformers.mjs, which calls it:

huggingFaceModels.py make FOLDER        every fixture in each number format, config.json of transformers 4 and 5,
                                         one file or shards, with transformers' logits of the stored weights
huggingFaceModels.py compare FOLDER     loads the exports that FOLDER/exports.json names and compares their logits
                                         and token ids with clm's
"""

import importlib, json, pathlib, sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "fixtures"))
reference = importlib.import_module("models")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def make(out):
    for name in reference.MODELS:
        fixture = reference.OUT / name
        inputs = json.loads((fixture / "reference.json").read_text())["inputs"][: reference.T]
        for dtype in ("float32", "float16", "bfloat16"):
            model = load(fixture).to(getattr(torch, dtype))
            for version in (4, 5):
                for shards in (False, True):
                    folder = out / f"{name}-{dtype}-{version}-{'shards' if shards else 'one'}"
                    model.save_pretrained(folder, max_shard_size="1KB" if shards else "1GB")
                    assert len(list(folder.glob("*.safetensors"))) > (3 if shards else 0)
                    logits = load(folder)(torch.tensor([inputs]), use_cache=False).logits
                    (folder / "expected.json").write_text(
                        json.dumps(dict(inputs=inputs, logits=logits.detach().flatten().tolist()))
                    )
                    path = folder / "config.json"
                    written = json.loads(path.read_text())
                    if version == 4:
                        reference.as_transformers_4(written)
                        assert "dtype" not in written and "rope_parameters" not in written
                    path.write_text(json.dumps(written))
                    (folder / "tokenizer.json").write_text((fixture / "tokenizer.json").read_text())


def compare(folder):
    for export in json.loads((folder / "exports.json").read_text()):
        model, tokenizer = load(export["folder"]), AutoTokenizer.from_pretrained(export["folder"])
        ids = export["tokenIds"]
        assert tokenizer.encode(export["text"], add_special_tokens=False) == ids
        assert tokenizer.decode(ids) == export["text"]
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
        own = torch.tensor(export["logits"]).view_as(logits)
        difference = ((logits - own).abs().max() / own.abs().max()).item()
        print(json.dumps(dict(name=export["name"], loaded=type(model).__name__, difference=difference)))


{"make": make, "compare": compare}[sys.argv[1]](pathlib.Path(sys.argv[2]))
