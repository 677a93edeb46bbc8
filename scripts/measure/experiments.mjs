/**
 * Measures clm runs over 1,000 runs, and clm report of 20 runs of 100,000 updates in a browser.
 *
 *   npm run measure -- experiments [runs] [report] [--small]
 *
 * Both by default. report: time and size of the page, and in Chromium the first paint, the time until all charts are
 * drawn, and the longest time without an answer while every control is used.
 *
 * --small takes 20 and 3 short runs, to try the script.
 *
 * Time: 3 minutes; 30 s with --small
 */
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { print, program, run as runProgram, scratchFolder } from '../lib/clm.mjs';
import { spread } from '../lib/statistics.mjs';

const scratch = scratchFolder('experiments');
const isSmall = process.argv.includes('--small');

/** Seconds of a whole process. @param {string[]} args */
function seconds(args) {
  const beganMs = performance.now();
  runProgram(process.execPath, [program, ...args], { cwd: scratch });
  return (performance.now() - beganMs) / 1000;
}

/**
 * A run directory as clm writes it: a record for every update, and 21 evaluations.
 * @param {string} folder @param {number} run @param {number} updates
 */
function writeRun(folder, run, updates) {
  mkdirSync(folder, { recursive: true });
  /** @type {string[]} */
  const lines = [];
  for (let step = 0; step <= updates; step++) {
    const noise = Math.sin(step * 12.9898 + run) * 0.1 + (step % 9973 === 1 ? 5 : 0);
    const loss = 1.5 + 3 / (1 + step / 500) + noise;
    if (step > 0)
      lines.push(
        JSON.stringify({
          ...{ kind: 'step', step, loss, learningRate: 0.001 * (1 - step / updates / 2) },
          ...{ gradientNorm: 1 + noise * noise, tokensPerSecond: 30_000 + 2000 * noise, elapsedMs: 25 * step },
        }),
      );
    if (step % Math.ceil(updates / 20) === 0)
      lines.push(
        JSON.stringify({
          ...{ kind: 'evaluation', step, loss, perplexity: Math.exp(loss), bitsPerByte: loss / Math.LN2 },
          tokens: 120_000,
        }),
      );
  }
  writeFileSync(path.join(folder, 'metrics.jsonl'), `${lines.join('\n')}\n`);
  writeFileSync(
    path.join(folder, 'config.yaml'),
    `name: run-${run}\nseed: ${run % 4}\noptimizer: { learningRate: ${0.001 * (1 + (run >> 2))} }\nmodel: { ` +
      `layers: 4 }\n`,
  );
  writeFileSync(
    path.join(folder, 'environment.json'),
    JSON.stringify({
      program: 'clm',
      plan: { steps: updates, tokensPerStep: 768, parameters: 806_400, flopsPerToken: 5_234_688 },
      device: { name: 'cpu' },
    }),
  );
  writeFileSync(
    path.join(folder, 'status.json'),
    JSON.stringify({ state: 'done', step: updates, steps: updates, reason: null }),
  );
}

function runs() {
  for (let run = 0; run < (isSmall ? 20 : 1000); run++)
    writeRun(path.join(scratch, 'thousand', `run-${run}`), run, isSmall ? 100 : 2000);
  seconds(['runs', 'thousand']);
  print(
    `clm runs, 1,000 run directories of 2,000 updates: ${spread(
      Array.from({ length: 7 }, () => seconds(['runs', 'thousand', '--sort', 'loss'])),
      2,
      's',
    )}`,
  );
  rmSync(path.join(scratch, 'thousand'), { recursive: true });
}

