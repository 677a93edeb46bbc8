/** An inspection as lines for a terminal. */
import { styleText } from 'node:util';
import type { Inspection } from '../../../sampling/scoring/inspection.ts';
import { escapeControls } from '../../terminal/output.ts';

/** The table of the lecture: inputs and shifted targets side by side, and what the model gives each target. */
export function inspectionText(inspection: Inspection): string {
  const { tokenIds, texts, targetIds, losses, probabilities, ranks, loss, modelLoss, uniformLoss, vocabularySize } =
    inspection;
  const quoted = texts.map(visible);
  const width = Math.min(24, Math.max(6, ...quoted.map(({ length }) => length)));
  const n = tokenIds.length;
  const rows = tokenIds.map((tokenId, t) => {
    const input = `${String(t).padStart(8)}  ${quoted[t]!.padEnd(width)} ${String(tokenId).padStart(6)}`;
    if (t === n - 1) return `${input}   →  ${'?'.padEnd(width)}  (what follows is not known)`;
    const target = `${quoted[t + 1]!.padEnd(width)} ${String(targetIds[t]).padStart(6)}`;
    const numbers = `${probabilities[t]!.toFixed(4).padStart(7)} ${String(ranks[t]).padStart(6)} ${losses[t]!.toFixed(4).padStart(8)}`;
    return `${input}   →  ${target}  ${coloured(numbers, losses[t]!, uniformLoss)}`;
  });
  const head = `${'position'.padStart(8)}  ${'input'.padEnd(width)} ${'id'.padStart(6)}   →  ${'target'.padEnd(width)} ${'id'.padStart(6)}  ${'p'.padStart(7)} ${'rank'.padStart(6)} ${'loss'.padStart(8)}`;
  return [
    `${n} tokens: ${quoted.join(' ')}`,
    '',
    head,
    ...rows,
    '',
    `mean of the ${n - 1} losses ${loss.toFixed(6)} = the model's loss ${modelLoss.toFixed(6)}, nats per token (perplexity ${Math.exp(loss).toFixed(2)})`,
    `a model that knows nothing has ln V = ln ${vocabularySize} = ${uniformLoss.toFixed(6)}: this one is ${Math.abs(uniformLoss - loss).toFixed(4)} nats ${loss < uniformLoss ? 'better' : 'worse'}`,
    '',
    ...maskText(quoted),
  ].join('\n');
}

/** The likeliest tokens after a position, and the correct one. */
export function positionText(
  { texts, targetIds, alternatives, probabilities, ranks }: Inspection,
  position: number,
): string {
  const rows = alternatives[position]!.map(({ tokenId, text, logProbability }, i) => {
    const p = Math.exp(logProbability);
    const line = `${String(i + 1).padStart(5)}  ${visible(text).padEnd(10)} ${String(tokenId).padStart(6)}  ${p.toFixed(4)}  ${'█'.repeat(Math.round(30 * p))}`;
    return tokenId === targetIds[position] ? style('green', `${line} ← the target`) : line;
  });
  const target = targetIds[position];
  const found = target === undefined || alternatives[position]!.some(({ tokenId }) => tokenId === target);
  return [
    '',
    `after position ${position} (${visible(texts[position]!)}):`,
    ...rows,
    ...(found
      ? []
      : [
          `${String(ranks[position]).padStart(5)}  ${visible(texts[position + 1]!).padEnd(10)} ${String(target).padStart(6)}  ${probabilities[position]!.toFixed(4)}  ← the target`,
        ]),
  ].join('\n');
}

/** Which positions each position sees; a triangle as long as it is readable. */
function maskText(quoted: readonly string[]): string[] {
  const n = quoted.length;
  if (n > 32)
    return [`mask: position t sees positions 0 … t; from position 0 ${n - 1} are hidden, from position ${n - 1} none`];
  return [
    'what each position sees (●) and what the causal mask hides from it (·):',
    ...quoted.map((text, t) => `${String(t).padStart(8)}  ${'● '.repeat(t + 1)}${'· '.repeat(n - 1 - t)} ${text}`),
  ];
}

/** A token with its borders, its blanks and line ends visible. */
const visible = (text: string): string => `"${escapeControls(JSON.stringify(text).slice(1, -1))}"`;

/** Green where the model does much better than guessing, red where it does worse. */
const coloured = (text: string, loss: number, uniformLoss: number): string =>
  style(loss < uniformLoss / 2 ? 'green' : loss < uniformLoss ? 'yellow' : 'red', text);

const style = (name: 'green' | 'yellow' | 'red', text: string): string =>
  process.stdout.isTTY && !process.env['NO_COLOR'] ? styleText(name, text, { validateStream: false }) : text;
