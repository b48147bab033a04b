"""The hard cap: whatever goes wrong, and however often, a disk is not flooded."""

from __future__ import annotations

import logging

import pytest

from gateway.logbook import LINES, MAX_LOGGERS, WINDOW, LineCap, install


class Clock:
    """A clock in the test's hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Book(logging.Handler):
    """Keeps what passes the cap."""

    def __init__(self, cap: LineCap) -> None:
        super().__init__()
        self.addFilter(cap)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cap(clock):
    return LineCap(clock)


@pytest.fixture
def book(cap):
    return Book(cap)


def logger(book, name="test.logbook"):
    """Return a logger that writes to the book alone."""
    found = logging.Logger(name)
    found.addHandler(book)
    return found


def test_220_000_identical_failures_at_once_are_sixty_lines(book, cap):
    log = logger(book)
    for _ in range(220_000):
        log.error("Failed to connect after %d attempts", 5)
    assert len(book.lines) == 60
    assert set(book.lines) == {"Failed to connect after 5 attempts"}
    assert (cap.lines, cap.dropped) == (60, 219_940)


def test_the_first_line_after_a_gap_says_how_many_are_missing(book, clock):
    log = logger(book)
    for _ in range(LINES + 7):
        log.error("failed")
    clock.now = WINDOW
    log.error("100%% of %s", "retries")
    log.error("failed")
    assert book.lines[LINES:] == ["100% of retries (7 lines before this one were dropped)", "failed"]


@pytest.mark.parametrize("per_second", [2, 10, 61])
def test_no_sixty_seconds_hold_more_than_sixty_lines(book, cap, clock, per_second):
    log, written = logger(book), []
    for number in range(per_second * 600):
        clock.now = number / per_second
        before = len(book.lines)
        log.error("failed")
        if len(book.lines) > before:
            written.append(clock.now)
    assert all(later - first >= WINDOW for first, later in zip(written, written[LINES:], strict=False))
    assert len(written) == 600
    assert cap.dropped == per_second * 600 - 600


def test_a_line_a_second_is_never_dropped(book, cap, clock):
    log = logger(book)
    for second in range(600):
        clock.now = float(second)
        log.info("line %d", second)
    assert book.lines == [f"line {second}" for second in range(600)]
    assert cap.dropped == 0


def test_a_noisy_logger_takes_nothing_from_a_quiet_one(book):
    noisy, quiet = logger(book, "noisy"), logger(book, "quiet")
    for _ in range(10_000):
        noisy.error("failed")
    quiet.warning("lease lost")
    assert book.lines[-1] == "lease lost"


def test_thousands_of_loggers_share_one_budget(book, cap):
    for number in range(10_000):
        logger(book, f"logger {number}").error("failed")
    assert cap.lines == MAX_LOGGERS + LINES


def test_a_gap_is_told_by_the_logger_that_had_it(book, clock):
    noisy, quiet = logger(book, "noisy"), logger(book, "quiet")
    for _ in range(LINES + 1):
        noisy.error("failed")
    clock.now = WINDOW
    quiet.error("fine")
    noisy.error("failed")
    assert book.lines[-2:] == ["fine", "failed (1 lines before this one were dropped)"]


def test_installed_it_caps_the_root_and_quiets_libraries_that_log_each_request():
    root, names = logging.getLogger(), ("httpx", "httpcore", "websockets")
    levels = {name: logging.getLogger(name).level for name in names}
    cap = install()
    try:
        assert root.handlers
        assert all(cap in handler.filters for handler in root.handlers)
        assert not any(logging.getLogger(name).isEnabledFor(logging.INFO) for name in names)
    finally:
        for handler in root.handlers:
            handler.removeFilter(cap)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
