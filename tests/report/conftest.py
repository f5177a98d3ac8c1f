"""A browser with the viewer of planted neurons."""

import pytest
from viewer_browser import browser_or_skip
from viewer_pages import planted, write_viewer


@pytest.fixture(scope="session")
def browser():
    with browser_or_skip() as started:
        yield started


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    return write_viewer(tmp_path_factory.mktemp("pages"), planted())


@pytest.fixture
def opened(browser, page):
    browser.console()
    browser.open(page)
    yield browser
    assert browser.console() == []
