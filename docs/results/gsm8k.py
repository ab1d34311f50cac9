"""Measure docs/results.md: GSM8K with sfttrain on our shards, beside TRL's SFTTrainer on the raw file.

    python docs/results/gsm8k.py MODEL TRAIN.jsonl TEST.jsonl WORK     needs an idle machine, for about an hour

MODEL is a folder with SmolLM2-135M-Instruct, such as `make demo` leaves; the files are those of GSM8K (`question`,
`answer`); WORK is a folder for what is made, which a stopped measurement continues in. Both sides have the same model,
rate, schedule and adapter, save checkpoints at the same steps, and are run by turns, as whole processes. Their
checkpoints are then judged by the same plain loop over the same test rows: the negative log-likelihood of the answer
and its end token after the prompt of the chat template, in nats per token. The figures go to gsm8k.json; of it
docs/generate.py makes the tables of the page, and docs/pictures/make.py the plots.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "gsm8k.json"
SEEDS, STEPS, SAVE_EVERY = (0, 1, 2), 32, 4
RATE = 0.0013  # what sfttrain's rule says for LoRA on a Llama of hidden size 576
SEQ_LEN = 2048  # about nine rows; TRL's batch has eight
JUDGED, TEST_EVERY = (4, 8, 16, 24, 32), 33  # checkpoints that are judged, each on 40 of the 1,319 test rows
SIDES = ("sfttrain", "trl")


def measure(model: Path, train: Path, test: Path, work: Path) -> None:
    """Run both sides for each seed by turns, judge their checkpoints, and write the figures."""
    work.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS):
        for side in SIDES[:: 1 if number % 2 == 0 else -1]:
            run_once(side, seed, model, train, work)
    runs = []
    for side in SIDES:
        for seed in SEEDS:
            run = json.loads((work / f"{side}_{seed}" / "run.json").read_text(encoding="utf-8"))
            print(f"judging {side}, seed {seed}", flush=True)
            run["points"] = [point for point in run["points"] if point["step"] in JUDGED]
            for point in run["points"]:
                checkpoint = work / f"{side}_{seed}" / "out" / f"checkpoint-{point['step']}"
                point["loss"] = judge(model, test, checkpoint)
            runs.append(run)
    figures = {"before": judge(model, test, None), "rate": RATE, "steps": STEPS, "seq_len": SEQ_LEN, "runs": runs}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {FIGURES.name}")


def run_once(side: str, seed: int, model: Path, train: Path, work: Path) -> None:
    """Prepare and train once as whole processes, and write down when each checkpoint was there."""
    folder = work / f"{side}_{seed}"
    if (folder / "run.json").exists():
        return
    folder.mkdir(exist_ok=True)
    out = folder / "out"
    python = [sys.executable, "-m"]
    if side == "sfttrain":
        data = [str(train), "--columns", "prompt=question,completion=answer", "--tokenizer", str(model)]
        settings = [str(folder / "shards"), "--model", str(model), "--out", str(out), "lora=true", f"seed={seed}"]
        settings += [f"learning_rate={RATE}", f"batch_tokens={SEQ_LEN}", f"max_steps={STEPS}", "overwrite=true"]
        settings += [f"save_every={SAVE_EVERY}", f"trainer.save_total_limit={STEPS}", "dtype=float32"]
        shards = ["--out", str(folder / "shards"), "--overwrite", "--seq-len", str(SEQ_LEN), "--quiet", f"seed={seed}"]
        commands = [[*python, "sftdata", "prepare", *data, *shards], [*python, "sfttrain", "run", *settings]]
    else:
        numbers = [str(one) for one in (seed, STEPS, SAVE_EVERY, RATE)]
        commands = [[sys.executable, str(HERE / "trl_run.py"), str(model), str(train), str(out), *numbers]]
    print(f"{side}, seed {seed}", flush=True)
    begin, begins, used = time.time(), [], processor_seconds()
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        for command in commands:
            begins.append(time.time() - begin)
            subprocess.run(command, check=True, stdout=log, stderr=log)
    seconds = time.time() - begin
    trained = trained_tokens(side, out)
    points: list[dict[str, Any]] = []
    for step in range(SAVE_EVERY, STEPS + 1, SAVE_EVERY):
        written = (out / f"checkpoint-{step}" / "adapter_model.safetensors").stat().st_mtime
        points.append({"step": step, "trained_tokens": trained[step], "seconds": round(written - begin, 1)})
    run = {"side": side, "seed": seed, "prepare_seconds": round(begins[-1], 1), "seconds": round(seconds, 1)}
    run["processor_seconds"] = round(processor_seconds() - used, 1)
    (folder / "run.json").write_text(json.dumps({**run, "points": points}), encoding="utf-8")


def processor_seconds() -> float:
    """What the processes that ended so far have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def trained_tokens(side: str, out: Path) -> dict[int, int]:
    """Tokens with a label, up to and with each step."""
    if side == "sfttrain":
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        return {line["step"]: line["trained_tokens"] for line in lines if "loss" in line}
    counts = json.loads((out / "trained.json").read_text(encoding="utf-8"))
    return {step: sum(counts[:step]) for step in range(1, len(counts) + 1)}


def judge(folder: Path, test: Path, adapter: Path | None) -> float:
    """The mean negative log-likelihood of the answers of the test rows, in nats per token; imports torch."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    model = (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()
    lines = test.read_text(encoding="utf-8").splitlines()[::TEST_EVERY]
    total, count = 0.0, 0
    for line in lines:
        row = json.loads(line)
        chat = [{"role": "user", "content": row["question"]}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        answer = tokenizer(row["answer"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([before + answer]), logits_to_keep=len(answer) + 1).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits.float(), torch.tensor(answer), reduction="sum"))
        count += len(answer)
    return round(total / count, 4)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    measure(*(Path(one).resolve() for one in sys.argv[1:]))
