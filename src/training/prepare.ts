/**
 * Rows 1 to 5 of the walk for a run: config, corpus, tokenizer, plan and, when resuming, the checkpoint.
 * Everything that can be refused is refused here: nothing native has been loaded and nothing written.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { loadCheckpoint, type Checkpoint } from '../checkpoint/checkpoint.ts';
import { resolveCheckpoint } from '../run/findCheckpoint.ts';
import { newestValidCheckpoint, type SkippedCheckpoint } from '../checkpoint/newest.ts';
import { assertFreshStart } from '../run/runDirectory.ts';
import { runPaths } from '../run/runPaths.ts';
import { readRunStatus } from '../run/status.ts';
import { loadConfig, parseResolvedConfig } from '../config/load.ts';
import { resumeDifferences } from '../config/resolved.ts';
import type { Config } from '../config/schema.ts';
import type { Corpus } from '../data/files/corpus.ts';
import { corpusManifest, parseManifest, refuseChangedCorpus, type CorpusManifest } from '../data/manifest.ts';
import { openCorpus } from '../data/files/openCorpus.ts';
import { countCorpus, prepareTokenizer } from '../data/tokens/prepareTokenizer.ts';
import { hasLossTokens } from '../data/tokens/tokens.ts';
import type { CachedCorpus } from '../data/tokens/tokenCache.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { supplyOptions, trainingSupply } from '../data/windows/trainingSupply.ts';
import { wrongInput } from '../errors.ts';
import { defaultPrompt } from '../sampling/requests.ts';
import { planRun, refuseTooLarge, type RunPlan } from './plan/plan.ts';
import { isExhausted, parseValidationHistory } from './validationHistory.ts';

interface TrainingRequest {
  configPath: string | undefined;
  runDirectory: string | undefined;
  set: readonly string[];
  resume: boolean;
}

export interface PreparedTraining {
  config: Config;
  corpus: Corpus;
  manifest: CorpusManifest;
  tokenizer: Tokenizer;
  plan: RunPlan;
  runDirectory: string;
  /** Where to continue from; undefined for a fresh run. */
  checkpoint: Checkpoint | undefined;
  /** Whose weights a fresh run begins with (`start.from`). */
  start: Checkpoint | undefined;
  skipped: SkippedCheckpoint[];
  startStep: number;
  isFinished: boolean;
}

/** @throws wrong input where the config, the corpus, the run directory or its checkpoints do not allow the run */
export async function prepareTraining(request: TrainingRequest): Promise<PreparedTraining> {
  const { config, runDirectory } = findConfig(request);
  if (!request.resume) await assertFreshStart(runDirectory);
  const { checkpoint, skipped } = request.resume
    ? await newestValidCheckpoint(runDirectory)
    : { checkpoint: undefined, skipped: [] };
  if (!checkpoint && skipped.length > 0) {
    throw wrongInput(
      `${runDirectory}: every checkpoint is damaged, the newest: ${skipped[0]!.reason} ` +
        'Move the checkpoints folder away to start again from step 0.',
    );
  }
  if (checkpoint?.state['imported'] !== undefined) {
    throw wrongInput(
      `${runDirectory} was imported: it has no optimizer to go on with. Train a new run from it: start: { from: ${runDirectory} } in a config.`,
    );
  }
  if (checkpoint) assertMayResume(checkpoint, config, runDirectory);
  if (request.resume && !checkpoint) await assertFreshStart(runDirectory);

  const opened = await openCorpus(config.corpus);
  if (opened.separatesDocuments !== true && opened.validation.endByte - opened.validation.startByte < 2) {
    throw wrongInput(
      'The validation text has less than two tokens. Raise corpus.validation.tail or add text to corpus.sources.',
    );
  }
  const start = checkpoint || config.start.from === null ? undefined : await loadStart(config.start.from);
  const { tokenizer, corpus, manifest } = checkpoint
    ? await readTokenizer(checkpoint, opened, config, runPaths(runDirectory).corpus)
    : start
      ? await readTokenizer(start, opened, config, null)
      : await freshTokenizer(config, opened);
  const { trainingTokens, validationTokens, supply } = manifest;
  if (validationTokens < 2) {
    throw wrongInput(
      `The validation part has ${validationTokens} token${validationTokens === 1 ? '' : 's'}, nothing to score. ` +
        'Raise corpus.validation.hash or tail, or name a longer file in corpus.validation.path.',
    );
  }
  if (checkpoint === undefined) await refuseValidationWithoutLoss(corpus, tokenizer);
  const plan = planRun(config, { vocabularySize: tokenizer.vocabularySize, trainingTokens, supply });
  refuseTooLarge(plan);
  defaultPrompt(config, tokenizer);
  const startStep = checkpoint?.step ?? 0;
  if (startStep > plan.steps) {
    throw wrongInput(`training.steps is ${plan.steps}, but ${runDirectory} has made ${startStep} steps already.`);
  }
  const history = parseValidationHistory(checkpoint?.state['validation'], runDirectory);
  const isAtEnd = startStep === plan.steps || isExhausted(history, config.evaluation.patience);
  const isFinished = isAtEnd && (await isRecordedAsDone(runDirectory, startStep));
  return { config, corpus, manifest, tokenizer, plan, runDirectory, checkpoint, start, skipped, startStep, isFinished };
}

