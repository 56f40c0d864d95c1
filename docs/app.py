"""Make the picture of docs/app.md: the page with a made focus pair, in headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import scipy.ndimage
import skimage.data
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PORT = "7868"


def frames(folder: Path) -> list[str]:
    """Write a photograph twice, sharp in its left and in its right half; return the paths."""
    photo = skimage.data.astronaut()[20:340, 60:480]
    blurred = scipy.ndimage.gaussian_filter(photo, (4, 4, 0))
    left = np.mgrid[: photo.shape[0], : photo.shape[1]][1][..., None] < 200
    paths = [str(folder / "near.png"), str(folder / "far.png")]
    for path, here in zip(paths, (left, ~left), strict=True):
        Image.fromarray(np.where(here, photo, blurred)).save(path)
    return paths


def main(folder: str) -> None:
    """Write app.jpg into a folder."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--window-size=1180,1180", "--hide-scrollbars"):
        options.add_argument(flag)
    command = [sys.executable, "-m", "fusionkit", "app", "--no-browser", "--port", PORT]
    with (
        tempfile.TemporaryDirectory() as temporary,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app,
        webdriver.Chrome(options, Service(shutil.which("chromedriver"))) as browser,
    ):
        assert app.stdout is not None
        address = app.stdout.readline().split()[1]
        browser.implicitly_wait(60)
        browser.get(address)
        drop = browser.find_element("css selector", "#files input[type=file]")
        drop.send_keys("\n".join(frames(Path(temporary))))
        time.sleep(5)
        browser.find_element("css selector", "#fuse").click()
        browser.find_element("css selector", "#kept a[href]")
        time.sleep(5)
        shot = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        shot.save(Path(folder) / "app.jpg", quality=80)
        app.terminate()


if __name__ == "__main__":
    main(sys.argv[1])
