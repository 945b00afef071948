"""Every id that the catalogue of hostile inputs names, by row, so that none is lost from the corpus.

Each line is a row, a prefix, and what follows the prefix. `*` stands for any ending: at least two cases must have one.
The rows that are tests of their own (56 to 58, 72, 121, 122, 135 to 148, 171, 172) are not here. DPoP (149 to 163) is
not supported, so the good proofs are refused like the bad ones.
"""

from __future__ import annotations

_LINES = """
1 header.alg- absent null number true list object empty
2 header.alg- lower space newline nul long
3 header.none- none None NONE nOnE none-space none-nul no-kid two-parts
4 header.none- with-signature
4 cache. none
5 header.json- array string null number empty-object empty
6 header.json- cut trailing trailing-nul single-quotes comment trailing-comma control-char
7 header.json- utf16 not-utf8 overlong-utf8
8 header.json- bom
8 json. bom
9 header.json- nan
9 json. nan infinity
10 header.dup- *
11 header.deep- 3000 50000
12 header. bignum
12 json. bignum
13 header. huge alg-long
13 key. kid-long
14 header.crit- unknown exp absent-member twice
15 header.crit- string null object number nested
16 header.crit- empty registered b64
17 header.b64- false false-no-crit
18 header.typ- dpop logout refresh secevent prefix text
19 header.typ- JWT absent id_token
20 header.typ- number list null space parameter empty
21 ok.typ- case application JWT absent
22 header. zip
23 header. cty-nested
24 ok. unknown-header json-whitespace
25 alg.hs256- rsa-pem rsa-pem-stripped rsa-pem-space rsa-pem-cr rsa-pem-one-line ec-pem ed-pem noalg-pem no-kid
26 alg.hs256- rsa-pkcs1 rsa-ssh
27 alg.hs256- rsa-der
28 alg.hs256- rsa-jwk rsa-jwk-bom rsa-jwks
29 alg.hs256- rsa-n ec-point ec-x ed-raw
30 alg. hs256-empty hs256-empty-noalg hs256-guess hs384 hs512
31 alg.hs256- oct-in-jwks
32 alg.not-allowed- *
33 alg.not-allowed- PS256
34 alg.foreign- ES256K RS1 RSA-OAEP dir A256GCM ML-DSA-44 __class__
35 alg.mismatch- rsa-ES256 rsa-EdDSA ec-RS256 ec-EdDSA ed-RS256 ed-ES256
36 alg. es256-on-p384
37 ok. RS256 PS256 ES256 EdDSA
38 key. attacker attacker-no-kid
39 key.embedded- jwk jwk-no-kid jwk-good-kid jwk-thumbprint jwk-string
40 key.embedded- oct
41 key. embedded-jku embedded-jku-good-kid embedded-jku-userinfo kid-url
42 key.embedded- jku-file jku-metadata
43 key.embedded- x5u
44 key.embedded- x5c x5c-good-kid x5c-rubbish x5t
45 ok. jku-not-followed
46 key.kid- number true list object null empty
47 key.kid- case space nul newline homoglyph index
48 key.kid- path sql shell template format
49 key.kid- crlf surrogate
50 key.kid- unknown
51 flood. *
52 key.jwk- rsa-enc rsa-enc-noalg rsa-ops ec-enc ec-ops
53 key.jwk- rsa-weak
54 key.jwk- rsa-e1 rsa-e1-forged
55 key.jwk- ec-off-curve ec-odd rsa-broken pq-1
59 sig. empty one-byte first-bit last-bit cut longer doubled reversed zeros ones
60 sig. other-token payload-swapped
61 sig. ecdsa-der
62 sig.ecdsa- zero-zero zero-one one-zero one-one zero-s r-zero n-n max
63 sig.ecdsa- swapped key-x r-twice
64 sig.ecdsa- 63-bytes 65-bytes 66-bytes 32-bytes
65 ok. ecdsa-other-s
66 sig. ed25519-s-plus-l
67 sig.ed25519- zero identity cut long halves-swapped
68 sig.rsa- leading-zero-cut leading-zero-added
69 sig.rsa- plus-n zero one n-minus-1 n
70 sig.rsa- short-padding zero-padding type-2 sha1
71 sig. huge
73 format. sig-unused-bits
74 format. payload-unused-bits
75 format. sig-padding sig-one-pad
75 cache. padded
76 format. sig-junk header-junk plus std-alphabet
76 cache. junk-after
77 format. sig-newline sig-tab sig-nul space-inside crlf-inside payload-space
78 format. one two four dots three-dots five-empty leading-dot trailing-dot no-header no-payload
79 format. len-mod-4
80 format. quoted sig-quote sig-percent percent-dots comma word null zero
81 format.bytes- *
82 format. json-flattened json-general json-mixed
83 format. many-dots dots-after
84 format. megabyte
85 json. array array-of-claims string null number true text empty
86 json. cut trailing nul control
87 json. utf16 not-utf8 cesu
88 json.dup- exp-bad-last iss-bad-last aud-bad-last escaped
89 json.dup- exp-bad-first iss-bad-first aud-bad-first
90 json. deep deep-3000
91 json. deep-forged
92 json. surrogate sub-crlf
93 json. empty-object
93 claim.iss- absent null empty number true object
94 claim.iss- list list-mixed
95 claim.iss- suffix prefix contains other pattern
96 claim.iss- case slash space newline nul port userinfo http fragment query percent
97 claim.iss- homoglyph fullwidth combining
98 claim.aud- absent null empty empty-list number true other others
99 claim.aud- object nested in-object null-list
100 claim.aud- suffix prefix contains slash case newline
101 claim.aud- space-list comma-list star star-list characters
102 claim.aud- mixed-types
103 ok. aud-list aud-among-others exp-fraction exp-exponent nbf-now extra-claims unicode-sub large-claims
104 claim. sub-number sub-list sub-object sub-null jti-number jti-object
105 claim. sub-absent jti-absent client_id-absent iat-absent
106 claim. scope-number scope-object scope-null client_id-list
107 claim. id-token
108 claim. cnf-jkt
108 dpop. as-bearer
109 claim.cnf- x5t null empty list jkt-number unknown
110 time.exp- past long-past zero minus minus-zero fraction-past
111 time.exp- absent null
112 time.exp- string string-past word true list object empty date
113 time. exp-NaN exp-Infinity exp--Infinity nbf-NaN nbf-Infinity nbf--Infinity iat-NaN iat-Infinity iat--Infinity
114 time. exp-1e999 exp--1e999 nbf-1e999 nbf--1e999 iat-1e999 iat--1e999
115 time. exp-6000-digits nbf-6000-digits iat-6000-digits
116 time.exp- milliseconds huge
117 time.nbf- future huge milliseconds
118 time.nbf- string string-past word true list object null
119 time.iat- future huge string word true list null
120 expiry. before after
123 http. none head override
124 http.auth- empty blank scheme-only scheme-space
125 http.auth- basic basic-token digest jwt-scheme token-scheme token-only dpop
126 http.auth- tab nbsp glued colon comma underscore parameter nul ff
127 http.auth- twice second-word after list list-basic
128 ok.scheme- bearer BEARER bEaReR two-spaces
129 http.two- *
130 http.only- cookie cookie-bearer x-access-token proxy x-authorization forwarded underscore websocket
131 ok. bad-cookie
132 http.only- query form
133 http.also- query form
134 http.host- *
149 dpop. ok ok-scheme-case ok-htu-query ok-htu-case
150 dpop. no-proof rubbish at-as-proof
151 dpop. two-proofs joined
152 dpop. other-key jwk-other
153 dpop. unbound-token
154 dpop. replay
155 dpop. jti-absent jti-empty jti-number jti-long
156 dpop. ath-absent ath-other ath-padded ath-number
157 dpop. htm htm-case htm-absent
158 dpop.htu- path host scheme port userinfo dots relative absent list
159 dpop. forwarded
160 dpop.iat- old future absent string true huge
161 dpop. typ-JWT typ-absent alg-none crit hs256
162 dpop. jwk-absent jwk-private jwk-string jwk-empty jku
163 dpop. jwk-okp-mixed
164 jwe. plain-claims dir
165 jwe. nested-none
166 jwe. zip-bomb
167 jwe. pbes2 pbes2-float
168 jwe. rsa1_5
169 jwe. ecdh-off-curve five-objects
170 cache. other-payload other-signature no-signature same-jti case cut upper
"""

NAMED: dict[str, int] = {}
"""id -> row, for the ids that are named one by one."""
WILDCARDS: dict[str, int] = {}
"""Prefix -> row, for the ids that end in `*`."""

for _line in _LINES.strip().splitlines():
    _row, _prefix, *_words = _line.split()
    for _word in _words:
        if _word == "*":
            WILDCARDS[_prefix] = int(_row)
        else:
            NAMED[_prefix + _word] = int(_row)
