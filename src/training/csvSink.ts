/** The sink that writes facts as `metrics.csv`, for spreadsheets: a row for every update and every evaluation. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { diskFailure } from '../checkpoint/diskFailure.ts';
import type { Sink } from './sinks.ts';

const columns = ['kind', 'step', 'loss', 'learningRate', 'gradientNorm', 'tokensPerSecond', 'elapsedMs', 'perplexity', 'bitsPerByte', 'tokens'] as const;

/**
 * Writes the file anew from `metrics.jsonl`, which a resumed run has cut to its checkpoint, and appends from then on.
 * @throws environmentFailure when the disk refuses
 */
export function openCsvSink(path: string, metricsPath: string, { everySteps }: { everySteps: number }): Sink {
  const guarded = <Result>(action: () => Result): Result => {
    try {
      return action();
    } catch (error) {
      throw diskFailure(error, 'write', path);
    }
  };
  const file = guarded(() => openSync(path, 'w'));
  const write = (text: string): void => void guarded(() => writeSync(file, text));
  const earlier = readFileSync(metricsPath, 'utf8').split('\n').slice(0, -1);
  write([columns.join(','), ...earlier.flatMap((line) => rowOf(JSON.parse(line) as Record<string, unknown>) ?? [])].map((row) => `${row}\n`).join(''));
  return {
    report: (fact) => {
      if (fact.kind === 'step' && fact.step % everySteps !== 0) return;
      const row = rowOf(fact as unknown as Record<string, unknown>);
      if (row !== undefined) write(`${row}\n`);
    },
    close: () => closeSync(file),
  };
}

/** Numbers and the two words need no quoting. */
function rowOf(record: Record<string, unknown>): string | undefined {
  if (record['kind'] !== 'step' && record['kind'] !== 'evaluation') return undefined;
  return columns.map((column) => record[column] ?? '').join(',');
}
