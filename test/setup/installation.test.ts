import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readInstallation } from '../../src/runtime/installation.ts';

const remedy = expect.objectContaining({ exitCode: 3, message: expect.stringContaining('run "npm run setup"') });

test('the installation of this clone is found and whole', () => {
  const { tensorflowVersion, device, libraryDirectory, bindingPath } = readInstallation();
  expect(tensorflowVersion).toMatch(/^2\.\d+\.\d+$/);
  expect(['cpu', 'cuda']).toContain(device);
  expect(existsSync(libraryDirectory) && existsSync(bindingPath)).toBe(true);
});

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
  const whole = readInstallation();
  write(JSON.stringify(whole));
  expect(readInstallation(directory)).toEqual(whole);
  write(JSON.stringify({ ...whole, bindingPath: '/nowhere/tfjs_binding.node' }));
  expect(() => readInstallation(directory)).toThrow(/\/nowhere\/tfjs_binding\.node is gone/);
});
