/**
 * The reference of preference pairs: the log-probabilities of their completions under the base of the adapter, or under
 * the weights that the run starts from. Each is computed once, before the first step, and kept in `reference.jsonl` of
 * the run, so that resuming computes none again. Several processes share the work; rank 0 alone has the file:
 *
 *   {"reference": SHA-256 of the weights, "precision", "weights"}
 *   {"row": hash of the tokens and the loss mask of a conversation, "logProbability"} …
 *   {"rows": number}                                 once all are there
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { readState } from '../checkpoint/checkpointFiles.ts';
import type { Config } from '../config/schema.ts';
import type { Corpus } from '../data/files/corpus.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { validationBatches, type MicroBatch } from '../data/windows/batches.ts';
import { wrongInput } from '../errors.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import type { ParameterRoles } from '../model/trainedParameters.ts';
import { completeLines, type Evaluation } from '../run/metrics.ts';
import { runPaths } from '../run/runPaths.ts';
import type { Session } from '../runtime/session.ts';
import { openAppended, type AppendedFile } from '../storage/appendedFile.ts';
import { replaceFileDurably } from '../storage/durable.ts';
import type { PreparedTraining } from './prepare.ts';
import type { Report } from './sinks/facts.ts';
import { evaluatedShape, recordEvaluation } from './step/evaluation.ts';
import { evaluationShare } from './step/sharedEvaluation.ts';
import {
  microBatchFeeds,
  microBatchInputs,
  microBatchRowLosses,
  type ScoredMicroBatch,
} from './step/microBatchLoss.ts';
import { readFrozen } from './step/update.ts';

export interface Reference {
  /**
   * Computes what is missing of all pairs, training and validation. The run directory must exist.
   * @throws wrongInput if something is missing and the weights of the reference are no longer in the session
   */
  complete(signal: AbortSignal, report: Report): Promise<void>;
  /** A micro-batch with its values. */
  of(microBatch: MicroBatch): ScoredMicroBatch;
}

type ReferenceRun = Pick<
  PreparedTraining,
  'config' | 'corpus' | 'tokenizer' | 'runDirectory' | 'base' | 'startsFrom' | 'resumedFrom'
>;

