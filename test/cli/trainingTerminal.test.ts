import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { reportToTerminal } from '../../src/cli/terminal/trainingTerminal.ts';
import type { StepRecord } from '../../src/run/metrics.ts';

let written = '';
beforeEach(() => {
  written = '';
  vi.useFakeTimers({ toFake: ['performance'] });
  vi.stubEnv('TERM', 'dumb');
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** Everything that `use` says about a run of 50 steps that is resumed at step 40. */
function said(use: (report: ReturnType<typeof reportToTerminal>) => void): string[] {
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
  use(reportToTerminal(50, 40, false));
  return written.trimEnd().split('\n');
}

const step = (number: number, loss: number, elapsedMs: number, tokensPerSecond: number): StepRecord => ({
  ...{ kind: 'step', step: number, loss, learningRate: 1e-3, gradientNorm: 1 },
  ...{ elapsedMs, tokensPerSecond },
});

it('labels the loss as smoothed, and says nothing of the speed of the first step, which is start-up', () => {
  const lines = said((report) => {
    report(step(41, 3, 60_000, 7));
    vi.advanceTimersByTime(10_000);
    report(step(42, 2, 61_000, 500));
    report(step(43, 9, 62_000, 500)); // within ten seconds of the line before
    vi.advanceTimersByTime(10_000);
    report(step(44, 6, 63_000, 800));
  });
  expect(lines).toEqual([
    'step 41/50  smoothed loss 3.000',
    'step 42/50  smoothed loss 2.500  8 s left  500 tokens/s',
    'step 44/50  smoothed loss 5.000  6 s left  600 tokens/s',
  ]);
});

it('spreads the time of an evaluation over the steps since the one before it, in the time that is left', () => {
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
  const report = reportToTerminal(2000, 0, false);
  for (let number = 1; number <= 501; number++) report(step(number, 3, 200 * number, 500));
  report({ kind: 'evaluation', step: 501, loss: 3, perplexity: 20, bitsPerByte: 4, tokens: 9 });
  vi.advanceTimersByTime(10_000);
  report(step(502, 3, 200 * 502 + 14_000, 500));
  // 1,498 steps of 200 ms, with 14 s of evaluation for every 501 of them.
  expect(written.trimEnd().split('\n').at(-1)).toContain('  5 min 41 s left  ');
});

it('prints a sample as text, with the control characters of the model escaped', () => {
  const lines = said((report) =>
    report({ kind: 'sample', step: 5, prompt: 'Call', completion: ' "me"\n\tIsh\x1bmael' }),
  );
  expect(lines).toEqual(['step 5: sample', '  | Call "me"', '  | \tIsh\\u{1b}mael']);
});
