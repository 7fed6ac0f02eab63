"""The page *LIM builds* as a person sees it, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import watched
from pages import QUICK, Cluster, cluster, gallery
from playwright.sync_api import Browser, BrowserContext, Page, expect

expect.set_options(timeout=30_000)  # a machine that may be busy

TOKEN = "correct-horse-battery"


@pytest.fixture
def world(browser: Browser, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose pages ask for a token."""
    with cluster(tmp_path, LIM_HTTP__TOKEN=TOKEN) as found:
        yield found


@pytest.mark.timeout(300)
def test_what_a_person_does(browser: Browser, world: Cluster) -> None:
    """One story, since each part needs what the one before left: a cluster takes seconds, and a build as well."""
    person = browser.new_context(base_url=world.dashboard, viewport={"width": 1280, "height": 900})
    page = person.new_page()
    complaints = watched(page)
    logs_in(page)
    submits_a_build(page, str(gallery(world.folder, 1_500)))
    sees_it_published(page)
    assert complaints == []
    cookies = {"cookies": person.cookies()}
    reads_on_a_telephone_in_the_dark(
        browser.new_context(
            base_url=world.dashboard, viewport={"width": 360, "height": 740}, color_scheme="dark", storage_state=cookies
        )
    )
    follows_without_javascript(
        browser.new_context(base_url=world.dashboard, java_script_enabled=False, storage_state=cookies)
    )
    page.goto("/lim")
    world.child.stop()
    expect(page.get_by_text("The scheduler does not answer")).to_be_visible()


def logs_in(page: Page) -> None:
    page.goto("/status")
    page.get_by_role("link", name="LIM builds").click()
    page.get_by_label("Token").fill("not the token at all")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not the token")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_text("No build yet.")).to_be_visible()
    assert TOKEN not in page.url + page.content()


def submits_a_build(page: Page, source: str) -> None:
    page.get_by_label("Source").fill(source)
    page.get_by_label("Label").fill("staff")
    page.get_by_label("Options").fill("build.sede=2")
    page.get_by_role("button", name="Build").click()
    expect(page.locator("#options-wrong")).to_contain_text("did you mean build.seed?")
    expect(page.locator("#refused")).to_be_focused()
    page.get_by_label("Options").fill(QUICK + "\nbuild.recipe=exact")
    page.get_by_role("button", name="Build").click()
    page.wait_for_url("**/lim/builds/*")


def sees_it_published(page: Page) -> None:
    """The page brings itself up to date."""
    state = page.locator("h1 .state")
    expect(state).to_have_text(re.compile("queued|starting|running"))
    expect(page.locator("#cancel")).to_be_visible()
    expect(page.locator("table.stages tbody tr")).to_have_count(13, timeout=60_000)
    expect(page.locator("#log")).to_contain_text("pipeline.progress", timeout=30_000)
    expect(state).to_have_text("published", timeout=120_000)
    expect(page.locator("#cancel")).to_have_count(0)
    page.get_by_role("link", name=re.compile(r"report\.html$")).click()
    expect(page.get_by_role("heading", name="Key figures")).to_be_visible()
    expect(page.locator("canvas").first).to_be_attached()  # its pictures are drawn
    page.goto("/lim")
    expect(page.locator("tbody tr").first).to_contain_text("published")
    page.get_by_role("link", name="Workers").click()
    page.wait_for_url("**/workers")


def reads_on_a_telephone_in_the_dark(small: BrowserContext) -> None:
    tab = small.new_page()
    tab.goto("/lim")
    build = str(tab.locator("tbody a").first.get_attribute("href"))
    for path in ("/lim", f"/{build}"):
        tab.goto(path)
        expect(tab.get_by_text("staff").first).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") == 360, f"{path} is wider than the screen"
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 24, 39)"
    small.close()


def follows_without_javascript(plain: BrowserContext) -> None:
    tab = plain.new_page()
    tab.goto("/lim")
    tab.get_by_role("link", name="follow the builds").click()
    expect(tab.locator("tbody tr").first).to_contain_text("staff")
    with tab.expect_navigation(timeout=10_000):  # it loads itself again
        pass
    expect(tab.locator("tbody tr").first).to_contain_text("staff")
    plain.close()
