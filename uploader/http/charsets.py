"""The text of bytes whose encoding is not told. UTF-8 first, else an old East Asian encoding where that is certain."""

from __future__ import annotations

import re

_LABELS = {
    "us-ascii": "cp1252",
    "iso-8859-1": "cp1252",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
}
"""What browsers read a name of an encoding as (encoding.spec.whatwg.org): each is the larger set of the same bytes."""

# How often a letter is used tells two encodings apart: each of these has its everyday letters in rows of its own.
_JAPANESE = re.compile(rb"(?:[\x20-\x7e]|[\xa1-\xa5\xb0-\xcf][\xa1-\xfe])+")
_JAPANESE_RARE = re.compile(rb"(?:[\x20-\x7e]|[\xa1-\xa5\xb0-\xf4][\xa1-\xfe])+")
_CHINESE = re.compile(rb"(?:[\x20-\x7e]|[\xa1-\xa5\xb0-\xd7][\xa1-\xfe])+")
_TRADITIONAL = re.compile(rb"(?:[\x20-\x7e]|[\xa1-\xc6][\x40-\x7e\xa1-\xfe])+")
_KOREAN = re.compile(rb"(?:[\x20-\x7e]|[\xb0-\xc8][\xa1-\xfe])+")
_KANA = re.compile(r"[ぁ-ゖァ-ヺ]")
_LETTER = re.compile(r"[ぁ-ゖァ-ヺ一-鿿가-힣]")
_HANZI = re.compile(r"[一-鿿]")
_C1 = re.compile(r"[\x80-\x9f]")

_FREQUENT = frozenset(
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法"
    "所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政"
    "四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立"
    "代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运"
    "农指几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什认六"
    "共权收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确才科张信马节话米整空元况"
    "今集温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连断深难近矿千周素技备半办青省列习响约"
    "支般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适"
    "属圆包火住调满县局照参红细引听该铁价严首底液官德随病苏失尔死讲配女黄推显谈罪神艺呢席含企望密批营项防举球英氧势告李台落木"
    "模测试漫画图片动古风写实脸绘唯美少女男孩猫狗姐妹服饰衣裙校园幻想像素背景插件权重融合版本修改优化超级终极混合原创人物角色"
)
"""The letters of Chinese that are used most, and those of models' names."""


def text_of(raw: bytes) -> str | None:
    """Return the text of bytes whose encoding is not told; None where it is not certain."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return _by_use(raw)
    return _repaired(text)


def text_as(raw: bytes, label: str) -> str | None:
    """Return the text of bytes in an encoding that is named; None for another encoding's bytes."""
    try:
        return _repaired(raw.decode(_LABELS.get(label.lower(), label)))
    except (LookupError, ValueError):
        return None


def _repaired(text: str) -> str | None:
    """Return the text as its author wrote it; None for a garble.

    Some programs read the bytes of UTF-8 one by one and encode the letters that they find once more.
    """
    if "\ufffd" in text or re.search(r"\?\?", text):  # letters that a program could not write
        return None
    if text.isascii():
        return text
    for encoding in ("latin-1", "cp1252"):
        try:
            return text.encode(encoding).decode()
        except UnicodeError:
            continue
    if _C1.search(text) is None:
        return text
    try:
        return _by_use(text.encode("latin-1"))
    except UnicodeError:
        return None


def _by_use(raw: bytes) -> str | None:
    """Return the one reading in which all letters are everyday letters of their language; None for none or several."""
    chinese = _reading(raw, "gb2312", _CHINESE)
    readings = {chinese, _reading(raw, "big5", _TRADITIONAL), _reading(raw, "euc_kr", _KOREAN)}
    readings |= {_japanese(raw, "cp932"), _japanese(raw, "euc_jp")}
    readings.discard(None)
    hanzi = _HANZI.findall(chinese or "")
    if hanzi:
        frequent = sum(letter in _FREQUENT for letter in hanzi)
        if frequent == len(hanzi) > 1:
            return chinese
        if 2 * frequent <= len(hanzi):  # another language's bytes, read as the letters that they hit
            return None
    return readings.pop() if len(readings) == 1 else None


def _japanese(raw: bytes, encoding: str) -> str | None:
    text = _decoded(raw, encoding)
    try:
        rows = (text or "").encode("euc_jp")
    except UnicodeError:
        return None
    everyday = _JAPANESE_RARE if _KANA.search(text or "") else _JAPANESE
    return text if text and everyday.fullmatch(rows) and _LETTER.search(text) else None


def _reading(raw: bytes, encoding: str, everyday: re.Pattern[bytes]) -> str | None:
    text = _decoded(raw, encoding) if everyday.fullmatch(raw) else None
    return text if text and _LETTER.search(text) else None


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeError:
        return None
