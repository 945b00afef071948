"""Coverage-guided fuzzing: bytes of a stranger, or of an issuer, through the package, and what must hold of the answer.

    python -m tests.fuzz.authorization -max_total_time=60 tests/fuzz/corpus/authorization

`authorization` sends an Authorization header (and a query string) to the door, `jwks` gives a key source a document,
`metadata` gives one to discovery, and `headers` gives the key cache an answer's headers. Options are libFuzzer's. The
seeds are in `corpus/*.txt`, one input a line, and new inputs go to the folder that is named, which git ignores. What
breaks an invariant is written to `jwt-asgi-fuzz/found` in the system's folder for temporary files, and is played again
by giving it to the target in place of a folder. `test_fuzz.py` replays the seeds without atheris.

    engine.py         atheris: instrumentation, seeds, options
    packed.py         the seeds, one a line
    make_seeds.py     the hostile corpus of tests/attacks, with fixed keys -> corpus/*.txt
    keys.py           fixed keys, and signatures that are the same every time
    mutation.py       changes to JSON, base64url and tokens, signed anew or not
    door.py           the harness of `authorization`; setups.py has its doors, reference.py is its second opinion
    key_set.py        the harness of `jwks`; key_reference.py is its second opinion
    issuer.py         the harnesses of `metadata` and of `headers`
"""
