/**
 * A report as a single HTML page that works offline: tables and completions are rendered here; the curves are embedded
 * as data and drawn by the inlined client (report/client, with uPlot). The page's content security policy forbids
 * loading anything.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Comparison, Group } from '../comparison/comparison.ts';
import type { Environment } from '../../run/environment.ts';
import type { RunHistory } from '../runHistory.ts';
import { answerSection, runsTable, settingsTable } from './comparisonSection.ts';
import { readCompletions } from './completions.ts';
import { escaped } from './html.ts';
import { pageStyles } from './pageStyles.ts';
import { reportData, type ReportChart } from './reportData.ts';
import { differencesTable } from './tables.ts';

const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/** @param comparison of these runs */
export function renderReport(
  runs: readonly RunHistory[],
  comparison: Comparison,
  { title, madeAt }: { title: string; madeAt: Date },
): string {
  const data = reportData(runs, comparison);
  const made = madeAt.toISOString().slice(0, 16).replace('T', ' ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escaped(title)}</title>
<style>${readFileSync(packages.resolve('uplot/dist/uPlot.min.css'), 'utf8')}${pageStyles}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
${answerSection(comparison)}
${settingsTable(comparison)}
${runsTable(comparison)}
<p class="faint">Made ${made} UTC.</p>
<h2>Curves</h2>
${controls}
<div class="legend" id="settings" role="group" aria-label="Settings shown"></div>
<p class="faint">Line: mean of a setting's runs, as far as half of them go. Band: from the lowest to the highest run.
The numbers at the ends are those of the table.</p>
<div class="charts">${data.charts.map(chartFrame).join('')}</div>
<p class="faint">Long curves are thinned, but their spikes are kept. Drag to zoom. With the keyboard, focus a chart: ← →
read values, + − zoom, 0 shows everything.</p>
<h2>Completions</h2>
${comparison.groups.map(completionsOf).join('') || '<p>none</p>'}
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

const packages = createRequire(import.meta.url);

/** The modules of client/, each after those it imports. */
const clientModules = ['swatches', 'curves', 'chart', 'page'];

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
    `<section><h3 id="${id}">${escaped(title)}${faintUnit}</h3><div class="readout" aria-live="polite"></div>` +
    `<div class="chart" tabindex="0" role="img" aria-labelledby="${id}" data-key="${escaped(key)}"></div></section>`
  );
}

/** The completions of a setting, its latest first. */
function completionsOf({ name, runs }: Group): string {
  const texts = runs.flatMap((run) => {
    const { shown, all } = readCompletions(run.path);
    if (all === 0) return [];
    const count = shown.length === all ? `${all}` : `${shown.length} of ${all}`;
    const completions = shown.map(
      ({ step, text }) => `<p class="faint">step ${step.toLocaleString('en-US')}</p><pre>${escaped(text)}</pre>`,
    );
    const summary = `<summary>${escaped(run.name)} (${count})</summary>`;
    return [`<details>${summary}${completions.reverse().join('')}</details>`];
  });
  return texts.length === 0 ? '' : `<h3>${escaped(name)}</h3>${texts.join('')}`;
}

function configTable(runs: readonly RunHistory[]): string {
  const keys = [...new Set(runs.flatMap(({ config }) => [...config.keys()]))].filter((key) => key !== 'name');
  const rows = keys.map((key) => ({ key, values: runs.map(({ config }) => config.get(key)) }));
  return differencesTable('Config', namesOf(runs), rows, 'config keys are equal');
}

function environmentTable(runs: readonly RunHistory[]): string {
  const keys = [...new Set(runs.flatMap(({ environment }) => Object.keys(environment ?? {}) as (keyof Environment)[]))];
  const rows = keys.map((key) => ({ key, values: runs.map(({ environment }) => textOf(environment?.[key])) }));
  return differencesTable('Environment', namesOf(runs), rows, 'entries are equal');
}

/** A command line is one text. */
const textOf = (value: unknown): unknown => (Array.isArray(value) ? value.join(' ') : value);

const namesOf = (runs: readonly RunHistory[]): string[] => runs.map(({ summary }) => summary.name);
