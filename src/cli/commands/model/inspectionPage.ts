/** An inspection as one self-contained HTML page, without scripts, for small screens and dark mode too. */
import { escaped } from '../../../experiments/report/html.ts';
import type { Inspection } from '../../../sampling/scoring/inspection.ts';
import { escapeControls } from '../../terminal/output.ts';

/** @param about the text, and the name and step of the model */
export function inspectionPage(inspection: Inspection, about: { text: string; name: string; step: number }): string {
  const { loss, modelLoss, uniformLoss, vocabularySize, tokenIds } = inspection;
  const model = about.step === 0 ? `${about.name}, untrained` : `${about.name}, step ${about.step}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(about.name)}: ${tokenIds.length} tokens inspected</title>
<style>${styles}</style>
</head>
<body>
<h1>${escaped(model)}</h1>
<p>A causal language model reads a text once and predicts, at every position, the token that comes next.</p>
<h2>Tokens</h2>
<p class="tokens">${inspection.texts.map((text, t) => tokenSpan(inspection, text, t)).join('')}</p>
<p class="note">${tokenIds.length} tokens. The stronger the colour, the higher the loss of the token, given the tokens
before it. The first token has none before it, and so no loss.${learntNote(inspection)}</p>
<h2>Loss</h2>
<p>The mean of the ${tokenIds.length - 1} losses is <b>${loss.toFixed(6)}</b>, and the loss that the model computes is
<b>${modelLoss.toFixed(6)}</b>, in nats per token: perplexity ${Math.exp(loss).toFixed(2)}. A uniform prediction has
loss ln V = ln ${vocabularySize} = ${uniformLoss.toFixed(6)}.</p>
<h2>Inputs and shifted targets</h2>
<p class="note">The target of each position is the input of the next. Open a row for the most likely tokens there.</p>
<div class="rows">
${tokenIds.map((_, t) => positionRow(inspection, t)).join('\n')}
</div>
<h2>What the causal mask hides</h2>
${maskGrid(inspection)}
</body>
</html>
`;
}

const styles = `
:root { color-scheme: light dark; --line: #8884; --accent: #d5502b; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
code, .tokens, .rows { font-family: ui-monospace, monospace; font-size: .9rem; }
.note { opacity: .75; font-size: .9rem; }
.tokens span { border: 1px solid var(--line); border-radius: 3px; padding: .1rem .15rem; margin: .1rem; }
.tokens span { display: inline-block; white-space: pre-wrap; }
.tokens span.learnt { border-bottom: 3px solid var(--accent); }
details, .last { border-bottom: 1px solid var(--line); }
summary, .last, .head { display: grid; grid-template-columns: 2.2rem 1fr 1.2rem 1fr 4rem 3.2rem 4rem; gap: .3rem; }
summary, .last { padding: .35rem 0; cursor: pointer; align-items: baseline; }
.last { cursor: default; }
summary b { font-weight: 600; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.head { font-weight: 600; opacity: .75; }
ol { margin: .3rem 0 .6rem 2.2rem; padding: 0; } li.target { font-weight: 700; color: var(--accent); }
.bar { display: inline-block; height: .6rem; border-radius: 2px; margin-left: .4rem; max-width: 40%; }
.bar, .mask i.seen { background: var(--accent); }
.mask { display: grid; gap: 2px; max-width: 32rem; }
.mask i { aspect-ratio: 1; border-radius: 2px; background: var(--soft); }
@media (max-width: 30rem) {
  summary, .last, .head { grid-template-columns: 1.6rem 1fr .8rem 1fr 3.4rem 2.4rem 3.2rem; font-size: .8rem; }
}
`;

function learntNote({ learnt, learntLoss }: Inspection): string {
  if (learnt === undefined) return '';
  if (learntLoss === undefined || learntLoss === null) return ' No token counts towards the loss of training.';
  return ` The underlined tokens count towards the loss of training; the mean of those is ${learntLoss.toFixed(6)}.`;
}

function tokenSpan({ tokenIds, losses, uniformLoss, learnt }: Inspection, text: string, t: number): string {
  const loss = losses[t - 1];
  const strength = loss === undefined ? 0 : Math.min(75, Math.round((50 * loss) / uniformLoss));
  const title = loss === undefined ? `id ${tokenIds[t]}` : `id ${tokenIds[t]}, loss ${loss.toFixed(4)}`;
  const style = `background: color-mix(in srgb, var(--accent) ${strength}%, transparent)`;
  const mark = learnt?.[t - 1] === true ? ' class="learnt"' : '';
  return `<span${mark} title="${title}" style="${style}">${shown(text)}</span>`;
}

function positionRow(inspection: Inspection, t: number): string {
  const { tokenIds, texts, targetIds, probabilities, ranks, losses, alternatives } = inspection;
  const head =
    t > 0
      ? ''
      : '<div class="head"><span>#</span><span>input</span><span></span><span>target</span>' +
        `${numbers('p', 'rank', 'loss')}</div>\n`;
  const input = `<span>${t}</span><span title="id ${tokenIds[t]}">${shown(texts[t]!)}</span><span>→</span>`;
  const items = alternatives[t]!.map(({ tokenId, text, logProbability }) => {
    const p = Math.exp(logProbability);
    const isTarget = tokenId === targetIds[t];
    const bar = `<span class="bar" style="width:${(40 * p).toFixed(1)}%"></span>`;
    return `<li${isTarget ? ' class="target"' : ''}>${shown(text)} ${p.toFixed(4)}${bar}</li>`;
  });
  const target =
    t === targetIds.length
      ? '<span>?</span><span></span><span></span><span></span>'
      : `<span title="id ${targetIds[t]}"><b>${shown(texts[t + 1]!)}</b></span>` +
        numbers(probabilities[t]!.toFixed(4), String(ranks[t]), losses[t]!.toFixed(4));
  return `${head}<details><summary>${input}${target}</summary><ol>${items.join('')}</ol></details>`;
}

const numbers = (...texts: string[]): string => texts.map((text) => `<span class="number">${text}</span>`).join('');

/** A square for each pair of positions, or one sentence for a long text. */
function maskGrid({ tokenIds }: Inspection): string {
  const n = tokenIds.length;
  const hidden = `${n - 1} positions are hidden from position 0, none from position ${n - 1}`;
  const words = `<p>Position t sees positions 0 … t and nothing after it: ${hidden}.</p>`;
  if (n > 48) return words;
  const cells = tokenIds.flatMap((_, t) => tokenIds.map((__, s) => `<i${s <= t ? ' class="seen"' : ''}></i>`));
  const label = 'rows: positions; filled: what they see';
  const columns = `grid-template-columns: repeat(${n}, 1fr)`;
  return `${words}\n<div class="mask" style="${columns}" aria-label="${label}">${cells.join('')}</div>`;
}

/** A token with spaces and line ends made visible, escaped for HTML. */
const shown = (text: string): string =>
  escaped(escapeControls(text.replaceAll('\n', '⏎').replaceAll('\t', '⇥').replaceAll(' ', '·')));
