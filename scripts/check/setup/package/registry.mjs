// A verdaccio of the check's own on loopback: it has clm's packages, and hands on all others from npm's registry.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @param {string} tools folder with verdaccio, and Node 24 to run it, in node_modules
 * @param {string} folder for its files
 * @param {string} upstream address of the registry that has all other packages
 */
export async function startRegistry(tools, folder, upstream) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  const config = {
    ...{ storage: path.join(folder, 'storage'), max_body_size: '300mb' },
    auth: { htpasswd: { file: path.join(folder, 'users') } },
    uplinks: { npm: { url: upstream } },
    packages: {
      ...Object.fromEntries(['clm', '@clm/*'].map((name) => [name, { access: '$all', publish: '$all' }])),
      '**': { access: '$all', proxy: 'npm' },
    },
    log: { type: 'file', path: path.join(folder, 'log'), level: 'warn' },
  };
  const file = path.join(folder, 'config.yaml'); // JSON is YAML
  writeFileSync(file, JSON.stringify(config));
  const program = path.join(tools, 'node_modules/verdaccio/bin/verdaccio');
  const child = spawn(
    path.join(tools, 'node_modules/node24/bin/node'),
    [program, '--config', file, '--listen', `127.0.0.1:${port}`],
    {
      stdio: 'ignore',
    },
  );
  const ended = once(child, 'close');
  for (let tries = 0; !(await isUp(url)); tries++) {
    if (child.exitCode !== null || tries > 600) throw new Error(`verdaccio does not start (${folder}/log)`);
    await sleep(100);
  }
  const user = { name: 'clm', password: 'of-this-check-only' };
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${url}-/user/org.couchdb.user:clm`, {
    ...{ method: 'PUT', headers, body: JSON.stringify(user) },
  });
  const { token } = /** @type {{ token: string }} */ (await answer.json());
  const stop = async () => {
    child.kill();
    await ended;
  };
  return { url, setting: `//127.0.0.1:${port}/:_authToken=${token}`, stop };
}

const isUp = (/** @type {string} */ url) =>
  fetch(`${url}-/ping`).then(
    ({ ok }) => ok,
    () => false,
  );

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  return port;
}
