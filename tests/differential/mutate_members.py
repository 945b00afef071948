"""Mutations of the members of header and claims: of their values, not of how they are written."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.corpus.jws import compact, unb64
from tests.differential.draft import Draft, literal
from tests.differential.keys import AUDIENCE, ISSUER, JWKS, KEYS, LEEWAY, NOW, SECRET, STRANGERS
from tests.differential.mutation_table import mutation

_ODD = (
    *("null", "true", "false", "0", "-0", "1", "1.5", "-1", '""', '"x"', "[]", "{}", '[""]', "[1]", "[null]", "[[]]"),
    *('{"a":1}', '"\\u0000"', '"a\\r\\nb"', '"\\ud800"', '"\\ud83d\\ude00"', '" "', '"é"', '"\\u007f"', "1e3", "-0.0"),
)
_GOOD_EXTRAS = (
    *("null", "true", "0", "-0", "-0.0", "1e3", "1E+2", "0.1", "12345678901234567890", '""', "[]", "{}", '"\\u00e9"'),
    *('"é"', '"😀"', '"\\ud83d\\ude00"', '["a",1,null,{"b":[]}]', '{"":""}', '"\\/"', '"\\\\"', '"\\""', '"a\\nb"'),
)
_ALGS = (
    *("none", "None", "NONE", "nOnE", "", "rs256", "es256", "hs256", "HS256 ", "ES256\\n", "RS384", "RS512", "PS384"),
    *("PS512", "HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519"),
    *("RSA-OAEP", "dir", "A256GCM", "ML-DSA-44", "__class__", "RS1"),
)


# RFC 8725 section 2.1: what everybody can read, as the key of an HMAC
_PUBLISHED = (
    compact(JWKS),
    compact(JWKS["keys"][0]),
    unb64(JWKS["keys"][0]["n"]),
    *(
        key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        for key in (KEYS["rsa-1"], KEYS["ec-1"], KEYS["ed-1"])
        for encoding in (Encoding.PEM, Encoding.DER)
    ),
)


@mutation("members", "accept")
def header_has_an_unknown_member(draft: Draft) -> None:
    draft.set_header(
        draft.rng.choice(("x", "ext", "ver", "zip", "iss", "", "é", "nonce")), draft.rng.choice(_GOOD_EXTRAS)
    )


@mutation("members", "accept")
def claims_have_unknown_members(draft: Draft) -> None:
    for number in range(draft.rng.randrange(1, 6)):
        draft.set_claim(f"x{number}", draft.rng.choice(_GOOD_EXTRAS))


@mutation("members", "accept")
def header_names_a_key_elsewhere(draft: Draft) -> None:
    name, value = draft.rng.choice(
        (
            ("jku", '"https://evil.example/jwks"'),
            ("jku", '"file:///etc/passwd"'),
            ("jku", "7"),
            ("x5u", '"https://evil.example/x"'),
            ("x5u", '"gopher://evil.example"'),
            ("x5c", '["AA"]'),
            ("x5c", '"AA"'),
            ("x5t", '"AA"'),
            ("x5t#S256", "1"),
            ("jwk", '{"kty":"oct","k":"AA"}'),
            ("jwk", '"{}"'),
            ("cty", '"at+jwt"'),
            ("cty", "null"),
        )
    )
    draft.set_header(name, value)


@mutation("members", "accept")
def header_is_long(draft: Draft) -> None:
    draft.set_header("x", literal("x" * draft.rng.randrange(100, 900)))


@mutation("members", "accept", weight=2)
def claims_are_long(draft: Draft) -> None:
    draft.set_claim("x", literal("x" * draft.rng.choice((100, 500, 500, 11_000))))


@mutation("members", "refuse", weight=1)
def token_is_longer_than_the_limit(draft: Draft) -> None:
    draft.set_claim("x", literal("x" * draft.rng.randrange(12_300, 13_000)))


@mutation("members", "accept")
def members_are_nested_to_some_depth(draft: Draft) -> None:
    depth = draft.rng.randrange(2, 63)
    text = draft.rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth))
    draft.rng.choice((draft.set_header, draft.set_claim))("x", text)


@mutation("members", "refuse", weight=3)
def members_are_nested_too_deep(draft: Draft) -> None:
    depth = draft.rng.choice((64, 65, 100, 500, 900, 2000, 4000))
    text = draft.rng.choice(("[" * depth + "]" * depth, "[" * (depth - 1) + "{}" + "]" * (depth - 1)))
    draft.rng.choice((draft.set_header, draft.set_claim))("x", text)


@mutation("members")
def alg_is_another(draft: Draft) -> None:
    draft.set_header("alg", f'"{draft.rng.choice(_ALGS)}"')


@mutation("members", "refuse")
def alg_is_no_text(draft: Draft) -> None:
    draft.set_header("alg", draft.rng.choice((None, "null", "1", "true", '["ES256"]', '{"a":1}', "[]", '""', "1.5")))


@mutation("members", "refuse")
def alg_is_none_and_the_signature_empty(draft: Draft) -> None:
    draft.set_header("alg", f'"{draft.rng.choice(("none", "None", "NONE", "nOnE", "none "))}"')
    draft.key, draft.alg = b"", "HS256"


@mutation("members", "refuse")
def hmac_is_keyed_with_what_is_public(draft: Draft) -> None:
    weak = (b"", b"secret", ISSUER.encode(), SECRET[:32], SECRET + b"\1", SECRET[::-1])
    draft.alg, draft.key = draft.rng.choice(("HS256", "HS512")), draft.rng.choice((*weak, *_PUBLISHED))
    draft.set_header("alg", f'"{draft.alg}"')


@mutation("members", "refuse", weight=3)
def algorithm_is_not_allowed_though_rightly_used(draft: Draft) -> None:
    draft.alg, draft.key = draft.rng.choice(("RS384", "RS512", "PS384", "PS512")), KEYS["rsa-1"]
    draft.set_header("alg", f'"{draft.alg}"')
    draft.set_header("kid", '"rsa-1"')


@mutation("members")
def kid_is_another(draft: Draft) -> None:
    others = ("unknown", "EC-1", "ec-1 ", "\u0435\u0441-1", "../ec-1", "ec-1\0")
    draft.set_header("kid", literal(draft.rng.choice((*KEYS, *others))))


@mutation("members", "refuse")
def kid_is_odd(draft: Draft) -> None:
    odd = ("null", "1", "true", "[]", '["ec-1"]', "{}", '""', literal("k" * 257), literal("k" * 600), "0", "1.5")
    draft.set_header("kid", draft.rng.choice(odd))


@mutation("members", "refuse")
def kid_is_empty_or_long(draft: Draft) -> None:
    draft.set_header("kid", draft.rng.choice(('""', literal("k" * draft.rng.randrange(257, 300)))))


@mutation("members")
def kid_is_absent(draft: Draft) -> None:
    draft.set_header("kid", None)


@mutation("members", "refuse")
def typ_is_of_another_kind(draft: Draft) -> None:
    kinds = ("dpop+jwt", "logout+jwt", "rt+jwt", "secevent+jwt", "id_token", "at+jwt ", "at+jwt;v=1", "", "JWS", "JOSE")
    draft.set_header("typ", f'"{draft.rng.choice(kinds)}"')


@mutation("members", "refuse")
def typ_is_no_text(draft: Draft) -> None:
    draft.set_header("typ", draft.rng.choice(("null", "1", "true", '["at+jwt"]', "{}")))


@mutation("members", "refuse")
def crit_is_there(draft: Draft) -> None:
    names = (
        '["exp"]',
        '["alg"]',
        '["typ"]',
        '["kid"]',
        '["b64"]',
        '["x"]',
        "[]",
        '"alg"',
        "null",
        "{}",
        "[1]",
        '[["x"]]',
    )
    draft.set_header("crit", draft.rng.choice(names))
    if draft.rng.random() < 0.5:
        draft.set_header("x", "1")


@mutation("members", "refuse")
def b64_is_there(draft: Draft) -> None:
    draft.set_header("b64", draft.rng.choice(("true", "false", "null", "1", '"false"', "[]")))
    if draft.rng.random() < 0.5:
        draft.set_header("crit", '["b64"]')


@mutation("members")
def a_claim_is_odd(draft: Draft) -> None:
    names = (
        "iss",
        "aud",
        "exp",
        "nbf",
        "iat",
        "sub",
        "jti",
        "client_id",
        "azp",
        "scope",
        "scp",
        "roles",
        "permissions",
    )
    draft.set_claim(draft.rng.choice(names), draft.rng.choice(_ODD))


@mutation("members")
def a_claim_is_absent(draft: Draft) -> None:
    draft.set_claim(draft.rng.choice(("iss", "aud", "exp", "nbf", "iat", "sub", "jti", "client_id", "scope")), None)


@mutation("members", "refuse")
def iss_is_another(draft: Draft) -> None:
    other = (
        *(
            f"{ISSUER}/",
            f"{ISSUER} ",
            ISSUER.upper(),
            ISSUER[:-1],
            f"{ISSUER}:443",
            f"{ISSUER}\0",
            "https://evil.example",
        ),
        *(f"{ISSUER}.evil.example", f"{ISSUER}@evil.example", ISSUER.replace("e", "\u0435", 1), "", ".*", f"{ISSUER}#"),
    )
    value = literal(draft.rng.choice(other))
    draft.set_claim("iss", draft.rng.choice((value, f'["{ISSUER}"]', f"[{value}]", f'{{"{ISSUER}":1}}')))


@mutation("members", "refuse")
def aud_is_another(draft: Draft) -> None:
    other = (
        f"{AUDIENCE}/",
        AUDIENCE[:-1],
        AUDIENCE.upper(),
        "*",
        f"{AUDIENCE} x",
        f"x,{AUDIENCE}",
        "https://other.example",
    )
    value = literal(draft.rng.choice(other))
    odd = (
        value,
        f"[{value}]",
        f'{{"{AUDIENCE}":true}}',
        f'[["{AUDIENCE}"]]',
        f'[{{"a":"{AUDIENCE}"}}]',
        "[]",
        "[null]",
    )
    draft.set_claim("aud", draft.rng.choice(odd))


@mutation("members")
def aud_is_a_list(draft: Draft) -> None:
    others = draft.rng.sample(('"x"', '"*"', '""', "1", "null", "true", '["x"]', "{}", '"https://api.example.org"'), 2)
    mixed = [f'"{AUDIENCE}"', *others]
    draft.rng.shuffle(mixed)
    draft.set_claim("aud", f"[{','.join(mixed)}]")


def _dates(draft: Draft) -> tuple[str, ...]:
    near = NOW + draft.rng.choice((-1, 1)) * draft.rng.choice((0, 1, LEEWAY - 1, LEEWAY, LEEWAY + 1, 3600))
    return (
        *(
            str(near),
            f"{near}.0",
            f"{near}.5",
            f"{near - 1}.5",
            f"{near}e0",
            f"{near * 10}e-1",
            f'"{near}"',
            f"[{near}]",
        ),
        *(
            f"{near}.000000001",
            f"{near}000",
            f'" {near} "',
            f'"{near}.5"',
            "true",
            "false",
            "null",
            '"soon"',
            "{}",
            '""',
        ),
        *("0", "-1", "-0.0", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "9" * 400, "9" * 5000, "-9e15", "9e15"),
        *("253402300799", "253402300800", "253402300799.5", "1e11", '"1_800_000_500"', '"١٨٠٠٠٠٠٥٠٠"', '"0x7fffffff"'),
    )


@mutation("members")
def exp_is_odd_or_near(draft: Draft) -> None:
    draft.set_claim("exp", draft.rng.choice(_dates(draft)))


@mutation("members")
def nbf_is_odd_or_near(draft: Draft) -> None:
    draft.set_claim("nbf", draft.rng.choice(_dates(draft)))


@mutation("members")
def iat_is_odd_or_near(draft: Draft) -> None:
    draft.set_claim("iat", draft.rng.choice(_dates(draft)))


@mutation("members")
def a_date_is_a_fraction_from_its_bound(draft: Draft) -> None:
    name = draft.rng.choice(("exp", "nbf", "iat"))
    bound = NOW - LEEWAY if name == "exp" else NOW + LEEWAY
    draft.set_claim(name, f"{bound + draft.rng.choice((-1, 0, 0, 0))}.{draft.rng.choice(('5', '25', '999999', '0'))}")


@mutation("members", "refuse")
def scope_is_odd(draft: Draft) -> None:
    draft.set_claim("scope", draft.rng.choice(("null", "1", "true", '{"admin":1}', "{}", "false", "1.5")))


@mutation("members", "refuse")
def client_id_is_odd(draft: Draft) -> None:
    draft.set_claim("client_id", draft.rng.choice(("null", "1", "true", '["c"]', "{}", "false")))


@mutation("members", "refuse")
def exp_is_past(draft: Draft) -> None:
    draft.set_claim("exp", str(NOW - LEEWAY - draft.rng.randrange(0, 10**6)))


@mutation("members", "refuse")
def token_is_bound_to_a_key(draft: Draft) -> None:
    bindings = ('{"jkt":"x"}', '{"x5t#S256":"x"}', "null", "{}", "[]", '"x"', '{"jwk":{}}', "1")
    draft.set_claim("cnf", draft.rng.choice(bindings))


@mutation("members")
def claims_name_a_kind(draft: Draft) -> None:
    kinds = (
        "id",
        "ID",
        "id_token",
        "refresh",
        "Refresh",
        "refresh-token",
        "Logout",
        "Offline",
        "access",
        "Bearer",
        "Id-Token",
    )
    draft.set_claim(draft.rng.choice(("token_use", "typ", "type")), f'"{draft.rng.choice(kinds)}"')


@mutation("members", "refuse")
def an_identifier_holds_a_control_character(draft: Draft) -> None:
    control = draft.rng.choice(("\\n", "\\r\\n", "\\u0000", "\\u001b", "\\u007f", "\\t"))
    draft.set_claim(draft.rng.choice(("sub", "jti", "client_id", "azp")), f'"a{control}b"')


@mutation("members", "refuse")
def signer_is_a_stranger(draft: Draft) -> None:
    if isinstance(draft.key, bytes):
        draft.key = bytes(draft.rng.randbytes(64))
        return
    kid = draft.rng.choice(tuple(STRANGERS))
    draft.alg, draft.key = ("ES256" if kid == "ec-1" else "EdDSA"), STRANGERS[kid]
    draft.set_header("alg", f'"{draft.alg}"')
    draft.set_header("kid", f'"{kid}"' if draft.rng.random() < 0.7 else None)


@mutation("members", "refuse")
def signer_is_another_key_of_the_set(draft: Draft) -> None:
    if isinstance(draft.key, bytes):
        draft.key = SECRET[:-1]
        return
    draft.alg, draft.key = "ES256", KEYS["ec-1"]
    draft.set_header("alg", '"ES256"')
    draft.set_header("kid", f'"{draft.rng.choice(("ec-2", "ed-1", "rsa-1", "p384"))}"')
