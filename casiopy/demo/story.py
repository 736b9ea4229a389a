"""The whole loop on a sample month, told chapter by chapter: remember, recall, know, export, train, judge, deploy."""

import time

import httpx
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from casiopy.demo import lessons, people, questions
from casiopy.demo.conversation import post_session, sessions_of
from casiopy.demo.errors import DemoError
from casiopy.demo.page import title
from casiopy.demo.progress import Progress
from casiopy.demo.sample import SampleError, SampleExchange, load_sample
from casiopy.stack import Stack

__all__ = ["DemoError", "tell"]

# Embedding 400 exchanges takes about 20 s on one core, after loading the model (measured on 2 cores).
_EMBED_SECONDS = 180.0
# After so many sessions there is something to recall; vectors may still be on their way, words are searchable at once.
_FIRST_SESSIONS = 3


def tell(stack: Stack) -> None:
    """Run every chapter that has not been run yet on this machine.

    Raises:
        DemoError: a chapter failed; the message says which, and the next run goes on from there.
    """
    path = stack.data / "demo.json"
    progress = Progress.load(path)
    try:
        sample = load_sample()
        headers = {"X-API-Key": stack.api_key} if stack.api_key else {}
        with httpx.Client(base_url=stack.api_url, headers=headers, timeout=30) as client:
            _remember(stack, client, sample, progress)
            progress.save(path)
            _await_embeddings(stack, client)
            questions.show_scores(stack, client, sample)
            questions.show_recall(stack, client)
            questions.show_topics(stack, client)
            people.show_person(stack, client)
        for chapter in (lessons.export, lessons.train, lessons.judge, lessons.deploy):
            chapter(stack, progress)
            progress.save(path)
    except SampleError as error:
        raise DemoError(str(error)) from None
    except httpx.HTTPError as error:
        raise DemoError(
            f"The memory service did not take a request: {error}. Its log: {stack.data / 'logs' / 'memory_service.log'}"
        ) from None
    stack.console.print(f"\n[bold green]The loop is closed[/] after {time.monotonic() - stack.begun:.0f} s.\n")


def _remember(stack: Stack, client: httpx.Client, sample: list[SampleExchange], progress: Progress) -> None:
    title(stack, "1 · Remember: a month on stream is posted to the memory")
    sessions = [(name, exchanges) for name, exchanges in sessions_of(sample) if name not in progress.sessions]
    posted = len(sample) - sum(len(exchanges) for _, exchanges in sessions)
    if not sessions:
        stack.console.print(f"  All {len(sample)} exchanges are remembered already.")
        return
    columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=stack.console, transient=True) as bar:
        task = bar.add_task("", total=len(sample), completed=posted)

        def told(exchange: SampleExchange, answer: dict[str, object]) -> None:
            score = float(str(answer["quality_score"]))
            colour = "green" if score >= 0.6 else "red"
            said = exchange.output_text.replace("[", "\\[").replace("\n", " ")[:60]
            bar.update(task, advance=1, description=f"[{colour}]{score:.2f}[/] [dim]{exchange.user_id}:[/] {said}")

        for name, exchanges in sessions:
            progress.sessions[name] = post_session(client, name, exchanges, told)
            progress.save(stack.data / "demo.json")
            if len(progress.sessions) == _FIRST_SESSIONS:
                questions.first_memory(stack, client)
    viewers = len({exchange.user_id for exchange in sample})
    stack.console.print(
        f"  {len(sample)} exchanges of {viewers} viewers in {len(progress.sessions)} sessions, each scored as it came in."
    )


def _await_embeddings(stack: Stack, client: httpx.Client) -> None:
    """The background worker embeds what came in; wait for it here because the next chapters look at everything."""
    begun = time.monotonic()
    columns = (TextColumn("  Embedding in the background"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=stack.console, transient=True) as bar:
        task = bar.add_task("", total=None)
        while time.monotonic() - begun < _EMBED_SECONDS:
            stack.require_alive()
            counts = client.get("/stats").raise_for_status().json()["interactions"]
            bar.update(task, total=counts["total"], completed=counts["total"] - counts["pending_embeddings"])
            embedder = client.get("/health").json()["checks"]["embedder"]["status"]
            if counts["pending_embeddings"] == 0 and embedder != "loading":
                return
            time.sleep(0.4)
    health = client.get("/health").json()["checks"]
    raise DemoError(
        f"The exchanges are stored, but not embedded within {_EMBED_SECONDS:.0f} s: {health.get('embedder')}"
    )
