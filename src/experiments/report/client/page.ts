/** Report client, runs in the browser: the controls; draws the charts one by one so that the page stays responsive. */
/// <reference lib="dom" />
import type UPlot from 'uplot';
import type { ReportData } from '../reportData.ts';
import { colourOf, dashOf, drawChart, type View } from './chart.ts';
import type { XAxis } from './curves.ts';

const data = JSON.parse(document.getElementById('data')!.textContent!) as ReportData;
const control = <Kind extends HTMLElement>(id: string): Kind => document.getElementById(id) as Kind;
const frames = [...document.querySelectorAll<HTMLElement>('.chart')];
const plots: (UPlot | undefined)[] = frames.map(() => undefined);
const visible = data.runs.map(() => true);

function view(logY: boolean): View {
  return {
    axis: control<HTMLSelectElement>('x-axis').value as XAxis,
    logX: control<HTMLInputElement>('log-x').checked,
    logY: logY || control<HTMLInputElement>('log-y').checked,
    smoothing: Number(control<HTMLInputElement>('smoothing').value),
    raw: control<HTMLInputElement>('raw').checked,
    visible,
  };
}

let drawing = 0;

/** Draws all charts, each in its own task; a new call cancels an unfinished one. */
function drawAll(): void {
  const turn = ++drawing;
  const next = (i: number): void => {
    if (turn !== drawing) return;
    if (i === frames.length) {
      document.body.dataset['drawnMs'] = String(Math.round(performance.now()));
      return;
    }
    const chart = data.charts[i]!;
    plots[i] = drawChart(frames[i]!, chart, data.runs, view(chart.logY), plots[i]);
    setTimeout(() => next(i + 1));
  };
  next(0);
}

data.runs.forEach(({ name }, i) => {
  const label = document.createElement('label');
  const box = Object.assign(document.createElement('input'), { type: 'checkbox', checked: true });
  const swatch = Object.assign(document.createElement('span'), { className: 'swatch' });
  swatch.style.borderTopColor = colourOf(i);
  if (dashOf(i).length > 0) swatch.style.borderTopStyle = 'dashed';
  label.append(box, swatch, name);
  box.addEventListener('change', () => {
    visible[i] = box.checked;
    drawAll();
  });
  control('runs').append(label);
});

for (const id of ['x-axis', 'log-x', 'log-y', 'smoothing', 'raw']) control(id).addEventListener('input', drawAll);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);

let width = innerWidth;
addEventListener('resize', () => {
  if (innerWidth === width) return; // only the height changed: the toolbar of a mobile browser
  width = innerWidth;
  drawAll();
});

// After the first paint, so that the tables can be read while the charts are drawn.
requestAnimationFrame(() => setTimeout(drawAll));
