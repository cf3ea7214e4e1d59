"""Text files of old programs: which encoding they are in is found out by what their few words look like, and said."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_files_tables import records

from connectors.card import full_name
from connectors.contract import Record
from connectors.errors import Refused
from connectors.files import charsets
from connectors.files.inspection import inspect
from connectors.files.source import Options

PEOPLE = {
    "de": "Jürgen Müller,Königstraße 5,Köln|Käthe Groß,Weißer Weg 2,Nürnberg|Björn Jäger,Am Bühl,Lübeck",
    "fr": "François Lefèvre,Rue de la Forêt,Orléans|Zoé Dupré,Allée des Chênes,Besançon|Noël Bérard,Rue du Bac,Nîmes",
    "pl": "Stanisław Górski,ul. Długa 3,Łódź|Zdzisława Żak,ul. Święta 8,Poznań|Michał Wąsik,ul. Źródlana,Kraków",
    "cs": "Jiří Dvořák,Náměstí Míru,Plzeň|Božena Němcová,Dlouhá třída,Brno|Zdeněk Šťastný,U Hřiště,Ústí",
    "hu": "Gergő Szűcs,Petőfi Sándor utca,Győr|Éva Tóth,Kossuth tér,Kőszeg|Ödön Fehér,Szőlő utca,Pécs",
    "tr": "Ayşe Yılmaz,Çiçek Sokağı,İzmir|Oğuz Şahin,Güneş Caddesi,Eskişehir|Işıl Çağlar,Barış Sokak,Muğla",
    "el": "Γιώργος Παπαδόπουλος,Οδός Ερμού,Αθήνα|Ελένη Νικολάου,Λεωφόρος Νίκης,Θεσσαλονίκη|Άννα Ρήγα,Πλάκα,Πάτρα",
    "ru": "Иван Жуков,улица Ленина,Москва|Мария Щербакова,Невский проспект,Тверь|Пётр Ёлкин,Садовая,Уфа",
    "he": "דוד כהן,רחוב הרצל,תל אביב|שרה לוי,שדרות רוטשילד,חיפה|יוסף מזרחי,רחוב יפו,ירושלים",
    "ja": "田中 太郎,東京都新宿区,株式会社|鈴木 花子,大阪市北区,営業部|佐藤 健一,横浜市中区,日本橋",
    "kana": "さとう ゆり,かながわ,サトウ|たなか けん,とうきょう,タナカ",
    "ko": "김철수,서울특별시 강남구,삼성|이영희,부산광역시 해운대구,현대|박지훈,대전광역시,한화",
    "zh": "王伟,北京市朝阳区,中国银行|李娜,上海市徐汇区,南京路|张秀英,广州市天河区,许昌|杨洋,杭州市西湖区,郑州",
    "tw": "陳怡君,臺北市大安區,中華電信|林志豪,高雄市左營區,國泰|黃美玲,臺中市西屯區,聯華",
}
ENCODED = [
    *[("de", one) for one in ("cp1252", "mac_roman", "cp850")],
    *[("fr", one) for one in ("cp1252", "mac_roman", "cp850")],
    *[("pl", one) for one in ("cp1250", "iso8859_2")],
    *[("cs", "cp1250"), ("hu", "cp1250"), ("tr", "cp1254"), ("el", "cp1253"), ("he", "cp1255")],
    *[("ru", one) for one in ("cp1251", "koi8_r", "cp866", "iso8859_5")],
    *[(one, two) for one in ("ja", "kana") for two in ("cp932", "euc_jp")],
    *[("ko", "euc_kr"), ("zh", "gbk"), ("tw", "big5")],
]


def table(language: str) -> Iterator[list[str]]:
    """Rows of name, e-mail address, street and city."""
    for number, row in enumerate(PEOPLE[language].split("|")):
        name, street, city = row.split(",")
        yield [name, f"u{number}@example.org", street, city]


@pytest.mark.parametrize(("language", "encoding"), ENCODED)
def test_few_rows_of_names_and_addresses_tell_their_encoding(tmp_path: Path, language: str, encoding: str) -> None:
    rows = [["Name", "E-mail", "Street", "City"], *table(language)]
    path = tmp_path / "people.csv"
    path.write_bytes("\r\n".join(",".join(row) for row in rows).encode(encoding))
    whole = path.read_bytes()
    found = charsets.detect(io.BytesIO(whole))
    assert found and found.guessed and whole.decode(found.name) == whole.decode(encoding), found
    assert {record.id for record in records(path)} == {f"email:{row[1]}" for row in rows[1:]}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Zoë Öz", "cp1252"),
        ("O’Brien", "cp1252"),
        ("Straße 5", "cp1252"),
        ("MÜLLER", "cp1252"),
        ("Núñez", "cp1252"),
        ("– unknown –", "cp1252"),
        ("Ann Müller", "mac_roman"),
        ("Ann Müller", "cp850"),
        ("Иван", "cp1251"),
        ("Иван", "koi8_r"),
        ("Γιώργος", "cp1253"),
        ("田中", "cp932"),
        ("김철수", "cp949"),
        ("王伟", "gbk"),
    ],
)
def test_even_one_word_is_read(text: str, encoding: str) -> None:
    whole = f"Name,City\n{text}".encode(encoding)
    found = charsets.detect(io.BytesIO(whole))
    assert found and whole.decode(found.name) == f"Name,City\n{text}", found


def test_a_guess_is_said_and_what_is_sure_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = "Name,E-mail\nИван Жуков,i@example.org\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert inspect(path).suspicious == []
    path.write_bytes(text.encode("koi8_r"))
    [said] = inspect(path).suspicious
    assert "koi8_r is a guess" in said and "--encoding" in said
    assert inspect(path, Options(encoding="koi8-r")).suspicious == []


def test_another_encoding_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("Name,E-mail\nZoë,z@example.org\n".encode("cp1252"))

    def name(record: Record) -> str:
        return full_name(record.card or {})

    assert [name(record) for record in records(path, encoding="cp1251")] == ["Zoл"]
    for encoding in ("klingon", "base64", "undefined", "\0"):
        with pytest.raises(Refused, match="is no encoding that we know; some that we do: utf-8, cp1252"):
            records(path, encoding=encoding)
