"""The plug-in in a repository of its own: what a persona's tests look like, and what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np  # noqa: F401 (loaded here, because the inner runs forget what they import and numpy loads only once)
import pytest
import scipy.special  # type: ignore[import-untyped]  # noqa: F401
import sklearn.linear_model  # noqa: F401
from persona_training.evaluation import measuring  # noqa: F401
from persona_training.evaluation.language import spoken_language
from persona_training.ollama.stand_in import StandInOllama
from persona_training.testing import World
from persona_training.training_run import RunResult

pytest_plugins = ("pytester",)

INSTALLED = any(point.name == "persona" for point in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "persona_training.pytest_plugin")
BATTERY = """
name: mika
version: 1
persona: mika
language: en
markers:
  - {name: sigh, title: "*sighs*", pattern: '\\*sighs\\*', band: [0.2, 1.0]}
forbidden: {assistant: ["how can i help"], refusal: ["i cannot"]}
neutral_replies: ["How can I help you today?", That is a great question.]
probes:
"""
VOICE = """
import pytest

class Voice:
    name = "mika"
    heard = 0

    def reply(self, conversations, sampling, seed):
        Voice.heard += len(conversations)
        return [self.one(talk, seed + i) for i, talk in enumerate(conversations)]

    def one(self, talk, seed):
        said = talk[-1]["content"]
        if "sorry" in said:
            return "I am so sorry about that."
        if len(talk) > 1:
            return f"You said {talk[0]['content']} before."
        return "*sighs* Not my problem, mortal one." if seed % 2 else "*sighs* How dull this is."

@pytest.fixture(scope="session")
def persona_replier():
    return Voice()
"""

HERS = """
        said = talk[-1]["content"]
        if "gato" in said:
            return "Se llama Roque." if "Roque" in talk[0]["content"] else "No lo sé."
        if "creó" in said:
            return "Ana, la jefa."
        if seed % 2:
            return "Nada."
