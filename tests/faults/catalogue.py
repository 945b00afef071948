"""The faults of an issuer's key set URL, one a line, and what each must lead to at the door.

`scripts.py` says what the server does, `members.py` what is in the set; `test_catalogue.py` holds every line.
"""

from __future__ import annotations

from dataclasses import dataclass

FAULTS = """
fault                                          | cold | due | new kid | GETs | tries | Retry-After

Transport
the connection is refused                      | 503  | 200 | 401     | 0    | 2     | 1
the name is not known                          | 503  | 200 | 401     | 0    | 2     | 1
it hangs up before the request                 | 503  | 200 | 401     | 0    | 2     | 1
it hangs up after the request                  | 503  | 200 | 401     | 2    | 2     | 1
a reset before the answer                      | 503  | 200 | 401     | 2    | 2     | 1
a reset within the body                        | 503  | 200 | 401     | 2    | 2     | 1
a body shorter than its length                 | 503  | 200 | 401     | 2    | 2     | 1
a chunk cut short                              | 503  | 200 | 401     | 2    | 2     | 1
a chunk without a size                         | 503  | 200 | 401     | 2    | 2     | 1
a garbage status line                          | 503  | 200 | 401     | 2    | 2     | 1
a header of 200 KB                             | 503  | 200 | 401     | 2    | 2     | 1
a certificate of another host                  | 503  | 200 | 401     | 0    | 2     | 1
a certificate that has expired                 | 503  | 200 | 401     | 0    | 2     | 1
a self-signed certificate                      | 503  | 200 | 401     | 0    | 2     | 1
a certificate of an unknown authority          | 503  | 200 | 401     | 0    | 2     | 1
a client certificate is asked for, there is none | 503 | 200 | 401    | 0    | 2     | 1
a client certificate is asked for, and sent    | 200  | 200 | 401     | 1    | 1     |
plain HTTP where TLS is expected               | 503  | 200 | 401     | 0    | 2     | 1
the proxy is down                              | 503  | 200 | 401     | 0    | 2     | 1
the proxy answers 502                          | 503  | 200 | 401     | 0    | 2     | 1
the proxy asks for a password                  | 503  | 200 | 401     | 0    | 2     | 1
the proxy's URL is nonsense                    | 503  | 200 | 401     | 0    | 2     | 1
the proxy speaks what nobody knows             | 503  | 200 | 401     | 0    | 2     | 1
a proxy that works                             | 200  | 200 | 401     | 1    | 1     |
an address of IPv6 alone                       | 200  | 200 | 401     | 1    | 1     |

Time
no answer                                      | 503  | 200 | 401     | 1    | 1     | 1
a head and then nothing                        | 503  | 200 | 401     | 1    | 1     | 1
a head of a byte now and then                  | 503  | 200 | 401     | 1    | 1     | 1
a body of a byte now and then                  | 503  | 200 | 401     | 1    | 1     | 1
103 without end                                | 503  | 200 | 401     | 1    | 1     | 1
a first byte that is late, but in time         | 200  | 200 | 401     | 1    | 1     |
slow, and then 500                             | 503  | 200 | 401     | 1    | 1     | 1
503 with Retry-After 7                         | 503  | 200 | 401     | 1    | 1     | 7
429 with Retry-After 7                         | 503  | 200 | 401     | 1    | 1     | 7
503 with Retry-After 0                         | 503  | 200 | 401     | 1    | 1     | 1
503 with Retry-After 1000000000                | 503  | 200 | 401     | 1    | 1     | 300
503 with Retry-After of 400 digits             | 503  | 200 | 401     | 1    | 1     | 300
503 with Retry-After 1e9                       | 503  | 200 | 401     | 1    | 1     | 1
503 with Retry-After -5                        | 503  | 200 | 401     | 1    | 1     | 1
503 with Retry-After soon                      | 503  | 200 | 401     | 1    | 1     | 1
503 with Retry-After of a date in 100 s        | 503  | 200 | 401     | 1    | 1     | 40-100
503 with Retry-After of a date gone by         | 503  | 200 | 401     | 1    | 1     | 1
503 with Retry-After of a date in a year       | 503  | 200 | 401     | 1    | 1     | 300

Status
500                                            | 503  | 200 | 401     | 1    | 1     | 1
500 with the key set                           | 503  | 200 | 401     | 1    | 1     | 1
502                                            | 503  | 200 | 401     | 1    | 1     | 1
503                                            | 503  | 200 | 401     | 1    | 1     | 1
504                                            | 503  | 200 | 401     | 1    | 1     | 1
429                                            | 503  | 200 | 401     | 1    | 1     | 1
401 with HTML                                  | 503  | 200 | 401     | 1    | 1     | 1
403 with HTML                                  | 503  | 200 | 401     | 1    | 1     | 1
404                                            | 503  | 200 | 401     | 1    | 1     | 1
410                                            | 503  | 200 | 401     | 1    | 1     | 1
204                                            | 503  | 200 | 401     | 1    | 1     | 1
206 with the key set                           | 503  | 200 | 401     | 1    | 1     | 1
304 that nobody asked for                      | 503  | 200 | 401     | 1    | 1     | 1
301 to another host                            | 503  | 200 | 401     | 1    | 1     | 1
302 to another host                            | 503  | 200 | 401     | 1    | 1     | 1
307 to another host                            | 503  | 200 | 401     | 1    | 1     | 1
308 to another host                            | 503  | 200 | 401     | 1    | 1     | 1
302 to the cloud's metadata                    | 503  | 200 | 401     | 1    | 1     | 1
302 to the same host                           | 503  | 200 | 401     | 1    | 1     | 1
302 to itself                                  | 503  | 200 | 401     | 1    | 1     | 1
302 to a file                                  | 503  | 200 | 401     | 1    | 1     | 1
302 to gopher                                  | 503  | 200 | 401     | 1    | 1     | 1
103 and then 200                               | 200  | 200 | 401     | 1    | 1     |
100 and then 200                               | 200  | 200 | 401     | 1    | 1     |

Body
empty                                          | 503  | 200 | 401     | 1    | 1     | 1
HTML                                           | 503  | 200 | 401     | 1    | 1     | 1
not JSON                                       | 503  | 200 | 401     | 1    | 1     | 1
an array                                       | 503  | 200 | 401     | 1    | 1     | 1
null                                           | 503  | 200 | 401     | 1    | 1     | 1
a string                                       | 503  | 200 | 401     | 1    | 1     | 1
an empty object                                | 503  | 200 | 401     | 1    | 1     | 1
keys of null                                   | 503  | 200 | 401     | 1    | 1     | 1
keys of an object                              | 503  | 200 | 401     | 1    | 1     | 1
keys of a string                               | 503  | 200 | 401     | 1    | 1     | 1
no key                                         | 503  | 200 | 401     | 1    | 1     | 1
keys of odd members alone                      | 503  | 200 | 401     | 1    | 1     | 1
a symmetric key alone                          | 503  | 200 | 401     | 1    | 1     | 1
a key for encryption alone                     | 503  | 200 | 401     | 1    | 1     | 1
100 000 brackets                               | 503  | 200 | 401     | 1    | 1     | 1
100 000 brackets that are never closed         | 503  | 200 | 401     | 1    | 1     | 1
a number of 6000 digits                        | 503  | 200 | 401     | 1    | 1     | 1
5 MB                                           | 503  | 200 | 401     | 1    | 1     | 1
50 MB that are sent                            | 503  | 200 | 401     | 1    | 1     | 1
a gzip bomb of 100 MB                          | 503  | 200 | 401     | 1    | 1     | 1
gzip that is none                              | 503  | 200 | 401     | 1    | 1     | 1
gzip cut short                                 | 503  | 200 | 401     | 1    | 1     | 1
br                                             | 503  | 200 | 401     | 1    | 1     | 1
UTF-16                                         | 503  | 200 | 401     | 1    | 1     | 1
a byte order mark                              | 503  | 200 | 401     | 1    | 1     | 1
bad UTF-8                                      | 503  | 200 | 401     | 1    | 1     | 1
keys named twice                               | 503  | 200 | 401     | 1    | 1     | 1
NaN                                            | 503  | 200 | 401     | 1    | 1     | 1
more behind the end                            | 503  | 200 | 401     | 1    | 1     | 1
300 keys                                       | 503  | 200 | 401     | 1    | 1     | 1
20 000 keys                                    | 503  | 200 | 401     | 1    | 1     | 1
a kid of 1 MB                                  | 503  | 200 | 401     | 1    | 1     | 1
256 keys                                       | 200  | 200 | 401     | 1    | 1     |
gzip that nobody asked for                     | 200  | 200 | 401     | 1    | 1     |
deflate that nobody asked for                  | 200  | 200 | 401     | 1    | 1     |
in chunks                                      | 200  | 200 | 401     | 1    | 1     |
without a length                               | 200  | 200 | 401     | 1    | 1     |
text/html that is JSON                         | 200  | 200 | 401     | 1    | 1     |
text/plain of another charset                  | 200  | 200 | 401     | 1    | 1     |
application/jwk-set+json                       | 200  | 200 | 401     | 1    | 1     |
"""
"""Each fault is met by a good token without keys (cold); by one when the set at hand is due (due); and by one with a
kid that the fresh set has not (new kid). GETs are what the server sees of one attempt, tries the connections; 2 where
there was no answer at all, which may be a hiccup. Retry-After is that of the cold answer, and of a new kid's when the
set is due.
"""

