"""The page in a real browser: a video is handed in, a sentence asked, and a bar clicked; the video jumps there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from src.playroom.generation import generate
from src.playroom.splits import SPLITS

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

PROJECT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("chromium") is None or shutil.which("chromedriver") is None,
        reason="needs chromium and chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The page over two videos of the Playroom, and a folder with another one."""
    place = tmp_path_factory.mktemp("page")
    generate(place / "data" / "playroom", dict.fromkeys(SPLITS, 1), seed=0, workers=1)
    videos = sorted((place / "data" / "playroom" / "videos").glob("*.mp4"))
    (place / "videos").mkdir()
    for video in videos[:2]:
        shutil.copy(video, place / "videos")
    shutil.copy(videos[-1], place / "my holiday.mp4")
    words = [f"videos={place}/videos", "narrator=playroom", "text=learned", "model@compare=similarity", "port=0"]
    places = [f"paths.stores={place}/stores", f"paths.outputs={place}/outputs"]
    server = subprocess.Popen(
        [sys.executable, "-m", "src.app", *words, *places],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert server.stdout is not None
        said = re.search(r"http://\S+", server.stdout.readline())
        assert said is not None
        yield said[0], place
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-gpu"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_window_size(1280, 860)
    try:
        yield driver
    finally:
        driver.quit()


def until(there: Callable[[], object], seconds: float = 120) -> Any:
    """What `there` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < end, "the page does not get there"
        time.sleep(0.1)
    return found


def test_a_video_is_handed_in_found_and_played_at_its_moment(page: tuple[str, Path], browser: Any) -> None:
    address, place = page
    browser.get(address)

    def state() -> str:
        return str(browser.find_element(By.ID, "state").text)

    def of(selector: str) -> list[Any]:
        return list(browser.find_elements(By.CSS_SELECTOR, selector))

    until(lambda: state() == "2 videos can be searched.")
    browser.find_element(By.ID, "file").send_keys(str(place / "my holiday.mp4"))
    until(lambda: "3 videos can be searched" in state())
    assert "my holiday.mp4" in browser.find_element(By.ID, "within").text
    assert not [file for file in (place / "outputs" / "app" / "uploads").iterdir() if "holiday" in file.name]

    # By the keyboard alone.
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    browser.switch_to.active_element.send_keys("somebody jumps in the air", Keys.ENTER)
    until(lambda: of(".bar"))
    assert [each.text for each in of(".model h3")] == ["segments", "similarity"]
    assert "moments" in state()

    bar = of(".bar")[-1]
    start = float(bar.get_attribute("data-start"))
    browser.execute_script("arguments[0].click()", bar)
    now = "const video = document.getElementById('video'); return video.seeking ? -1 : video.currentTime"
    until(lambda: start - 0.1 <= browser.execute_script(now) <= start + 5)
    assert of("#told li.because")

    # The address leads back to the same moment.
    shown = browser.current_url
    assert "q=somebody+jumps" in shown
    browser.get("about:blank")
    browser.get(shown)
    until(lambda: of(".hit.chosen"))
    until(lambda: start - 0.1 <= browser.execute_script(now) <= start + 5)

    browser.find_element(By.ID, "query").clear()
    browser.find_element(By.ID, "query").send_keys(Keys.ENTER)
    until(lambda: "type a sentence" in state())

    # Nothing is refused by the policy, nothing is wider than a phone, and frames are drawn.
    pixel = "return arguments[0].getContext('2d').getImageData(128, 72, 1, 1).data[3]"
    until(lambda: browser.execute_script(pixel, of(".hit canvas")[0]))
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert not [line for line in browser.get_log("browser") if "Content Security Policy" in line["message"]]
