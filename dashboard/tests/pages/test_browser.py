"""What a person sees and does, in a real Chromium."""

from __future__ import annotations

import pytest
from house import House, Watched, dashboard_process, free_port, served
from places import ALL, LISTS, RUNNING
from playwright.sync_api import Browser, Page, expect
from seam_files import append_metrics, write_run

pytestmark = pytest.mark.browser

# The basics a screen reader depends on, checked on the finished page.
FLAWS = """() => {
  const flaws = [];
  const seen = (element) => element.getClientRects().length > 0;
  if (document.querySelectorAll('h1').length !== 1) flaws.push('not one h1');
  if (!document.documentElement.lang) flaws.push('no language');
  let level = 1;
  for (const heading of document.querySelectorAll('h1,h2,h3,h4')) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) flaws.push('heading jumps to ' + heading.outerHTML);
    level = next;
  }
  for (const field of document.querySelectorAll('input:not([type=hidden]),select,textarea'))
    if (!field.labels.length) flaws.push('no label: ' + field.outerHTML);
  for (const act of document.querySelectorAll('a,button,summary'))
    if (!(act.textContent.trim() || act.getAttribute('aria-label'))) flaws.push('no name: ' + act.outerHTML);
  for (const drawing of document.querySelectorAll('main svg'))
    if (!(drawing.getAttribute('aria-hidden') || drawing.getAttribute('aria-label') || drawing.parentElement.closest('svg')))
      flaws.push('silent drawing: ' + drawing.outerHTML.slice(0, 80));
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) flaws.push('id twice: ' + id);
  for (const table of document.querySelectorAll('table')) if (!table.caption) flaws.push('table without caption');
  for (const bar of document.querySelectorAll('progress')) if (!bar.getAttribute('aria-label')) flaws.push('silent progress');
  if (document.documentElement.scrollWidth > window.innerWidth) flaws.push('wider than the window');
  return flaws;
}"""


@pytest.mark.parametrize("state", ["empty", "full", "down"])
def test_every_page_is_sound(request: pytest.FixtureRequest, watched: Watched, state: str) -> None:
    house: House = request.getfixturevalue(state)
    pages = LISTS if state == "empty" else {**ALL, "answer": "/recall?viewer=nube&question=rust"}
    found: dict[str, list[str]] = {}
    with served(house.app) as url:
        for address in pages.values():
            for width in (1280, 360):
                watched.page.set_viewport_size({"width": width, "height": 800})
                watched.page.goto(url + address)
                if flaws := watched.page.evaluate(FLAWS):
                    found[f"{address} at {width}"] = flaws
    assert found == {}
    assert watched.complaints == []
    assert watched.page.title() != "hacked"


def test_a_run_grows_and_survives_a_restart_of_the_dashboard(full: House, watched: Watched) -> None:
    page, port = watched.page, free_port()
    points = page.locator("[data-points]")
    with dashboard_process(full, port):
        page.goto(f"http://127.0.0.1:{port}/runs/{RUNNING}")
        expect(points).to_have_attribute("data-points", "34")
        expect(page.get_by_text("Following live.")).to_be_visible()
        before = page.locator("polyline.curve.train").get_attribute("points") or ""
        append_metrics(full.adapters, RUNNING, range(35, 51))
        write_run(full.adapters, RUNNING, "running", 50)
        expect(points).to_have_attribute("data-points", "50")
        expect(page.get_by_text("step 50 of 80")).to_be_visible()
        grown = page.locator("polyline.curve.train").get_attribute("points") or ""
        assert len(grown.split()) == len(before.split()) + 16
        assert watched.complaints == []
    expect(page.get_by_text("Connection lost")).to_be_visible()
    append_metrics(full.adapters, RUNNING, range(51, 71))
    write_run(full.adapters, RUNNING, "running", 70)
    with dashboard_process(full, port):
        expect(points).to_have_attribute("data-points", "70")
        append_metrics(full.adapters, RUNNING, range(71, 81))
        write_run(full.adapters, RUNNING, "finished", 80)
        expect(points).to_have_attribute("data-points", "80")
        expect(page.get_by_text("The run has ended.")).to_be_visible()
        page.reload()
        expect(points).to_have_attribute("data-points", "80")


