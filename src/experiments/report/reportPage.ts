/**
 * A report as a single HTML page that works offline: tables and completions are rendered here; the curves are embedded
 * as data and drawn by the inlined client (report/client, with uPlot). The page's content security policy forbids
 * loading anything.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import { spreadText } from '../../statistics.ts';
import { compareRuns } from '../comparison/compareRuns.ts';
import type { Comparison } from '../comparison/comparison.ts';
import { differenceText } from '../comparison/wording.ts';
import type { Environment } from '../../run/environment.ts';
import type { RunHistory } from '../runHistory.ts';
import { readCompletions } from './completions.ts';
import { escaped } from './html.ts';
import { reportData, type ReportChart } from './reportData.ts';

const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

export function renderReport(runs: readonly RunHistory[], { title, madeAt }: { title: string; madeAt: Date }): string {
  const data = reportData(runs);
  const made = madeAt.toISOString().slice(0, 16).replace('T', ' ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escaped(title)}</title>
<style>${readFileSync(packages.resolve('uplot/dist/uPlot.min.css'), 'utf8')}${styles}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p class="faint">${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, ${made} UTC</p>
<h2>Comparison</h2>
${comparisonTable(compareRuns(runs))}
<h2>Curves</h2>
${controls}
<div class="runs" id="runs" role="group" aria-label="Runs shown"></div>
<div class="charts">${data.charts.map(chartFrame).join('')}</div>
<p class="faint">Long curves are thinned: each point is the lowest or highest value of its neighbours, so spikes stay
visible. Drag to zoom. With the keyboard, focus a chart: ← → read values, + − zoom, 0 shows everything.</p>
<h2>Completions</h2>
${runs.map(completionsOf).join('') || '<p>none</p>'}
<h2>Config</h2>
${configTable(runs)}
<h2>Environment</h2>
${environmentTable(runs)}
<script type="application/json" id="data">${scriptJson(data)}</script>
<script>${clientScript()}</script>
</body>
</html>
`;
}

const controls = `<div class="controls">
<label>x axis <select id="x-axis">
<option value="steps">steps</option>
<option value="tokens">tokens</option>
<option value="flops">FLOPs</option>
<option value="time">minutes</option>
</select></label>
<label><input type="checkbox" id="log-x"> log x</label>
<label><input type="checkbox" id="log-y"> log y</label>
<label>smoothing <input type="range" id="smoothing" min="0" max="0.99" step="0.01" value="0.6"></label>
<label><input type="checkbox" id="raw" checked> unsmoothed values</label>
</div>`;

/** One column on a phone, two columns of charts on a wide screen; light or dark as the reader's system. */
const styles = `
:root {
  color-scheme: light dark;
  --ink: #1a1c20; --faint: #5f6672; --line: #d9dce1; --paper: #fff; --mark: #fff2cc; --focus: #0b62d6;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --faint: #9aa2ae; --line: #353a42; --paper: #15171a; --mark: #4a3b10; --focus: #7db3ff; }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1500px; padding: 1rem;
  background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif;
}
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .25rem; }
p { margin: .25rem 0; }
.faint { color: var(--faint); }
.wide { overflow-x: auto; }
.wide:focus-visible, .chart:focus-visible, summary:focus-visible {
  outline: 3px solid var(--focus); outline-offset: 2px;
}
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.number, th.number { text-align: right; }
th[scope=row] { font-weight: 500; position: sticky; left: 0; background: var(--paper); }
tr.differs td, tr.differs th { background: var(--mark); }
.controls {
  display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center;
  padding: .5rem 0; background: var(--paper); border-bottom: 1px solid var(--line);
}
.controls select, .controls input[type=range] { font: inherit; }
label { display: inline-flex; gap: .35rem; align-items: center; min-height: 2rem; }
.runs { display: flex; flex-wrap: wrap; gap: 0 1rem; margin: .5rem 0; max-height: 9rem; overflow-y: auto; }
.swatch { width: 1.4rem; height: 0; border-top: 3px solid; }
.charts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem; margin-top: 1rem;
}
.chart { min-height: 310px; }
.readout {
  min-height: 1.4em; margin-top: .5rem; font-size: .85rem; color: var(--faint);
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
summary { cursor: pointer; padding: .3rem 0; }
pre {
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem;
  margin: .25rem 0 1rem; padding: .5rem; border-left: 3px solid var(--line);
}
@media (min-width: 700px) {
  .controls { position: sticky; top: 0; z-index: 5; }
  section, summary { scroll-margin-top: 4rem; }
}
@media print { .controls { display: none; } }
`;

const packages = createRequire(import.meta.url);

/** The modules of client/, each after those it imports. */
const clientModules = ['curves', 'chart', 'page'];

/**
 * uPlot from its package, then the compiled modules of client/ in one function. Their imports and exports are removed
 * (they declare no name twice), so the page needs no module loader.
 */
function clientScript(): string {
  const uPlot = readFileSync(packages.resolve('uplot/dist/uPlot.iife.min.js'), 'utf8');
  const client = clientModules.map((name) =>
    readFileSync(new URL(`./client/${name}.js`, import.meta.url), 'utf8')
      .replace(/^import [^;]*;$/gm, '')
      .replace(/^export \{[^}]*\};?$/gm, '')
      .replace(/^export (?=(async )?(function|const|class) )/gm, ''),
  );
  return `${uPlot}\n(() => {\n'use strict';\n${client.join('\n')}\n})();`.replaceAll('</script', '<\\/script');
}

