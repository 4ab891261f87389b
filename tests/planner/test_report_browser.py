"""The report in headless Chromium: no error, no request, hovering, themes, a phone; what is seen is what is planned."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_cases import HOSTILE, TRIALS, full_plan, profile_of, write_study

from foveate.cost_models import CostModel
from foveate.ir.plan import Plan
from foveate.ir.tracing import trace
from foveate.planner.report import Costed, report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; install foveate[browser]")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; install Debian's package"),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def plan_and_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    folder = tmp_path_factory.mktemp("report")
    write_study(folder / "study.db")
    graph = trace(ROOT / "testbed" / "checkpoints" / "image", "image=1x224x224,text=16,new=4", name="testbed")
    costed = Costed(graph, CostModel(profile_of(), dtype="float32"))
    plan = full_plan(costed, study=str(folder / "study.db"))
    (folder / "report.html").write_text(report(plan, costed=costed))
    return plan, folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def view(browser: Any, plan_and_page: tuple[Plan, Path]) -> Iterator[Any]:
    """The page opened in light on a desktop; at the end nothing must have failed or been asked for."""
    complaints: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.goto(plan_and_page[1].as_uri())
    page.wait_for_selector("#front .scatterlayer .point")
    yield page
    assert not complaints
    assert requests == [plan_and_page[1].as_uri()]
    page.close()


def test_what_it_shows_is_the_plans(view: Any, plan_and_page: tuple[Plan, Path]) -> None:
    plan = plan_and_page[0]
    assert plan.predicted is not None
    assert plan.fidelity is not None
    assert HOSTILE in view.inner_text("h1")
    assert f"{plan.predicted.ttft_ms:.4g} ms to the first token" in view.inner_text('[data-flow="after"] h3')
    assert f"{plan.predicted.baseline_ttft_ms:.4g} ms" in view.inner_text('[data-flow="before"] h3')
    shown = view.inner_text(".figures")
    assert f"{plan.fidelity.value:.3f}" in shown
    drawn = view.inner_text('[data-flow="after"]')
    for stage in plan.predicted.stages:
        assert stage.name in drawn
        assert f"{stage.ms:.3g} ms" in drawn
    for placement in plan.placements:
        words = f"{placement.tokens_in} → {placement.tokens_out} tokens"
        assert words in view.inner_text(".placements")
    assert "0.5 ms" in view.inner_text("#ablation")
    assert view.locator("#trial-table tbody tr").count() == sum(t.value is not None for t in TRIALS)


def test_a_hovered_trial_says_what_it_is(view: Any) -> None:
    view.locator("#front").scroll_into_view_if_needed()
    marks = view.locator("#front .scatterlayer .point")
    said = []
    for number in range(marks.count()):
        box = marks.nth(number).bounding_box()
        view.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        view.wait_for_selector("#front .hoverlayer .hovertext")
        said.append(view.text_content("#front .hoverlayer"))
        view.mouse.move(2, 2)
        view.wait_for_selector("#front .hoverlayer .hovertext", state="detached")
    for number, tried in enumerate(TRIALS):
        if tried.value is not None and tried.words != HOSTILE:
            parts = tried.words.split(" + ")
            wanted = [f"trial {number}: {parts[0]}", *parts[1:], f"value {tried.value:.4f}"]
            assert any(all(part in words for part in wanted) for words in said), (wanted, said)
    assert any("<script>alert('1')</script>" in words for words in said)  # as text


def test_the_theme_can_be_switched(view: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#front .xtitle')).fill"
    light, light_ink = view.evaluate(ground), view.evaluate(ink)
    view.click("#theme")
    assert view.evaluate("document.documentElement.dataset.theme") == "dark"
    assert view.inner_text("#theme") == "Light"
    assert brightness(view.evaluate(ground)) < 60 < 200 < brightness(light)
    assert brightness(view.evaluate(ink)) > 200 > 60 > brightness(light_ink)
    view.click("#theme")
    assert view.evaluate(ground) == light
    assert view.evaluate(ink) == light_ink


def test_it_follows_the_systems_theme(view: Any) -> None:
    view.emulate_media(color_scheme="dark")
    view.wait_for_selector('html[data-theme="dark"]')


def test_it_fits_a_phone(view: Any) -> None:
    view.set_viewport_size({"width": 390, "height": 800})
    width = "document.querySelector('#front .main-svg').getBoundingClientRect().width"
    while view.evaluate(width) > 390:  # Plotly redraws a moment later; the test's own limit ends a wait in vain
        view.wait_for_timeout(50)
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    smallest = view.evaluate(
        "Math.min(...[...document.querySelectorAll('.flow text')].map(t => "
        "parseFloat(getComputedStyle(t).fontSize) * t.ownerSVGElement.getBoundingClientRect().width / 360))"
    )
    assert smallest >= 9


def brightness(colour: str) -> float:
    """Mean channel of `rgb(r, g, b)`."""
    channels = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(channels) / 3
