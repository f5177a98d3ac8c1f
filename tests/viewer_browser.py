"""The viewer in a browser: what tests ask of it and do with it."""

import shutil
import subprocess
import tarfile

import pytest
import webdriver


def browser_or_skip():
    """A browser, or the test is skipped and says why."""
    if webdriver.missing():
        pytest.skip(
            f"{webdriver.missing()} is not installed (Debian packages chromium and chromium-driver)"
        )
    return webdriver.Browser()


def axe_or_skip(folder):
    """The script of axe-core, which checks a page's accessibility, or the test is skipped."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, so axe-core cannot be had")
    command = ["npm", "pack", "axe-core@4", "--silent", "--fetch-retries=0"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("axe-core cannot be had from npm here")
    with tarfile.open(next(folder.glob("axe-core-*.tgz"))) as packed:
        return packed.extractfile("package/axe.min.js").read().decode("utf-8")


def count(browser):
    return int(browser.run("return document.getElementById('count').textContent").split()[0])


def title(browser):
    return browser.run("return document.querySelector('h1')?.textContent")


def names(browser):
    return browser.run(
        "return [...document.querySelectorAll('.row div:first-child')].map((row) => "
        "row.textContent)"
    )


def set_filter(browser, name, value):
    browser.run(
        "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', {bubbles: true}))",
        name,
        value,
    )


def address(browser):
    return browser.run("return location.hash")


def click(browser, selector):
    browser.run("document.querySelector(arguments[0]).click()", selector)


def texts_shown(browser):
    return browser.run("return document.querySelectorAll('.context').length")