/** Records the program of the reference over the session's variables. */
export function openReference(session: Session, run: ReferenceRun, { trained, frozen }: ParameterRoles): Reference {
  const { config, corpus, tokenizer, base, resumedFrom } = run;
  const { contextLength } = config.model;
  const { microBatchSize } = config.training;
  const file = runPaths(run.runDirectory).reference;
  const known = new Map<string, number>();
  // Without its adapter the model is the base.
  const shape = { ...evaluatedShape(session, config, microBatchSize), adapter: null };
  const program = session.program('reference', microBatchInputs(shape), (feeds, variables) => {
    const own = base ? [] : trained.map(({ name }) => [name, variables.read(name)] as const);
    const parameters = { ...readFrozen(variables, frozen), ...Object.fromEntries(own) };
    return { losses: microBatchRowLosses(parameters, feeds, shape) };
  });
  const options = { contextLength, microBatchSize };
  const allBatches = async function* (): AsyncGenerator<MicroBatch, void, void> {
    yield* validationBatches({ ...corpus, validation: corpus.training, mixture: undefined }, tokenizer, options);
    yield* validationBatches(corpus, tokenizer, options);
  };
  const share = evaluationShare(session, 'referenced');
  const isKeeper = share.rank === 0;
  /** The values of a micro-batch, computed if one of them is not known. */
  const valuesOf = async (batch: MicroBatch): Promise<Float32Array> => {
    const found = referenceOf(batch, known, options);
    if (found?.pairs !== undefined) return found.pairs.reference;
    const { losses } = await program.run(microBatchFeeds(withReference(batch, microBatchSize)));
    return losses.map((loss) => -loss);
  };
  return {
    complete: async (signal, report) => {
      const header = isKeeper ? await headerOf(run) : '';
      const canCompute = resumedFrom === undefined || base !== undefined;
      const isComplete = isKeeper && readValues(file, header, known, !canCompute);
      if (isComplete && share.processes === 1) return;
      if (isKeeper && !isComplete && !canCompute)
        throw wrongInput(
          `${file} is missing or not complete. It holds what the weights that the run started from say of the pairs, ` +
            'and these weights have been trained since. Restore it from a copy, or start a new run.',
        );
      let pairs = 0;
      const found: Float32Array[] = [];
      for await (const batch of allBatches()) {
        pairs += pairWeights(batch, microBatchSize).count;
        found.push(Float32Array.of(referenceOf(batch, known, options) === undefined ? 0 : 1));
      }
      const isFound = await share.exchange(isKeeper ? found : found.map(() => undefined), 1);
      const output = isKeeper && !isComplete ? await beginFile(file, header, known) : undefined;
      try {
        let done = 0;
        let index = 0;
        // What is exchanged at a time: it is kept if the run is then stopped.
        const round: { batch: MicroBatch; values: Float32Array | undefined }[] = [];
        const endRound = async (): Promise<void> => {
          const all = await share.exchange(
            round.map(({ values }) => values),
            2 * microBatchSize,
          );
          for (const [i, { batch }] of round.splice(0).entries()) {
            const { count } = pairWeights(batch, microBatchSize);
            for (const [row, key] of rowKeys(batch, contextLength)
              .slice(0, 2 * count)
              .entries()) {
              if (known.has(key)) continue;
              known.set(key, all[i]![row]!);
              output?.append(`${lineOf(key, all[i]![row]!)}\n`);
            }
            if (!isComplete) report({ kind: 'reference', done: (done += count), pairs });
          }
        };
        for await (const batch of allBatches()) {
          const isOwn = isFound[index]![0] === 1 ? isKeeper : share.isOwn(index);
          round.push({ batch, values: isOwn ? await valuesOf(batch) : undefined });
          index++;
          if (round.length < roundOf(share.processes)) continue;
          await endRound();
          if (await share.isBrokenOff(signal.aborted)) return;
        }
        await endRound();
        output?.append(`${JSON.stringify({ rows: known.size })}\n`);
      } finally {
        output?.close();
      }
    },
    of: (batch) => {
      const found = referenceOf(batch, known, options);
      if (found === undefined) throw new Error('the reference does not know a pair');
      return found;
    },
  };
}

/**
 * Evaluates a model on the validation pairs of its run.
 *
 * @param model whose session holds all parameters of the table, an adapter merged into them
 * @param runDirectory with the values of the reference
 * @throws wrongInput if the reference of the run has not scored these pairs
 */
export async function evaluatePreferences(
  { config, session, table, tokenizer }: EvaluatedModel,
  corpus: Corpus,
  runDirectory: string,
): Promise<Evaluation> {
  const { contextLength } = config.model;
  const { microBatchSize } = config.training;
  const file = runPaths(runDirectory).reference;
  const known = new Map<string, number>();
  readValues(file, '', known, true);
  const scored = async function* (): AsyncGenerator<ScoredMicroBatch, void, void> {
    for await (const batch of validationBatches(corpus, tokenizer, { contextLength, microBatchSize })) {
      const found = referenceOf(batch, known, { contextLength, microBatchSize });
      if (found === undefined)
        throw wrongInput(
          `${file} does not have what the reference says of these validation pairs: it is missing, or they are not ` +
            'those of the run. Restore it or the pairs; --text and --file score texts without a reference.',
        );
      yield found;
    }
  };
  const merged = { ...config, adapter: { ...config.adapter, kind: null } };
  return (await recordEvaluation(session, merged, table, microBatchSize)(scored(), tokenizer))!;
}

