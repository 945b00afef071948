"""What this package accepts although the catalogue would refuse it. Only rows marked (policy) may be here.

Each entry says why. Whoever adds one is changing what the package promises.
"""

from __future__ import annotations

ACCEPTED: dict[str, str] = {
    "http.also-form": "the body belongs to the application: it is never read here, so a second token in it is not seen",
}
