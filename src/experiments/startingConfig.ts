/** Writes a starter config, with comments in one column. */
import { timeText } from '../units.ts';
import { learningRateFor, modelParts, type ModelSize, type TokenizerChoice } from './startingChoices.ts';

export interface StartingConfig {
  name: string;
  /** Paths of the text relative to the config file: files, a folder or globs. */
  paths: readonly string[];
  /** Keys of every source besides its path, in YAML, e.g. `field: body`. */
  sourceKeys: Readonly<Record<string, string>>;
  encodingErrors: 'replace' | 'skip' | null;
  validation: { key: 'tail' | 'hash'; share: number };
  tokenizer: TokenizerChoice;
  minutes: number;
  size: ModelSize;
  steps: number;
  epochs: number;
  /** What samples during training continue. */
  prompt: string;
  schema: string;
}

/** A line of a config and the comment at its end. */
type Line = [line: string, comment?: string];

export function renderStartingConfig(choices: StartingConfig): string {
  const { name, tokenizer, validation, minutes, steps, prompt, schema } = choices;
  const { layers, heads, width, contextLength, microBatchSize } = choices.size;
  const every = Math.max(1, Math.round(steps / 4));
  const ofKind = tokenizer.kind === 'bpe' ? `, vocabularySize: ${tokenizer.vocabularySize}` : '';
  const split = validation.key === 'hash' ? 'share of the documents, by their hash' : 'share of the text, at its end';
  const epochs = choices.epochs < 10 ? choices.epochs.toFixed(1) : String(Math.round(choices.epochs));
  const sources = choices.paths.map((path) => {
    const keys = Object.entries(choices.sourceKeys).map(([key, value]) => `, ${key}: ${value}`);
    return `{ path: ${JSON.stringify(path)}${keys.join('')} }`;
  });
  const lines: Line[] = [
    [`name: ${JSON.stringify(name)}`, 'the run directory is runs/<name>'],
    ['seed: 1337', 'of everything random'],
    ['corpus:'],
    ...(sources.length === 1
      ? ([[`  sources: [${sources[0]}]`, 'a file, a folder or a glob']] satisfies Line[])
      : ([['  sources:'], ...sources.map((source): Line => [`    - ${source}`])] satisfies Line[])),
    [`  validation: { ${validation.key}: ${validation.share} }`, `${split}, kept for validation`],
    ...(choices.encodingErrors === null
      ? []
      : ([
          [`  encodingErrors: ${choices.encodingErrors}`, 'what is done with bytes that are not UTF-8'],
        ] satisfies Line[])),
    [`tokenizer: { kind: ${tokenizer.kind}${ofKind} }`, tokenizer.why],
    ['model:', 'a larger one learns more from more text, but is slower'],
    [`  family: ${modelParts.family}`, 'rotary positions, RMSNorm, SwiGLU'],
    [`  queryKeyNorm: ${modelParts.queryKeyNorm}`, 'learns much faster, see docs/recipes.md'],
    [`  layers: ${layers}`],
    [`  heads: ${heads}`, 'must divide width'],
    [`  width: ${width}`],
    [`  contextLength: ${contextLength}`, 'in tokens'],
    ['training:'],
    [`  microBatchSize: ${microBatchSize}`, 'windows per pass; lower it if memory runs out'],
    [`  steps: ${steps}`, `about ${epochs} epochs; the time is proportional to it`],
    ['optimizer:'],
    ['  kind: muon', 'or adamw, with a quarter of the rate'],
    [`  learningRate: ${learningRateFor(width)}`, 'lower it if the loss jumps up'],
    ['  momentum: 0.9'],
    [`schedule: { kind: linear, warmupSteps: ${Math.min(20, Math.ceil(steps / 10))}, finalLearningRate: 0 }`],
    [`evaluation: { everySteps: ${every} }`, 'loss on the validation text'],
    [`checkpoints: { everySteps: ${every}, keepLast: 2, keepBest: 1 }`, 'clm sample --checkpoint best takes the best'],
    [`samples: { everySteps: ${every}, prompt: ${JSON.stringify(prompt)}, maxTokens: 120 }`],
  ];
  return `# yaml-language-server: $schema=${schema}
# Written by clm init, for at most about ${timeText(minutes * 60_000)} on this machine.
# All keys are described in docs/reference-keys.md, and by: clm config show THIS-FILE
# To change a key for one run only: clm train THIS-FILE --set model.layers=6
${commented(lines)}`;
}

/** Lines longer than this have their comment above them, and do not move the column. */
const longLine = 46;

function commented(lines: readonly Line[]): string {
  const isLong = ([line]: Line): boolean => line.length > longLine;
  const column = Math.max(
    ...lines.filter((each) => each[1] !== undefined && !isLong(each)).map(([line]) => line.length),
  );
  return lines
    .map((each) => {
      const [line, comment] = each;
      if (comment === undefined) return `${line}\n`;
      if (isLong(each)) return `${/^ */.exec(line)![0]}# ${comment}\n${line}\n`;
      return `${line.padEnd(column)}  # ${comment}\n`;
    })
    .join('');
}