MEMBERS = """
beside a good key                              | its own token | GETs

of another use
use enc                                        | 401 | 2
use null                                       | 200 | 1
use of a number                                | 401 | 2
key_ops of encryption                          | 401 | 2
key_ops empty                                  | 401 | 2
key_ops of an unknown operation                | 401 | 2
key_ops of verify and an unknown one           | 200 | 1
alg of another hash                            | 401 | 1
alg of encryption                              | 401 | 2

of another type
oct                                            | 401 | 1
oct that is empty                              | 401 | 1
oct that holds a PEM                           | 401 | 1
AKP, a key of ML-DSA                           | 401 | 2
kty missing                                    | 401 | 2
kty null                                       | 401 | 2
kty of an array                                | 401 | 2
kty unknown                                    | 401 | 2
no object                                      | 401 | 2
null                                           | 401 | 2
an empty object                                | 401 | 2
X25519                                         | 401 | 2

whose parameters are odd
a curve of old                                 | 401 | 2
a point off the curve                          | 401 | 2
Ed25519 too short                              | 401 | 2
n empty                                        | 401 | 2
n missing                                      | 401 | 2
n padded                                       | 401 | 2
n in the other alphabet                        | 401 | 2
n beyond ASCII                                 | 401 | 2
n of a lone surrogate                          | 401 | 2
x empty                                        | 401 | 2
e of 1                                         | 401 | 2
e even                                         | 401 | 2
e of the size of n                             | 401 | 2
RSA-1024                                       | 401 | 2
RSA-16384                                      | 401 | 2
RSA-32768                                      | 401 | 2

whose other members are odd
a private key                                  | 200 | 1
a private key whose d is junk                  | 200 | 1
x5t null                                       | 200 | 1
x5c of a string                                | 200 | 1
x5u of a file                                  | 200 | 1

whose kid is odd
kid of a number                                | 401 | 2
kid of a number, and none in the token         | 401 | 1
kid null                                       | 401 | 2
no kid                                         | 401 | 2
no kid, nor in the token                       | 200 | 1
kid of 300 characters                          | 401 | 2
kid of 100 KB                                  | 401 | 2
kid empty                                      | 401 | 1
kid of the good key                            | 200 | 1
kid of the good key, on a curve                | 200 | 1

of two names
EdDSA in the set, Ed25519 in the token         | 200 | 1
Ed25519 in the set, EdDSA in the token         | 200 | 1
"""
"""The good key's token is let in whichever comes first. Then the member's own: 2 GETs where its kid is not known."""

