/**
 * A report as one page that needs no network: tables and completions as HTML from here, curves as data that the
 * inlined client (report/client, uPlot) draws. The content policy forbids everything from elsewhere.
 */
import { isDeepStrictEqual } from 'node:util';
import { compareRuns, type Comparison, type Group } from '../comparison.ts';
import type { RunHistory } from '../runHistory.ts';
import { spreadText } from '../../statistics.ts';
import { chartStyles, clientScript } from './clientScript.ts';
import { escaped, scriptJson } from './html.ts';
import { reportData, type ReportChart } from './reportData.ts';
import { readCompletions } from './completions.ts';
import { styles } from './styles.ts';

export function renderReport(runs: readonly RunHistory[], { title, madeAt }: { title: string; madeAt: Date }): string {
  const data = reportData(runs);
  const comparison = compareRuns(runs);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>${escaped(title)}</title>
<style>${chartStyles()}${styles}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p class="faint">${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, ${escaped(madeAt.toISOString().slice(0, 16).replace('T', ' '))} UTC</p>
<h2>Comparison</h2>
${comparisonTable(comparison)}
<h2>Curves</h2>
${controls}
<div class="runs" id="runs" role="group" aria-label="Runs shown"></div>
<div class="charts">${data.charts.map(chartFrame).join('')}</div>
<p class="faint">Every point is the lowest or highest of its neighbours, so no spike is hidden. Focus a chart: ← → read values, + − zoom, 0 shows all; with a mouse, drag to zoom.</p>
<h2>Completions</h2>
${runs.map(completions).join('') || '<p>none</p>'}
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
<label>x axis <select id="x-axis"><option value="steps">steps</option><option value="tokens">tokens</option><option value="flops">FLOPs</option><option value="time">minutes</option></select></label>
<label><input type="checkbox" id="log-x"> log x</label>
<label><input type="checkbox" id="log-y"> log y</label>
<label>smoothing <input type="range" id="smoothing" min="0" max="0.99" step="0.01" value="0.6"></label>
<label><input type="checkbox" id="raw" checked> every value</label>
</div>`;

const chartFrame = ({ key, title, unit }: ReportChart): string =>
  `<section><h3 id="title-${escaped(key)}">${escaped(title)}${unit === '' ? '' : ` <span class="faint">${escaped(unit)}</span>`}</h3>` +
  `<div class="chart" tabindex="0" role="img" aria-labelledby="title-${escaped(key)}" data-key="${escaped(key)}"></div><div class="readout" aria-live="polite"></div></section>`;

const wide = (label: string, table: string): string =>
  `<div class="wide" tabindex="0" role="region" aria-label="${label}">${table}</div>`;

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
    'against the best',
  ];
  const rows = groups.map((group, i) => {
    const names =
      keys.length === 0 ? [group.runs.map(({ name }) => name).join(', ')] : Object.values(group.values).map(valueText);
    const cells = [
      String(group.runs.length),
      spreadText(group.validationLoss),
      spreadText(group.bestValidationLoss),
      spreadText(group.alignedLoss),
      spreadText(group.trainingLoss),
      group.tokensPerSecond ? Math.round(group.tokensPerSecond.mean).toLocaleString('en-US') : '–',
    ];
    return `<tr>${names.map((name) => `<th scope="row">${escaped(name)}</th>`).join('')}${cells.map((cell) => `<td class="number">${escaped(cell)}</td>`).join('')}<td>${escaped(i === 0 ? bestText(group, rankedBy) : differenceText(differences[i - 1]))}</td></tr>`;
  });
  return wide(
    'Comparison',
    `<table><thead><tr>${head.map((name) => `<th scope="col">${escaped(name)}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`,
  );
}

const bestText = (group: Group, rankedBy: Comparison['rankedBy']): string => (group[rankedBy] ? 'lowest loss' : '');

function differenceText(difference: Comparison['differences'][number] | undefined): string {
  if (!difference) return '';
  const { difference: above, margin, isWithinSpread } = difference;
  if (margin === null) return `${above.toFixed(4)} higher; one seed each`;
  return `${above.toFixed(4)} higher, ${isWithinSpread ? 'within' : 'beyond'} the spread of seeds (±${margin.toFixed(4)})`;
}

const valueText = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? '–'));

function completions({ summary }: RunHistory): string {
  const { shown, all } = readCompletions(summary.path);
  if (all === 0) return '';
  const texts = shown.map(
    ({ step, text }) => `<p class="faint">step ${step.toLocaleString('en-US')}</p><pre>${escaped(text)}</pre>`,
  );
  const count = shown.length === all ? `${all}` : `${shown.length} of ${all}`;
  return `<details><summary>${escaped(summary.name)} (${count})</summary>${texts.reverse().join('')}</details>`;
}

/** Every key; those that differ come first and are marked. */
function configTable(runs: readonly RunHistory[]): string {
  const keys = [...new Set(runs.flatMap(({ config }) => [...config.keys()]))];
  return factTable(
    'Config',
    runs,
    keys.map((key) => ({ key, values: runs.map(({ config }) => config.get(key)) })),
    'config keys that are equal',
  );
}

function environmentTable(runs: readonly RunHistory[]): string {
  const keys = [...new Set(runs.flatMap(({ environment }) => Object.keys(environment ?? {})))];
  return factTable(
    'Environment',
    runs,
    keys.map((key) => ({ key, values: runs.map(({ environment }) => environment?.[key]) })),
    'facts that are equal',
  );
}

function factTable(
  label: string,
  runs: readonly RunHistory[],
  rows: { key: string; values: unknown[] }[],
  equalTitle: string,
): string {
  const differs = ({ values }: { values: unknown[] }): boolean =>
    values.some((value) => !isDeepStrictEqual(value, values[0]));
  const different = rows.filter(differs);
  const equal = rows.filter((row) => !differs(row));
  const names = runs.map(({ summary }) => `<th scope="col">${escaped(summary.name)}</th>`).join('');
  const differentRows = different.map(
    ({ key, values }) =>
      `<tr class="differs"><th scope="row">${escaped(key)}</th>${values.map((value) => `<td>${escaped(valueText(value))}</td>`).join('')}</tr>`,
  );
  const equalRows = equal.map(
    ({ key, values }) => `<tr><th scope="row">${escaped(key)}</th><td>${escaped(valueText(values[0]))}</td></tr>`,
  );
  return (
    (different.length === 0
      ? ''
      : wide(
          label,
          `<table><thead><tr><th></th>${names}</tr></thead><tbody>${differentRows.join('')}</tbody></table>`,
        )) +
    `<details${different.length === 0 ? ' open' : ''}><summary>${equal.length} ${equalTitle}</summary>${wide(label, `<table><tbody>${equalRows.join('')}</tbody></table>`)}</details>`
  );
}
