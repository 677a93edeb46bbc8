/**
 * Whether the processes of a group are about to train the same run: config, corpus, checkpoint, versions, and
 * processors that round alike. All ranks compare the same facts, so all refuse alike, and say what differs where.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { leafKeys } from '../../config/keys.ts';
import { renderKeyPath } from '../../config/located.ts';
import { withoutPaths } from '../../config/paths/relativePaths.ts';
import { configValue } from '../../config/resolved.ts';
import type { Config } from '../../config/schema.ts';
import { renderTokenizer } from '../../data/tokenizers/tokenizerFile.ts';
import { environmentFailure, wrongInput } from '../../errors.ts';
import type { ProcessGroup } from '../../processes/group.ts';
import { hasTileUnit, roundingFeatures, wantsKernels } from '../../processor.ts';
import { describeEnvironment } from '../../run/environment.ts';
import type { PreparedTraining, TrainingRequest } from '../prepare.ts';

/** What is known before the corpus is read. */
export interface StartFacts {
  clm: string;
  /** Paths aside: the files are compared by their content. */
  config: Config;
  resume: boolean;
  architecture: string;
  /** Instructions that change how sums are rounded. */
  processor: string[];
  kernels: string;
  cores: number;
}

export function startFacts(config: Config, { resume }: Pick<TrainingRequest, 'resume'>): StartFacts {
  const { versions, commit } = describeEnvironment({ device: null, tensorflow: null, threads: null });
  return {
    clm: commit === null ? versions.clm : `${versions.clm} (commit ${commit.slice(0, 12)})`,
    config: withoutPaths(config),
    resume,
    architecture: process.arch,
    processor: roundingFeatures(),
    kernels: wantsKernels() ? (hasTileUnit() ? "clm's, products on the tile unit" : "clm's") : "TensorFlow's",
    cores: os.availableParallelism(),
  };
}

/** Compares what the processes are about to train, before the corpus is read. @throws wrongInput if they differ */
export async function compareStart(group: ProcessGroup, own: StartFacts): Promise<StartFacts[]> {
  const all = await group.exchange('start', own);
  refuse(group, all, startDifference);
  return all;
}

/** What differs between rank 0 and another rank, in words; undefined if nothing does. */
export function startDifference(first: StartFacts, other: StartFacts): string | undefined {
  const differs = (what: string, a: unknown, b: unknown): string | undefined =>
    isDeepStrictEqual(a, b) ? undefined : `${what} is ${valueText(b)} there and ${valueText(a)} on rank 0`;
  const version = differs('the version of clm', first.clm, other.clm);
  if (version !== undefined) return version;
  const keys = leafKeys().flatMap((path) => {
    const [a, b] = [configValue(first.config, path), configValue(other.config, path)];
    const key = renderKeyPath(path);
    return ownKeys.includes(key) ? [] : (differs(key, a, b) ?? []);
  });
  if (keys.length > 0) return keys.join('; ');
  const missing = first.processor.filter((feature) => !other.processor.includes(feature));
  const added = other.processor.filter((feature) => !first.processor.includes(feature));
  const processor =
    missing.length + added.length > 0
      ? 'its processor rounds otherwise: ' +
        [
          ...(missing.length > 0 ? [`it lacks ${missing.join(', ')}, which rank 0 has`] : []),
          ...(added.length > 0 ? [`it has ${added.join(', ')}, which rank 0 lacks`] : []),
        ].join('; ')
      : undefined;
  return (
    differs('--resume', first.resume, other.resume) ??
    differs('the architecture', first.architecture, other.architecture) ??
    differs('the choice of operations', first.kernels, other.kernels) ??
    processor
  );
}

/** Keys that do not change what is computed, or that concern rank 0 alone. */
const ownKeys: readonly string[] = ['corpus.workers', 'corpus.cache', 'device'];

