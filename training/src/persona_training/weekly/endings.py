"""How a week may end, and the exit code that says which stage stopped it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ending:
    """One way to end.

    Attributes:
        code: of the process; the tens tell the stage.
        name: stable key, in report.json.
        meaning: for `--help` and the docs.
        next_step: what the operator may do now; may hold `{command}`, the command that was run, `{deploying}`, the same without
            --no-deploy, `{longer}`, the same with twice as many samples, and `{rollback}`.
    """

    code: int
    name: str
    meaning: str
    next_step: str


DEPLOYED = Ending(0, "deployed", "deployed: the week is live", "Nothing. `{rollback}` returns to before.")
REPLACED = Ending(
    0,
    "replaced",
    "deployed before, and something else is live since",
    "Nothing. `{deploying} --again deploy` makes this week live again.",
)
PASSED = Ending(
    0,
    "passed",
    "with --no-deploy: she passed the gate",
    "`{deploying}` goes on with the deployment.",
)
LOCKED = Ending(5, "locked", "another `casiopy week` is going on; nothing was touched", "Wait until it has ended.")
EXPORT_FAILED = Ending(
    10,
    "export_failed",
    "the export failed",
    "Put right what the message names, then run the same command again.",
)
NOTHING_TO_LEARN = Ending(
    11,
    "nothing_to_learn",
    "nothing, or too little, to learn that week; a normal outcome",
    "Nothing: she stays as she is. The funnel above says what became of the week's exchanges; after a change there "
    "(a lower --min-quality, more ratings) run the same command again.",
)
TRAINING_FAILED = Ending(
    20,
    "training_failed",
    "training failed",
    "Put right what the message names, then run the same command again: it resumes the run from its last checkpoint. "
    "`--again train` starts a new one.",
)
GATE_FAILED = Ending(
    30,
    "gate_failed",
    "the gate failed her: what is deployed is untouched",
    "Look at the probes and rows above. Leave out what should not be learned, then `{command} --again export`.",
)
INCONCLUSIVE = Ending(
    31,
    "gate_inconclusive",
    "the gate could not tell: what is deployed is untouched",
    "The reasons above say what would tell. Where that is more samples: `{longer} --again gate`.",
)
NOT_JUDGED = Ending(
    32,
    "not_judged",
    "the gate could not judge",
    "Put right what the message names, then run the same command again: it goes on with the gate.",
)
DEPLOY_FAILED = Ending(
    40,
    "deploy_failed",
    "the deployment was refused or failed: unless the message says otherwise, what was live still is",
    "Put right what the message names, then run the same command again: it goes on with the deployment.",
)
OLLAMA_AWAY = Ending(
    41,
    "ollama_away",
    "no Ollama answers: the artefacts are written",
    "Start Ollama, then run the same command again: it goes on with the deployment.",
)
INTERRUPTED = Ending(
    130,
    "interrupted",
    "stopped by Ctrl-C or SIGTERM; the next run goes on from there",
    "Run the same command again: it goes on where it stopped.",
)

ENDINGS = (
    DEPLOYED,
    REPLACED,
    PASSED,
    LOCKED,
    EXPORT_FAILED,
    NOTHING_TO_LEARN,
    TRAINING_FAILED,
    GATE_FAILED,
    INCONCLUSIVE,
    NOT_JUDGED,
    DEPLOY_FAILED,
    OLLAMA_AWAY,
    INTERRUPTED,
)
# Click's own, beside them: what the command itself could not do, and options it does not take.
UNUSABLE, WRONG_OPTIONS = 1, 2
CODES: dict[int, str] = {
    UNUSABLE: "the week's own folder cannot be read or written",
    WRONG_OPTIONS: "wrong options, or a week that is not over",
}


def code_table() -> list[tuple[int, str]]:
    """Every exit code once with its meaning, in order."""
    told = dict(CODES)
    for ending in ENDINGS:
        told[ending.code] = f"{told[ending.code]}; {ending.meaning}" if ending.code in told else ending.meaning
    return sorted(told.items())
