import click
import pytest

from uploader.cli.options import rate, whole


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("500", 500),
        ("500K", 500 * 1024),
        ("500k", 500 * 1024),
        ("2M", 2 * 1024**2),
        ("1.5G", 1.5 * 1024**3),
        (".5m", 0.5 * 1024**2),
        ("1T", 1024**4),
        ("2MB", 2 * 1024**2),
        ("2MiB/s", 2 * 1024**2),
        (" 3 k ", 3 * 1024),
        ("1", 1),
    ],
)
def test_a_limit_is_1024_based_bytes_per_second(text: str, bytes_per_second: float) -> None:
    assert rate(text) == bytes_per_second


@pytest.mark.parametrize(
    "text", ["", "fast", "-1M", "1,5M", "2X", "1e6", "nan", "inf", "1.2.3", "M", "٣M x", "9" * 400]
)
def test_what_is_no_rate_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="500K, 2M"):
        rate(text)


@pytest.mark.parametrize("text", ["0", "0M", "0.5", "0.0"])
def test_a_limit_at_which_nothing_arrives_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no byte would ever arrive"):
        rate(text)


def test_a_whole_number_keeps_within_its_bounds() -> None:
    read = whole(1, 8)
    assert [read("1"), read("8")] == [1, 8]
    for text in ("0", "9", "-3", "2.5", "many", ""):
        with pytest.raises(click.BadParameter, match="from 1 to 8"):
            read(text)
