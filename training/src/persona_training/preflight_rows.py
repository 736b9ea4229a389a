"""Is it worth learning, and may it be learned: how many rows, how much of them the loss sees, whose data, said how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from persona_training.datasets import Dataset
from persona_training.findings import Check
from persona_training.lessons import Lessons
from persona_training.messages import Message
from persona_training.personal_data import Found, find_personal_data, shown
from persona_training.preferences import PairRow
from persona_training.preparation import Prepared
from persona_training.row_formats import TrainingRow, parse_row

# Below this a run is refused: with fewer rows no session can be held out (one in ten is), so neither the held-out loss nor
# an early stop means anything, and every optimiser step of the shipped recipes (8 or 16 rows) sees most of the dataset.
MINIMUM_ROWS = {1: 16, 2: 10, 3: 10}
# Below this a run is only noted. Layer 1: the 85 rows of the sample month's first three weeks brought the manner into 81 to
# 100 % of the tiny model's replies (training/README.md). Layers 2 and 3 change less: 30 dialogues were enough to teach a
# tuned model a new form of conversation (LIMA, Zhou et al. 2023, arXiv 2305.11206, section 6).
ADVISED_ROWS = {1: 80, 2: 30, 3: 30}
# A conversation whose prompt is longer than twenty times its reply mostly costs time.
LOW_LEARNED_SHARE = 0.05
# Repeats are learned as often as they occur; at one row in ten the most repeated lines become catchphrases.
MANY_REPEATS = 0.1
# Two rows this alike by 5-letter grams teach the same thing: the memory service's export draws the line at the same place.
ALIKE, GRAM, PERMUTATIONS = 0.8, 5, 64
SHOWN_PLACES = 5


def check_row_count(prepared: Prepared) -> Check:
    """Enough rows for the layer to learn something that is not those very rows."""
    layer, rows = prepared.request.recipe.layer, min(len(prepared.dataset.train), prepared.taught)
    passes = len(prepared.schedule.examples) / max(prepared.schedule.epoch_rows, 1)
    left_out = f" of {len(prepared.dataset.train)}" if rows < len(prepared.dataset.train) else ""
    found = f"{rows}{left_out} to learn, read {passes:.1f} times"
    more = "Export more: a longer period or a lower --min-quality."
    if rows < MINIMUM_ROWS[layer]:
        return Check("rows", "fail", f"{found}; layer {layer} needs {MINIMUM_ROWS[layer]} at least", more)
    if rows < ADVISED_ROWS[layer]:
        return Check("rows", "note", f"{found}; {ADVISED_ROWS[layer]} are advised for layer {layer}", more)
    return Check("rows", "ok", found)


def check_learned(prepared: Prepared) -> Check:
    """The share of tokens the loss sees, over everything the run will read."""
    lessons = Lessons(prepared.schedule.examples, "")
    share = lessons.learned_share
    found = f"{share:.0%} of {lessons.tokens} tokens are learned, the rest is read"
    if not share:
        return Check("loss mask", "fail", found, "No assistant text is left: raise max_length.")
    if share < LOW_LEARNED_SHARE:
        remedy = "Set system_prompt: omit, or shorten the prompt: most of the time goes into reading it."
        return Check("loss mask", "note", found, remedy)
    return Check("loss mask", "ok", found)


def check_personal_data(prepared: Prepared) -> Check:
    """Access keys and personal data in any row the run learns from.

    Rows of an export were redacted by the memory service, so what is found in them is only noted; rows of other files are
    refused unless the operator gave a reason.
    """
    counts: Counter[str] = Counter()
    places: list[str] = []
    foreign = False
    for dataset in _datasets(prepared):
        for place, text, one in _personal(dataset):
            counts[one.kind] += 1
            foreign = foreign or dataset.export_id is None
            if len(places) < SHOWN_PLACES:
                places.append(f"{place} {one.kind} {shown(text, one)}")
    if not counts:
        return Check("personal data", "ok", "no access keys, numbers or addresses of people found")
    found = f"{', '.join(f'{n} {kind}' for kind, n in counts.most_common())}: {'; '.join(places)}"
    found += " …" if sum(counts.values()) > len(places) else ""
    reason = prepared.request.allow_personal_data
    if reason is not None:
        return Check("personal data", "note", f"{found}. Allowed: {reason}")
    if not foreign:
        remedy = "The export was redacted; look at these places, and export again if they are real."
        return Check("personal data", "note", found, remedy)
    remedy = "Take them out or use an export; if they are nobody's: --allow-personal-data REASON, kept in the manifest."
    return Check("personal data", "fail", found, remedy)


def check_repeats(dataset: Dataset) -> Check:
    """The share of rows that say nearly what an earlier one said (MinHash, Broder 1997)."""
    repeated = near_repeats([_text(row.messages) for row in dataset.train])
    share = repeated / len(dataset.train)
    found = f"{share:.0%} of the rows say nearly what another one says"
    if share > MANY_REPEATS:
        remedy = "Repeats become catchphrases: export with deduplication, or take them out."
        return Check("repeats", "note", found, remedy)
    return Check("repeats", "ok", found)


def near_repeats(texts: Sequence[str]) -> int:
    """How many texts have an earlier one with an estimated Jaccard similarity of at least `ALIKE`."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=ALIKE, num_perm=PERMUTATIONS)
    kept: dict[int, MinHash] = {}
    blank = MinHash(num_perm=PERMUTATIONS, seed=1)
    for number, text in enumerate(texts):
        plain = " ".join(text.casefold().split())
        sketch = blank.copy()
        sketch.update_batch([plain[at : at + GRAM].encode() for at in range(max(len(plain) - GRAM, 0) + 1)])
        if not any(sketch.jaccard(kept[other]) >= ALIKE for other in index.query(sketch)):
            index.insert(number, sketch)
            kept[number] = sketch
    return len(texts) - len(kept)


def _datasets(prepared: Prepared) -> Iterator[Dataset]:
    """Everything whose words the run learns; the base's own replies to neutral prompts are nobody's."""
    data = prepared.data
    yield from [sample.dataset for sample in data.rebuild.weeks] if data.rebuild else [data.own]
    if data.replay is not None:
        yield data.replay
    if data.general is not None and prepared.request.general_dataset:
        yield data.general


def _personal(dataset: Dataset) -> Iterator[tuple[str, str, Found]]:
    """Place (file:line), text and finding, over every file the dataset was read from, held-out rows included."""
    for path in chain.from_iterable(sorted(p.glob("*.jsonl")) if p.is_dir() else [p] for p in dataset.source):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if line.strip():
                _, row = parse_row(line, f"{path}:{number}")
                for text in _texts(row):
                    yield from ((f"{path.name}:{number}", text, found) for found in find_personal_data(text))


def _texts(row: TrainingRow) -> Iterator[str]:
    yield from (message["content"] for message in row.messages)
    if isinstance(row, PairRow):
        yield row.rejected["content"]


def _text(messages: Sequence[Message]) -> str:
    return "\n".join(message["content"] for message in messages if message["role"] != "system")
