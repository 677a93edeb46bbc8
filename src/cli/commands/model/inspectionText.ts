/** An inspection as lines for a terminal. */
import type { Inspection } from '../../../sampling/scoring/inspection.ts';
import { escapeControls, paint } from '../../terminal/output.ts';
import { stdoutWidth } from '../../terminal/table.ts';

const idWidth = 7;

/** Characters of a row: position, two tokens of this width, and three numbers. */
const rowWidth = (tokenWidth: number): number => 10 + 2 * tokenWidth + 5 + 2 + 23;

/** A table of inputs and shifted targets side by side, with the probability that the model assigns to each target. */
export function inspectionText(inspection: Inspection, terminalWidth = stdoutWidth()): string {
  const { tokenIds, texts, targetIds, losses, probabilities, ranks, learnt } = inspection;
  const { loss, modelLoss, uniformLoss, vocabularySize } = inspection;
  const quoted = texts.map(visible);
  const longest = Math.min(24, Math.max(6, ...quoted.map(({ length }) => length)));
  // A narrow terminal has no room for the ids, and one that is narrower still not for whole texts.
  const hasIds = rowWidth(longest + idWidth) <= terminalWidth;
  const width = hasIds ? longest : Math.max(6, Math.min(longest, Math.floor((terminalWidth - rowWidth(0)) / 2)));
  const n = tokenIds.length;
  const cut = (text: string): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);
  const token = (text: string, id: string | number): string =>
    hasIds ? text.padEnd(width) + String(id).padStart(idWidth) : cut(text).padEnd(width);
  const numbers = (p: string, rank: string, nats: string): string =>
    `${p.padStart(7)} ${rank.padStart(6)} ${nats.padStart(8)}`;
  const rows = tokenIds.map((tokenId, t) => {
    const input = `${String(t).padStart(8)}  ${token(quoted[t]!, tokenId)}`;
    if (t === n - 1)
      return `${input}   →  ${'?'.padEnd(width)}  ${hasIds ? '(the next token is not known)' : '(not known)'}`;
    const values = numbers(probabilities[t]!.toFixed(4), String(ranks[t]), losses[t]!.toFixed(4));
    const target = token(quoted[t + 1]!, targetIds[t]!);
    const counted = learnt?.[t] === true ? `  → ${paint('green', `● ${target}`)}` : `   →  ${target}`;
    return `${input}${counted}  ${coloured(values, losses[t]!, uniformLoss)}`;
  });
  const head = `position  ${token('input', 'id')}   →  ${token('target', 'id')}  ${numbers('p', 'rank', 'loss')}`;
  const perplexity = Math.exp(loss).toFixed(2);
  const modelText = `the model's loss ${modelLoss.toFixed(6)}, nats per token (perplexity ${perplexity})`;
  const uniformText = `a uniform prediction has loss ln V = ln ${vocabularySize} = ${uniformLoss.toFixed(6)}`;
  const difference = `${Math.abs(uniformLoss - loss).toFixed(4)} nats ${loss < uniformLoss ? 'better' : 'worse'}`;
  return [
    `${n} tokens: ${quoted.join(' ')}`,
    '',
    head,
    ...rows,
    '',
    `mean of the ${n - 1} losses ${loss.toFixed(6)} = ${modelText}`,
    `${uniformText}: this model is ${difference}`,
    ...learntLines(inspection),
    '',
    ...maskText(quoted),
  ].join('\n');
}

/** Of a chat: what the marks mean, and the mean loss of the targets that have one. */
function learntLines({ learnt, learntLoss }: Inspection): string[] {
  if (learnt === undefined) return [];
  const counted = learnt.filter(Boolean).length;
  if (learntLoss === undefined || learntLoss === null) return ['no target counts towards the loss of training'];
  return [
    `● counts towards the loss of training: ${counted} of ${learnt.length} targets, ` +
      `mean loss ${learntLoss.toFixed(6)} (perplexity ${Math.exp(learntLoss).toFixed(2)})`,
  ];
}

/** The most likely tokens after a position, and the target. */
export function positionText(
  { texts, targetIds, alternatives, probabilities, ranks }: Inspection,
  position: number,
): string {
  const row = (rank: number, text: string, id: number, p: number): string =>
    `${String(rank).padStart(5)}  ${visible(text).padEnd(10)} ${String(id).padStart(6)}  ${p.toFixed(4)}  `;
  const rows = alternatives[position]!.map(({ tokenId, text, logProbability }, i) => {
    const p = Math.exp(logProbability);
    const line = row(i + 1, text, tokenId, p) + '█'.repeat(Math.round(30 * p));
    return tokenId === targetIds[position] ? paint('green', `${line} ← the target`) : line;
  });
  const target = targetIds[position];
  const found = target === undefined || alternatives[position]!.some(({ tokenId }) => tokenId === target);
  return [
    '',
    `after position ${position} (${visible(texts[position]!)}):`,
    ...rows,
    ...(found ? [] : [`${row(ranks[position]!, texts[position + 1]!, target, probabilities[position]!)}← the target`]),
  ].join('\n');
}

/** Which positions each position sees: a triangle, or one sentence for a long text. */
function maskText(quoted: readonly string[]): string[] {
  const n = quoted.length;
  if (n > 32)
    return [`mask: position t sees positions 0 … t; from position 0 ${n - 1} are hidden, from position ${n - 1} none`];
  return [
    'what each position sees (●) and what the causal mask hides from it (·):',
    ...quoted.map((text, t) => `${String(t).padStart(8)}  ${'● '.repeat(t + 1)}${'· '.repeat(n - 1 - t)} ${text}`),
  ];
}

/** A token in quotes, with line ends and control characters visible. */
const visible = (text: string): string => `"${escapeControls(JSON.stringify(text).slice(1, -1))}"`;

/** Green if the model does much better than a uniform prediction, red if it does worse. */
const coloured = (text: string, loss: number, uniformLoss: number): string =>
  paint(loss < uniformLoss / 2 ? 'green' : loss < uniformLoss ? 'yellow' : 'red', text);
