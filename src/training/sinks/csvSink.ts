/** The sink that writes facts as `metrics.csv`, for spreadsheets: a row for every update and every evaluation. */
import { open } from 'node:fs/promises';
import { openAppended } from '../../storage/appendedFile.ts';
import { replaceFileDurably } from '../../storage/durable.ts';
import { completeLines } from '../../run/metrics.ts';
import type { Sink } from './facts.ts';

const columns = [
  'kind',
  'step',
  'loss',
  'learningRate',
  'gradientNorm',
  'tokensPerSecond',
  'elapsedMs',
  'perplexity',
  'bitsPerByte',
  'tokens',
] as const;

/**
 * Writes the file anew from `metrics.jsonl`, which a resumed run has cut to its checkpoint, and appends from then on.
 * Until the new file is whole the old one stands.
 * @throws environmentFailure when the disk refuses
 */
export async function openCsvSink(
  path: string,
  metricsPath: string,
  { everySteps, warn }: { everySteps: number; warn: (message: string) => void },
): Promise<Sink> {
  await replaceFileDurably(path, async (temporaryPath) => {
    const copy = await open(temporaryPath, 'wx');
    try {
      await copy.writeFile(`${columns.join(',')}\n`);
      for await (const lines of completeLines(metricsPath)) {
        await copy.writeFile(lines.map((line) => rowOf(JSON.parse(line) as Record<string, unknown>)).join(''));
      }
    } finally {
      await copy.close();
    }
  });
  const file = openAppended(path, warn);
  return {
    report: (fact) => {
      if (fact.kind === 'saving') file.flush();
      else if (fact.kind !== 'step' || fact.step % everySteps === 0)
        file.append(rowOf(fact as unknown as Record<string, unknown>));
    },
    close: file.close,
  };
}

/** A line, or nothing for what has no row. Numbers and the two words need no quoting. */
function rowOf(record: Record<string, unknown>): string {
  if (record['kind'] !== 'step' && record['kind'] !== 'evaluation') return '';
  return `${columns.map((column) => record[column] ?? '').join(',')}\n`;
}
