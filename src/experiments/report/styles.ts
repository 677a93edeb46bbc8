/**
 * The look of a report: one column on a phone, two columns of charts on a screen, light or dark as the reader's system.
 */
export const styles = `
:root { color-scheme: light dark; --ink: #1a1c20; --faint: #5f6672; --line: #d9dce1; --paper: #fff; --mark: #fff2cc; --focus: #0b62d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --faint: #9aa2ae; --line: #353a42; --paper: #15171a; --mark: #4a3b10; --focus: #7db3ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1500px; padding: 1rem; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 0 0 .25rem; }
p { margin: .25rem 0; } .faint { color: var(--faint); }
.wide { overflow-x: auto; } .wide:focus-visible, .chart:focus-visible, summary:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.number, th.number { text-align: right; } th[scope=row] { font-weight: 500; position: sticky; left: 0; background: var(--paper); }
tr.differs td, tr.differs th { background: var(--mark); }
.controls { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; padding: .5rem 0; background: var(--paper); border-bottom: 1px solid var(--line); }
.controls select, .controls input[type=range] { font: inherit; } label { display: inline-flex; gap: .35rem; align-items: center; min-height: 2rem; }
.runs { display: flex; flex-wrap: wrap; gap: 0 1rem; margin: .5rem 0; max-height: 9rem; overflow-y: auto; } .swatch { width: 1.4rem; height: 0; border-top: 3px solid; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem; margin-top: 1rem; }
.chart { min-height: 310px; } .readout { min-height: 1.4em; margin-top: .5rem; font-size: .85rem; color: var(--faint); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .3rem 0; } pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .25rem 0 1rem; padding: .5rem; border-left: 3px solid var(--line); font-size: .85rem; }
@media (min-width: 700px) { .controls { position: sticky; top: 0; z-index: 5; } section, summary { scroll-margin-top: 4rem; } }
@media print { .controls { display: none; } }
`;