/** What is known once the corpus is read. */
export interface PreparedFacts {
  files: { name: string; bytes: number; sha256: string }[];
  trainingTokens: number;
  validationTokens: number;
  tokenizer: string;
  /** Step of the checkpoint to continue from, and the hash of its state; step 0 without one. */
  step: number;
  checkpoint: string | null;
  steps: number;
}

export function preparedFacts({ manifest, tokenizer, progress, resumedFrom, startsFrom, plan }: PreparedTraining) {
  const from = resumedFrom ?? startsFrom;
  return {
    files: manifest.files.map(({ path, bytes, sha256 }) => ({ name: path.replace(/.*\//, ''), bytes, sha256 })),
    trainingTokens: manifest.trainingTokens,
    validationTokens: manifest.validationTokens,
    tokenizer: createHash('sha256').update(renderTokenizer(tokenizer)).digest('hex'),
    step: progress.step,
    checkpoint:
      from === undefined
        ? null
        : createHash('sha256')
            .update(readFileSync(`${from}/state.json`))
            .digest('hex'),
    steps: plan.steps,
  } satisfies PreparedFacts;
}

/** Compares what the processes have read. @throws wrongInput if it differs */
export async function comparePrepared(group: ProcessGroup, own: PreparedFacts): Promise<void> {
  refuse(group, await group.exchange('corpus', own), preparedDifference);
}

export function preparedDifference(first: PreparedFacts, other: PreparedFacts): string | undefined {
  if (first.files.length !== other.files.length)
    return `the corpus has ${other.files.length} files there and ${first.files.length} on rank 0`;
  const at = first.files.findIndex(({ bytes, sha256 }, i) => {
    const file = other.files[i]!;
    return file.bytes !== bytes || file.sha256 !== sha256;
  });
  if (at >= 0) {
    const [a, b] = [first.files[at]!, other.files[at]!];
    const size = a.bytes === b.bytes ? 'other content' : `${b.bytes} bytes there and ${a.bytes} on rank 0`;
    return `the corpus differs: ${b.name} has ${size}`;
  }
  if (first.tokenizer !== other.tokenizer) return 'the tokenizer is another one';
  for (const count of ['trainingTokens', 'validationTokens', 'steps'] as const)
    if (first[count] !== other[count]) return `${count} is ${other[count]} there and ${first[count]} on rank 0`;
  if (first.step !== other.step)
    return `the checkpoint to continue from is that of step ${other.step} there and of step ${first.step} on rank 0`;
  return first.checkpoint === other.checkpoint ? undefined : 'the checkpoint to continue from is another one';
}

/** Compares what the sessions compute with. @throws environmentFailure if it differs */
export async function compareSessions(group: ProcessGroup, own: { tensorflow: string; operations: string }) {
  const all = await group.exchange('session', own);
  const other = all.findIndex((each) => !isDeepStrictEqual(each, all[0]));
  if (other < 0) return;
  const text = ({ tensorflow, operations }: typeof own): string =>
    `TensorFlow ${tensorflow} with ${operations} operations`;
  const refusal = environmentFailure(
    `${placeOf(group, other)} computes with ${text(all[other]!)}, rank 0 with ${text(all[0]!)}: results would differ.`,
  );
  refusal.isShared = true;
  throw refusal;
}

function refuse<Facts>(
  group: ProcessGroup,
  all: readonly Facts[],
  differenceOf: (first: Facts, other: Facts) => string | undefined,
): void {
  const lines = all.flatMap((each, rank) => {
    const difference = rank === 0 ? undefined : differenceOf(all[0]!, each);
    return difference === undefined ? [] : [`${placeOf(group, rank)}: ${difference}.`];
  });
  if (lines.length === 0) return;
  const refusal = wrongInput(`The processes would not train the same run.\n${lines.join('\n')}`);
  refusal.isShared = true;
  throw refusal;
}

const placeOf = ({ identities }: ProcessGroup, rank: number): string => `rank ${rank} (on ${identities[rank]!.host})`;

const valueText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