/**
 * The config and the run directory: each may follow from the other.
 * @throws wrong input where neither can be told, or the config is none
 */
export function findConfig({ configPath, runDirectory, set, resume }: TrainingRequest): {
  config: Config;
  runDirectory: string;
} {
  if (runDirectory === '') throw wrongInput('--run is empty. Name a directory, or leave --run out for runs/<name>.');
  const resumed = resume ? (name: string) => runPaths(runDirectory ?? path.join('runs', name)).config : undefined;
  if (configPath !== undefined) {
    const config = loadConfig(configPath, { set, resumed });
    return { config, runDirectory: path.resolve(runDirectory ?? path.join('runs', config.name)) };
  }
  if (runDirectory === undefined || !resume) {
    throw wrongInput('A config is missing: clm train CONFIG, or to continue a run: clm train --run DIR --resume');
  }
  const file = runPaths(runDirectory).config;
  if (!existsSync(file))
    throw wrongInput(`There is no run at ${runDirectory}: it has no config.yaml. Give the config to start one.`);
  const config =
    set.length > 0 ? loadConfig(file, { set, resumed }) : parseResolvedConfig(readBounded(file).toString('utf8'), file);
  return { config, runDirectory: path.resolve(runDirectory) };
}

/** Prompts alone cannot be scored; where there are none, the number of tokens says enough. */
async function refuseValidationWithoutLoss(corpus: Corpus, tokenizer: Tokenizer): Promise<void> {
  if (corpus.hasPairs !== true || (await hasLossTokens(corpus, corpus.validation, tokenizer))) return;
  throw wrongInput(
    'The validation part has no token to score: every completion in it is empty. Raise corpus.validation.hash or tail, or ' +
      'mend the completions.',
  );
}

/**
 * A stop during the last evaluation leaves a run that still has it to do, and a kill right after the last save one
 * whose log lacks that checkpoint: both are resumed, and then end at once.
 */
async function isRecordedAsDone(runDirectory: string, step: number): Promise<boolean> {
  const status = readRunStatus(runDirectory);
  return status?.state === 'done' && status.step === step;
}

/** The weights that `start.from` names: those of a run's last checkpoint, or of one checkpoint. */
const loadStart = async (from: string): Promise<Checkpoint> =>
  loadCheckpoint(await resolveCheckpoint(from, 'last'), { optimizer: false });

/** Only what leaves the past steps as they were may change. */
function assertMayResume(checkpoint: Checkpoint, config: Config, runDirectory: string): void {
  const before = parseResolvedConfig(checkpoint.configText, path.join(checkpoint.path, 'config.yaml'));
  const differences = resumeDifferences(before, config).filter((key) => key !== 'device');
  if (differences.length === 0) return;
  throw wrongInput(
    `${runDirectory} was started with another ${differences.join(', ')}. Resuming may change only device, the length, ` +
      'schedule, evaluation, checkpoints, samples, reports, corpus.workers and corpus.cache; start a new run with --run for anything else.',
  );
}

type PreparedText = Pick<PreparedTraining, 'tokenizer' | 'corpus' | 'manifest'>;

async function freshTokenizer(config: Config, opened: Corpus): Promise<PreparedText> {
  const { tokenizer, ...counted } = await prepareTokenizer(config.tokenizer, opened, config.corpus);
  return { tokenizer, corpus: counted.corpus, manifest: await manifestOf(config, tokenizer, counted) };
}

async function manifestOf(
  config: Config,
  tokenizer: Tokenizer,
  { corpus, sourceTokens, ...tokens }: CachedCorpus,
): Promise<CorpusManifest> {
  return corpusManifest(corpus, {
    ...tokens,
    supply: await trainingSupply(corpus, tokenizer, supplyOptions(config), sourceTokens),
  });
}

/**
 * The tokenizer of a checkpoint, for a corpus that has not changed since; only where there is no manifest of it, or a
 * token cache that is not filled yet, are the tokens counted.
 */
async function readTokenizer(
  checkpoint: Checkpoint,
  opened: Corpus,
  config: Config,
  manifestPath: string | null,
): Promise<PreparedText> {
  const tokenizer = tokenizerFromFile(checkpoint.tokenizerText, path.join(checkpoint.path, 'tokenizer.json'));
  if (manifestPath !== null && existsSync(manifestPath)) {
    const before = parseManifest(readBounded(manifestPath).toString('utf8'), manifestPath);
    refuseChangedCorpus(before, await corpusManifest(opened, before));
    const corpus = config.corpus.cache === null ? opened : (await countCorpus(opened, tokenizer, config.corpus)).corpus;
    return { tokenizer, corpus, manifest: before };
  }
  const counted = await countCorpus(opened, tokenizer, config.corpus);
  return { tokenizer, corpus: counted.corpus, manifest: await manifestOf(config, tokenizer, counted) };
}
