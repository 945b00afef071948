"""Tokens of each provider, made up after its documentation: names of claims and shapes of values, no real token.

`accepted` are access tokens for this API. `refused` are tokens of the same issuer, with good signatures and times, and
with an audience that the verifier accepts, so that nothing but the profile refuses them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jwt_asgi import Profile, Reason

NOW = 1_790_000_000
TIMES = {"iat": NOW - 60, "exp": NOW + 3540}
JWT = {"typ": "JWT"}
AT_JWT = {"typ": "at+jwt"}
USER = "7b2f6d0e-5c1a-4e0b-9a53-0d9a3f1c2b4d"
API = "https://api.example.com"
CLIENT = "c0ffee00-1111-4222-8333-444455556666"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """An access token, and what an application reads from it."""

    header: dict[str, Any]
    claims: dict[str, Any]
    client: str | None
    audience: tuple[str, ...]
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A token that is no access token for this API. `generic`: the generic profile would have taken it."""

    header: dict[str, Any]
    claims: dict[str, Any]
    reason: Reason
    generic: bool


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What one provider sends. `audience` is what the verifier accepts."""

    profile: Profile
    issuer: str
    audience: list[str]
    accepted: dict[str, Accepted]
    refused: dict[str, Refused] = field(default_factory=dict)


TENANT = "11111111-2222-3333-4444-555555555555"
ENTRA_API = "aaaaaaaa-1111-2222-3333-444444444444"
ENTRA_APP_URI = f"api://{ENTRA_API}"
ENTRA_USER = {
    "sub": "pairwise-subject",
    "oid": USER,
    "tid": TENANT,
    "uti": "opaque-uti",
    "rh": "0.opaque.",
    "nbf": NOW - 60,
}
V1 = {**TIMES, **ENTRA_USER, "iss": f"https://sts.windows.net/{TENANT}/", "ver": "1.0"}
V2 = {**TIMES, **ENTRA_USER, "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "ver": "2.0"}

ENTRA_V1 = Provider(
    profile=Profile.ENTRA_V1,
    issuer=f"https://sts.windows.net/{TENANT}/",
    audience=[ENTRA_APP_URI, ENTRA_API],
    accepted={
        "of a user": Accepted(
            header={**JWT, "x5t": "thumbprint"},
            claims={
                **V1,
                "aud": ENTRA_APP_URI,
                "appid": CLIENT,
                "appidacr": "0",
                "acr": "1",
                "amr": ["pwd", "mfa"],
                "scp": "todos.read todos.write",
                "roles": ["Editor"],
                "unique_name": "jane@example.com",
            },
            client=CLIENT,
            audience=(ENTRA_APP_URI,),
            scopes=frozenset({"todos.read", "todos.write"}),
            roles=frozenset({"Editor"}),
        ),
        "of a daemon": Accepted(
            header={**JWT, "x5t": "thumbprint"},
            claims={**V1, "aud": ENTRA_API, "appid": CLIENT, "appidacr": "1", "roles": ["Todos.Read.All"]},
            client=CLIENT,
            audience=(ENTRA_API,),
            roles=frozenset({"Todos.Read.All"}),
        ),
    },
    refused={
        "an ID token of the API's own registration": Refused(
            header=JWT,
            claims={**V1, "aud": ENTRA_API, "roles": ["Editor"], "amr": ["pwd"], "unique_name": "jane@example.com"},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "a token of an application that was given no permission": Refused(
            header=JWT,
            claims={**V1, "aud": ENTRA_API, "appid": CLIENT, "appidacr": "1"},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "a token of the other version": Refused(
            header=JWT,
            claims={**V1, "ver": "2.0", "aud": ENTRA_API, "appid": CLIENT, "scp": "todos.read"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=True,
        ),
    },
)

ENTRA_V2 = Provider(
    profile=Profile.ENTRA_V2,
    issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0",
    audience=[ENTRA_API],
    accepted={
        "of a user": Accepted(
            header=JWT,
            claims={
                **V2,
                "aud": ENTRA_API,
                "azp": CLIENT,
                "azpacr": "0",
                "scp": "todos.read",
                "roles": ["Editor", "Reader"],
                "name": "Jane",
                "preferred_username": "jane@example.com",
                "groups": [USER],
            },
            client=CLIENT,
            audience=(ENTRA_API,),
            scopes=frozenset({"todos.read"}),
            roles=frozenset({"Editor", "Reader"}),
        ),
        "of a daemon": Accepted(
            header=JWT,
            claims={**V2, "aud": ENTRA_API, "azp": CLIENT, "azpacr": "1", "roles": ["Todos.Read.All"]},
            client=CLIENT,
            audience=(ENTRA_API,),
            roles=frozenset({"Todos.Read.All"}),
        ),
    },
    refused={
        "an ID token of the API's own registration": Refused(
            header=JWT,
            claims={
                **V2,
                "aud": ENTRA_API,
                "nonce": "n",
                "roles": ["Editor"],
                "preferred_username": "jane@example.com",
            },
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "a token of an application that was given no permission": Refused(
            header=JWT,
            claims={**V2, "aud": ENTRA_API, "azp": CLIENT, "azpacr": "1"},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "a token whose client is null": Refused(
            header=JWT,
            claims={**V2, "aud": ENTRA_API, "azp": None, "scp": "todos.read"},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "a token of the other version": Refused(
            header=JWT,
            claims={**V2, "ver": "1.0", "aud": ENTRA_API, "azp": CLIENT, "scp": "todos.read"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=True,
        ),
    },
)

AUTH0_CLAIMS = {**TIMES, "iss": "https://example.eu.auth0.com/", "sub": "auth0|123456"}
AUTH0_USERINFO = "https://example.eu.auth0.com/userinfo"

AUTH0 = Provider(
    profile=Profile.AUTH0,
    issuer="https://example.eu.auth0.com/",
    audience=[API, CLIENT],
    accepted={
        "in Auth0's own dialect": Accepted(
            header=JWT,
            claims={
                **AUTH0_CLAIMS,
                "aud": [API, AUTH0_USERINFO],
                "azp": CLIENT,
                "scope": "openid profile read:todos",
                "permissions": ["read:todos", "write:todos"],
            },
            client=CLIENT,
            audience=(API, AUTH0_USERINFO),
            scopes=frozenset({"openid", "profile", "read:todos"}),
            roles=frozenset({"read:todos", "write:todos"}),
        ),
        "in the dialect of RFC 9068": Accepted(
            header=AT_JWT,
            claims={**AUTH0_CLAIMS, "aud": API, "client_id": CLIENT, "jti": "j", "scope": "read:todos"},
            client=CLIENT,
            audience=(API,),
            scopes=frozenset({"read:todos"}),
        ),
        "of a machine": Accepted(
            header=JWT,
            claims={
                **AUTH0_CLAIMS,
                "sub": f"{CLIENT}@clients",
                "aud": API,
                "azp": CLIENT,
                "gty": "client-credentials",
            },
            client=CLIENT,
            audience=(API,),
        ),
    },
    refused={
        "an ID token": Refused(
            header=JWT,
            claims={**AUTH0_CLAIMS, "aud": CLIENT, "sid": "s", "name": "Jane", "email": "j@example.com"},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "an ID token with a nonce": Refused(
            header=JWT,
            claims={**AUTH0_CLAIMS, "aud": CLIENT, "nonce": "n", "sid": "s", "name": "Jane"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=True,
        ),
        "an ID token that names its client": Refused(
            header=JWT,
            claims={**AUTH0_CLAIMS, "aud": CLIENT, "azp": CLIENT, "nonce": "n", "sid": "s"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=True,
        ),
    },
)

OKTA_ISSUER = "https://example.okta.com/oauth2/default"
OKTA_CLAIMS = {**TIMES, "iss": OKTA_ISSUER, "ver": 1, "auth_time": NOW - 90}

OKTA = Provider(
    profile=Profile.OKTA,
    issuer=OKTA_ISSUER,
    audience=["api://default", CLIENT],
    accepted={
        "of a user": Accepted(
            header={},
            claims={
                **OKTA_CLAIMS,
                "jti": "AT.opaque",
                "aud": "api://default",
                "sub": "jane@example.com",
                "cid": CLIENT,
                "uid": "00u1",
                "scp": ["openid", "todos:read"],
                "groups": ["Everyone", "Editors"],
            },
            client=CLIENT,
            audience=("api://default",),
            scopes=frozenset({"openid", "todos:read"}),
            roles=frozenset({"Everyone", "Editors"}),
        ),
        "of a machine": Accepted(
            header={},
            claims={**TIMES, "iss": OKTA_ISSUER, "ver": 1, "jti": "AT.o", "aud": "api://default"}
            | {"cid": CLIENT, "sub": CLIENT, "scp": ["todos:read"]},
            client=CLIENT,
            audience=("api://default",),
            scopes=frozenset({"todos:read"}),
        ),
    },
    refused={
        "an ID token": Refused(
            header={},
            claims={
                **OKTA_CLAIMS,
                "jti": "ID.opaque",
                "aud": CLIENT,
                "sub": "00u1",
                "amr": ["pwd"],
                "idp": "00o1",
                "at_hash": "h",
                "name": "Jane",
                "preferred_username": "jane@example.com",
                "groups": ["Everyone"],
            },
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=True,
        ),
        "an ID token that came without an access token": Refused(
            header={},
            claims={**OKTA_CLAIMS, "jti": "ID.opaque", "aud": CLIENT, "sub": "00u1", "amr": ["pwd"], "idp": "00o1"},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
    },
)

KEYCLOAK_ISSUER = "https://sso.example.com/realms/acme"
KEYCLOAK_CLAIMS = {**TIMES, "iss": KEYCLOAK_ISSUER, "jti": "j", "sub": USER, "azp": "web", "sid": "s"}
KEYCLOAK_ROLES: dict[str, Any] = {
    "realm_access": {"roles": ["editor", "offline_access"]},
    "resource_access": {"my-api": {"roles": ["todos-admin"]}, "account": {"roles": ["view-profile"]}},
}

KEYCLOAK = Provider(
    profile=Profile.KEYCLOAK,
    issuer=KEYCLOAK_ISSUER,
    audience=["my-api", "web", KEYCLOAK_ISSUER],
    accepted={
        "by default": Accepted(
            header=JWT,
            claims={
                **KEYCLOAK_CLAIMS,
                **KEYCLOAK_ROLES,
                "typ": "Bearer",
                "aud": ["my-api", "account"],
                "scope": "openid profile",
                "acr": "1",
            },
            client="web",
            audience=("my-api", "account"),
            scopes=frozenset({"openid", "profile"}),
            roles=frozenset({"editor", "offline_access"}),
        ),
        "with the header of RFC 9068": Accepted(
            header=AT_JWT,
            claims={**KEYCLOAK_CLAIMS, "typ": "Bearer", "aud": "my-api", "scope": "todos:read"},
            client="web",
            audience=("my-api",),
            scopes=frozenset({"todos:read"}),
        ),
        "with the token type in lower case": Accepted(
            header=JWT,
            claims={**KEYCLOAK_CLAIMS, "typ": "bearer", "aud": "my-api"},
            client="web",
            audience=("my-api",),
        ),
    },
    refused={
        "an ID token": Refused(
            header=JWT,
            claims={**KEYCLOAK_CLAIMS, "typ": "ID", "aud": "web", "at_hash": "h", "name": "Jane"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=False,
        ),
        "a refresh token": Refused(
            header=JWT,
            claims={**KEYCLOAK_CLAIMS, "typ": "Refresh", "aud": KEYCLOAK_ISSUER, "scope": "openid"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=False,
        ),
        "an offline token": Refused(
            header=JWT,
            claims={**KEYCLOAK_CLAIMS, "typ": "Offline", "aud": KEYCLOAK_ISSUER},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=False,
        ),
        "a signed answer of the userinfo endpoint": Refused(
            header=JWT,
            claims={**TIMES, "iss": KEYCLOAK_ISSUER, "aud": "web", "sub": USER, "name": "Jane"},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
    },
)

COGNITO_ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example"
COGNITO_CLIENT = "57cbishk4j24pabc1234567890"
COGNITO_CLAIMS = {**TIMES, "iss": COGNITO_ISSUER, "jti": "j", "origin_jti": "o", "sub": USER, "auth_time": NOW - 90}

COGNITO = Provider(
    profile=Profile.COGNITO,
    issuer=COGNITO_ISSUER,
    audience=[COGNITO_CLIENT],
    accepted={
        "of a user": Accepted(
            header={},
            claims={
                **COGNITO_CLAIMS,
                "token_use": "access",
                "client_id": COGNITO_CLIENT,
                "version": 2,
                "username": "jane",
                "scope": "openid todos/read",
                "cognito:groups": ["editors", "readers"],
            },
            client=COGNITO_CLIENT,
            audience=(COGNITO_CLIENT,),
            scopes=frozenset({"openid", "todos/read"}),
            roles=frozenset({"editors", "readers"}),
        ),
        "of a machine": Accepted(
            header={},
            claims={**TIMES, "iss": COGNITO_ISSUER, "jti": "j", "sub": COGNITO_CLIENT, "version": 2}
            | {"token_use": "access", "client_id": COGNITO_CLIENT, "scope": "todos/read"},
            client=COGNITO_CLIENT,
            audience=(COGNITO_CLIENT,),
            scopes=frozenset({"todos/read"}),
        ),
    },
    refused={
        "an ID token": Refused(
            header={},
            claims={
                **COGNITO_CLAIMS,
                "token_use": "id",
                "aud": COGNITO_CLIENT,
                "cognito:username": "jane",
                "email": "j@example.com",
                "cognito:groups": ["editors"],
            },
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=False,
        ),
        "a token that does not say what it is for": Refused(
            header={},
            claims={**COGNITO_CLAIMS, "client_id": COGNITO_CLIENT, "aud": COGNITO_CLIENT},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "a token of another app client": Refused(
            header={},
            claims={**COGNITO_CLAIMS, "token_use": "access", "client_id": "another-app-client"},
            reason=Reason.AUDIENCE_MISMATCH,
            generic=False,
        ),
        "a token of this app client that is bound to another resource": Refused(
            header={},
            claims={**COGNITO_CLAIMS, "token_use": "access", "client_id": COGNITO_CLIENT, "aud": "https://b.example"},
            reason=Reason.AUDIENCE_MISMATCH,
            generic=False,
        ),
    },
)

GOOGLE_ACCOUNT = "107000000000000000001"
GOOGLE_CLAIMS = {**TIMES, "iss": "https://accounts.google.com", "sub": GOOGLE_ACCOUNT}

GOOGLE = Provider(
    profile=Profile.GOOGLE,
    issuer="https://accounts.google.com",
    audience=["https://todos-abc123-ew.a.run.app"],
    accepted={
        "of a service account": Accepted(
            header=JWT,
            claims={
                **GOOGLE_CLAIMS,
                "aud": "https://todos-abc123-ew.a.run.app",
                "azp": GOOGLE_ACCOUNT,
                "email_verified": True,
                "email": "caller@project.iam.gserviceaccount.com",
            },
            client=GOOGLE_ACCOUNT,
            audience=("https://todos-abc123-ew.a.run.app",),
        ),
    },
    refused={
        "a sign-in of a user": Refused(
            header=JWT,
            claims={**GOOGLE_CLAIMS, "aud": "1.apps.googleusercontent.com", "azp": "1.apps.googleusercontent.com"},
            reason=Reason.AUDIENCE_MISMATCH,
            generic=False,
        ),
    },
)

ZITADEL_ISSUER = "https://acme-abc123.eu1.zitadel.cloud"
ZITADEL_PROJECT = "69234237810729019"
ZITADEL_CLIENT = "69234237810729234"
ZITADEL_CLAIMS: dict[str, Any] = {
    **TIMES,
    "iss": ZITADEL_ISSUER,
    "aud": [ZITADEL_CLIENT, ZITADEL_PROJECT],
    "sub": "77776025198584418",
    "nbf": NOW - 60,
    "client_id": ZITADEL_CLIENT,
    "urn:zitadel:iam:org:project:roles": {
        "editor": {"170000000000000001": "acme.example.com"},
        "reader": {"170000000000000001": "acme.example.com", "170000000000000002": "other.example.com"},
    },
}

ZITADEL = Provider(
    profile=Profile.ZITADEL,
    issuer=ZITADEL_ISSUER,
    audience=[ZITADEL_PROJECT],
    accepted={
        "of a user": Accepted(
            header=JWT,
            claims={**ZITADEL_CLAIMS, "jti": "V2_170-at_171"},
            client=ZITADEL_CLIENT,
            audience=(ZITADEL_CLIENT, ZITADEL_PROJECT),
            roles=frozenset({"editor", "reader"}),
        ),
        "of a release that names no client": Accepted(
            header=JWT,
            claims={name: value for name, value in ZITADEL_CLAIMS.items() if name != "client_id"} | {"jti": "at_171"},
            client=None,
            audience=(ZITADEL_CLIENT, ZITADEL_PROJECT),
            roles=frozenset({"editor", "reader"}),
        ),
    },
    refused={
        "an ID token": Refused(
            header=JWT,
            claims={**ZITADEL_CLAIMS, "azp": ZITADEL_CLIENT, "auth_time": NOW - 90, "amr": ["pwd"], "at_hash": "h"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=True,
        ),
        "an ID token without anything of the sign-in": Refused(
            header=JWT,
            claims={**ZITADEL_CLAIMS, "azp": ZITADEL_CLIENT},
            reason=Reason.CLAIM_MISSING,
            generic=True,
        ),
        "an ID token that an action gave an identifier": Refused(
            header=JWT,
            claims={**ZITADEL_CLAIMS, "azp": ZITADEL_CLIENT, "jti": "custom", "at_hash": "h"},
            reason=Reason.TYPE_NOT_ACCEPTED,
            generic=True,
        ),
    },
)

PROVIDERS = {
    "entra-v1": ENTRA_V1,
    "entra-v2": ENTRA_V2,
    "auth0": AUTH0,
    "okta": OKTA,
    "keycloak": KEYCLOAK,
    "cognito": COGNITO,
    "google": GOOGLE,
    "zitadel": ZITADEL,
}
