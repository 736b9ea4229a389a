"""TRL's SFTTrainer, with a plain model or with Unsloth's: their own recipes on the same conversations."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from training_ways.clock import Clock
from training_ways.work import LINEAR_LAYERS, RANK, Work, conversations


class _Timed(TrainerCallback):
    """Tells the clock of every step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if "loss" in given["logs"]:
            self.clock.step(int(state.num_input_tokens_seen), float(given["logs"]["loss"]))


def train(work: Work, folder: Path) -> dict[str, Any]:
    """A transformers model under peft in SFTTrainer."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM

    from training_ways.plain import _loading

    torch.manual_seed(work.seed)
    model = AutoModelForCausalLM.from_pretrained(work.model, **_loading(work))
    lora = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LINEAR_LAYERS), task_type="CAUSAL_LM")
    return _fit(work, folder, model, None, packing=False, peft_config=lora)


def train_unsloth(work: Work, folder: Path) -> dict[str, Any]:
    """Unsloth's published recipe: FastLanguageModel, its own checkpointing, SFTTrainer, packing where rows are short."""
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        work.model, max_seq_length=work.length, dtype=getattr(torch, work.dtype), load_in_4bit=work.four_bit
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=RANK,
        lora_alpha=RANK,
        lora_dropout=0,
        target_modules=list(LINEAR_LAYERS),
        use_gradient_checkpointing="unsloth",
        random_state=work.seed,
    )
    return _fit(work, folder, model, tokenizer, packing=work.data == "short" and work.device == "cuda")


def _fit(
    work: Work, folder: Path, model: Any, tokenizer: Any, *, packing: bool, peft_config: Any = None
) -> dict[str, Any]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    examples = conversations(work)
    rows = work.batch_size if packing else max(1, round(len(examples) / (work.warmup + work.steps)))
    clock = Clock(work.device, work.warmup)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer or _tokenizer(work),
        peft_config=peft_config,
        train_dataset=Dataset.from_dict({"input_ids": [list(one.input_ids) for one in examples]}),
        callbacks=[_Timed(clock)],
        args=SFTConfig(
            output_dir=str(folder),
            max_length=work.length,
            packing=packing,
            per_device_train_batch_size=rows,
            max_steps=work.warmup + work.steps,
            learning_rate=2e-4,
            logging_steps=1,
            include_num_input_tokens_seen="non_padding",
            gradient_checkpointing=work.device == "cuda",
            bf16=work.device == "cuda",
            use_cpu=work.device == "cpu",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=work.seed,
        ),
    )
    trainer.train()
    return clock.measured()


def _tokenizer(work: Work) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(work.model)
