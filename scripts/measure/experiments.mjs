// Figures of the experiments: npm run measure -- experiments [runs] [report] [logging]; all three by default.
//   runs      clm runs over 1,000 run directories of 2,000 updates each
//   report    clm report of 20 runs of 100,000 updates: time, size, and in Chromium the first paint, the time until all
//             charts stand, and the longest that a change of any control keeps the page from answering
//   logging   what writing every step to every log costs of a step of configs/moby-dick.yaml: one process trains, in
//             blocks of 10 steps with and without, by turns
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-measure-experiments-'));
const print = (text) => process.stdout.write(`${text}\n`);
const sorted = (values) => values.toSorted((a, b) => a - b);
const quantile = (values, share) => sorted(values)[Math.min(values.length - 1, Math.floor(share * values.length))];
const spread = (values, digits, unit) =>
  `median ${quantile(values, 0.5).toFixed(digits)} ${unit} (${sorted(values)[0].toFixed(digits)} to ${sorted(values).at(-1).toFixed(digits)}, ${values.length} times)`;

/** Seconds of a whole process. */
function seconds(args) {
  const beganMs = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [path.join(root, 'dist/cli/main.js'), ...args], {
    cwd: scratch,
    encoding: 'utf8',
    maxBuffer: 1e8,
  });
  if (status !== 0) throw new Error(`clm ${args.join(' ')}: exit code ${status}\n${stderr}`);
  return (performance.now() - beganMs) / 1000;
}

