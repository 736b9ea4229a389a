"""Now: is everything well, and what is going on?"""

from __future__ import annotations

from flask import Blueprint, send_from_directory
from flask.typing import ResponseReturnValue

from persona_dashboard.charts import day_chart, score_chart
from persona_dashboard.contexts import Light, OverviewPage
from persona_dashboard.doors import doors, memory, numerals, show, words
from persona_dashboard.memory_client import Answer, asked, first_problem
from persona_dashboard.service_shapes import Health

blueprint = Blueprint("overview", __name__)

RECENT = 6
SEVERITY = ("failed", "degraded", "loading", "unknown", "ok")


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """The overview."""
    health = asked(memory().health)
    stats = asked(memory().stats)
    recent = asked(lambda: memory().interactions({"limit": RECENT, "order": "desc"}))
    deployments = asked(memory().deployments)
    counts = stats.value.interactions if stats.value else None
    context = OverviewPage(
        problem=first_problem(health, stats, recent, deployments),
        lights=health_lights(health),
        stats=stats.value,
        days=day_chart(counts.by_day, numerals()) if counts else None,
        scores=score_chart(counts.quality_histogram, numerals()) if counts else None,
        recent=recent.value.items if recent.value else None,
        running=[run for run in doors().runs.runs() if run.status in {"queued", "running", "dead"}],
        live=None if deployments.value is None else [tag for tag in deployments.value if tag.live],
    )
    return show("overview/index.html", context)


@blueprint.get("/favicon.ico")
def favicon() -> ResponseReturnValue:
    """Browsers ask here whatever the page says."""
    return send_from_directory(f"{blueprint.root_path}/../static", "favicon.svg", mimetype="image/svg+xml")


def health_lights(health: Answer[Health]) -> list[Light]:
    """The service's parts and the dashboard's own folders, the worst first."""
    problem = health.problem
    lights = [_light("service", "failed" if problem else "ok", _service_detail(health))]
    if health.value:
        lights += [_light(name, check.status, check.detail or "") for name, check in health.value.checks.items()]
    for name, folder in (("exports", doors().exports), ("lora_adapters", doors().runs)):
        lights.append(_light(name, "failed" if folder.fault() else "ok", folder.fault() or str(folder.path)))
    return sorted(lights, key=lambda light: SEVERITY.index(light.status))


def _service_detail(health: Answer[Health]) -> str:
    if health.problem:
        return health.problem.detail
    return health.value.version or "" if health.value else ""


def _light(name: str, status: str, detail: str) -> Light:
    status = status if status in SEVERITY else "unknown"
    remedy = "" if status == "ok" else words().maybe(f"remedy.{name}", words()("remedy.other"))
    return Light(name, status, detail, remedy)
