/** How fast this machine trains a model of some size: `clm bench` on an excerpt of the text. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { ExpectedError, type FailureKind } from '../../../../errors.ts';
import { modelParts, type ModelSize, type TokenizerChoice } from '../../../../experiments/startingChoices.ts';

/** Bytes that hold enough windows of every size. */
const excerptBytes = 1 << 19;

/**
 * Milliseconds of a training step. A tokenizer that is trained costs time, not speed: bytes stand in for it, with as
 * many rows in the embedding.
 * @param folder where the excerpt and the config are written
 * @throws an ExpectedError with the message of `clm bench`
 */
export async function msPerStep(
  folder: string,
  excerpt: Buffer,
  { microBatchSize, ...model }: ModelSize,
  { kind, vocabularySize }: TokenizerChoice,
): Promise<number> {
  const text = excerpt.subarray(0, excerptBytes).toString('utf8');
  writeFileSync(path.join(folder, 'excerpt.txt'), text.repeat(Math.ceil(excerptBytes / Math.max(1, excerpt.length))));
  const config = path.join(folder, 'measured.yaml');
  const isMade = kind === 'characters';
  const sections = {
    corpus: { sources: [{ path: 'excerpt.txt' }] },
    tokenizer: { kind: isMade ? 'characters' : 'bytes' },
    model: { ...modelParts, ...model, ...(!isMade && { vocabularySize: Math.max(257, vocabularySize) }) },
    training: { microBatchSize },
    optimizer: { kind: 'muon' },
  };
  writeFileSync(config, JSON.stringify(sections)); // JSON is YAML
  try {
    const args = [process.argv[1]!, 'bench', config, '--steps', '5', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { msPerStep: number }).msPerStep;
  } catch (error) {
    const { stderr, code } = error as { stderr?: string; code?: number };
    const message = /error: ([^]+)/.exec(String(stderr))?.[1]?.trim();
    const kinds: Record<number, FailureKind> = { 2: 'wrongInput', 3: 'environment' };
    const failure = kinds[code ?? 0];
    throw message === undefined || failure === undefined
      ? error
      : new ExpectedError(failure, message, { cause: error });
  }
}
