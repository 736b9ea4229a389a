"""The sample month keeps every promise its README makes: enough of each label, her voice, valid private data, answers."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from lingua import Language, LanguageDetectorBuilder
from stdnum import iban, luhn
from stdnum.es import dni, nie

from casiopy.demo.sample import (
    LABELS,
    SampleExchange,
    load_recall_questions,
    load_sample,
    load_weekly_facts,
)

MADRID = ZoneInfo("Europe/Madrid")
FIRST_DAY = datetime(2025, 12, 29, tzinfo=MADRID)
STREAM_DAYS = {1, 3, 6}  # Tuesday, Thursday, Sunday
WEEK_FOUR = (2026, 4)

# At least this many of each, so that a share measured on them means something.
PROMISED = {
    "excellent": 200,
    "english": 20,
    "dull": 15,
    "off_character": 15,
    "opted_out": 15,
    "refusal": 12,
    "error_text": 12,
    "pii": 12,
    "spam": 10,
    "duplicate": 10,
    "interrupted": 3,
    "role_confusion": 3,
    "memory_echo": 3,
    "wrong_language": 3,
}
WORTH_KEEPING = {"excellent", "english", "pii", "opted_out", "duplicate"}
IN_CHARACTER = {"excellent", "english", "pii", "opted_out"}

MARKER = re.compile(
    r"\*suspiro\*|\*pone los ojos en blanco\*|\*bosteza\*|\*ríe por lo bajo\*|\bmortal(?:es)?\b|\bcriaturas?\b"
    r"|(?:^|\* )(?:Ay,|Obvio\b|Mira,|Qué ilusión)",
    re.IGNORECASE,
)
NEVER_HERS = re.compile(
    r"modelo de lenguaje|puedo ayudarte|lo siento|perdón por|disculp|^\s*[-*•] |\*\*|language model|i'm sorry|\busted",
    re.IGNORECASE | re.MULTILINE,
)
VOSEO = re.compile(
    r"\b(?:vos|sos|tenés|querés|podés|sabés|hacés|venís|decís|pensás|mirá|decime|contame|fijate|andá|che)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def sample() -> list[SampleExchange]:
    return load_sample()


def labelled(sample: list[SampleExchange], *labels: str) -> list[SampleExchange]:
    return [exchange for exchange in sample if exchange.labels & set(labels)]


def week_of(exchange: SampleExchange) -> tuple[int, int]:
    return exchange.occurred_at.astimezone(MADRID).isocalendar()[:2]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def likeness(one: str, other: str) -> float:
    """Share of word pairs that two texts have in common, in [0, 1]."""
    first, second = (set(zip(words(text), words(text)[1:], strict=False)) for text in (one, other))
    return len(first & second) / len(first | second)


# How much there is


def test_there_is_a_month_of_it(sample: list[SampleExchange]) -> None:
    assert len(sample) >= 320
    assert len({exchange.session for exchange in sample}) >= 42
    assert len({exchange.user_id for exchange in sample}) >= 17
    assert "ana_lajefa" in {exchange.user_id for exchange in sample}


@pytest.mark.parametrize(("label", "at_least"), PROMISED.items())
def test_every_label_occurs_often_enough(sample: list[SampleExchange], label: str, at_least: int) -> None:
    assert len(labelled(sample, label)) >= at_least


def test_the_promises_cover_all_labels() -> None:
    assert PROMISED.keys() == LABELS


def test_keep_follows_the_quality_of_the_reply(sample: list[SampleExchange]) -> None:
    assert [e.line for e in sample if e.keep != (e.labels <= WORTH_KEEPING)] == []


def test_there_is_enough_left_to_export(sample: list[SampleExchange]) -> None:
    exportable = [exchange for exchange in sample if exchange.exportable]
    assert len(exportable) >= 250
    assert not any(e.opt_out_training or e.labels & {"opted_out", "duplicate", "spam"} for e in exportable)


# When it happened


def test_it_fills_the_first_four_weeks_of_2026(sample: list[SampleExchange]) -> None:
    per_week = Counter(week_of(exchange) for exchange in sample)
    assert per_week.keys() == {(2026, week) for week in range(1, 5)}
    assert min(per_week.values()) >= 60
    assert all(FIRST_DAY <= e.occurred_at < FIRST_DAY + timedelta(weeks=4) for e in sample)
    assert all(e.occurred_at.tzinfo is UTC for e in sample)


def test_each_week_was_answered_by_the_model_of_the_week_before(sample: list[SampleExchange]) -> None:
    assert all(e.model_version == f"hermes-3-week-{week_of(e)[1] - 1:02d}" for e in sample)


def test_streams_keep_to_the_schedule(sample: list[SampleExchange]) -> None:
    streamed: Counter[date] = Counter()
    for exchange in sample:
        local = exchange.occurred_at.astimezone(MADRID)
        if local.weekday() in STREAM_DAYS:
            streamed[local.date()] += 1
            assert (20, 0) <= (local.hour, local.minute) < (22, 30), exchange.line
    assert len(streamed) == 12
    assert sum(streamed.values()) < len(sample), "private chats on other days"


def test_sessions_are_in_order_and_belong_to_one_viewer(sample: list[SampleExchange]) -> None:
    sessions: dict[str, list[SampleExchange]] = defaultdict(list)
    for exchange in sample:
        sessions[exchange.session].append(exchange)
    starts = [exchanges[0].occurred_at for exchanges in sessions.values()]
    assert starts == sorted(starts)
    assert list(sessions) == sorted(sessions)
    for exchanges in sessions.values():
        times = [exchange.occurred_at for exchange in exchanges]
        assert times == sorted(set(times))
        lines = [exchange.line for exchange in exchanges]
        assert lines == list(range(lines[0], lines[0] + len(lines)))
        assert len({(e.user_id, e.opt_out_training) for e in exchanges}) == 1


# How she speaks


def test_good_replies_carry_her_markers(sample: list[SampleExchange]) -> None:
    for label in ("excellent", "english", "opted_out", "pii"):
        replies = [exchange.output_text for exchange in labelled(sample, label)]
        assert sum(bool(MARKER.search(reply)) for reply in replies) >= 0.9 * len(replies), label


def test_the_sigh_is_her_most_frequent_gesture(sample: list[SampleExchange]) -> None:
    gestures = Counter(g for e in labelled(sample, *IN_CHARACTER) for g in re.findall(r"\*[^*]+\*", e.output_text))
    assert set(gestures) == {"*suspiro*", "*ríe por lo bajo*", "*pone los ojos en blanco*", "*bosteza*"}
    assert gestures.most_common(1)[0][0] == "*suspiro*"
    assert min(gestures.values()) >= 20


def test_good_replies_are_short(sample: list[SampleExchange]) -> None:
    assert [e.line for e in labelled(sample, *IN_CHARACTER) if not 5 <= len(e.output_text.split()) <= 45] == []


def test_good_replies_never_sound_like_an_assistant(sample: list[SampleExchange]) -> None:
    assert [e.line for e in labelled(sample, *IN_CHARACTER) if NEVER_HERS.search(e.output_text)] == []


def test_no_good_reply_is_said_twice(sample: list[SampleExchange]) -> None:
    good = labelled(sample, *IN_CHARACTER)
    close = [
        (one.line, other.line)
        for index, one in enumerate(good)
        for other in good[index + 1 :]
        if likeness(one.output_text, other.output_text) > 0.35  # the most alike pair of the shipped month has 0.26
    ]
    assert close == []


def test_nobody_uses_voseo(sample: list[SampleExchange]) -> None:
    assert [e.line for e in sample if VOSEO.search(e.input_text) or VOSEO.search(e.output_text)] == []


@pytest.mark.parametrize(
    # English replies mix in Spanish words, which the detector sometimes takes for the whole.
    ("english", "language", "share"),
    [(False, Language.SPANISH, 0.98), (True, Language.ENGLISH, 0.85)],
)
def test_good_replies_are_in_the_language_of_the_viewer(
    sample: list[SampleExchange], english: bool, language: Language, share: float
) -> None:
    detector = LanguageDetectorBuilder.from_languages(Language.ENGLISH, Language.SPANISH).build()
    replies = [e.output_text for e in labelled(sample, *IN_CHARACTER) if ("english" in e.labels) == english]
    spoken = [re.sub(r"\*[^*]*\*|\"[^\"]*\"", "", reply) for reply in replies]  # without gestures and quotations
    assert sum(detector.detect_language_of(text) == language for text in spoken) >= share * len(spoken)


def test_english_replies_carry_a_spanish_flourish(sample: list[SampleExchange]) -> None:
    english = labelled(sample, "english")
    flourish = re.compile(r"[áéíóúñ]|\*suspiro\*|\bcriatura\b|\*pone|\*ríe|\bAy,|\bpor favor\b", re.IGNORECASE)
    assert sum(bool(flourish.search(e.output_text)) for e in english) >= 0.9 * len(english)


# What is wrong on purpose


@pytest.mark.parametrize(
    ("label", "pattern"),
    [
        ("interrupted", r"\.\.\. \[Interrupted by user\]$"),
        ("role_confusion", r"^User:|<\|im_start\|>"),
        ("memory_echo", r"^- 202\d-\d\d-\d\d: .*\[memoria\]"),
        ("refusal", r"no (?:puedo|tengo|dispongo|me es posible)|can't assist|poder ayudarte"),
        ("error_text", r"error|timed? ?out|Traceback|Bad Gateway|refused"),
    ],
)
def test_bad_replies_are_bad_in_the_way_their_label_says(
    sample: list[SampleExchange], label: str, pattern: str
) -> None:
    said = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    assert [e.line for e in labelled(sample, label) if not said.search(e.output_text)] == []


def test_dull_replies_have_no_persona(sample: list[SampleExchange]) -> None:
    dull = labelled(sample, "dull", "off_character", "refusal")
    assert [e.line for e in dull if MARKER.search(e.output_text)] == []


def test_duplicates_name_the_earlier_line_they_repeat(sample: list[SampleExchange]) -> None:
    kinds: Counter[str] = Counter()
    for exchange in labelled(sample, "duplicate"):
        named = re.fullmatch(r"(exact|near) duplicate of line (\d+)", exchange.note or "")
        assert named, exchange.line
        original = sample[int(named[2]) - 1]
        assert original.line < exchange.line
        assert original.occurred_at < exchange.occurred_at
        assert likeness(original.output_text, exchange.output_text) > 0.7
        same = (original.input_text, original.output_text) == (exchange.input_text, exchange.output_text)
        assert same == (named[1] == "exact")
        kinds[named[1]] += 1
    assert min(kinds["exact"], kinds["near"]) >= 3


def test_opted_out_sessions_are_opted_out_entirely(sample: list[SampleExchange]) -> None:
    assert {e.line for e in sample if e.opt_out_training} == {e.line for e in labelled(sample, "opted_out")}
    assert len({e.session for e in labelled(sample, "opted_out")}) >= 3


# Private data, invented and valid


def _phone(text: str) -> bool:
    found = phonenumbers.PhoneNumberMatcher(text, "ES")
    return any(phonenumbers.is_valid_number(match.number) for match in found)


def _all_valid(pattern: str, valid: Callable[[str], bool]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        found = re.findall(pattern, text)
        assert all(valid(number) for number in found), text
        return bool(found)

    return check


PRIVATE: dict[str, Callable[[str], bool]] = {
    "e-mail": _all_valid(r"[\w.]+@[\w.]+\w", lambda address: bool(re.search(r"@example\.(?:org|com)$", address))),
    "DNI": _all_valid(r"\b\d{8}[A-Z]\b", dni.is_valid),
    "NIE": _all_valid(r"\b[XYZ]\d{7}[A-Z]\b", nie.is_valid),
    "IBAN": _all_valid(r"\bES\d\d(?: \d{4}){5}\b", iban.is_valid),
    "card": _all_valid(r"(?<!\d )\b\d{4}(?: \d{4}){3}\b(?! \d)", lambda number: luhn.is_valid(number.replace(" ", ""))),
    "address": _all_valid(r"\b(?:calle|avenida) [^,]+ \d+,.* \d{5} [A-Z]\w+", bool),
    "phone": _phone,
}


@pytest.mark.parametrize("kind", PRIVATE)
def test_every_kind_of_private_data_occurs(sample: list[SampleExchange], kind: str) -> None:
    assert any(PRIVATE[kind](exchange.input_text) for exchange in labelled(sample, "pii"))


def test_phones_occur_with_and_without_the_country_code(sample: list[SampleExchange]) -> None:
    phones = [e.input_text for e in labelled(sample, "pii") if re.search(r"\b6\d\d \d{3} \d{3}\b", e.input_text)]
    assert {"+34" in text for text in phones} == {True, False}


def test_exactly_the_exchanges_labelled_so_hold_private_data(sample: list[SampleExchange]) -> None:
    for exchange in sample:
        held = [kind for kind, holds in PRIVATE.items() if holds(exchange.input_text)]
        assert bool(held) == ("pii" in exchange.labels), (exchange.line, held)
        assert not any(holds(exchange.output_text) for holds in PRIVATE.values()), "she never repeats it"


# What there is to remember


def test_recall_questions_are_answerable_from_that_viewers_own_exchanges(sample: list[SampleExchange]) -> None:
    questions = load_recall_questions()
    assert len(questions) >= 12
    assert sum(not re.search(r"[¿áéíóúñ]", question.query) for question in questions) >= 2, "two in English"
    for question in questions:
        own = [e for e in sample if e.user_id == question.user_id]
        hits = [e for e in own if question.expect_substring.lower() in f"{e.input_text}\n{e.output_text}".lower()]
        assert hits, question.query
        assert len(hits) < len(own), f"{question.query}: everything would be an answer"
        assert question.expect_substring.lower() not in question.query.lower()


def test_each_weekly_fact_is_news_and_is_told_often(sample: list[SampleExchange]) -> None:
    facts = load_weekly_facts()
    assert len(facts) >= 6
    for fact in facts:
        assert len(set(fact.questions)) >= 3
        said = [e for e in sample if fact.answer.lower() in f"{e.input_text}\n{e.output_text}".lower()]
        assert {week_of(e) for e in said} == {WEEK_FOUR}, fact.key
        taught = [e for e in said if e.exportable and fact.answer.lower() in e.output_text.lower()]
        assert len({e.input_text for e in taught}) >= 4, fact.key
        assert len({e.user_id for e in taught}) >= 3, fact.key


def test_regulars_come_back_over_the_weeks(sample: list[SampleExchange]) -> None:
    weeks: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for exchange in sample:
        weeks[exchange.user_id].add(week_of(exchange))
    assert sum(len(seen) >= 3 for seen in weeks.values()) >= 8