async function report() {
  for (let run = 0; run < (isSmall ? 3 : 20); run++)
    writeRun(path.join(scratch, 'twenty', `run-${run}`), run, isSmall ? 1000 : 100_000);
  const page = path.join(scratch, 'report.html');
  seconds(['report', 'twenty', '--output', page]);
  print(
    `clm report, 20 runs of 100,000 updates: ${spread(
      Array.from({ length: 5 }, () => seconds(['report', 'twenty', '--output', page])),
      2,
      's',
    )}; the page has ${(statSync(page).size / 1e6).toFixed(2)} MB`,
  );
  const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((place) =>
    existsSync(place),
  );
  if (!executablePath) return print('no Chromium here (apt-get install chromium): the page itself was not measured');
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({ executablePath, headless: true, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const loads = [];
    for (let i = 0; i < 5; i++) loads.push(await loadPage(browser, page));
    print(
      `first paint: ${spread(
        loads.map(({ paintMs }) => paintMs),
        0,
        'ms',
      )}; all charts drawn: ${spread(
        loads.map(({ drawnMs }) => drawnMs),
        0,
        'ms',
      )} after the navigation began`,
    );
    print(
      `longest time without an answer while ${loads[0].changes} controls were used: ${spread(
        loads.map(({ longestMs }) => longestMs),
        0,
        'ms',
      )}; frames while scrolling: ${spread(
        loads.map(({ frameMs }) => frameMs),
        1,
        'ms at the 95th percentile',
      )}`,
    );
  } finally {
    await browser.close();
  }
}

/**
 * Opens the page in a fresh context, uses every control, and scrolls through it.
 * @param {import('playwright-core').Browser} browser @param {string} page
 */
async function loadPage(browser, page) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  const tab = await context.newPage();
  await tab.goto(`file://${page}`);
  await tab.waitForFunction(() => /** @type {any} */ (globalThis).document.body.dataset['drawnMs'] !== undefined);
  const times = await tab.evaluate(() => ({
    paintMs: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    drawnMs: Number(/** @type {any} */ (globalThis).document.body.dataset['drawnMs']),
  }));
  await tab.evaluate(() => {
    const page = /** @type {any} */ (globalThis);
    page.longestMs = 0;
    new PerformanceObserver((list) =>
      list.getEntries().forEach(({ duration }) => (page.longestMs = Math.max(page.longestMs, duration))),
    ).observe(/** @type {any} */ ({ type: 'longtask', buffered: false }));
  });
  let changes = 0;
  const settle = async (/** @type {() => Promise<unknown>} */ act) => {
    await act();
    changes++;
    await tab.waitForTimeout(400);
  };
  for (const axis of ['tokens', 'flops', 'time', 'steps'])
    await settle(() => tab.locator('#x-axis').selectOption(axis));
  for (const id of ['log-x', 'log-y']) await settle(() => tab.locator(`#${id}`).check());
  await settle(() => tab.locator('#smoothing').fill('0.95'));
  await settle(() => tab.locator('#settings input').first().uncheck());
  await tab.locator('.chart').first().focus();
  for (const key of ['ArrowRight', '+', '+', '0']) await settle(() => tab.keyboard.press(key));
  const longestMs = await tab.evaluate(() => /** @type {any} */ (globalThis).longestMs);
  const frameMs = await tab.evaluate(
    () =>
      new Promise((resolve) => {
        const page = /** @type {any} */ (globalThis);
        /** @type {number[]} */
        const between = [];
        /** @type {number | undefined} */
        let before;
        page.scrollTo(0, 0);
        const frame = (/** @type {number} */ now) => {
          if (before !== undefined) between.push(now - before);
          before = now;
          page.scrollBy(0, 40);
          if (between.length < 100) return page.requestAnimationFrame(frame);
          resolve(between.sort((a, b) => a - b)[95]);
        };
        page.requestAnimationFrame(frame);
      }),
  );
  await context.close();
  return { ...times, longestMs, frameMs, changes };
}

/** @type {Record<string, () => unknown>} */
const parts = { runs, report };
const named = process.argv.slice(2).filter((arg) => arg !== '--small');
const asked = named.length > 0 ? named : Object.keys(parts);
const unknown = asked.find((name) => !(name in parts));
if (unknown !== undefined) {
  process.stderr.write(`error: ${unknown} is nothing to measure: ${Object.keys(parts).join(', ')}\n`);
  process.exit(2);
}
print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
for (const name of asked) await parts[name]();