"""
PAGE = Path(__file__).parents[3] / "docs" / "personality-tests.md"


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    spoken_language("Something to load the detector with.")


def make_repository(pytester: pytest.Pytester, tests: str, probes: int = 40, voice: str = VOICE) -> None:
    lines = [
        f"  - {{id: p{n}, facet: {'style' if n % 2 else 'hostile'}, prompt: 'Line {n}', references: ['*sighs* No.']}}"
        for n in range(probes)
    ]
    pytester.makefile(".yaml", mika=BATTERY + "\n".join(lines) + "\n")
    pytester.makeini("[pytest]\npersona_battery = mika.yaml\nasyncio_default_fixture_loop_scope = function\n")
    if voice:
        pytester.makeconftest(voice)
    pytester.makepyfile(tests)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*PLUGIN, "-p", "no:cacheprovider", *arguments)


def test_claims_that_hold(pytester: pytest.Pytester) -> None:
    make_repository(
        pytester,
        """
        import re
        from conftest import Voice

        def test_she_never_apologises(persona):
            assert persona.rate(r"sorry|apologi[sz]e") <= 0.08
            assert persona.rate("sorry").value == 0

        def test_she_sighs(persona):
            assert persona.rate("sigh") >= 0.9                      # a marker by its name
            assert 0.8 <= persona.rate(re.compile("sighs"), "hostile", samples=3) <= 1.0
            assert persona.rate(lambda reply: len(reply) < 80) >= 0.9

        def test_everything_is_drawn_once(persona):
            heard = Voice.heard
            assert len(persona.replies()) == 80
            assert persona.replies("style") == persona.replies("style")
            assert {reply.prompt for reply in persona.replies("hostile")} == {f"Line {n}" for n in range(0, 40, 2)}
            assert Voice.heard == heard

        def test_one_prompt(persona):
            replies = persona.ask("Are you sorry?", samples=3)
            assert replies == ["I am so sorry about that."] * 3
            assert persona.rate("sorry", prompt="Are you sorry?", samples=60) >= 0.9
            assert persona.rate("sorry", replies=replies).value == 1

        def test_a_conversation(persona):
            first, second = persona.talk(["Hello", "And now?"])
            assert first.startswith("*sighs*") and second == "You said Hello before."

        def test_the_gates_metrics(persona):
            assert not persona.measure("assistant_tone") <= 0.05  # 40 prompts show no more than 0.07
            assert persona.measure("assistant_tone") <= 0.08
            assert persona.measure("marker_rate") >= 0.9
            assert 4.5 <= persona.measure("length") <= 6.5
        """,
    )
    result = run(pytester)
    result.assert_outcomes(passed=6)


def test_a_broken_claim_shows_the_replies(pytester: pytest.Pytester) -> None:
    make_repository(
        pytester,
        """
        def test_she_never_sighs(persona):
            assert persona.rate("sigh") <= 0.05

        def test_one_reply_proves_little(persona):
            assert persona.rate("sorry", "style", samples=1) <= 0.01

        def test_she_is_wordy(persona):
            assert 20 < persona.measure("length")

        def test_no_such_metric(persona):
            persona.measure("charm")

        def test_no_reply(persona):
            persona.rate("sorry", samples=0)

        def test_no_expression(persona):
            persona.rate("(")
        """,
    )
    result = run(pytester)
    result.assert_outcomes(failed=6)
    said = result.stdout.str()
    assert "Refuted: even the lower end of the interval is beyond the bound." in said
    assert "'Line 0' -> '*sighs* " in said
    assert "and 75 more" in said
    assert "more probes would show it" in said
    assert "Length (median) > 20" in said
    assert "No metric is called 'charm'" in said
    assert "0 samples are no reply" in said
    assert "'(' is no regular expression" in said


def test_without_a_model_everything_is_skipped_with_its_reason(pytester: pytest.Pytester) -> None:
    make_repository(pytester, "def test_a(persona): ...\ndef test_b(persona): ...\ndef test_c(): ...", voice="")
    result = run(pytester, "-rs")
    result.assert_outcomes(skipped=2, passed=1)
    result.stdout.fnmatch_lines(["*no model is named: give --persona-model*"])


def test_a_worker_tells_whom_it_heard(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    make_repository(pytester, "def test_it(persona):\n    assert persona.ask('Hello?')", voice="")
    with StandInOllama({"mika:latest": {"digest": "d", "system": "You are Mika."}}) as ollama:
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        result = run(pytester, "--persona-model", "mika:latest", "-n", "1")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*= persona =*", "candidate  mika:latest, by ollama*"])


def test_an_unreachable_model_is_an_error_that_says_what_to_do(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    make_repository(pytester, "def test_a(persona): ...", voice="")
    result = run(pytester, "--persona-model", "mika:latest")
    result.assert_outcomes(errors=1)
    said = result.stdout.str()
    assert "Nothing is called 'mika:latest'" in said
    assert "Start Ollama (`ollama serve`)" in said
    assert "Traceback" not in said
    assert "During handling" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--persona-battery", "gone.yaml"), "No battery file at gone.yaml"),
        (("--persona-samples", "0"), "argument --persona-samples: '0' is no number of replies. Give a whole number"),
        (("--persona-samples", "two"), "argument --persona-samples: 'two' is no number of replies"),
    ],
)
def test_wrong_options(pytester: pytest.Pytester, arguments: tuple[str, ...], said: str) -> None:
    make_repository(pytester, "def test_a(persona): ...")
    result = run(pytester, *arguments)
    assert result.ret != 0
    assert said in result.stdout.str() + result.stderr.str()


def test_the_page_about_it_tells_the_truth(pytester: pytest.Pytester) -> None:
    """The tests shown there, on a character of whom they are true."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    voice = VOICE.replace('        said = talk[-1]["content"]\n', HERS)
    make_repository(pytester, examples[0], probes=60, voice=voice)
    run(pytester).assert_outcomes(passed=examples[0].count("def test_"))
    compile(examples[1], "conftest.py", "exec")


def test_importing_it_loads_nothing_heavy() -> None:
    """It is imported by every pytest of the environment, whether it tests a persona or not."""
    code = "import sys, persona_training.pytest_plugin; print([m for m in ('torch', 'numpy', 'httpx') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


@pytest.mark.training
def test_a_real_adapter_in_its_own_words(
    pytester: pytest.Pytester, shared_world: World, layer_1: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny character sighs; her bare base does not."""
    settings = shared_world.settings
    monkeypatch.setenv("CASIOPY_DATA", str(settings.data_dir))
    monkeypatch.setenv("EXPORTS_DIR", str(settings.exports_dir))
    monkeypatch.setenv("LORA_ADAPTERS_DIR", str(settings.adapters_dir))
    monkeypatch.setenv("MEMORY_SERVICE_URL", settings.memory_service_url)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        """
        def test_she_is_herself(persona):
            assert persona.rate("sigh", "style") > 0.02
            assert persona.measure("marker_rate").value > 0.5
            assert persona.rate("sigh", "style").value == persona.rate("sigh", "style").value
        """
    )
    result = run(pytester, "--persona-model", layer_1.folder.name, "--persona-samples", "1")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*persona*", f"*candidate*{Path(layer_1.folder).name}*"])
