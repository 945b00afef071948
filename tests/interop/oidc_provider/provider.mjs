// Runs oidc-provider on a free loopback port, signing access tokens with the algorithm named on the command line.
//
// Prints one line when it listens, {"issuer": "http://127.0.0.1:PORT"}, and exits when stdin closes. Next to the
// provider's own endpoints it answers POST /control/rotate?keep=0|1 and GET /control/counts.
//
// A browser that comes to its authorization endpoint is logged in as ada at once, and ada consents to everything.
//
// The port and the keys are kept in the file named second, if one is: started again with it, it is the same provider.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { errors, Provider } from 'oidc-provider';

const KEY_PAIRS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  Ed25519: () => generateKeyPairSync('ed25519'),
  EdDSA: () => generateKeyPairSync('ed25519'),
};
const AUDIENCES = ['https://api.example.com', 'https://other.example.com'];
// APIs of the tests that listen on a port that nobody knows before
const LOOPBACK = /^http:\/\/127\.0\.0\.1:\d+\//;
const SCOPE = 'todos:read todos:write';

const [algorithm, stateFile] = process.argv.slice(2);
if (!Object.hasOwn(KEY_PAIRS, algorithm)) {
  console.error(`usage: node provider.mjs ${Object.keys(KEY_PAIRS).join('|')} [STATE_FILE]`);
  process.exit(2);
}
console.info = console.warn; // the provider's notices: stdout carries the one line only

process.stdin.on('end', () => process.exit(0)).resume();

let issuer;
let provider;
let answer;
let { port, signingKeys } = stateFile && existsSync(stateFile)
  ? JSON.parse(readFileSync(stateFile, 'utf8'))
  : { port: 0, signingKeys: [] };
let jwksGets = 0;

// The key that comes first in the set signs.
function rotate({ keep }) {
  const { privateKey } = KEY_PAIRS[algorithm]();
  const fresh = { ...privateKey.export({ format: 'jwk' }), alg: algorithm, use: 'sig' };
  signingKeys = keep ? [fresh, ...signingKeys] : [fresh];
  begin();
}

function begin() {
  if (stateFile) {
    writeFileSync(stateFile, JSON.stringify({ port, signingKeys }));
  }
  provider = new Provider(issuer, configuration());
  provider.on('server_error', (_, error) => console.error(error));
  answer = provider.callback();
}

function configuration() {
  return {
    clients: [{
      client_id: 'todo-client',
      client_secret: 'todo-client-secret',
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    }, {
      client_id: 'mcp-client',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1/callback'],
    }],
    clientDefaults: { id_token_signed_response_alg: algorithm },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(_, audience) {
          if (!AUDIENCES.includes(audience) && !LOOPBACK.test(audience)) {
            throw new errors.InvalidTarget();
          }
          return { audience, scope: SCOPE, accessTokenFormat: 'jwt', jwt: { sign: { alg: algorithm } } };
        },
      },
    },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_, interaction) => `/control/login/${interaction.uid}` },
    jwks: { keys: signingKeys },
    async loadExistingGrant({ oidc }) {
      const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope([...oidc.requestParamScopes].join(' '));
      for (const resource of Object.keys(oidc.resourceServers)) {
        grant.addResourceScope(resource, SCOPE);
      }
      await grant.save();
      return grant;
    },
    scopes: ['openid', 'offline_access', ...SCOPE.split(' ')],
    ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600, Interaction: 600, Session: 600 },
  };
}

function control(request, response, url) {
  if (request.method === 'POST' && url.pathname === '/control/rotate') {
    rotate({ keep: url.searchParams.get('keep') !== '0' });
    response.writeHead(204).end();
  } else if (request.method === 'GET' && url.pathname === '/control/counts') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jwks: jwksGets }));
  } else if (request.method === 'GET' && url.pathname.startsWith('/control/login/')) {
    provider.interactionFinished(request, response, { login: { accountId: 'ada' }, consent: {} }).catch((error) => {
      console.error(error);
      response.writeHead(500).end();
    });
  } else {
    response.writeHead(404).end();
  }
}

const server = createServer((request, response) => {
  const url = new URL(request.url, issuer);
  if (url.pathname.startsWith('/control/')) {
    control(request, response, url);
    return;
  }
  if (request.method === 'GET' && url.pathname === provider.pathFor('jwks')) {
    jwksGets += 1;
  }
  answer(request, response);
});
server.listen(port, '127.0.0.1', () => {
  port = server.address().port;
  issuer = `http://127.0.0.1:${port}`;
  if (signingKeys.length === 0) {
    rotate({ keep: false });
  } else {
    begin();
  }
  console.log(JSON.stringify({ issuer }));
});
