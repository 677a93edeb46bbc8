import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { thinned } from '../../../src/experiments/report/downsample.ts';
import { clm } from '../../cli/clm.ts';
import { chromiumPath, withChromium } from '../chromium.ts';
import { writeRun } from '../runFolders.ts';

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
    const noise = [0.113, 0.148, 0.145];
    for (const [name, rate, loss] of [
      ['a', 0.001, 2],
      ['</script><b>x', 0.002, 1.8],
    ] as const)
      for (const seed of [1, 2, 3])
        writeRun(path.join(folder, 'runs', `${name.replaceAll('/', '_')}${seed}`), {
          losses: Array.from({ length: 3000 }, (_, i) => (i === 1000 ? 40 : loss + 2 / (1 + i / 100))),
          evaluations: [
            [0, 4],
            [1500, 2.5],
            [3000, seed + loss + (name === 'a' ? noise[seed - 1]! - 0.2 : 0)],
          ],
          config: `name: ${JSON.stringify(name)}\nseed: ${seed}\noptimizer: { learningRate: ${rate} }\n`,
          samples: { 'step-00001500.txt': markup },
        });
    page = path.join(folder, 'report.html');
    const { code, stdout } = await clm(['report', path.join(folder, 'runs'), '--output', page, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      report: page,
      runs: 6,
      isComparable: true,
      answer: [expect.stringMatching(/^learningRate 2e-3 is best/), expect.any(String)],
    });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('loads nothing from the network', () => {
    const text = readFileSync(page, 'utf8');
    expect(text).not.toMatch(/(src|href)=["']?https?:/);
    expect(text).toContain("default-src 'none'");
    expect(text).not.toContain('onerror="');
  });

  it('says the answer in its first sentence, with the interval, and the table has it too', () => {
    const text = readFileSync(page, 'utf8');
    const body = text.slice(text.indexOf('</h1>')).replace(/&#39;/g, "'");
    const sentence = body
      .replace(/<[^>]*>/g, '')
      .trim()
      .split('\n')[0];
    expect(sentence).toMatch(/^learningRate 2e-3 is best: its validation loss, 3.8000 nats per token, is 0.1353 lower/);
    expect(sentence).toContain('learningRate 1e-3 (95 % interval 0.0871 to 0.1835, paired by seed, n 3)');
    expect(body).toContain('>2 learningRate 1e-3</th>');
    expect(body).toContain('+0.1353 ± 0.0482');
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
          // The whole row of a setting is within the page.
          const box = await tab.locator('table').first().locator('tbody tr').nth(1).boundingBox();
          expect(box!.x + box!.width).toBeLessThanOrEqual(390);
          expect(await tab.locator('#settings label').allTextContents()).toEqual([
            '1 learningRate 2e-3',
            '2 learningRate 1e-3',
          ]);
          expect(await tab.locator('svg.swatch').count()).toBe(4);

          await tab.locator('summary', { hasText: 'a2 (1)' }).focus();
          await tab.keyboard.press('Enter');
          const completion = tab.locator('details', { hasText: 'a2 (1)' }).locator('pre');
          expect(await completion.textContent()).toBe(markup);
          expect(await completion.isVisible()).toBe(true);

          // Values can be read with the keyboard.
          await tab.locator('.chart').first().focus();
          for (let i = 0; i < 5; i++) await tab.keyboard.press('ArrowRight');
          await tab.keyboard.press('+');
          expect(await tab.locator('.readout').first().textContent()).toMatch(
            /^step [\d,]+ · 1 learningRate 2e-3: [\d.]+ \([\d.]+ to [\d.]+\) · 2 learningRate 1e-3: [\d.]+ \([\d.]+ to/,
          );

          // Every control redraws the charts.
          for (const id of ['log-x', 'log-y']) await tab.locator(`#${id}`).check();
          for (const axis of ['tokens', 'flops', 'time']) await tab.locator('#x-axis').selectOption(axis);
          await tab.locator('#settings input').first().uncheck();
          await tab.waitForTimeout(300);
          await tab.locator('.chart').first().focus();
          await tab.keyboard.press('End');
          expect(await tab.locator('.readout').first().textContent()).toMatch(
            /^minutes 5\.000 · 2 learningRate 1e-3: /,
          );
          expect(await tab.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(21, 23, 26)');
          expect(troubles).toEqual([]);
        },
      );
    },
  );
});