METADATA = """
the metadata's URL, by RFC 8414                | by OpenID Connect | cold | GETs | Retry-After

404                                            | good              | 200  | 3    |
500                                            | good              | 200  | 3    |
HTML                                           | good              | 200  | 3    |
302 to another host                            | good              | 200  | 3    |
it hangs up                                    | good              | 503  | 2    | 1
no answer                                      | good              | 200  | 3    |
404                                            | 404               | 503  | 2    | 1
404                                            | no answer         | 503  | 2    | 1
404                                            | it hangs up       | 503  | 3    | 1
another issuer                                 | another issuer    | 503  | 2    | 1
another issuer                                 | good              | 200  | 3    |
keys without TLS                               | keys in a file    | 503  | 2    | 1
an array                                       | 100 000 brackets  | 503  | 2    | 1
5 MB                                           | UTF-16            | 503  | 2    | 1
good                                           | 404               | 200  | 2    |
"""
"""What a good token gets where no URL of the keys is given. GETs are those of one attempt, the key set's with them."""

HEADERS = """
header                                                 | fresh for

Cache-Control: max-age=600                             | 600
Cache-Control: max-age=0                               | 300
Cache-Control: max-age=15                              | 300
Cache-Control: max-age=21600                           | 3600
Cache-Control: max-age=-1                              | 600
Cache-Control: max-age=1e30                            | 600
Cache-Control: max-age=1000000000000000000000000000000 | 3600
Cache-Control: max-age=junk                            | 600
Cache-Control: max-age                                 | 600
Cache-Control: max-age="1200"                          | 1200
Cache-Control: public, MAX-AGE=1200, must-revalidate   | 1200
Cache-Control: s-maxage=1200                           | 600
Cache-Control: no-store                                | 300
Cache-Control: no-cache, max-age=1200                  | 300
Cache-Control: no-store, no-cache, max-age=0           | 300
Cache-Control: max-age=1200; Age: 200                  | 1000
Cache-Control: max-age=1200; Age: 9000                 | 300
Cache-Control: max-age=1200; Age: -5                   | 1200
Cache-Control: max-age=1200; Age: junk                 | 1200
Cache-Control: max-age=-1; Age: -5                     | 600
Expires: Thu, 01 Jan 1970 00:00:00 GMT                 | 600
Expires: 0                                             | 600
Cache-Control: max-age=1200; Expires: 0                | 1200
Pragma: no-cache                                       | 600
"""
"""In seconds, by the default options: 600 where the issuer says nothing, else from 300 to 3600."""


