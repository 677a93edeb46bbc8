/** Styles of a report: one column on a phone, two of charts on a wide screen; light or dark as the reader's system. */
export const pageStyles = `
:root {
  color-scheme: light dark;
  --ink: #1a1c20; --faint: #5f6672; --line: #d9dce1; --paper: #fff; --focus: #0b62d6; --warning: #a33b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8eb; --faint: #9aa2ae; --line: #353a42; --paper: #15171a; --focus: #7db3ff; --warning: #ff9a5c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1500px; padding: 1rem; overflow-wrap: anywhere;
  background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif;
}
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .25rem 0; max-width: 60rem; }
.answer { font-size: 1.2rem; font-weight: 500; margin: .5rem 0 .75rem; }
.warning { color: var(--warning); }
.faint { color: var(--faint); }
.chart:focus-visible, summary:focus-visible, button:focus-visible {
  outline: 3px solid var(--focus); outline-offset: 2px;
}
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .75rem 0; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--faint); font-weight: 500; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
th[scope=row] { font-weight: 500; overflow-wrap: break-word; }
.swatch { flex: none; vertical-align: middle; margin-right: .4rem; }
.controls {
  display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center;
  padding: .5rem 0; background: var(--paper); border-bottom: 1px solid var(--line);
}
.controls select, .controls input[type=range], button { font: inherit; }
label { display: inline-flex; gap: .35rem; align-items: center; min-height: 2rem; }
label .swatch { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 0 1rem; margin: .5rem 0; align-items: center; }
.charts {
  display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem 1.5rem; margin-top: 1rem;
}
.charts section:first-child:nth-last-child(odd) { grid-column: 1 / -1; }
.chart { min-height: 302px; }
.readout {
  min-height: 1.5em; font-size: .85rem; color: var(--faint); font-variant-numeric: tabular-nums;
}
summary { cursor: pointer; padding: .3rem 0; }
pre {
  white-space: pre-wrap; font-size: .85rem; margin: .25rem 0 1rem; padding: .5rem; border-left: 3px solid var(--line);
}
@media (min-width: 800px) {
  .controls { position: sticky; top: 0; z-index: 5; }
  section, summary { scroll-margin-top: 4rem; }
}
@media (max-width: 799px) {
  .charts { grid-template-columns: minmax(0, 1fr); }
  table, tbody, tr, th, td { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { padding: .4rem 0; border-bottom: 1px solid var(--line); }
  th, td { padding: 0; border: 0; }
  td, .number { display: flex; gap: .5rem; text-align: left; }
  td[data-label]::before { content: attr(data-label); color: var(--faint); flex: none; width: 9rem; }
  td[data-label=value]::before, td[data-label=of]::before { width: 3.5rem; }
  td:empty { display: none; }
}
@media print { .controls { display: none; } }
`;
