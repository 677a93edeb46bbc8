import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clm } from '../../clm.ts';
import { clmAtTerminal } from '../../atTerminal.ts';

let folder: string;
let config: string;
const at = (name: string): string => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-plan-'));
  config = at('tiny.yaml');
  writeFileSync(at('text.txt'), 'The cat sat on the mat. '.repeat(60));
  writeFileSync(
    config,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3, steps: 500 }
schedule: { warmupSteps: 1 }
`,
  );
  process.env['XDG_CACHE_HOME'] = at('cache'); // of this file alone
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const peaks = (): string => path.join(at('cache'), 'clm/matmul-peaks.json');

describe('clm plan', () => {
  it('gives a range of the time by the matmul peak, which it measures once', async () => {
    const first = await clm(['plan', config]);
    expect(first).toMatchObject({ code: 0, stderr: 'measuring matrix products\n' });
    expect(first.stdout).toMatch(/^time +[\d.]+ (s )?to [\d.]+ s, by a matmul peak of [\d.]+ .FLOP\/s, measured 20/m);
    expect(first.stdout).toMatch(/^vocabulary +\d+ tokens \(characters\)$/m);
    expect(first.stdout).toMatch(/^fits +yes, this machine has [\d.]+ .B, [\d.]+ .B of it free now$/m);
    const known = readFileSync(peaks(), 'utf8');
    const again = await clm(['plan', config, '--json']);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    const { time, ...rest } = JSON.parse(again.stdout);
    expect(rest).toMatchObject({ steps: 500, tokensPerStep: 3 * 8, fits: true, keysToTurn: [], otherKeys: [] });
    expect(rest).not.toHaveProperty('msPerStep');
    expect(time).toMatchObject({ basis: 'peak', device: 'cpu', lowMs: time.low.wholeMs, highMs: time.high.wholeMs });
    expect(time.lowMs).toBeLessThan(time.highMs);
    expect(known).toContain(String(time.matmulGflops));
  });

  it('loads no process to measure with --no-estimate, and remarks on a thousand epochs', async () => {
    const { code, stdout, stderr } = await clm(['plan', config, '--no-estimate', '--set', 'training.steps=60000']);
    expect({ code, time: /^time/m.test(stdout) }).toEqual({ code: 0, time: false });
    expect(stderr).toMatch(/^warning: the run reads its training text 1,1\d\d times\. /);
  });

  it('measures steps within the time it is given, and says what it measured', async () => {
    const measured = await clm(['plan', '--measure', config, '--json']); // the default time
    expect(measured).toMatchObject({ code: 0, stderr: 'measuring steps for at most 20 s\n' });
    const result = JSON.parse(measured.stdout);
    expect(result.msPerStep).toBeGreaterThan(0);
    expect(result.expectedMs).toBeCloseTo(500 * result.msPerStep, 6);
    expect(result.tokensPerSecond).toBeCloseTo((3 * 8 * 1000) / result.msPerStep, 3);
    expect(result.time).toMatchObject({ basis: 'steps', smaller: {} });
    expect(result.time.measuredSteps).toBeGreaterThan(1);
  });

  it('kills a measurement that takes longer than it may', async () => {
    const large = ['training.microBatchSize=50', 'model.contextLength=14', 'model.width=512', 'model.layers=8'];
    const sets = large.flatMap((assignment) => ['--set', assignment]);
    const { code, stderr, stdout } = await clm(['plan', config, '--measure', '0.2s', ...sets]);
    expect(code).toBe(0);
    expect(stderr).toContain('warning: no step ended within 0.2 s: the time follows from the matmul peak');
    expect(stdout).toMatch(/^time .* by a matmul peak/m);
  });

  it('refuses a duration that is none', async () => {
    const { code, stderr } = await clm(['plan', config, '--measure=soon']);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/^error: --measure must be a duration/),
    });
  });

  it('has an exit code of its own for a run that does not fit, and names the keys to change, in order', async () => {
    const large = ['--set', 'model.width=32768', '--set', 'model.layers=48'];
    const plan = await clm(['plan', config, '--measure', ...large]);
    expect(plan).toMatchObject({ code: 5, stderr: 'nothing was measured, because the run does not fit\n' });
    expect(plan.stdout).not.toMatch(/^time/m);
    expect(plan.stdout).toMatch(
      /^fits +no, .* until it fits: .*model\.width: \d+, .*model\.layers: \d+ \([\d.]+ .B\)/m,
    );
    const { code, stderr } = await clm(['train', config, '--run', at('run'), ...large]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/^error: This model does not fit/) });
    expect(readdirSync(folder)).not.toContain('run');
  });

  it('shows on a terminal how far the measurement is, and clears that line', async () => {
    const { output, code } = await clmAtTerminal(['plan', config, '--measure', '30s'], [], { size: [60, 20] });
    expect(code).toBe(0);
    expect(output).toMatch(/measuring for at most 30 s: step \d+ of \d+, \d+ s/);
    expect(output).toMatch(
      /\ntime +about [\d.]+ (s|min).* \([\d.]+ ms per step, [\d,]+ tokens\/s;\s+measured \d+ steps\)\r/,
    );
    expect(output.slice(output.lastIndexOf('\x1b[J'))).not.toContain('measuring');
  });
});