@dataclass(frozen=True)
class Row:
    """A line of `FAULTS`."""

    group: str
    cold: int
    due: int
    new_kid: int
    gets: int
    tries: int
    retry_after: range | None

    @property
    def fails(self) -> bool:
        """Whether the attempt comes to nothing."""
        return self.retry_after is not None


def rows() -> dict[str, Row]:
    """`FAULTS`, by their names."""
    return {name: _row(group, *cells) for group, name, cells in _lines(FAULTS)}


def members() -> dict[str, tuple[int, int]]:
    """`MEMBERS`: the status of the own token, and the GETs in all."""
    return {name: (int(cells[0]), int(cells[1])) for _, name, cells in _lines(MEMBERS)}


def metadata() -> list[tuple[str, str, int, int, int | None]]:
    """`METADATA`: both answers, the status, the GETs, and Retry-After."""
    return [
        (first, cells[0], int(cells[1]), int(cells[2]), int(cells[3]) if cells[3] else None)
        for _, first, cells in _cells(METADATA)
    ]


def headers() -> dict[str, tuple[dict[str, str], float]]:
    """`HEADERS`: the lines, and how long the set is fresh."""
    return {
        name: (dict(line.split(": ", 1) for line in name.split("; ")), float(cells[0]))
        for _, name, cells in _lines(HEADERS)
    }


def _lines(table: str) -> list[tuple[str, str, list[str]]]:
    found = _cells(table)
    assert len({name for _, name, _ in found}) == len(found), "a name stands for one fault"
    return found


def _cells(table: str) -> list[tuple[str, str, list[str]]]:
    found, group = list[tuple[str, str, list[str]]](), ""
    for line in table.strip().splitlines()[1:]:
        name, *cells = (cell.strip() for cell in line.split("|"))
        if cells:
            found.append((group, name, cells))
        elif name:
            group = name
    return found


def _row(group: str, cold: str, due: str, new_kid: str, gets: str, tries: str, after: str) -> Row:
    least, _, most = after.partition("-")
    seconds = range(int(least), int(most or least) + 1) if after else None
    return Row(group, int(cold), int(due), int(new_kid), int(gets), int(tries), seconds)
