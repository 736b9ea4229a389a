"""The figures of recall quality as tables for a reader."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ranking_measures import SHARE, Sample, by_category

COLUMNS = ("recall@5", "recall@10", "recall@20", "any@10", "all@10", "mrr@20", "ndcg@10")
# Which baseline is the best is decided by the main figure; differences are shown for these.
MAIN, DIFFERENCES = "recall@10", ("recall@5", "recall@10", "mrr@20", "ndcg@10")

Told = Mapping[str, Any]


def print_table(results: Mapping[str, Mapping[str, Told]]) -> None:
    """By way and category the averages, and under each its interval (questions redrawn within their conversation)."""
    print(f"{'':42}{'questions':>9}" + "".join(f"{name:>11}" for name in COLUMNS))
    for way, found in results.items():
        for category, told in found.items():
            print(
                f"{way:26}{category:16}{told['questions']:>9}" + _row(f"{told[name]['mean']:.3f}" for name in COLUMNS)
            )
            print(" " * 51 + _row(_ends(told[name]["interval"]) for name in COLUMNS))


def _row(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>11}" for cell in cells)


def _ends(interval: Sequence[float]) -> str:
    return "–".join(f"{end:.2f}".removeprefix("0") for end in interval)


def print_gains(results: Mapping[str, Mapping[str, Told]], differences: Mapping[str, Sample]) -> dict[str, Any]:
    """What ours finds more than the best baseline, by category and measure, with both intervals.

    Args:
        differences: by baseline, question by question, what ours finds more.
    """
    best = max(differences, key=lambda name: float(results[name]["all"][MAIN]["mean"]))
    gains = by_category(differences[best])
    print(f"\nMore than the best baseline ({best}); {SHARE:.0%} intervals: questions redrawn | conversations as well")
    for category, told in gains.items():
        print(f"{category:16}" + "   ".join(f"{name} {_gain(told[name])}" for name in DIFFERENCES))
    return {"best_baseline": best} | {
        category: {name: told[name] for name in DIFFERENCES} for category, told in gains.items()
    }


def _gain(told: Told) -> str:
    ends = (f"{low:+.3f} {high:+.3f}" for low, high in filter(None, (told["interval"], told["interval_conversations"])))
    return f"{told['mean']:+.3f} [{' | '.join(ends)}]"