def test_a_dead_run_is_shown_as_such_without_a_script(full: House, chromium: Browser) -> None:
    write_run(full.adapters, RUNNING, "running", 34, silent_seconds=45)
    context = chromium.new_context(java_script_enabled=False)
    with served(full.app) as url:
        page = context.new_page()
        page.goto(f"{url}/runs/{RUNNING}")
        expect(page.get_by_text("No sign of life for more than 30 seconds.")).to_be_visible()
        expect(page.locator("polyline.curve.train")).to_be_visible()
        page.goto(f"{url}/core-memory")
        page.get_by_label("Category").fill("like")
        page.get_by_label("Key").fill("rain")
        page.get_by_label("Value").last.fill("La lluvia.")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_text("Added to core memory.")).to_be_visible()
    context.close()


def test_an_attack_stays_text_and_the_report_runs_nothing(full: House, watched: Watched) -> None:
    page = watched.page
    with served(full.app) as url:
        page.goto(f"{url}/interactions/int-3")
        expect(page.get_by_text('<script>document.title="hacked"</script>')).to_be_visible()
        assert page.title() == "Interaction · Casiopy"
        assert watched.complaints == []
        page.goto(f"{url}/gate")
        page.get_by_role("link", name="casiopy:week04").first.click()
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Whole report").click()
        report = opened.value
        expect(report.get_by_role("heading", name="Report")).to_have_css("color", "rgb(0, 128, 128)")
        assert report.title() == "Report"


def test_deleting_asks_first(full: House, watched: Watched) -> None:
    assert full.service
    page, facts = watched.page, full.service.store.core_memory
    with served(full.app) as url:
        page.goto(f"{url}/core-memory")
        page.get_by_label("Change language_rust").click()
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.locator("#entry-core-3").get_by_role("button", name="Delete").click()
        assert len(facts) == 4
        page.once("dialog", lambda dialog: dialog.accept())
        page.locator("#entry-core-3").get_by_role("button", name="Delete").click()
        expect(page.get_by_text("Deleted from core memory.")).to_be_visible()
    assert [fact["id"] for fact in facts] == ["core-1", "core-2", "core-4"]


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.innerText || document.activeElement.name || ''")).strip()


def test_everything_by_keyboard(full: House, watched: Watched) -> None:
    page = watched.page
    with served(full.app) as url:
        page.goto(f"{url}/recall")
        page.keyboard.press("Tab")
        assert focused(page) == "Skip to content"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert focused(page) == "viewer"
        page.keyboard.type("marta_91")
        page.keyboard.press("Tab")
        page.keyboard.type("¿Qué dije de Rust?")
        page.keyboard.press("Enter")
        expect(page.get_by_text("place 1, score 0.710")).to_be_visible()


def test_language_is_chosen_kept_and_guessed(full: House, chromium: Browser) -> None:
    context = chromium.new_context(locale="es-ES")
    page = context.new_page()
    with served(full.app) as url:
        page.goto(f"{url}/interactions?min_quality=0.5")
        expect(page.get_by_role("heading", name="Interacciones")).to_be_visible()
        page.get_by_role("link", name="English").click()
        expect(page.get_by_role("heading", name="Interactions")).to_be_visible()
        expect(page.get_by_label("Score from")).to_have_value("0.5")
        page.goto(f"{url}/runs")
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        assert page.locator("html").get_attribute("lang") == "en"
    context.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_sky_follows_the_system(full: House, chromium: Browser, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    with served(full.app) as url:
        page.goto(f"{url}/patterns")
        channels = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(channels) < 200) == (scheme == "dark")
        page.set_viewport_size({"width": 360, "height": 800})
        page.get_by_text("Menu").click()
        page.get_by_role("link", name="Gate").click()
        expect(page.get_by_role("heading", name="Gate", exact=True)).to_be_visible()
    context.close()