/** JSON for a script element; escaping every `<` keeps its text from ending the element. */
const scriptJson = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

function chartFrame({ key, title, unit }: ReportChart): string {
  const id = `title-${escaped(key)}`;
  const faintUnit = unit === '' ? '' : ` <span class="faint">${escaped(unit)}</span>`;
  return (
    `<section><h3 id="${id}">${escaped(title)}${faintUnit}</h3>` +
    `<div class="chart" tabindex="0" role="img" aria-labelledby="${id}" data-key="${escaped(key)}"></div>` +
    `<div class="readout" aria-live="polite"></div></section>`
  );
}

const column = (text: string): string => `<th scope="col">${escaped(text)}</th>`;
const rowHead = (text: string): string => `<th scope="row">${escaped(text)}</th>`;
const cell = (text: string): string => `<td>${escaped(text)}</td>`;
const numberCell = (text: string): string => `<td class="number">${escaped(text)}</td>`;

/** A table that scrolls sideways where it is wider than the page. */
function scrollingTable(label: string, head: string, rows: readonly string[]): string {
  const table = `<table>${head === '' ? '' : `<thead><tr>${head}</tr></thead>`}<tbody>${rows.join('')}</tbody></table>`;
  return `<div class="wide" tabindex="0" role="region" aria-label="${label}">${table}</div>`;
}

function comparisonTable({ groups, differences, amount, rankedBy }: Comparison): string {
  const keys = Object.keys(groups[0]?.values ?? {});
  const head = [
    ...(keys.length === 0 ? ['runs'] : keys),
    'n',
    'final validation loss',
    'best',
    amount === null ? 'aligned' : `at ${amount.toLocaleString('en-US')} tokens`,
    'training loss',
    'tokens/s',
    'compared with the best',
  ];
  const rows = groups.map((group, i) => {
    const names =
      keys.length === 0 ? [group.runs.map(({ name }) => name).join(', ')] : Object.values(group.values).map(valueText);
    const numbers = [
      String(group.runs.length),
      spreadText(group.validationLoss),
      spreadText(group.bestValidationLoss),
      spreadText(group.alignedLoss),
      spreadText(group.trainingLoss),
      group.tokensPerSecond ? Math.round(group.tokensPerSecond.mean).toLocaleString('en-US') : '–',
    ];
    const difference = differences[i - 1];
    const verdict = difference ? differenceText(difference) : i === 0 && group[rankedBy] ? 'lowest loss' : '';
    return `<tr>${names.map(rowHead).join('')}${numbers.map(numberCell).join('')}${cell(verdict)}</tr>`;
  });
  return scrollingTable('Comparison', head.map(column).join(''), rows);
}

const valueText = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? '–'));

function completionsOf({ summary }: RunHistory): string {
  const { shown, all } = readCompletions(summary.path);
  if (all === 0) return '';
  const texts = shown.map(
    ({ step, text }) => `<p class="faint">step ${step.toLocaleString('en-US')}</p><pre>${escaped(text)}</pre>`,
  );
  const count = shown.length === all ? `${all}` : `${shown.length} of ${all}`;
  return `<details><summary>${escaped(summary.name)} (${count})</summary>${texts.reverse().join('')}</details>`;
}

function configTable(runs: readonly RunHistory[]): string {
  const keys = [...new Set(runs.flatMap(({ config }) => [...config.keys()]))];
  const rows = keys.map((key) => ({ key, values: runs.map(({ config }) => config.get(key)) }));
  return differencesTable('Config', runs, rows, 'config keys are equal');
}

function environmentTable(runs: readonly RunHistory[]): string {
  const keys = [...new Set(runs.flatMap(({ environment }) => Object.keys(environment ?? {}) as (keyof Environment)[]))];
  const rows = keys.map((key) => ({ key, values: runs.map(({ environment }) => environment?.[key]) }));
  return differencesTable('Environment', runs, rows, 'entries are equal');
}

/** The rows that differ between runs, marked, then the equal ones, collapsed. */
function differencesTable(
  label: string,
  runs: readonly RunHistory[],
  rows: readonly { key: string; values: unknown[] }[],
  equalTitle: string,
): string {
  const isEqual = ({ values }: { values: unknown[] }): boolean =>
    values.every((value) => isDeepStrictEqual(value, values[0]));
  const different = rows
    .filter((row) => !isEqual(row))
    .map(({ key, values }) => `<tr class="differs">${rowHead(key)}${values.map(valueText).map(cell).join('')}</tr>`);
  const equal = rows.filter(isEqual).map(({ key, values }) => `<tr>${rowHead(key)}${cell(valueText(values[0]))}</tr>`);
  const names = `<th></th>${runs.map(({ summary }) => column(summary.name)).join('')}`;
  return (
    (different.length === 0 ? '' : scrollingTable(label, names, different)) +
    `<details${different.length === 0 ? ' open' : ''}><summary>${equal.length} ${equalTitle}</summary>` +
    `${scrollingTable(label, '', equal)}</details>`
  );
}
