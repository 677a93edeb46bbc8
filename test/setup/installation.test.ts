import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readInstallation } from '../../src/runtime/installation/readInstallation.ts';

const remedy = expect.objectContaining({ exitCode: 3, message: expect.stringContaining('run "npm run setup"') });

test('a missing, damaged or broken installation names the remedy', () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'clm-installation-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const write = (text: string): void =>
    writeFileSync(path.join(directory, 'node_modules/.clm-installation.json'), text);
  expect(() => readInstallation(directory)).toThrow(remedy);
  mkdirSync(path.join(directory, 'node_modules'));
  for (const damaged of ['', '{"device":"cpu"', 'null', '{"device":"cpu"}']) {
    write(damaged);
    expect(() => readInstallation(directory)).toThrow(remedy);
  }
  const paths = { libraryDirectory: directory };
  const files = { bindingPath: path.join(directory, 'binding'), kernelsPath: path.join(directory, 'kernels') };
  for (const file of Object.values(files)) writeFileSync(file, '');
  const whole = { tensorflowVersion: '2.21.0', device: 'cpu', why: 'a test', ...paths, ...files };
  write(JSON.stringify(whole));
  expect(readInstallation(directory)).toMatchObject(whole);
  write(JSON.stringify({ ...whole, bindingPath: '/nowhere/tfjs_binding.node' }));
  expect(() => readInstallation(directory)).toThrow(/\/nowhere\/tfjs_binding\.node is gone/);
});