interface EvaluatedModel {
  config: Config;
  session: Session;
  table: readonly ParameterSpec[];
  tokenizer: Tokenizer;
}

/** Micro-batches between two exchanges of several processes; one alone keeps every value at once. */
const roundOf = (processes: number): number => (processes === 1 ? 1 : 8 * processes);

/** What a process that was stopped has computed is kept, but for a line that is not whole. */
async function beginFile(file: string, header: string, known: ReadonlyMap<string, number>): Promise<AppendedFile> {
  const kept = [header, ...Array.from(known, ([row, value]) => lineOf(row, value))];
  await replaceFileDurably(file, (temporaryPath) => writeFile(temporaryPath, `${kept.join('\n')}\n`));
  return openAppended(file);
}

const lineOf = (row: string, logProbability: number): string => JSON.stringify({ row, logProbability });

/** What the values depend on besides the rows. */
async function headerOf({ config, base, startsFrom }: ReferenceRun): Promise<string> {
  const sha256 = base?.sha256 ?? (startsFrom && (await readState(startsFrom)).files['model.safetensors'].sha256);
  return JSON.stringify({ reference: sha256, precision: config.training.precision, weights: config.start.weights });
}

/**
 * Reads the values of a file, if it has this header or any will do. The last line of a process that was killed may be
 * incomplete.
 * @returns whether it is complete
 */
function readValues(file: string, header: string, known: Map<string, number>, anyHeader: boolean): boolean {
  let isFirst = true;
  for (const bytes of completeLines(file)) {
    for (const line of bytes.toString('utf8').split('\n').slice(0, -1)) {
      if (isFirst && line !== header && !anyHeader) return false;
      isFirst = false;
      const { row, logProbability, rows } = parsed(line);
      if (typeof row === 'string' && typeof logProbability === 'number') known.set(row, logProbability);
      if (rows === known.size) return true;
    }
  }
  return false;
}

function parsed(line: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(line)) as Record<string, unknown>;
  } catch {
    return {}; // damaged: what it said is computed again
  }
}

/** A micro-batch with known values; undefined if some are not known. */
function referenceOf(
  batch: MicroBatch,
  known: ReadonlyMap<string, number>,
  { contextLength, microBatchSize }: { contextLength: number; microBatchSize: number },
): ScoredMicroBatch | undefined {
  const { count } = pairWeights(batch, microBatchSize);
  const values = rowKeys(batch, contextLength).map((key, row) => (row < 2 * count ? known.get(key) : 0));
  if (values.includes(undefined)) return undefined;
  return withReference(batch, microBatchSize, Float32Array.from(values as number[]));
}

/** Names each row of a micro-batch by its content. */
function rowKeys({ inputs, targets, lossMask }: MicroBatch, contextLength: number): string[] {
  return Array.from({ length: inputs.length / contextLength }, (_, row) => {
    const hash = createHash('sha256');
    for (const array of [inputs, targets, lossMask])
      hash.update(array.subarray(row * contextLength, (row + 1) * contextLength));
    return hash.digest('hex').slice(0, 32);
  });
}

/** A micro-batch of preference pairs with the log-probabilities of the reference, by default 0: for measurements. */
export const withReference = (
  batch: MicroBatch,
  microBatchSize: number,
  reference = new Float32Array(2 * microBatchSize),
): ScoredMicroBatch => ({ ...batch, pairs: { reference, ...pairWeights(batch, microBatchSize) } });

/** The pairs of a micro-batch come first; padding, in which nothing counts, comes after them. */
function pairWeights({ lossMask }: MicroBatch, microBatchSize: number): { weights: Float32Array; count: number } {
  const places = lossMask.length / microBatchSize;
  const weights = Float32Array.from({ length: microBatchSize }, (_, pair) =>
    lossMask.subarray(pair * places, (pair + 1) * places).includes(1) ? 1 : 0,
  );
  return { weights, count: weights.reduce((sum, weight) => sum + weight, 0) };
}
