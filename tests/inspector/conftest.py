"""A browser for the tests of pages."""

from browser import browser, opened, page

__all__ = ["browser", "opened", "page"]
