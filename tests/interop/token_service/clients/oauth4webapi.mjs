// oauth4webapi against our token service: each request and each answer by itself, as strict as that library is.
// `node oauth4webapi.mjs < prepared.json`
import { importJWK } from "jose";
import * as oauth from "oauth4webapi";
import { done, prepared, told } from "./told.mjs";

const { url, services, audience, secrets, keys, sessions } = prepared;
// The server is on this machine's loopback, without TLS
const options = { [oauth.allowInsecureRequests]: true };
const discovered = async (issuer, algorithm) => {
  const identifier = new URL(issuer);
  const answer = await oauth.discoveryRequest(identifier, { ...options, algorithm });
  return oauth.processDiscoveryResponse(identifier, answer);
};

const results = { discovery: {}, jobs: {}, validated: {} };
for (const path of services) {
  for (const algorithm of ["oauth2", "oidc"]) {
    results.discovery[`${algorithm} ${path}`] = await told(discovered(`${url}${path}`, algorithm));
  }
}

const as = await discovered(url, "oauth2");
const browser = [{ client_id: "browser-app" }, oauth.None()];
const api = [{ client_id: "api" }, oauth.ClientSecretBasic(secrets.api)];

const refreshed = async ([client, authentication], token) => {
  const answer = await oauth.refreshTokenGrantRequest(as, client, authentication, token, options);
  return oauth.processRefreshTokenResponse(as, client, answer);
};
const introspected = async ([client, authentication], token) => {
  const answer = await oauth.introspectionRequest(as, client, authentication, token, options);
  return oauth.processIntrospectionResponse(as, client, answer);
};
const revoked = async ([client, authentication], token) => {
  const answer = await oauth.revocationRequest(as, client, authentication, token, options);
  return oauth.processRevocationResponse(answer);
};
const granted = async ([client, authentication], parameters) => {
  const answer = await oauth.clientCredentialsGrantRequest(as, client, authentication, parameters, options);
  return oauth.processClientCredentialsResponse(as, client, answer);
};

const [began] = sessions.rotated;
const first = await refreshed(browser, began.refresh_token);
const second = await refreshed(browser, first.refresh_token);
results.rotated = { began, first, second, before: await introspected(api, second.access_token) };
results.rotated.replayed = await told(refreshed(browser, began.refresh_token));
results.rotated.ended = await told(refreshed(browser, second.refresh_token));
results.rotated.after = await introspected(api, second.access_token);

const [ended] = sessions.revoked;
results.revoked = {
  answer: await told(revoked(browser, ended.refresh_token)),
  after: await introspected(api, ended.access_token),
  byPublic: await told(introspected(browser, ended.access_token)),
};

results.jobs.job = await told(
  granted([{ client_id: "job" }, oauth.ClientSecretBasic(secrets.job)], new URLSearchParams({ scope: "jobs:run" })),
);
for (const [name, jwk] of Object.entries(keys)) {
  const key = { key: await importJWK(jwk, jwk.alg), kid: jwk.kid };
  results.jobs[name] = await told(
    granted([{ client_id: name }, oauth.PrivateKeyJwt(key)], new URLSearchParams({ scope: "jobs:run" })),
  );
}

// As a resource server (RFC 9068), with the key set of each service
for (const [index, path] of services.entries()) {
  const server = await discovered(`${url}${path}`, "oauth2");
  const request = (token) => new Request(`${audience}/`, { headers: { authorization: `Bearer ${token}` } });
  const { access_token } = sessions.verified[index];
  results.validated[path] = {
    good: await told(oauth.validateJwtAccessToken(server, request(access_token), audience, options)),
    wrongAudience: await told(oauth.validateJwtAccessToken(server, request(access_token), "https://other.test", options)),
  };
}

done(results);
