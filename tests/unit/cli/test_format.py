import pytest

from uploader.cli.format import duration, fitted, part, percent, plural, rate, shown, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2_132_625_894, "2.1 GB"),
        (10**13, "10.0 TB"),
        (10**20, "100000.0 PB"),
    ],
)
def test_sizes_read_as_shops_write_them(count: int, text: str) -> None:
    assert size(count) == text


def test_a_part_is_told_in_the_unit_of_its_whole() -> None:
    assert part(400_000_000, 2_132_625_894) == "0.4/2.1 GB"
    assert part(5, 812) == "5/812 bytes"


def test_rates_are_per_second() -> None:
    assert rate(54_321_000.7) == "54.3 MB/s"
    assert rate(12.5) == "12 B/s"
    assert rate(1) == "1 B/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (41.9, "0:41"), (61, "1:01"), (3723, "1:02:03"), (90_000, "1 d 1 h"), (2e6, "23 d")],
)
def test_times_read_as_clocks_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_hundred_percent_is_said_of_the_whole_alone() -> None:
    assert percent(999, 1000) == 99
    assert percent(1000, 1000) == 100
    assert percent(0, 1000) == 0


def test_nothing_shown_can_steer_a_terminal() -> None:
    assert shown("a\x1b[31m\r\x00b") == "a\\x1b[31m\\r\\x00b"
    assert shown("日本語 é\n") == "日本語 é\n"
    assert shown("\u202egnp.exe\udcff") == "\\u202egnp.exe\\udcff"


def test_our_own_signs_become_plain_where_they_cannot_be_written() -> None:
    assert fitted("a → b…", "ascii") == "a -> b..."
    assert fitted("a → b…", "utf-8") == "a → b…"
    assert fitted("a → b", None) == "a -> b"


def test_one_is_singular() -> None:
    assert [plural(1, "file"), plural(2, "file")] == ["1 file", "2 files"]
