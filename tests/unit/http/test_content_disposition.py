"""File names in answers: each shape that servers are known to send, and what a browser calls the file."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

import pytest

from uploader.http.charsets import text_of
from uploader.http.content_disposition import filename, name_in_link

JAPANESE, CHINESE = "モデル.safetensors", "模型.safetensors"


def word(text: str, charset: str, codec: str | None = None) -> str:
    return f"=?{charset}?B?{b64encode(text.encode(codec or charset)).decode()}?="


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=plain.safetensors", "plain.safetensors"),
        ("filename=plain.safetensors", "plain.safetensors"),
        ('attachment; filename="a; b\\".ckpt"', 'a; b".ckpt'),
        ('attachment; filename="open.ckpt', "open.ckpt"),
        (f'attachment; filename="{JAPANESE}"', JAPANESE),
        ("inline", None),
        ("", None),
        ('attachment; filename=""', None),
    ],
)
def test_filename_plain_is_read_as_rfc_6266_says(disposition: str, name: str | None) -> None:
    assert filename(disposition.encode()) == name


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=\"fallback.bin\"; filename*=UTF-8''%E3%83%A2%E3%83%87%E3%83%AB.bin", "モデル.bin"),
        ("attachment; filename*=utf-8'ja'%41.pt; filename=b.pt", "A.pt"),
        ("attachment; filename*=ISO-8859-1''%E9t%E9.pt", "été.pt"),
        (f"attachment; filename*=Shift_JIS''{quote(JAPANESE.encode('cp932'))}", JAPANESE),
        (f"attachment; filename*=GBK''{quote(CHINESE.encode('gbk'))}", CHINESE),
        ("attachment; filename*0*=UTF-8''%E3%83%A2%E3%83; filename*1*=%87%E3%83%AB.pt", "モデル.pt"),
        ('attachment; filename*0="a b."; filename*1="pt"', "a b.pt"),
        ("attachment; filename*1=b; filename=b.pt", "b.pt"),
        ("attachment; filename*=x-odd''abc; filename=b.pt", "b.pt"),
        ("attachment; filename*=UTF-8''%E3%83; filename=b.pt", "b.pt"),
        ("attachment; filename*=''%41.pt; filename=b.pt", "b.pt"),
        ("attachment; filename*=%41.pt; filename=b.pt", "b.pt"),
        ("attachment; filename*=\"UTF-8''%41.pt\"; filename=b.pt", "b.pt"),
        (f"attachment; filename*=UTF-8''{JAPANESE}; filename=b.pt", "b.pt"),
    ],
)
def test_filename_extended_comes_before_plain(disposition: str, name: str | None) -> None:
    assert filename(disposition.encode()) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("%E3%83%A2%E3%83%87%E3%83%AB.safetensors", JAPANESE),
        (quote(JAPANESE.encode("cp932")), JAPANESE),
        ("a%20b.pt", "a b.pt"),
        ("100%.pt", "100%.pt"),
        ("100%25.pt", "100%.pt"),
        ("caf%E9.pt", None),
        (word(JAPANESE, "UTF-8"), JAPANESE),
        (word(JAPANESE, "Shift_JIS", "cp932"), JAPANESE),
        (word(JAPANESE, "ISO-2022-JP"), JAPANESE),
        (word("模型喆.pt", "GB2312", "gbk"), "模型喆.pt"),
        (f"{word('モデ', 'UTF-8')} {word('ル', 'utf-8')}.safetensors", JAPANESE),
        ("=?UTF-8?Q?caf=C3=A9_1.pt?=", "café 1.pt"),
        ("=?x-odd?B?QUFB?=", None),
        ("=?UTF-8?B?44?=", None),
    ],
)
@pytest.mark.parametrize("quoted", [True, False])
def test_filename_coded_is_decoded(value: str, name: str | None, quoted: bool) -> None:
    said = f'attachment; filename="{value}"; x=1' if quoted else f"attachment; filename={value}"
    assert filename(said.encode()) == name


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *((name, "cp932") for name in ("モデル", "ソース", "表情", "日本語", "美少女", "アニメ風", "新しい薔薇")),
        *((name, "gbk") for name in ("模型", "测试", "国风", "中文模型", "动漫风格", "真人", "二次元")),
    ],
)
@pytest.mark.parametrize("ending", ["", ".safetensors"])
def test_filename_raw_east_asian_is_decoded(name: str, encoding: str, ending: str) -> None:
    raw = (name + ending).encode(encoding)
    assert filename(b'attachment; filename="' + raw + b'"; size=1') == name + ending
    assert filename(b"attachment; filename=" + raw) == name + ending
    assert name_in_link(quote(raw)) == name + ending


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("latin-1", "café été Größe Åäö naïve Über señor"),
        ("cp1251", "модель тест портрет аниме МОДЕЛЬ"),
        ("koi8-r", "модель тест портрет аниме МОДЕЛЬ лицо"),
        ("euc-kr", "모델 한국 한국어모델 테스트 그림 얼굴 여자"),
        ("euc-jp", "日本 モデル 新しいモデル 美少女 東方 水彩画"),
        ("big5", "模型 測試 中文 國風 動漫 寫實"),
        ("gbk", "麦橘写实 墨幽 线稿 敦煌 琉璃"),
        ("cp932", "薔薇 ﾓﾃﾞﾙ"),
        ("cp437", "café été"),
    ],
)
def test_text_of_uncertain_bytes_is_right_or_none(encoding: str, names: str) -> None:
    for name in names.split():
        assert text_of(f"{name}.pt".encode(encoding)) in (f"{name}.pt", None)


def test_text_of_a_letter_cut_in_half_is_none() -> None:
    assert text_of(JAPANESE.encode()[1:]) is None
    assert text_of("モデル".encode("cp932")[:-1]) is None


@pytest.mark.parametrize("encoding", ["utf-8", "cp932"])
def test_filename_encoded_twice_is_decoded_twice(encoding: str) -> None:
    raw = JAPANESE.encode(encoding).decode("latin-1").encode()
    assert filename(b'attachment; filename="' + raw + b'"') == JAPANESE


@pytest.mark.parametrize("name", ["???.safetensors", "\ufffd\ufffd.safetensors"])
def test_filename_of_lost_letters_is_none(name: str) -> None:
    assert filename(f'attachment; filename="{name}"'.encode()) is None
