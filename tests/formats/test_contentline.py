"""Content lines: what programs write, read; what we write, bounded."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import contentline
from connectors.contentline import Broken, Line, VCard, escape, fold, parse, render, split, unescape

SAMPLES = sorted((Path(__file__).parents[1] / "data" / "vcards").glob("*.vcf"))


def card(*lines: str, version: str = "3.0", newline: str = "\r\n") -> str:
    return "".join(line + newline for line in ("BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD"))


def one(data: bytes | str) -> VCard:
    (found,) = parse(data)
    assert isinstance(found, VCard), found
    return found


def line(data: bytes | str, name: str) -> Line:
    (found,) = [line for line in one(data).lines if line.name == name]
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_every_byte_is_kept(sample: Path) -> None:
    data = sample.read_bytes()
    found = list(parse(data))
    assert found
    assert all(isinstance(one, VCard) for one in found)
    assert "".join(one.text for one in found).encode("utf-8", "surrogateescape") == data


@pytest.mark.parametrize("newline", ["\r\n", "\n", "\r", "\r\r\n"])
def test_line_ends(newline: str) -> None:
    text = card("NOTE:one", "  two", "FN:x", newline=newline)
    assert line(text.encode(), "NOTE").value == "one two"
    assert line(text.encode(), "FN").number == 5 if newline != "\r" else True
    assert one(text).text == text


def test_fold_inside_a_utf8_sequence() -> None:
    data = card("FN:Jos@").encode().replace(b"@", b"\xc3\r\n \xa9")
    assert line(data, "FN").value == "José"
    assert one(data).text.encode("utf-8", "surrogateescape") == data


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8-sig", "Zoë"), ("utf-16", "Zoë"), ("utf-16-le", "Zoë"), ("utf-16-be", "Zoë"), ("latin-1", "Zoë")],
)
def test_encodings(encoding: str, expected: str) -> None:
    assert line(card("FN:Zoë").encode(encoding), "FN").value == expected


def test_charset_parameter() -> None:
    assert line(card("FN;CHARSET=ISO-8859-2:X").encode().replace(b"X", b"\xb1"), "FN").value == "ą"
    assert line(card("FN;CHARSET=ISO-8859-1:Zoë").encode(), "FN").value == "Zoë"  # it lies
    assert line(card("FN;CHARSET=no-such-thing:Zoë").encode("latin-1"), "FN").value == "Zoë"
    japanese = "日本".encode("iso-2022-jp").decode("ascii")
    assert line(card(f"FN;CHARSET=ISO-2022-JP:{japanese}", version="2.1"), "FN").value == "日本"


def test_quoted_printable() -> None:
    text = card(
        "NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:caf=C3=A9=0D=0A=",
        "second; with, marks\\",
        "FN;QUOTED-PRINTABLE:a=3Db",
        "TITLE;ENCODING=QUOTED-PRINTABLE:cut off=",
        version="2.1",
    )
    assert unescape(line(text, "NOTE").value) == "café\nsecond; with, marks\\"
    assert line(text, "FN").value == "a=b"
    assert line(text, "FN").params == ()
    assert line(text, "TITLE").value == "cut off"  # and END:VCARD is not swallowed


def test_soft_breaks_keep_blanks_unless_all_lines_are_indented() -> None:
    text = card("NOTE;ENCODING=QUOTED-PRINTABLE:one=", " two", version="2.1")
    assert line(text, "NOTE").value == "one two"
    text = card("NOTE;ENCODING=QUOTED-PRINTABLE:one=", " two=", "\tthree", version="2.1")
    assert line(text, "NOTE").value == "onetwothree"


@pytest.mark.parametrize("indent", ["  ", "", "    "])
def test_base64_blocks(indent: str) -> None:
    photo = bytes(range(256))
    body = base64.b64encode(photo).decode()
    rows = [indent + body[at : at + 60] for at in range(0, len(body), 60)]
    text = card("PHOTO;JPEG;ENCODING=BASE64:", *rows, "", "FN:x", version="2.1")
    assert base64.b64decode(line(text, "PHOTO").value) == photo
    assert line(text, "PHOTO").params == (("TYPE", ("jpeg",)), ("ENCODING", ("b",)))
    assert line(text, "FN").value == "x"
    assert one(text).text == text


def test_bare_parameters_groups_and_letter_case() -> None:
    text = card("item1.tel;CELL;pref:1", 'X-Foo;a="b;c:d,e",f;Type="WORK,voice":v', version="2.1")
    assert line(text, "TEL")[:4] == ("TEL", (("TYPE", ("cell", "pref")),), "1", "item1")
    assert line(text, "X-FOO").param("A") == ("b;c:d,e", "f")
    assert line(text, "X-FOO").param("TYPE") == ("work", "voice")


def test_carets_and_unbalanced_quotes() -> None:
    assert line(card("ADR;LABEL=a^nb^'c^^d^x:;;"), "ADR").param("LABEL") == ('a\nb"c^d^x',)
    assert line(card('TEL;X-A="open:12'), "TEL").value == "12"


def test_old_cards_escape_only_semicolons() -> None:
    text = card("NOTE:C:\\new, \\\\server\\share", "N:a\\;b;c", version="2.1")
    assert unescape(line(text, "NOTE").value) == "C:\\new, \\\\server\\share"
    assert [unescape(part) for part in split(line(text, "N").value, ";")] == ["a;b", "c"]


def test_nested_agents() -> None:
    inner = card("FN:Agent", "AGENT:", *card("FN:Agent's agent").splitlines()).splitlines()
    text = card("FN:Boss", "AGENT:", *inner, "TITLE:after", version="2.1")
    assert line(text, "FN").value == "Boss"
    assert line(text, "TITLE").value == "after"
    assert "FN:Agent's agent" in unescape(line(text, "AGENT").value)
    assert one(text).text == text
    deep = "AGENT:\r\nBEGIN:VCARD\r\n" * 20 + "END:VCARD\r\n" * 20
    (broken,) = parse(card("FN:x", deep.rstrip("\r\n"), version="2.1"))
    assert isinstance(broken, Broken)
    assert "nested 20 deep" in broken.reason


def test_a_broken_card_does_not_take_others_with_it() -> None:
    cut = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:cut\r\n"
    rubbish = card("FN:rubbish", "this is no line")
    found = list(parse(cut + card("FN:good") + "hello\r\n" + rubbish + card("FN:fine") + cut))
    kinds = [type(one).__name__ for one in found]
    assert kinds == ["Broken", "VCard", "Broken", "Broken", "VCard", "Broken"]
    broken = [one for one in found if isinstance(one, Broken)]
    assert [one.number for one in broken] == [1, 8, 12, 18]
    assert broken[0].text == cut
    assert "cut off" in broken[0].reason
    assert broken[1].text == "hello\r\n"
    assert "this is no line" in broken[2].reason
    assert broken[3].text == cut


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\xef\xbb\xbf", b" \n\t\n"])
def test_nothing_is_nothing(data: bytes) -> None:
    assert list(parse(data)) == []


@given(st.binary(max_size=300) | st.lists(st.sampled_from(["BEGIN:VCARD\n", "END:VCARD\n", "AGENT:\n", "=\n", "\r", " ",
       "N;ENCODING=QUOTED-PRINTABLE:=", "PHOTO;ENCODING=b:AA\n", "\xff", '"', ";", "x:y\n"])).map("".join))  # fmt: skip
def test_parse_never_raises_and_loses_nothing(data: bytes | str) -> None:
    found = list(parse(data))
    if isinstance(data, str):
        kept = "".join(one.text for one in found)
        assert "".join(kept.split()) == "".join(data.split()) or not data.strip()


def test_a_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contentline, "MAX_LINE", 1 << 20)
    long, good = parse(card("NOTE:" + "x" * (1 << 20)) + card("FN:good"))
    assert isinstance(long, Broken)
    assert "1 MB" in long.reason
    assert isinstance(good, VCard)


@pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "long", reason="it times, so only `make test-long` runs it")
@pytest.mark.parametrize(
    "unit",
    ["\r\n x", "\r", ' ;a="', "AGENT:\r\nBEGIN:VCARD\r\n", "BEGIN:VCARD\r\n", "N;QUOTED-PRINTABLE:=\r\n", "\\", "^"],
)
def test_time_grows_with_the_size_and_no_faster(unit: str) -> None:
    def seconds(times: int) -> float:
        text = card("NOTE:" + unit * times)
        start = time.process_time()
        for found in parse(text):
            if isinstance(found, VCard):
                [split(line.value, ";") for line in found.lines]
        return time.process_time() - start

    seconds(1_000)
    assert seconds(80_000) < 0.05 + 24 * min(seconds(10_000) for _ in range(2))


# --- writing ------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=400))
def test_folded_lines_are_short_and_whole_characters(text: str) -> None:
    folded = fold(text)
    assert folded.replace("\r\n ", "") == text
    for piece in folded.encode().split(b"\r\n"):
        assert len(piece) <= contentline.WIDTH
        piece.decode()  # no character was cut


@given(st.text(), st.text(), st.sampled_from(["2.1", "3.0", "4.0"]))
def test_what_is_rendered_is_read(value: str, param: str, version: str) -> None:
    written = Line("X-A", (("X-P", (param,)),), escape(value), "item1")
    text = card(version=version).replace("END", render(written, version) + "END")
    read = line(text, "X-A")
    assert unescape(read.value) == contentline.clean(value)
    assert read.group == "item1"
    if version != "2.1":
        assert read.param("X-P")[0].strip() == contentline.clean(param).strip()


@given(st.lists(st.text(alphabet=",;\\nab\n"), min_size=1))
def test_structured_values(texts: list[str]) -> None:
    for mark in ",;":
        assert [unescape(part) for part in split(mark.join(map(escape, texts)), mark)] == texts


def test_old_cards_are_written_as_old_programs_read_them() -> None:
    note = Line("NOTE", (("TYPE", ("work", "pref")),), escape("é\nx"))
    assert render(note, "2.1") == "NOTE;WORK;PREF;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=C3=A9=0D=0Ax\r\n"
    photo = Line("PHOTO", (("ENCODING", ("b",)), ("TYPE", ("jpeg",))), "AAAA")
    assert render(photo, "2.1") == "PHOTO;JPEG;ENCODING=BASE64:AAAA\r\n\r\n"
