"""The loop anybody would write with transformers and peft: pad, forward, backward, step. The floor."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from persona_training.backends.padding import padded
from transformers import AutoModelForCausalLM

from training_ways.clock import Clock
from training_ways.work import LINEAR_LAYERS, RANK, Work, batches, conversations


def train(work: Work, folder: Path) -> dict[str, Any]:
    """Train the steps of `work` and measure."""
    del folder
    torch.manual_seed(work.seed)
    model = AutoModelForCausalLM.from_pretrained(work.model, **_loading(work))
    model.config.use_cache = False
    if work.four_bit:
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model)
    elif work.device == "cuda":
        model.to("cuda")
    lora = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LINEAR_LAYERS), task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
    if work.device == "cuda":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=2e-4)
    clock, tokens = Clock(work.device, work.warmup), 0
    for batch in batches(work, conversations(work)):
        rows = {name: tensor.to(work.device) for name, tensor in padded(batch, 0).items()}
        with torch.autocast("cuda", torch.bfloat16, enabled=work.device == "cuda"):
            loss = model(**rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        tokens += sum(example.length for example in batch)
        clock.step(tokens, float(loss.detach()))
    return clock.measured()


def _loading(work: Work) -> dict[str, Any]:
    if not work.four_bit:
        return {"dtype": getattr(torch, work.dtype)}
    from transformers import BitsAndBytesConfig

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
    return {"quantization_config": four_bit, "device_map": {"": 0}, "dtype": torch.bfloat16}
