"""How well the rules extractor reads messages: precision, recall and junk rate on labelled messages.

What it does: reads every message of `data/extraction_es.jsonl` and `data/extraction_en.jsonl`, and compares what the rules
say with what a careful reader would keep. The rules were corrected by the development half alone; the same hand wrote all
messages and the rules, so other people's messages will be read less well.

How to run it:         python benchmarks/extraction_quality.py
How to run it small:   python benchmarks/extraction_quality.py --split dev --language en --errors

A statement is right when its field, its negation and its value are those of the label, or one of the label's other
accepted wordings, after both are lower-cased and freed of accents, of a leading article and of punctuation around them.
A right value cut short or too long is wrong. Each label is matched once.
"""

import argparse
import json
import sys
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memory_service.extraction.rules import RULES_VERSION, extract
from memory_service.extraction.statements import Statement

HERE = Path(__file__).parent
DATA = HERE / "data"
RESULTS = HERE / "results"
LANGUAGES = ("es", "en")
SPLITS = ("dev", "held_out")
_ARTICLES = ("el ", "la ", "los ", "las ", "un ", "una ", "the ", "a ", "an ")


@dataclass(slots=True)
class Counts:
    """What was said and what should have been. `junk`: statements read from messages with nothing to keep."""

    messages: int = 0
    empty_messages: int = 0
    right: int = 0
    wrong: int = 0
    missed: int = 0
    junk: int = 0

    def measures(self) -> dict[str, float | int | None]:
        """Precision, recall and junk rate beside the counts; None where nothing was said or expected."""
        said, expected = self.right + self.wrong, self.right + self.missed
        return {
            "messages": self.messages,
            "empty_messages": self.empty_messages,
            "statements": said,
            "expected": expected,
            "precision": round(self.right / said, 4) if said else None,
            "recall": round(self.right / expected, 4) if expected else None,
            "junk_rate": round(self.junk / said, 4) if said else None,
        }


def normalised(value: object) -> str:
    """How values are compared: case, accents, outer punctuation and a leading article do not count."""
    decomposed = unicodedata.normalize("NFD", str(value)).casefold()
    text = " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split()).strip(" .,;:!?¡¿\"'«»")
    return next((text[len(article) :] for article in _ARTICLES if text.startswith(article)), text)


def labelled(language: str) -> list[dict[str, Any]]:
    """The messages of a language with their labels."""
    lines = (DATA / f"extraction_{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def compare(
    said: Iterable[Statement], expected: list[dict[str, Any]]
) -> tuple[list[Statement], list[Statement], list[dict[str, Any]]]:
    """Right statements, wrong statements, and labels nothing answered to."""
    open_labels = list(expected)
    right, wrong = [], []
    for one in said:
        label = next((label for label in open_labels if _answers(one, label)), None)
        if label is None:
            wrong.append(one)
        else:
            open_labels.remove(label)
            right.append(one)
    return right, wrong, open_labels


def _answers(one: Statement, label: dict[str, Any]) -> bool:
    wordings = {normalised(value) for value in [label["value"], *label.get("accept", [])]}
    return one.field == label["field"] and one.negated == label["negated"] and normalised(one.value) in wordings


def count(messages: list[dict[str, Any]], *, show: bool = False) -> tuple[Counts, dict[str, Counts]]:
    """The counts over all messages and by field; `show` prints each error."""
    total, fields = Counts(), {}
    for message in messages:
        right, wrong, missed = compare(extract(message["message"]), message["expected"])
        total.messages += 1
        total.empty_messages += not message["expected"]
        total.junk += len(wrong) if not message["expected"] else 0
        for name, group in (("right", right), ("wrong", wrong), ("missed", missed)):
            for one in group:
                field = one.field if isinstance(one, Statement) else one["field"]
                for counts in (total, fields.setdefault(field, Counts())):
                    setattr(counts, name, getattr(counts, name) + 1)
        if show and (wrong or missed):
            print(f"{message['id']}  {message['message']!r}")
            for one in wrong:
                print(f"    wrong   {'not ' * one.negated}{one.field} = {one.value!r}")
            for label in missed:
                print(f"    missed  {'not ' * label['negated']}{label['field']} = {label['value']!r}")
    return total, fields


def print_row(name: str, measures: dict[str, Any]) -> None:
    """One line of the table."""
    cells = [
        f"{measures[key]:.3f}" if measures[key] is not None else "-" for key in ("precision", "recall", "junk_rate")
    ]
    print(
        f"{name:24}{measures['messages'] or '':>9}{measures['statements']:>12}{measures['expected']:>10}"
        + "".join(f"{cell:>11}" for cell in cells)
    )


def measure(languages: Iterable[str], splits: Iterable[str], *, show: bool = False) -> dict[str, Any]:
    """Everything the result file says of quality, printed as a table on the way."""
    chosen = [one for language in languages for one in labelled(language) if one["split"] in splits]
    begun = time.perf_counter()
    total, fields = count(chosen, show=show)
    seconds = time.perf_counter() - begun
    print(f"{'':24}{'messages':>9}{'statements':>12}{'expected':>10}{'precision':>11}{'recall':>11}{'junk rate':>11}")
    results = {"all": total.measures()}
    for language in languages:
        for split in splits:
            part = [one for one in chosen if one["language"] == language and one["split"] == split]
            results[f"{language} {split}"] = count(part)[0].measures()
    for split in splits:
        results[split] = count([one for one in chosen if one["split"] == split])[0].measures()
    for name, measures in results.items():
        print_row(name, measures)
    by_field = {field: fields[field].measures() for field in sorted(fields)}
    for field, measures in by_field.items():
        print_row(f"  {field}", measures)
    return {"results": results, "fields": by_field, "milliseconds_per_message": round(1000 * seconds / len(chosen), 3)}


def main() -> None:
    """Measure, print, and keep the result of a whole run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", choices=LANGUAGES, help="only this language")
    parser.add_argument("--split", choices=SPLITS, help="only this half")
    parser.add_argument("--errors", action="store_true", help="print what was wrong or missed")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result file")
    asked = parser.parse_args()
    languages = (asked.language,) if asked.language else LANGUAGES
    splits = (asked.split,) if asked.split else SPLITS
    result = measure(languages, splits, show=asked.errors)
    if not (asked.language or asked.split):
        sys.path.insert(0, str(HERE))
        from service_under_test import hardware

        machine = hardware()
        result = (
            {"date": datetime.now(UTC).isoformat(timespec="seconds")}
            | machine
            | {"benchmark": "extraction_quality", "extractor": "rules", "rules_version": RULES_VERSION}
            | result
        )
        asked.results.mkdir(parents=True, exist_ok=True)
        path = asked.results / f"{result['date'][:10]}-extraction-{machine['commit']}.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"Kept in {path}")
    print(json.dumps(result["results"] | {"milliseconds_per_message": result["milliseconds_per_message"]}))


if __name__ == "__main__":
    main()
