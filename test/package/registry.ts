/** An npm registry on loopback that has the packages of this clone's node_modules, and tarballs. */
import { spawn } from 'node:child_process';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

interface PackageJson {
  name: string;
  scripts?: Record<string, string>;
  version: string;
}

export interface Registry {
  url: string;
  /** Names of the packages whose tarballs were fetched. */
  fetched: string[];
  /** Those of them that npm runs scripts of. */
  withScripts: string[];
  close(): void;
}

const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));

/** @param tarballs with the package.json that is in each */
export async function openRegistry(root: string, tarballs: { file: string; packageJson: PackageJson }[]) {
  const lock = read(path.join(root, 'package-lock.json')) as { packages: Record<string, object> };
  const folders = Object.keys(lock.packages).filter((folder) => existsSync(path.join(root, folder, 'package.json')));
  const installed = folders
    .filter((folder) => folder !== '')
    .map((folder) => ({
      folder: path.join(root, folder),
      packageJson: read(path.join(root, folder, 'package.json')) as PackageJson,
    }));
  const all = [...tarballs, ...installed];
  const [fetched, withScripts]: [string[], string[]] = [[], []];
  const server = createServer((request, response) => {
    const asked = decodeURIComponent(request.url!.slice(1));
    const number = /^-\/(\d+)\.tgz$/.exec(asked)?.[1];
    if (number !== undefined) {
      const found = all[Number(number)]!;
      const { name: fetchedName, scripts = {} } = found.packageJson;
      fetched.push(fetchedName);
      if (Object.keys(scripts).some((script) => /^(pre|post)?install$/.test(script))) withScripts.push(fetchedName);
      if ('file' in found) return void createReadStream(found.file).pipe(response);
      const [parent, name] = [path.dirname(found.folder), path.basename(found.folder)];
      return void spawn('tar', ['-cz', '--exclude=node_modules', '-C', parent, name]).stdout.pipe(response);
    }
    const versions = Object.fromEntries(
      all.flatMap(({ packageJson }, i) => {
        const tarball = `http://${request.headers.host}/-/${i}.tgz`;
        return packageJson.name === asked ? [[packageJson.version, { ...packageJson, dist: { tarball } }]] : [];
      }),
    );
    const latest = Object.keys(versions)[0];
    if (latest === undefined) response.writeHead(404);
    response.end(JSON.stringify({ name: asked, versions, 'dist-tags': { latest } }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const registry: Registry = {
    url: `http://127.0.0.1:${port}/`,
    fetched,
    withScripts,
    close: () => void server.close(),
  };
  return registry;
}
