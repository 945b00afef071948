"""The peers, each set up as its own documentation says, for one site.

They are optional: benchmarks/peers.txt names them. Most come without types, so they are imported by name.
"""

# FastAPI reads the annotations of the dependencies: no `from __future__ import annotations` here

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.applications import Starlette
from starlette.routing import Route

from benchmarks._bare import fastapi, greet
from benchmarks._requests import PATTERN
from benchmarks._site import JWKS_PATH, METADATA_PATH, REALM, Site
from jwt_asgi.types import ASGIApp

BEARER = HTTPBearer()
Credentials = Annotated[HTTPAuthorizationCredentials, Depends(BEARER)]


def pyjwt_def(site: Site) -> ASGIApp:
    """Follow PyJWT's usage page, "Retrieve RSA signing keys from a JWKS endpoint", in a plain dependency."""
    decode = pyjwt_decode(site)

    def claims(credentials: Credentials) -> dict[str, Any]:
        return decode(credentials.credentials)

    return fastapi(Depends(claims))


def pyjwt_async(site: Site) -> ASGIApp:
    """Do the same in an async dependency, as FastAPI's own tutorial on OAuth2 with JWT has it."""
    decode = pyjwt_decode(site)

    async def claims(credentials: Credentials) -> dict[str, Any]:
        return decode(credentials.credentials)

    return fastapi(Depends(claims))


def pyjwt_decode(site: Site) -> Callable[[str], dict[str, Any]]:
    jwt = import_module("jwt")
    client = jwt.PyJWKClient(site.url + JWKS_PATH)

    def decode(token: str) -> dict[str, Any]:
        try:
            key = client.get_signing_key_from_jwt(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[site.algorithm],
                audience=site.audience,
                issuer=site.issuer,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise HTTPException(401, "not a good token", {"WWW-Authenticate": "Bearer"}) from error
        return claims

    return decode


def fastapi_azure_auth(site: Site) -> ASGIApp:
    """Follow its README and tutorial for a single tenant; its metadata are the site's, in place of Entra's."""
    azure = import_module("fastapi_azure_auth")
    scheme = azure.SingleTenantAzureAuthorizationCodeBearer(
        app_client_id=site.audience, tenant_id="tenant", scopes={"todos:read": "read"}
    )
    scheme.openid_config.config_url = site.url + METADATA_PATH
    return fastapi(Security(scheme))


def auth0_fastapi_api(site: Site) -> ASGIApp:
    """Follow its README, "Protecting API routes". It only fetches over https, so it is given the answers in process."""
    plugin = import_module("fastapi_plugin")

    async def fetch(url: str) -> dict[str, Any]:
        return site.metadata if url.endswith(METADATA_PATH) else site.jwks

    domain = site.issuer.removeprefix("https://").rstrip("/")
    auth0 = plugin.Auth0FastAPI(domain=domain, audience=site.audience, custom_fetch=fetch)
    return fastapi(Depends(auth0.require_auth()))


def axioms_fastapi(site: Site) -> ASGIApp:
    """Follow its README, "Quick Start"."""
    axioms = import_module("axioms_fastapi")
    app = fastapi(Depends(axioms.require_auth))
    axioms.init_axioms(
        app,
        AXIOMS_AUDIENCE=site.audience,
        AXIOMS_ISS_URL=site.issuer,
        AXIOMS_JWKS_URL=site.url + JWKS_PATH,
    )
    axioms.register_axioms_exception_handler(app)
    return app


def fastapi_keycloak_middleware(site: Site) -> ASGIApp:
    """Follow its documentation's "Quickstart", with its `validation_options` for issuer and audience.

    It does not look at these by itself.
    """
    keycloak = import_module("fastapi_keycloak_middleware")
    app = fastapi(Depends(keycloak.get_user))
    configuration = keycloak.KeycloakConfiguration(
        url=f"{site.url}/",
        realm=REALM,
        client_id="api",
        validation_options={"check_claims": {"iss": site.issuer, "aud": site.audience, "exp": None, "nbf": None}},
    )
    keycloak.setup_keycloak_middleware(app, keycloak_configuration=configuration)
    return app


def fastmcp_jwt_verifier(site: Site) -> ASGIApp:
    """Follow its documentation's "Token Verification"; built into the application as FastMCP's `http_app` does it."""
    providers = import_module("fastmcp.server.auth.providers.jwt")
    middleware = import_module("fastmcp.server.auth.middleware")
    verifier = providers.JWTVerifier(
        jwks_uri=site.url + JWKS_PATH, issuer=site.issuer, audience=site.audience, algorithm=site.algorithm
    )
    # A route's own endpoint, made an ASGI application by Starlette
    endpoint = Route(PATTERN, greet).app
    guarded = middleware.RequireAuthMiddleware(endpoint, verifier.required_scopes)
    return Starlette(routes=[Route(PATTERN, guarded, methods=["GET"])], middleware=verifier.get_middleware())


def async_jwt_core(site: Site) -> ASGIApp:
    """Follow its README, "The Direct Approach (FastAPI Dependency)". Fetching keys is left to the application."""
    core = import_module("async_jwt_core")
    validator = core.Validator(algorithms=[site.algorithm], issuer=site.issuer, audience=site.audience)
    jwks = site.jwks

    async def claims(request: Request) -> Any:  # noqa: ANN401 - its own type
        try:
            return await validator.validate(core.Validator.extract_token(request), jwks)
        except core.ValidationError as error:
            raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error

    return fastapi(Depends(claims))


# Name, the module that it needs, and its set-up
PEERS = (
    ("PyJWT, def", "jwt", pyjwt_def),
    ("PyJWT, async", "jwt", pyjwt_async),
    ("fastapi-azure-auth", "fastapi_azure_auth", fastapi_azure_auth),
    ("auth0-fastapi-api", "fastapi_plugin", auth0_fastapi_api),
    ("axioms-fastapi", "axioms_fastapi", axioms_fastapi),
    ("fastapi-keycloak-middleware", "fastapi_keycloak_middleware", fastapi_keycloak_middleware),
    ("async-jwt-core", "async_jwt_core", async_jwt_core),
)
MCP_PEERS = (("FastMCP JWTVerifier", "fastmcp", fastmcp_jwt_verifier),)
