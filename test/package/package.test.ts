/**
 * The npm packages as users get them: installed from a registry, run where there is nothing but Node. Short: the
 * libraries are not compressed but in the cache already. `npm run check -- package` does all of it.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { globSync } from 'tinyglobby';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stageMain } from '../../scripts/package/mainPackage.mjs';
import { pack } from '../../scripts/package/pack.mjs';
import { stagePlatform } from '../../scripts/package/platformPackage.mjs';
import { packageName, platforms, sizeLimits } from '../../scripts/package/platforms.mjs';
import { newSymbols } from '../../scripts/package/symbols.mjs';
import { fileBytes, fileHash } from '../../scripts/setup/files.mjs';
import { npmCommand } from '../../scripts/setup/packages.mjs';
import { readInstallation } from '../../src/runtime/installation/readInstallation.ts';
import { root } from '../cli/clm.ts';
import { openRegistry } from './registry.ts';

const platform = `${process.platform}-${process.arch}`;
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-package-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const at = (...parts: string[]): string => path.join(scratch, ...parts);
const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

/** Runs a program where PATH has nothing but Node and the shell that npm needs. */
async function run(command: string, args: string[], environment: Record<string, string> = {}) {
  const env = { PATH: at('programs'), HOME: at('home'), ...environment };
  return promisify(execFile)(command, args, { cwd: at('project'), env });
}

const config = `
name: tiny
corpus: { sources: [{ path: text.txt }], validation: { tail: 0.25 } }
tokenizer: { kind: bytes }
model: { family: gpt2, layers: 1, heads: 2, width: 8, contextLength: 7 }
training: { microBatchSize: 3, steps: 3 }
schedule: { kind: cosine, warmupSteps: 0, finalLearningRate: 1e-4 }
`;

