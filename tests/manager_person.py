"""What a person does on the manager's pages, whatever is behind them."""

from __future__ import annotations

import re

from playwright.sync_api import Page, ViewportSize, expect

TOKEN, READ = "correct-horse-battery", "only-for-reading-here"
WIDE, NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=360, height=740)

PAGES = (
    "",
    "labels",
    "labels/staff",
    "builds",
    "compare?label=staff",
    "submit",
    "labels/nobody",
    "builds?status=error",
)


def logs_in(page: Page) -> None:
    """With the keyboard alone, and back to where they wanted to go."""
    page.goto("/builds")
    page.get_by_label("Token").fill("not the token at all")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("none of the tokens")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/builds")
    expect(page.get_by_text("No build yet.")).to_be_visible()
    assert TOKEN not in page.url + page.content()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def compares(page: Page) -> None:
    page.goto("/labels/staff")
    page.get_by_role("link", name="Compare", exact=True).last.click()
    expect(page.get_by_role("heading", name="Compare versions of staff")).to_be_visible()
    expect(page.get_by_role("img", name="Misses against false alarms")).to_be_visible()
    expect(page.locator("figure path.curve")).to_have_count(2)
    expect(page.get_by_role("table", name="Figures of both versions")).to_contain_text("not told apart")
    before = page.get_by_label("Before").input_value()
    assert before != page.get_by_label("After").input_value()


def reads_on_a_telephone_in_the_dark(tab: Page) -> None:
    tab.goto("/builds")
    builds = [str(one.get_attribute("href")) for one in tab.locator("tbody a").all()]
    assert builds
    for path in (*PAGES, *builds):
        tab.goto(f"/{path.removeprefix('./')}")
        expect(tab.get_by_role("main")).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") == 360, f"{path} is wider than the screen"
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 24, 39)"


def follows_without_javascript(tab: Page) -> None:
    tab.goto("/")
    with tab.expect_navigation(timeout=15_000):  # it loads itself again
        pass
    tab.goto("/labels")
    tab.get_by_label("Name begins with").fill("sta")
    tab.get_by_role("button", name="Search").click()
    tab.get_by_role("link", name="staff").click()
    expect(tab.get_by_role("heading", name="staff")).to_be_visible()


def only_reads(tab: Page) -> None:
    tab.goto("/login")
    tab.get_by_label("Token").fill(READ)
    tab.get_by_role("button", name="Log in").click()
    expect(tab.get_by_role("heading", name="Overview")).to_be_visible()
    for path in ("", "labels/staff", "builds"):
        tab.goto(f"/{path}")
        expect(tab.get_by_role("button", name=re.compile("^(?!Log out|Show|Search)"))).to_have_count(0)
        expect(tab.get_by_role("link", name=re.compile("Submit|Roll|Delete|Build it anew"))).to_have_count(0)
    tab.get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("heading", name="Log in")).to_be_visible()
