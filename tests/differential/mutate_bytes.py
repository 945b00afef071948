"""Mutations of how JSON is written: duplicates, white space, escapes, encodings, numbers, and what is no JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.differential.draft import Draft, literal
from tests.differential.mutation_table import mutation


def _escaped(name: str) -> str:
    """A name in quotes, with its first letter as an escape."""
    return f'"\\u{ord(name[1]):04x}{name[2:]}'


@mutation("members", "refuse")
def a_member_stands_twice(draft: Draft) -> None:
    members = draft.rng.choice((draft.header, draft.claims))
    name, value = draft.rng.choice(members)
    other = draft.rng.choice((value, value, '"x"', "null", "0", '"none"'))
    if draft.rng.random() < 0.3:
        name = _escaped(name)
    members.insert(draft.rng.randrange(len(members) + 1), (name, other))


@mutation("members", "refuse")
def a_nested_member_stands_twice(draft: Draft) -> None:
    draft.rng.choice((draft.set_header, draft.set_claim))(
        "x", draft.rng.choice(('{"a":1,"a":1}', '[{"a":{"b":1,"b":2}}]'))
    )


@mutation("members", "accept")
def names_are_escaped(draft: Draft) -> None:
    for members in (draft.header, draft.claims):
        for index, (name, value) in enumerate(members):
            if len(name) > 2 and draft.rng.random() < 0.5:
                members[index] = (_escaped(name), value)


@mutation("members", "accept")
def texts_are_escaped(draft: Draft) -> None:
    for members in (draft.header, draft.claims):
        for index, (name, value) in enumerate(members):
            if value.startswith('"') and len(value) > 2 and "\\" not in value:
                members[index] = (name, '"' + "".join(f"\\u{ord(character):04X}" for character in value[1:-1]) + '"')


@mutation("members", "accept")
def texts_are_far_from_latin(draft: Draft) -> None:
    text = draft.rng.choice(("é\u0301", "\U0001f600", "日本語", "\u202e", "\u00a0", "\ufeff", "\u2028", "ﬀ"))
    draft.set_claim(
        draft.rng.choice(("sub", "jti", "client_id")), f'"{text}"' if draft.rng.random() < 0.5 else literal(text)
    )


@mutation("members", "accept")
def white_space_is_strewn_in(draft: Draft) -> None:
    space = draft.rng.choice((" ", "\n", "\t", "\r\n", "   "))
    for members in (draft.header, draft.claims):
        for index, (name, value) in enumerate(members):
            members[index] = (space + name + space, space + value + space)


@mutation("bytes", "accept")
def white_space_surrounds_the_object(draft: Draft) -> None:
    space = draft.rng.choice((b" ", b"\n", b"\t", b"\r\n", b" \t\r\n "))
    draft.edit(lambda raw: space + raw + space)


@mutation("bytes", "refuse")
def other_white_space_surrounds_the_object(draft: Draft) -> None:
    space = draft.rng.choice((b"\x0b", b"\x0c", b"\xc2\xa0", b"\x00", b"\xe2\x80\x83", b"\x1f", b"\xc2\x85", b"\x1c"))
    draft.edit(draft.rng.choice((lambda raw: space + raw, lambda raw: raw + space)))


@mutation("members", "refuse")
def a_number_is_none_of_json(draft: Draft) -> None:
    odd = ("NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "0x10", "1e", "--1", "1_000", "-", "1e+", "٣", "00")
    draft.rng.choice((draft.set_header, draft.set_claim))("x", draft.rng.choice(odd))


@mutation("members", "refuse")
def a_number_is_beyond_bounds(draft: Draft) -> None:
    odd = ("1e999", "-1e999", "1e309", "9" * 4301, "-" + "9" * 5000, "[1e400]", '{"a":-1e400}', "1" * 400 + ".0")
    draft.rng.choice((draft.set_header, draft.set_claim))("x", draft.rng.choice(odd))


@mutation("members", "accept")
def a_number_is_long(draft: Draft) -> None:
    odd = ("9" * 300, "0." + "3" * 300, "1e-999", "-0e5", "9" * 4300, "1e308", "123456789.123456789e-5")
    draft.rng.choice((draft.set_header, draft.set_claim))("x", draft.rng.choice(odd))


@mutation("members", "refuse")
def a_surrogate_stands_alone(draft: Draft) -> None:
    odd = ('"\\ud800"', '"\\udfff"', '"\\udc00\\ud800"', '"\ud800"', '["\\ud83d"]', '{"\\ud800":1}', '"\\uD800x"')
    name = draft.rng.choice(("x", "x", "sub"))
    draft.rng.choice((draft.set_header, draft.set_claim))(name, draft.rng.choice(odd))


@mutation("members", "refuse")
def a_text_holds_a_raw_control_character(draft: Draft) -> None:
    odd = ('"a\nb"', '"\x00"', '"\x1f"', '"\t"', '"\x0b"')
    draft.rng.choice((draft.set_header, draft.set_claim))("x", draft.rng.choice(odd))


@mutation("bytes", "refuse")
def encoding_is_not_utf8(draft: Draft) -> None:
    name = draft.rng.choice(
        ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig", "utf-7")
    )
    if name == "utf-7":
        draft.edit(lambda raw: raw.replace(b'"', b"+ACI-"))
    else:
        draft.edit(lambda raw: raw.decode("utf-8", "replace").encode(name))


@mutation("bytes", "refuse")
def a_byte_is_not_utf8(draft: Draft) -> None:
    odd = draft.rng.choice(
        (b"\xff", b"\xfe\xff", b"\xc0\xa2", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe9", b"\x80", b"\xc3")
    )
    draft.edit(lambda raw: raw[:-1] + b',"z":"' + odd + b'"}')


_TORN: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: raw[:-1],
    lambda raw: raw[1:],
    lambda raw: raw + b"{}",
    lambda raw: raw + b"}",
    lambda raw: raw + b"\0",
    lambda raw: raw + b"//x",
    lambda raw: raw[:-1] + b",}",
    lambda raw: raw.replace(b'"', b"'"),
    lambda raw: b"/**/" + raw,
    lambda raw: raw.replace(b":", b"=", 1),
    lambda raw: raw.replace(b",", b" ", 1) if b"," in raw else b"",
    lambda raw: b"[" + raw + b"]",
    lambda raw: json.dumps(raw.decode("utf-8", "replace")).encode(),
    lambda raw: raw[: len(raw) // 2],
    lambda raw: raw * 2,
    lambda raw: b")]}'\n" + raw,
)
_OTHER_TOPS = (
    b"",
    b"null",
    b"true",
    b"1",
    b'""',
    b"[]",
    b"{",
    b"}",
    b"{}",
    b'"x"',
    b"[[]]",
    b"-",
    b"\0",
    b" ",
    b"text",
)


@mutation("bytes", "refuse")
def json_is_torn(draft: Draft) -> None:
    draft.edit(draft.rng.choice(_TORN))


@mutation("bytes", "refuse")
def top_is_no_object(draft: Draft) -> None:
    top = draft.rng.choice(_OTHER_TOPS)
    draft.edit(lambda raw: top)


@mutation("bytes")
def a_byte_of_json_is_another(draft: Draft) -> None:
    rng = draft.rng

    def change(raw: bytes) -> bytes:
        place = rng.randrange(len(raw))
        return raw[:place] + bytes([rng.randrange(256)]) + raw[place + 1 :]

    if draft.header_bytes and draft.claims_bytes:
        draft.edit(change)


@mutation("bytes")
def a_byte_of_json_is_gone_or_twice(draft: Draft) -> None:
    rng = draft.rng

    def change(raw: bytes) -> bytes:
        place = rng.randrange(len(raw))
        return raw[:place] + (raw[place : place + 1] * 2 if rng.random() < 0.5 else b"") + raw[place + 1 :]

    if draft.header_bytes and draft.claims_bytes:
        draft.edit(change)