describe('the package clm', () => {
  beforeAll(() => stageMain(root, at('clm')));

  it('holds what users need and nothing of the development', () => {
    const files = globSync('**/*', { cwd: at('clm') });
    for (const needed of [
      'bin/clm.mjs',
      'dist/api.d.ts',
      'dist/vendor/LICENSE',
      'schema/config.schema.json',
      'LICENSE',
    ])
      expect(files).toContain(needed);
    expect(files).toContain('configs/texts/moby-dick.txt.gz');
    expect(
      files.filter((file) => /^(src|test|scripts|native|node_modules)\/|\.ts$(?<!\.d\.ts)|\.build/.test(file)),
    ).toEqual([]);
    const {
      scripts,
      devDependencies,
      private: isPrivate,
      optionalDependencies,
      version,
    } = json(at('clm/package.json'));
    expect([scripts, devDependencies, isPrivate]).toEqual([undefined, undefined, undefined]);
    for (const name of Object.keys(platforms)) expect(optionalDependencies[packageName(name)]).toBe(version);
  });

  it('imports nothing but its dependencies, its own files and what Node has', () => {
    const { dependencies } = json(at('clm/package.json'));
    const foreign = globSync('dist/**/*.{js,d.ts}', { cwd: at('clm') }).flatMap((file) =>
      Array.from(
        readFileSync(at('clm', file), 'utf8').matchAll(
          /^(?:import|export) (?:[^;']*? from )?'([^']+)'|\bimport\('([^']+)'\)/gm,
        ),
        ([, from, lazy]) => (from ?? lazy)!,
      ).filter(
        (name) => !name.startsWith('.') && !isBuiltin(name) && !(/^(@[^/]+\/)?[^/]+/.exec(name)![0] in dependencies),
      ),
    );
    expect(foreign.filter((name) => name !== 'clm')).toEqual([]); // "clm" in an example of the API
    expect(Object.keys(dependencies).filter((name) => name.startsWith('@tensorflow'))).toEqual([]);
  });
});

it('a compiled file that asks for a newer system than the oldest supported one is refused', () => {
  const { newest } = platforms['linux-x64']!;
  const output = (symbols: string[]): string =>
    ['GLIBC_9.9 defined', 'Version References:', ...symbols.map((symbol) => `    0x096 0x00 02 ${symbol}`)].join('\n');
  expect(newSymbols(output(['GLIBC_2.2.5', 'GLIBC_2.27', 'GLIBCXX_3.4.9', 'CXXABI_1.3.11']), newest)).toEqual([]);
  expect(newSymbols(output(['GLIBC_2.34', 'GLIBCXX_3.4.29', 'OTHER_1']), newest)).toHaveLength(3);
});

describe.skipIf(!(platform in platforms) || readInstallation().device !== 'cpu')('installed with npm', () => {
  const clm = (...args: string[]) => run(at('project/node_modules/.bin/clm'), args);

  beforeAll(async () => {
    for (const folder of ['programs', 'home', 'project', 'tarballs']) mkdirSync(at(folder));
    symlinkSync(process.execPath, at('programs/node'));
    symlinkSync('/bin/sh', at('programs/sh'));
    const { libraryDirectory, bindingPath, kernelsPath } = readInstallation();
    const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'].map((name) => {
      const file = path.join(libraryDirectory, name);
      return {
        name,
        bytes: fileBytes(file)!,
        sha256: fileHash(`${libraryDirectory}/../../manifest.json`)!,
        blocks: [],
      };
    });
    const files = { libraries, binding: bindingPath, kernels: kernelsPath, notices: path.join(root, 'LICENSE') };
    stagePlatform(root, at('platform'), platform, files);
    const copy = at('home/.cache/clm', json(at('platform/manifest.json')).folder);
    mkdirSync(copy, { recursive: true });
    for (const { name } of libraries) symlinkSync(path.join(libraryDirectory, name), path.join(copy, name));
    const tarballs = [];
    for (const stage of ['clm', 'platform'])
      tarballs.push({
        ...(await pack(at(stage), at('tarballs'), sizeLimits['clm']!)),
        packageJson: json(at(stage, 'package.json')),
      });
    writeFileSync(at('project/package.json'), '{"private":true,"type":"module"}');
    writeFileSync(at('project/text.txt'), 'The cat sat on the mat. '.repeat(53));
    writeFileSync(at('project/tiny.yaml'), config);
    const registry = await openRegistry(root, tarballs);
    try {
      const npm = npmCommand().map((word) => realpathSync(word));
      const settings = { npm_config_registry: registry.url, npm_config_audit: 'false', npm_config_fund: 'false' };
      await run(process.execPath, [npm.at(-1)!, 'install', 'clm'], settings);
    } finally {
      registry.close();
    }
    expect(registry.fetched).toContain(packageName(platform));
    expect(registry.fetched.filter((name) => name.startsWith('@tensorflow'))).toEqual([]);
    expect(registry.withScripts).toEqual([]); // no package asks to run anything while it is installed
  });

  it('has nothing missing, and computes with the package of this platform', async () => {
    const { ok, findings, cache } = JSON.parse((await clm('doctor', '--json')).stdout);
    expect({ ok, findings: findings.filter((finding: { ok: boolean }) => !finding.ok) }).toEqual({
      ok: true,
      findings: [],
    });
    expect(cache.copies).toEqual([expect.objectContaining({ kind: 'package', isUsed: true })]);
  });

  it('trains and samples, by the command and from JavaScript', async () => {
    const { stderr } = await clm('train', 'tiny.yaml');
    expect(stderr).toMatch(/^done: 3 steps/m);
    expect(stderr).not.toMatch(/Warning|DEP0/);
    const sampled = await clm(
      'sample',
      'runs/tiny',
      '--prompt',
      'The',
      '--max-tokens',
      '4',
      '--temperature',
      '0',
      '--json',
    );
    const script = `import { complete, loadRun } from 'clm';
      const { tokenIds } = await complete(await loadRun('runs/tiny'), 'The', { maxTokens: 4, temperature: 0 });
      console.log(JSON.stringify(tokenIds));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(sampled.stdout).tokenIds);
    expect(JSON.parse(stdout)).toHaveLength(4);
  });
});
