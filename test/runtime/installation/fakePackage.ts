/** A clm package and the package of this platform beside it, with small files instead of libraries. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const { BROTLI_PARAM_QUALITY } = constants;
export const platform = `${process.platform}-${process.arch}`;
const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

export interface FakePackage {
  /** Of clm. */
  directory: string;
  /** Of the platform's package. */
  folder: string;
  /** What the libraries are unpacked to. */
  contents: Map<string, Buffer>;
}

/** @param library content of the larger library; packages of the same content share a copy */
export function fakePackage(directory: string, version = '1.2.3', library = randomBytes(50_000)): FakePackage {
  const folder = path.join(directory, 'node_modules/@clm', platform);
  mkdirSync(folder, { recursive: true });
  const write = (file: string, content: Uint8Array | object): void =>
    writeFileSync(file, content instanceof Uint8Array ? content : JSON.stringify(content));
  const contents = new Map([
    ['liblarge.so', library],
    ['libsmall.so', Buffer.from('small')],
  ]);
  const libraries = [...contents].map(([name, content]) => {
    const parts = Array.from({ length: Math.ceil(content.length / 20_000) }, (_, i) =>
      brotliCompressSync(content.subarray(20_000 * i, 20_000 * (i + 1)), { params: { [BROTLI_PARAM_QUALITY]: 1 } }),
    );
    write(path.join(folder, `${name}.br`), Buffer.concat(parts));
    return { name, bytes: content.length, sha256: sha256(content), blocks: parts.map(({ length }) => length) };
  });
  const [binding, kernels] = ['binding', 'kernels'].map((what) => {
    const content = Buffer.from(`${what} of ${version}`);
    const name = `${what}-${sha256(content).slice(0, 8)}`;
    write(path.join(folder, name), content);
    return { name, bytes: content.length, sha256: sha256(content) };
  });
  const name = `libtensorflow-9.9.9-${platform}-${sha256(library).slice(0, 12)}`;
  write(path.join(folder, 'manifest.json'), {
    ...{ tensorflowVersion: '9.9.9', folder: name, libraries, binding, kernels },
  });
  write(path.join(folder, 'package.json'), { name: `@clm/${platform}`, version });
  write(path.join(directory, 'package.json'), { version, optionalDependencies: { [`@clm/${platform}`]: version } });
  return { directory, folder, contents };
}

/** Changes the manifest of a platform's package. */
export function changeManifest(
  { folder }: FakePackage,
  change: (manifest: { libraries: { bytes: number }[] }) => void,
) {
  const file = path.join(folder, 'manifest.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as Parameters<typeof change>[0];
  change(manifest);
  writeFileSync(file, JSON.stringify(manifest));
}
