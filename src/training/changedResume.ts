/** What to say of a change that a run cannot be resumed with: how to train a new run, from its weights if they fit. */
import path from 'node:path';
import type { Config } from '../config/schema.ts';
import { freeDirectory } from '../run/configFile.ts';
import { shellPath, shellWord } from '../shellWord.ts';

/** The command line of a resume. */
export interface AskedRun {
  configPath: string | undefined;
  set: readonly string[];
}

/**
 * @param differences keys that differ and must not, such as `optimizer.learningRate`
 * @param of the config of the run that is to be resumed
 */
export function changedResume(
  differences: readonly string[],
  runDirectory: string,
  of: Pick<Config, 'model' | 'adapter'>,
  { configPath, set }: AskedRun,
): string {
  const run = path.relative(process.cwd(), runDirectory) || '.';
  const config = configPath ?? path.join(run, 'config.yaml');
  const flags = set.flatMap((assignment) => ['--set', assignment]).map(shellWord);
  const command = (from: readonly string[]): string =>
    ['clm train', shellPath(config), ...flags, ...from, '--run', shellPath(freeDirectory(run))].join(' ');
  const refusal =
    `${runDirectory} was started with another ${differences.join(', ')}. Resuming may change only device, the ` +
    'length, schedule, evaluation, checkpoints, samples, reports, corpus.workers and corpus.cache.';
  if (!weightsFit(differences, of))
    return `${refusal}\nFor anything else train a new run, from the start:\n  ${command([])}`;
  const inFile =
    configPath === undefined
      ? ''
      : `\nor with this line in ${config}, without --set start.from:\n  ${startLine(run, config)}`;
  return (
    `${refusal}\nTo train its weights further with the change, in a new run:\n` +
    `  ${command(['--set', shellWord(`start.from=${run}`)])}${inFile}`
  );
}

/**
 * Weights depend on the model and the tokenizer, except for dropout and the length of rotary positions. No run starts
 * from one with an adapter.
 */
function weightsFit(
  differences: readonly string[],
  { model: { family }, adapter }: Pick<Config, 'model' | 'adapter'>,
): boolean {
  if (adapter.kind !== null) return false;
  const free = ['model.dropout', ...(family === 'llama' ? ['model.contextLength'] : [])];
  return !differences.some(
    (key) => (/^(model|tokenizer|start)\./.test(key) && !free.includes(key)) || key === 'start.from',
  );
}

/** A path in a config is relative to the config's folder. */
const startLine = (run: string, config: string): string =>
  `start: { from: ${JSON.stringify(path.relative(path.dirname(config), run) || '.')} }`;
