/** Report client, runs in the browser: the controls; draws the charts one by one so that the page stays responsive. */
/// <reference lib="dom" />
import type UPlot from 'uplot';
import type { ReportData } from '../reportData.ts';
import { drawChart, type View } from './chart.ts';
import type { XAxis } from './curves.ts';
import { swatch } from './swatches.ts';

const data = JSON.parse(document.getElementById('data')!.textContent!) as ReportData;
const control = <Kind extends HTMLElement>(id: string): Kind => document.getElementById(id) as Kind;
const frames = [...document.querySelectorAll<HTMLElement>('.chart')];
const plots: (UPlot | undefined)[] = frames.map(() => undefined);
/** Of many settings the best are shown at first. */
const shownAtFirst = data.settings.length > 12 ? 8 : data.settings.length;
const visible = data.settings.map((_, i) => i < shownAtFirst);

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
    plots[i] = drawChart(frames[i]!, chart, data, view(chart.logY), plots[i]);
    setTimeout(() => next(i + 1));
  };
  next(0);
}

if (shownAtFirst < data.settings.length)
  control('settings').before(`The first ${shownAtFirst} of ${data.settings.length} settings are drawn; tick others.`);
const boxes = data.settings.map((name, i) => {
  const label = document.createElement('label');
  const box = Object.assign(document.createElement('input'), { type: 'checkbox', checked: visible[i]! });
  label.append(box, swatch(i), `${i + 1} ${name}`);
  box.addEventListener('change', () => {
    visible[i] = box.checked;
    drawAll();
  });
  control('settings').append(label);
  return box;
});
if (boxes.length > 2) {
  const buttons = control('settings').appendChild(document.createElement('span'));
  for (const [text, isShown] of [
    ['all', true],
    ['none', false],
  ] as const) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text });
    button.addEventListener('click', () => {
      boxes.forEach((box, i) => (visible[i] = box.checked = isShown));
      drawAll();
    });
    buttons.append(button, ' ');
  }
}
for (const place of document.querySelectorAll<HTMLElement>('[data-setting]'))
  place.prepend(swatch(Number(place.dataset['setting'])));

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
