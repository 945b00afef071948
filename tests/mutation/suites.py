"""Which tests hold which module: its own file, and wider ones that are tried for what survives it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["MODULES", "Suite", "suite_of"]

Suite = tuple[str, ...]

_ROOT = Path(__file__).parents[2]


def _modules_of(folder: str) -> list[str]:
    return sorted(f"{folder}/{path.name}" for path in (_ROOT / folder).glob("[a-z]*.py"))


MODULES = (
    *_modules_of("jwt_asgi/_core"),
    *_modules_of("jwt_asgi/_keys"),
    "jwt_asgi/token_cache.py",
    "jwt_asgi/verifier.py",
)
"""What is run where no module is named."""

# Fewer and faster ones come first. Tests by hypothesis are left out: they search at random, and are slow at it.
_WIDER: dict[str, Suite] = {
    "_core/access.py": ("tests/test_access.py",),
    "verifier.py": ("tests/test_tenants.py", "tests/test_issuers.py"),
}


def suite_of(module: str) -> tuple[Suite, Suite]:
    """Return a module's own test files, and the wider ones."""
    inside = Path(module).relative_to("jwt_asgi")
    folder = inside.parent.name.lstrip("_")
    own = Path("tests") / folder / f"test_{inside.name}"
    wider = tuple(file for file in _WIDER.get(str(inside), ()) if Path(file).exists())
    return ((str(own),) if own.exists() else ()), wider
