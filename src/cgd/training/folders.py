"""Model folders that are complete: weights, configuration, tokenizer and chat template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cgd.config import TrainingConfig


def complete_folder(folder: Path, student: Path, config: TrainingConfig) -> None:
    """Make a folder with trained weights what the student's is: the same files, tokenizer and template unchanged."""
    for file in student.iterdir():
        weights = file.suffix in {".safetensors", ".gguf", ".bin"} or file.name.endswith(".index.json")
        if file.is_file() and not weights and not (folder / file.name).exists():
            shutil.copy2(file, folder / file.name)
    (folder / "training_args.bin").unlink(missing_ok=True)
    if config.dtype == "bfloat16":
        _round_weights(folder)


def merge_adapter(student: Path, adapter: Path, folder: Path, config: TrainingConfig) -> None:
    """Write the student with a saved adapter merged into its weights as a complete folder."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, config.dtype)
    model = AutoModelForCausalLM.from_pretrained(student, dtype=dtype, use_safetensors=True)
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(folder)
    complete_folder(folder, student, config)


def _round_weights(folder: Path) -> None:
    """Save float32 weights as bfloat16, the arithmetic they were trained for."""
    import torch
    from safetensors.torch import load_file, save_file

    for file in folder.glob("*.safetensors"):
        tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    path = folder / "config.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, "dtype": "bfloat16"}, indent=2) + "\n")
