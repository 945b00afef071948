// openid-client against our token service: reads what the test has prepared from stdin, prints what it met.
// `node openid_client.mjs < prepared.json`
import { createRemoteJWKSet, importJWK, jwtVerify } from "jose";
import * as oauth from "openid-client";
import { done, prepared, told } from "./told.mjs";

const { url, services, audience, secrets, keys, sessions } = prepared;
// The server is on this machine's loopback, without TLS
const options = { execute: [oauth.allowInsecureRequests] };
const discovered = (issuer, name, authentication, algorithm = "oauth2") =>
  oauth.discovery(new URL(issuer), name, undefined, authentication, { ...options, algorithm });

const results = { discovery: {}, jobs: {}, verified: {} };

for (const path of services) {
  for (const algorithm of ["oauth2", "oidc"]) {
    results.discovery[`${algorithm} ${path}`] = await told(
      discovered(`${url}${path}`, "browser-app", oauth.None(), algorithm).then((config) => config.serverMetadata()),
    );
  }
}

const browser = await discovered(url, "browser-app", oauth.None());
const api = await discovered(url, "api", oauth.ClientSecretBasic(secrets.api));
const web = await discovered(url, "web-app", oauth.ClientSecretBasic(secrets["web-app"]));

// Rotation, and what an old refresh token is good for
const [began] = sessions.rotated;
const first = await oauth.refreshTokenGrant(browser, began.refresh_token);
const again = await oauth.refreshTokenGrant(browser, began.refresh_token);
const second = await oauth.refreshTokenGrant(browser, first.refresh_token);
const before = await oauth.tokenIntrospection(api, second.access_token);
results.rotated = { began, first, again, second, before };
results.rotated.replayed = await told(oauth.refreshTokenGrant(browser, began.refresh_token));
results.rotated.ended = await told(oauth.refreshTokenGrant(browser, second.refresh_token));
results.rotated.after = await oauth.tokenIntrospection(api, second.access_token);

const [narrow] = sessions.narrowed;
results.narrowed = await told(oauth.refreshTokenGrant(browser, narrow.refresh_token, { scope: "read" }));
results.widened = await told(oauth.refreshTokenGrant(browser, narrow.refresh_token, { scope: "read admin" }));

// A confidential client, and one that shows a wrong secret
const [confidential] = sessions.confidential;
results.refreshed = await told(oauth.refreshTokenGrant(web, confidential.refresh_token));
const wrong = await discovered(url, "web-app", oauth.ClientSecretBasic("wrong"));
results.wrong = await told(oauth.refreshTokenGrant(wrong, confidential.refresh_token));
results.stolen = await told(oauth.refreshTokenGrant(web, narrow.refresh_token));

// Revocation by the client, of a refresh token and of an access token
const [ended, kept] = sessions.revoked;
results.revoked = {
  before: await oauth.tokenIntrospection(api, ended.access_token),
  answer: await told(oauth.tokenRevocation(browser, ended.refresh_token, { token_type_hint: "refresh_token" })),
  refreshed: await told(oauth.refreshTokenGrant(browser, ended.refresh_token)),
  after: await oauth.tokenIntrospection(api, ended.access_token),
  unknown: await told(oauth.tokenRevocation(browser, "a token that was never there")),
  access: await told(oauth.tokenRevocation(browser, kept.access_token)),
  accessAfter: await oauth.tokenIntrospection(api, kept.access_token),
  session: await told(oauth.refreshTokenGrant(browser, kept.refresh_token)),
};

// Clients in their own name
const job = await discovered(url, "job", oauth.ClientSecretBasic(secrets.job));
results.jobs.job = await told(oauth.clientCredentialsGrant(job, { scope: "jobs:run", resource: audience }));
results.target = await told(oauth.clientCredentialsGrant(job, { resource: "https://other.test" }));
for (const [name, jwk] of Object.entries(keys)) {
  const key = { key: await importJWK(jwk, jwk.alg), kid: jwk.kid };
  const config = await discovered(url, name, oauth.PrivateKeyJwt(key));
  results.jobs[name] = await told(oauth.clientCredentialsGrant(config, { scope: "jobs:run" }));
}

// jose verifies the tokens of each service by its key set
for (const [index, path] of services.entries()) {
  const issuer = `${url}${path}`;
  const { jwks_uri } = (await discovered(issuer, "browser-app", oauth.None())).serverMetadata();
  results.verified[path] = await told(
    jwtVerify(sessions.verified[index].access_token, createRemoteJWKSet(new URL(jwks_uri)), {
      issuer,
      audience,
      typ: "at+jwt",
    }).then(({ payload, protectedHeader }) => ({ payload, protectedHeader })),
  );
}

done(results);
