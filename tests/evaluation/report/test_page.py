"""The page in a real browser: its widgets by mouse and keys, and that it keeps to itself."""

from __future__ import annotations

import pytest

pytest.importorskip("selenium")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from fusionkit.evaluation.report import write_report
from tests.browser import prefer, requested, resize

from .studies import HOSTILE, METRICS, ROWS, change_lines, write_study
from .test_report import MANY, no_plugins

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]

SCENE = "a\"b'c & <i>d"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study whose labels and scene names are as bad as they get."""
    folder = tmp_path_factory.mktemp("reports") / "study <b>"
    rows = {**ROWS, HOSTILE: ("a role of its own", 0.05, 20.0, 5.0)}
    write_study(folder, rows=rows, scenes=("alley", SCENE), seeds=(0, 1))
    write_report(folder, registry=no_plugins())
    return folder


@pytest.fixture
def page(browser, study):
    browser.get((study / "report.html").as_uri())
    return browser


def find(page, name):
    return page.find_element(By.ID, name)


def put(page, name, value):
    """Set a range as a person drags it."""
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    page.execute_script(script, find(page, name), value)


def style(page, selector, name):
    script = "return document.querySelector(arguments[0]).style[arguments[1]]"
    return page.execute_script(script, selector, name)


def test_the_divider_moves_by_value_keys_and_mouse(page):
    assert style(page, "#over", "clipPath") == "inset(0px 50% 0px 0px)"
    put(page, "divider", 30)
    assert style(page, "#over", "clipPath") == "inset(0px 70% 0px 0px)"
    find(page, "divider").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert style(page, "#over", "clipPath") == "inset(0px 68% 0px 0px)"
    find(page, "stage").click()  # in its middle
    assert style(page, "#over", "clipPath") == "inset(0px 50% 0px 0px)"


def test_the_chosen_rows_are_compared(page):
    right = Select(find(page, "right"))
    before = find(page, "under").get_attribute("src")
    right.select_by_visible_text("mean")
    assert find(page, "under").get_attribute("src") != before
    assert find(page, "under").get_attribute("alt") == "alley: mean"
    link = find(page, "full-size").find_element(By.TAG_NAME, "a")
    assert link.get_dom_attribute("href") == "images/mean/alley.png"


def test_flicker_by_buttons_and_keys(page):
    def shown():
        return [
            image.is_displayed() for image in page.find_elements(By.CSS_SELECTOR, "#flicker img")
        ]

    assert shown() == [True, False, False]
    find(page, "next").click()
    assert shown() == [False, True, False]
    stage = find(page, "flicker")
    stage.send_keys(" ")
    assert shown() == [False, False, True]
    stage.send_keys(Keys.ARROW_RIGHT)
    assert shown() == [True, False, False]
    stage.send_keys("3")
    assert shown() == [False, False, True]
    stage.send_keys(Keys.ARROW_LEFT)
    assert shown() == [False, True, False]
    find(page, "previous").click()
    assert shown() == [True, False, False]
    assert find(page, "frame-words").text == "1 of 3: Source 1: alley_ir.png"


def test_a_held_key_does_not_flash(page):
    page.execute_script(
        "for (let n = 0; n < 10; n++) document.getElementById('flicker').dispatchEvent("
        "new KeyboardEvent('keydown', {key: ' ', repeat: true, cancelable: true}))"
    )
    assert find(page, "frame-words").text.startswith("1 of 3")


def test_playing_is_slow_and_stops(page):
    """Over 2.5 seconds the picture changes twice, well under three times a second."""
    changes = page.execute_async_script(
        "const done = arguments[0], words = document.getElementById('frame-words');"
        "let changes = 0; new MutationObserver(() => changes++).observe(words, {childList: true});"
        "document.getElementById('play').click(); setTimeout(() => done(changes), 2500)"
    )
    assert changes == 2
    find(page, "play").click()
    assert find(page, "play").get_attribute("aria-pressed") == "false"


def test_reduced_motion_turns_playing_off(page):
    assert find(page, "play").is_enabled()
    prefer(page, motion="reduce")
    page.refresh()
    assert not find(page, "play").is_enabled()
    assert find(page, "still").is_displayed()
    find(page, "next").click()
    assert find(page, "frame-words").text.startswith("2 of 3")


def test_zoom_moves_by_keys_and_clicks(page):
    def place():
        return [
            float(style(page, "#window", edge).rstrip("%")) for edge in ("left", "top", "width")
        ]

    def crops():
        return page.execute_script(
            "return [...document.querySelectorAll('.crop img')].map(i => i.style.left)"
        )

    left, top, width = place()
    before = crops()
    assert len(before) == 2 + len(ROWS) + 1
    finder = find(page, "finder")
    finder.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert place()[0] > left
    assert place()[1] > top
    assert all(now != then for now, then in zip(crops(), before, strict=True))
    for _ in range(15):
        finder.send_keys(Keys.SHIFT, Keys.ARROW_LEFT)
    assert place()[0] == 0
    finder.send_keys("+")
    assert place()[2] > width
    finder.click()
    assert place()[0] > 0
    assert "--zoom" in find(page, "window-words").text


def test_the_scrubber_changes_the_maps(page):
    def maps():
        return page.find_elements(By.CSS_SELECTOR, "#maps .map")

    assert len(maps()) == 2
    assert find(page, "step-words").text.startswith("Step 5 of 5")
    last = [one.value_of_css_property("background-position") for one in maps()]
    find(page, "step").send_keys(Keys.HOME)
    first = [one.value_of_css_property("background-position") for one in maps()]
    assert find(page, "step-words").text.startswith("Step 1 of 5")
    assert "step 1 of 5" in maps()[0].get_attribute("aria-label")
    assert last == ["0% 100%", "100% 100%"]
    assert first == ["0% 0%", "100% 0%"]


def test_theme_follows_the_device_and_the_button(page):
    def ground():
        return page.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")

    light = ground()
    prefer(page, theme="dark")
    dark = ground()
    assert dark != light
    assert find(page, "theme").get_attribute("aria-pressed") == "true"
    find(page, "theme").click()
    assert ground() == light
    find(page, "theme").click()
    prefer(page, theme="light")
    assert ground() == dark
    page.refresh()
    assert ground() == dark  # the choice is remembered
    page.execute_script("localStorage.clear()")


def test_the_plot_is_drawn_anew(page):
    def marks():
        return page.find_elements(By.CSS_SELECTOR, "#plot .mark")

    places = [mark.get_attribute("transform") for mark in marks()]
    assert len(places) == len(ROWS) + 1
    Select(find(page, "cost")).select_by_visible_text("seconds")
    assert [mark.get_attribute("transform") for mark in marks()] != places
    assert "against seconds" in page.find_element(By.CSS_SELECTOR, "#plot svg").get_attribute(
        "aria-label"
    )
    linear = [mark.get_attribute("transform") for mark in marks()]
    find(page, "logarithmic").click()
    assert [mark.get_attribute("transform") for mark in marks()] != linear
    Select(find(page, "metric")).select_by_visible_text("nabf")
    assert "nabf 10." in find(page, "legend").text
    shapes = {mark.get_attribute("d") for mark in marks()}
    assert len(shapes) == 5


def test_scene_and_commands_change_together(page, study):
    Select(find(page, "scene")).select_by_visible_text(SCENE)
    assert find(page, "over").get_attribute("alt") == f"{SCENE}: Source 1: {SCENE}_ir.png"
    first = page.find_element(By.CSS_SELECTOR, ".command code").text
    assert first.startswith("fusionkit run ")
    assert "b'\"'\"'c & <i>d_ir.png" in first
    assert first.endswith(f"--recipe '{study}/cells/digwindow700.json'")


def test_copying_puts_the_command_on_the_clipboard(page):
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.execute_cdp_cmd("Browser.grantPermissions", grant)
    page.find_element(By.CSS_SELECTOR, "button.copy").click()
    # The clipboard answers when it likes; a loaded machine's takes a while.
    WebDriverWait(page, 20).until(
        lambda page: page.find_element(By.CSS_SELECTOR, "button.copy").text == "Copied"
    )
    command = page.find_element(By.CSS_SELECTOR, ".command code").text
    copied = page.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, done)"
    )
    assert copied == command


def test_labels_are_shown_as_they_are(page):
    assert page.title == "Ablation study <b>"
    heads = [head.text for head in page.find_elements(By.CSS_SELECTOR, "tbody th[scope=row]")]
    assert any(HOSTILE in head for head in heads)
    assert HOSTILE in find(page, "legend").text
    assert any(HOSTILE in c.text for c in page.find_elements(By.TAG_NAME, "figcaption"))
    assert page.find_elements(By.CSS_SELECTOR, "img[src=x]") == []
    assert page.find_elements(By.CSS_SELECTOR, "body i, body b") == []


def test_every_picture_has_words(page):
    images = page.find_elements(By.TAG_NAME, "img")
    assert len(images) > 10
    assert all(image.get_attribute("alt") for image in images)
    drawn = page.find_elements(By.CSS_SELECTOR, "svg:not([aria-hidden]), .map")
    assert len(drawn) == 3
    assert all(element.get_attribute("aria-label") for element in drawn)
    for control in page.find_elements(By.CSS_SELECTOR, "select, input, button"):
        assert control.accessible_name


def test_nothing_leaves_the_file(page):
    Select(find(page, "scene")).select_by_visible_text(SCENE)
    addresses = requested(page)
    assert any(address.startswith("file:") for address in addresses)
    outside = [a for a in addresses if not a.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert len([a for a in addresses if a.startswith("file:")]) == 1


def test_only_the_script_and_pictures_of_the_page_may_be_used(page):
    page.execute_async_script(
        "const done = arguments[0], s = document.createElement('script');"
        "s.textContent = \"document.title = 'broken'\"; document.body.append(s);"
        "const i = new Image(); i.onerror = () => done(); i.onload = () => done();"
        "i.src = 'http://127.0.0.1:9/outside.png'"
    )
    assert page.title != "broken"
    refused = [entry["message"] for entry in page.get_log("browser")]
    assert len(refused) == 2
    assert all("Content Security Policy" in message for message in refused)
    assert any("outside.png" in message for message in refused)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_fits_the_screen(page, width, theme):
    resize(page, width, 800, mobile=width < 500)
    prefer(page, theme=theme)
    page.refresh()
    assert page.execute_script("return document.documentElement.scrollWidth") == width
    table = page.find_element(By.CSS_SELECTOR, ".wide")
    across = table.get_property("scrollWidth") - table.get_property("clientWidth")
    if width == 1400:
        assert across == 0  # nothing is cut off
    else:
        assert across > 0
    page.execute_script("arguments[0].scrollLeft = 500", table)
    head = page.find_element(By.CSS_SELECTOR, "tbody th[scope=row]")
    assert abs(head.rect["x"] - table.rect["x"]) <= 1  # it stays in sight
    for button in page.find_elements(By.CSS_SELECTOR, "button, select, input[type=range]"):
        assert button.size["height"] >= 44


@pytest.mark.parametrize("count", [11, 24])
def test_many_columns_are_not_cut_off(browser, tmp_path, count):
    names = (*METRICS, "cc", "fmi-wavelet", *(f"m{n}" for n in range(12)))[:count]
    write_study(tmp_path / "wide", metrics=names, scenes=MANY, size=(24, 18), seeds=(0, 1))
    change_lines(
        tmp_path / "wide", lambda line: line["values"].update(sd=123.4 + len(line["cell"]))
    )
    write_report(tmp_path / "wide", registry=no_plugins(), scenes=0)
    resize(browser, 1400, 900)
    browser.get((tmp_path / "wide" / "report.html").as_uri())
    tables = browser.find_elements(By.CSS_SELECTOR, ".wide[aria-labelledby=results]")
    assert len(tables) == (1 if count == 11 else 2)
    for table in tables:
        assert table.get_property("scrollWidth") == table.get_property("clientWidth")
    heads = [head.text for head in browser.find_elements(By.CSS_SELECTOR, ".wide thead th span")]
    assert set(names) <= set(heads)


def test_one_scene_and_one_row(browser, tmp_path):
    rows = {"mean": ("no denoiser", 0.0, 0.0, 0.01)}
    write_study(tmp_path / "one", rows=rows, scenes=("alley",), metrics=("en",))
    write_report(tmp_path / "one", registry=no_plugins())
    browser.get((tmp_path / "one" / "report.html").as_uri())
    assert len(browser.find_elements(By.CSS_SELECTOR, "#plot .mark")) == 1
    assert not find(browser, "weights").is_displayed()
    assert find(browser, "over").get_attribute("alt") == "alley: Source 1: alley_ir.png"


def test_a_study_with_nothing_done(browser, tmp_path):
    write_study(
        tmp_path / "none",
        skip=frozenset((r, s) for r in ROWS for s in ("alley",)),
        scenes=("alley",),
    )
    write_report(tmp_path / "none", registry=no_plugins(), scenes=0)
    browser.get((tmp_path / "none" / "report.html").as_uri())
    assert "6 cells of 6 missing" in browser.find_element(By.CLASS_NAME, "warning").text
    assert "Nothing of this is measured yet" in find(browser, "plot").text
    assert not find(browser, "viewer").is_displayed()