/** A run directory as clm writes it: a record for every update, and 21 evaluations. */
function writeRun(folder, run, updates) {
  mkdirSync(folder, { recursive: true });
  const lines = [];
  for (let step = 0; step <= updates; step++) {
    const noise = Math.sin(step * 12.9898 + run) * 0.1 + (step % 9973 === 1 ? 5 : 0);
    const loss = 1.5 + 3 / (1 + step / 500) + noise;
    if (step > 0)
      lines.push(
        `{"kind":"step","step":${step},"loss":${loss},"learningRate":${0.001 * (1 - step / updates / 2)},"gradientNorm":${1 + noise * noise},"tokensPerSecond":${30_000 + 2000 * noise},"elapsedMs":${25 * step}}`,
      );
    if (step % Math.ceil(updates / 20) === 0)
      lines.push(
        `{"kind":"evaluation","step":${step},"loss":${loss},"perplexity":${Math.exp(loss)},"bitsPerByte":${loss / Math.LN2},"tokens":120000}`,
      );
  }
  writeFileSync(path.join(folder, 'metrics.jsonl'), `${lines.join('\n')}\n`);
  writeFileSync(
    path.join(folder, 'config.yaml'),
    `name: run-${run}\nseed: ${run % 4}\noptimizer:\n  learningRate: ${0.001 * (1 + (run >> 2))}\nmodel:\n  layers: 4\n`,
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
  for (let run = 0; run < 1000; run++) writeRun(path.join(scratch, 'thousand', `run-${run}`), run, 2000);
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
  for (let run = 0; run < 20; run++) writeRun(path.join(scratch, 'twenty', `run-${run}`), run, 100_000);
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

/** Opens the page in a fresh context, uses every control, and scrolls through it. */
async function loadPage(browser, page) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  const tab = await context.newPage();
  await tab.goto(`file://${page}`);
  await tab.waitForFunction(() => document.body.dataset['drawnMs'] !== undefined);
  const times = await tab.evaluate(() => ({
    paintMs: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    drawnMs: Number(document.body.dataset['drawnMs']),
  }));
  await tab.evaluate(() => {
    globalThis.longestMs = 0;
    new PerformanceObserver((list) =>
      list.getEntries().forEach(({ duration }) => (globalThis.longestMs = Math.max(globalThis.longestMs, duration))),
    ).observe({ type: 'longtask', buffered: false });
  });
  let changes = 0;
  const settle = async (act) => {
    await act();
    changes++;
    await tab.waitForTimeout(400);
  };
  for (const axis of ['tokens', 'flops', 'time', 'steps'])
    await settle(() => tab.locator('#x-axis').selectOption(axis));
  for (const id of ['log-x', 'log-y']) await settle(() => tab.locator(`#${id}`).check());
  await settle(() => tab.locator('#smoothing').fill('0.95'));
  await settle(() => tab.locator('#runs input').first().uncheck());
  await tab.locator('.chart').first().focus();
  for (const key of ['ArrowRight', '+', '+', '0']) await settle(() => tab.keyboard.press(key));
  const longestMs = await tab.evaluate(() => globalThis.longestMs);
  const frameMs = await tab.evaluate(
    () =>
      new Promise((resolve) => {
        const between = [];
        let before;
        scrollTo(0, 0);
        const frame = (now) => {
          if (before !== undefined) between.push(now - before);
          before = now;
          scrollBy(0, 40);
          if (between.length < 100) return requestAnimationFrame(frame);
          resolve(between.sort((a, b) => a - b)[95]);
        };
        requestAnimationFrame(frame);
      }),
  );
  await context.close();
  return { ...times, longestMs, frameMs, changes };
}

async function logging(blocks = 200, stepsOfBlock = 10) {
  const load = (file) => import(`../../dist/${file}`);
  const [{ findConfig, prepareTraining }, { recordPrograms }, { openTrainingSession }, { train }, { openStepWatch }] =
    await Promise.all(
      ['prepare.js', 'programs.js', 'run.js', 'train.js', 'divergence.js'].map((file) => load(`training/${file}`)),
    );
  const [{ openMetrics }, { metricsReport, openSinks }, { openStepBatches }, { openTrainingTerminal }] =
    await Promise.all(
      ['run/metrics.js', 'training/sinks/sinks.js', 'training/stepBatches.js', 'cli/terminal/trainingTerminal.js'].map(
        load,
      ),
    );
  const folder = path.join(scratch, 'logged');
  mkdirSync(folder);
  const steps = blocks * stepsOfBlock;
  const set = [
    `training.steps=${steps}`,
    'corpus.validation.tail=0.002',
    'evaluation.everySteps=null',
    'samples.everySteps=null',
    'checkpoints.everySteps=null',
  ];
  const request = {
    configPath: path.join(root, 'configs/moby-dick.yaml'),
    runDirectory: path.join(folder, 'run'),
    set,
  };
  const prepared = await prepareTraining(findConfig({ ...request, resume: false }));
  const { config } = prepared;
  const session = openTrainingSession(config, 'recorded');
  const metrics = openMetrics(path.join(folder, 'metrics.jsonl'));
  const sinks = await openSinks(folder, { log: ['tensorboard', 'csv'], everySteps: 1 }, 0, print);
  const terminal = openTrainingTerminal(steps, 0, false);
  const reports = [metricsReport(metrics, 1), ...sinks.map(({ report }) => report), terminal.report];
  const stepMs = Array.from({ length: blocks }, () => []);
  const logMs = [];
  let beforeMs = performance.now();
  const report = (fact) => {
    if (fact.kind !== 'step') return void (beforeMs = performance.now());
    const block = Math.floor((fact.step - 1) / stepsOfBlock);
    // The first two pairs of blocks are for warming up.
    const logs = block % 2 === 0;
    if (logs) {
      const beganMs = performance.now();
      for (const each of reports) each(fact);
      logMs.push(performance.now() - beganMs);
    }
    const nowMs = performance.now();
    stepMs[block].push(nowMs - beforeMs);
    beforeMs = nowMs;
  };
  try {
    const programs = await recordPrograms(session, prepared, print);
    const start = { ...prepared.progress, logged: new Set(['evaluation', 'checkpoint']) };
    // so that it is stopped before the end, which would evaluate and save
    const plan = { ...prepared.plan, steps: steps + 1 };
    const stopping = new AbortController();
    const stopReport = (fact) => {
      if (fact.kind === 'step' && fact.step > steps) return;
      report(fact);
      if (fact.kind === 'step' && fact.step === steps) stopping.abort('measured');
    };
    const noSaves = {
      begin: async () => {},
      finished: async () => {},
      failAfterSaving: (failure) => Promise.reject(failure),
    };
    const watch = openStepWatch(config.training.guard.maxSkips, undefined);
    const parts = {
      config,
      plan,
      programs,
      watch,
      report: stopReport,
      saves: noSaves,
      batches: openStepBatches(prepared),
    };
    await train(parts, start, { signal: stopping.signal, takeSave: () => false });
  } finally {
    terminal.close();
    metrics.close();
    for (const { close } of sinks) close();
    session.close();
  }
  const medians = stepMs.map((times) => quantile(times, 0.5));
  const pairs = Array.from(
    { length: (blocks >> 1) - 2 },
    (_, i) => 100 * (medians[2 * i + 4] / medians[2 * i + 5] - 1),
  );
  const withoutMs = quantile(
    medians.filter((_, block) => block % 2 === 1),
    0.5,
  );
  const meanLogMs = logMs.reduce((sum, ms) => sum + ms, 0) / logMs.length;
  print(
    `a step of configs/moby-dick.yaml without logging: ${withoutMs.toFixed(2)} ms; calls of all sinks (metrics.jsonl, event file, metrics.csv, terminal): mean ${(1000 * meanLogMs).toFixed(0)} µs, median ${(1000 * quantile(logMs, 0.5)).toFixed(0)} µs, ${((100 * meanLogMs) / withoutMs).toFixed(2)} % of it`,
  );
  print(
    `logged blocks of ${stepsOfBlock} steps against their neighbours: median ${quantile(pairs, 0.5).toFixed(2)} % more (quartiles ${quantile(pairs, 0.25).toFixed(2)} and ${quantile(pairs, 0.75).toFixed(2)}, ${pairs.length} pairs)`,
  );
}

const parts = { runs, report, logging };
const asked = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts);
const unknown = asked.find((name) => !(name in parts));
if (unknown !== undefined) {
  process.stderr.write(`error: ${unknown} is nothing to measure: ${Object.keys(parts).join(', ')}\n`);
  process.exit(2);
}
print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
try {
  for (const name of asked) await parts[name]();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
