import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { thinned } from '../../src/experiments/report/downsample.ts';
import { clm } from '../cli/clm.ts';
import { chromiumPath, withChromium } from './chromium.ts';
import { writeRun } from './runFolders.ts';

describe('thinning a curve', () => {
  it('keeps spikes, order, ends, and the mean', () => {
    const x = Array.from({ length: 10_007 }, (_, i) => i);
    const y = x.map((i) => (i === 4001 ? 99 : i === 7003 ? -50 : Math.sin(i)));
    const curve = thinned(x, y, 100);
    expect(curve.x.length).toBeLessThanOrEqual(200);
    expect(curve.mean).toHaveLength(100);
    expect(curve.y[curve.x.indexOf(4001)]).toBe(99);
    expect(curve.y[curve.x.indexOf(7003)]).toBe(-50);
    expect([...curve.x]).toEqual([...curve.x].sort((a, b) => a - b));
    for (let i = 0; i < curve.x.length; i++) expect(curve.y[i]).toBe(Math.fround(y[curve.x[i]!]!));
    const mean = (values: ArrayLike<number>) =>
      Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
    expect(Math.abs(mean(curve.mean) - mean(y))).toBeLessThan(1e-3);
  });

  it('keeps short curves as they are, without points that are not finite', () => {
    const curve = thinned([1, 2, 3, 5], [4, NaN, 6, 5], 100);
    expect([[...curve.x], [...curve.y], [...curve.mean]]).toEqual([
      [1, 3, 5],
      [4, 6, 5],
      [4, 6, 5],
    ]);
    expect(thinned([], [], 10).x).toHaveLength(0);
  });
});

describe('clm report', () => {
  let folder: string;
  let page: string;
  const markup =
    '</pre><script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'"> & <b>bold</b>';
  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'clm-report-'));
    for (const [name, rate] of [
      ['a', 0.001],
      ['</script><b>x', 0.002],
    ] as const) {
      writeRun(path.join(folder, 'runs', name.replaceAll('/', '_')), {
        losses: Array.from({ length: 3000 }, (_, i) => (i === 1000 ? 40 : 2 + 2 / (1 + i / 100))),
        evaluations: [
          [0, 4],
          [1500, 2.5],
          [3000, 2 + rate],
        ],
        config: `name: ${JSON.stringify(name)}\nseed: 1\noptimizer: { learningRate: ${rate} }\n`,
        samples: { 'step-00001500.txt': markup },
      });
    }
    page = path.join(folder, 'report.html');
    const { code, stdout } = await clm(['report', path.join(folder, 'runs'), '--output', page, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ report: page, runs: 2 });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('loads nothing from the network', () => {
    const text = readFileSync(page, 'utf8');
    expect(text).not.toMatch(/(src|href)=["']?https?:/);
    expect(text).toContain("default-src 'none'");
    expect(text).not.toContain('onerror="');
  });

  it.skipIf(!chromiumPath)(
    `draws in a real browser${chromiumPath ? '' : ' (SKIPPED: no chromium; apt-get install chromium)'}`,
    async () => {
      await withChromium(
        { viewport: { width: 390, height: 800 }, colorScheme: 'dark', isMobile: true },
        async (context) => {
          const tab = await context.newPage();
          const troubles: string[] = [];
          tab.on('pageerror', (error) => troubles.push(error.message));
          tab.on('console', (message) => troubles.push(message.text()));
          tab.on('request', (request) => request.url().startsWith('file:') || troubles.push(request.url()));
          await tab.goto(`file://${page}`);
          await tab.waitForFunction(() => document.body.dataset['drawnMs'] !== undefined);
          expect(await tab.locator('canvas').count()).toBe(5);
          expect(await tab.title()).toBe('runs');
          expect(await tab.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);

          await tab.locator('summary', { hasText: 'a (1)' }).focus();
          await tab.keyboard.press('Enter');
          const completion = tab.locator('details', { hasText: 'a (1)' }).locator('pre');
          expect(await completion.textContent()).toBe(markup);
          expect(await completion.isVisible()).toBe(true);

          // Values can be read with the keyboard.
          await tab.locator('.chart').first().focus();
          for (let i = 0; i < 5; i++) await tab.keyboard.press('ArrowRight');
          await tab.keyboard.press('+');
          expect(await tab.locator('.readout').first().textContent()).toMatch(
            /^step [\d,]+: <_script><b>x \d+\.\d+ · a \d+\.\d+$/,
          );

          // Every control redraws the charts.
          for (const id of ['log-x', 'log-y']) await tab.locator(`#${id}`).check();
          for (const axis of ['tokens', 'flops', 'time']) await tab.locator('#x-axis').selectOption(axis);
          await tab.locator('#runs input').first().uncheck();
          await tab.waitForTimeout(300);
          await tab.locator('.chart').first().focus();
          await tab.keyboard.press('End');
          expect(await tab.locator('.readout').first().textContent()).toMatch(/^minutes 5\.000: a /);
          expect(await tab.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(21, 23, 26)');
          expect(troubles).toEqual([]);
        },
      );
    },
  );
});
