"""Mutation testing: small faults are put into a module one at a time, and its tests must fail for each of them.

    python -m tests.mutation                                    every module that suites.py names, then a table
    python -m tests.mutation jwt_asgi/_core/policy.py           one module
    python -m tests.mutation jwt_asgi/_core/policy.py --only _issuer    what stands in functions of that name
    python -m tests.mutation --list jwt_asgi/_core/policy.py    the mutants, without a run
    python -m tests.mutation --table                            the table of the results so far, without a run

It runs on POSIX, from the root of the repository, in an environment with `.[dev]`. Run it with `nice -n 19`.

- `mutants.py` makes the mutants of a module from its syntax tree: functions, class bodies and the module's own tables.
- `suites.py` says which tests hold a module: its own file first, then wider ones for what survives it.
- `reach.py` runs those tests once, and writes down which lines each of them reaches.
- `swap.py` forks a process for each mutant out of one that has collected the tests, gives the functions there the code
  of the mutant, and runs the tests that reach its lines, up to the first failure.
- `runner.py` does so for those that survive, and for what is outside of functions, out of a process that has imported
  all but the package and its tests: the mutant is imported in place of the module.
- `survivors.toml` lists the survivors that no test should kill, each with the reason. Whoever is listed and is killed,
  or is no mutant any more, is told, as is each survivor that is not listed: the run then ends with 1.

Results are kept in `.mutation/`, so that a run which was stopped goes on where it was. They are dropped when the module
or its list of mutants has changed. Survivors run again when the tests of the module have changed; `--again` runs all.
A mutant that meets the time-out, which is many times what its tests need, counts as killed, and is counted apart.
"""
