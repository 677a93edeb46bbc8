/**
 * Rows 1 to 5 of the walk for a run: config, corpus, tokenizer, plan and, when resuming, the checkpoint.
 * Everything that can be refused is refused here: nothing native has been loaded and nothing written.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { newestValidCheckpoint, type SkippedCheckpoint } from '../checkpoint/newest.ts';
import { assertFreshStart } from '../checkpoint/runDirectory.ts';
import { runPaths } from '../checkpoint/runPaths.ts';
import { loadConfig, parseResolvedConfig } from '../config/load.ts';
import { resumeDifferences } from '../config/resolved.ts';
import type { Config } from '../config/schema.ts';
import { openCorpus, type Corpus } from '../data/corpus.ts';
import { corpusManifest, parseManifest, refuseChangedCorpus, type CorpusManifest } from '../data/manifest.ts';
import { prepareTokenizer } from '../data/prepareTokenizer.ts';
import { countTokens } from '../data/tokens.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { samplePrompt } from '../sampling/samplePrompt.ts';
import { planRun, type RunPlan } from './plan.ts';
import { isExhausted, parseValidationHistory } from './validationHistory.ts';

export interface TrainingRequest {
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
  checkpoint: Checkpoint | undefined;
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
  if (checkpoint) assertMayResume(checkpoint, config, runDirectory);
  if (request.resume && !checkpoint) await assertFreshStart(runDirectory);

  const corpus = await openCorpus(config.corpus);
  if (corpus.separatesDocuments !== true && corpus.validation.endByte - corpus.validation.startByte < 2) {
    throw wrongInput('The validation text has less than two tokens. Raise corpus.validation.tail or add text to corpus.sources.');
  }
  const { tokenizer, manifest } = checkpoint
    ? await readTokenizer(checkpoint, corpus, runDirectory)
    : await freshTokenizer(config, corpus);
  const { trainingTokens } = manifest;
  const plan = planRun(config, { vocabularySize: tokenizer.vocabularySize, trainingTokens });
  samplePrompt(config, tokenizer);
  const startStep = checkpoint?.step ?? 0;
  if (startStep > plan.steps) {
    throw wrongInput(`training.steps is ${plan.steps}, but ${runDirectory} has made ${startStep} steps already.`);
  }
  const history = parseValidationHistory(checkpoint?.state['validation'], runDirectory);
  const isFinished =
    (startStep === plan.steps && hasFinalEvaluation(runDirectory, startStep)) || isExhausted(history, config.evaluation.patience);
  return { config, corpus, manifest, tokenizer, plan, runDirectory, checkpoint, skipped, startStep, isFinished };
}

/**
 * The config and the run directory: each may follow from the other.
 * @throws wrong input where neither can be told, or the config is none
 */
export function findConfig({ configPath, runDirectory, set, resume }: TrainingRequest): { config: Config; runDirectory: string } {
  if (runDirectory === '') throw wrongInput('--run is empty. Name a directory, or leave --run out for runs/<name>.');
  if (configPath !== undefined) {
    const config = loadConfig(configPath, { set });
    return { config, runDirectory: path.resolve(runDirectory ?? path.join('runs', config.name)) };
  }
  if (runDirectory === undefined || !resume) {
    throw wrongInput('A config is missing: clm train CONFIG, or to continue a run: clm train --run DIR --resume');
  }
  const file = runPaths(runDirectory).config;
  if (!existsSync(file)) throw wrongInput(`There is no run at ${runDirectory}: it has no config.yaml. Give the config to start one.`);
  const config = set.length > 0 ? loadConfig(file, { set }) : parseResolvedConfig(readFileSync(file, 'utf8'), file);
  return { config, runDirectory: path.resolve(runDirectory) };
}

/** A stop during the last evaluation leaves a run that still has it to do. */
function hasFinalEvaluation(runDirectory: string, step: number): boolean {
  const { metrics } = runPaths(runDirectory);
  return existsSync(metrics) && readFileSync(metrics, 'utf8').includes(`{"kind":"evaluation","step":${step},`);
}

/** Only what leaves the past steps as they were may change. */
function assertMayResume(checkpoint: Checkpoint, config: Config, runDirectory: string): void {
  const before = parseResolvedConfig(checkpoint.configText, path.join(checkpoint.path, 'config.yaml'));
  const differences = resumeDifferences(before, config).filter((key) => key !== 'device');
  if (differences.length === 0) return;
  throw wrongInput(
    `${runDirectory} was started with another ${differences.join(', ')}. Resuming may change only device, the length, ` +
      'schedule, evaluation, checkpoints, samples and reports; start a new run with --run for anything else.',
  );
}

async function freshTokenizer(config: Config, corpus: Corpus): Promise<{ tokenizer: Tokenizer; manifest: CorpusManifest }> {
  const { tokenizer, ...tokens } = await prepareTokenizer(config.tokenizer, corpus);
  return { tokenizer, manifest: await corpusManifest(corpus, tokens) };
}

/** The tokenizer of a checkpoint, for a corpus that has not changed; only a run without a manifest counts its tokens again. */
async function readTokenizer(
  checkpoint: Checkpoint,
  corpus: Corpus,
  runDirectory: string,
): Promise<{ tokenizer: Tokenizer; manifest: CorpusManifest }> {
  const tokenizer = tokenizerFromFile(checkpoint.tokenizerText, path.join(checkpoint.path, 'tokenizer.json'));
  const file = runPaths(runDirectory).corpus;
  if (existsSync(file)) {
    const before = parseManifest(readFileSync(file, 'utf8'), file);
    refuseChangedCorpus(before, await corpusManifest(corpus, before));
    return { tokenizer, manifest: before };
  }
  const trainingTokens = await countTokens(corpus, corpus.training, tokenizer);
  const validationTokens = await countTokens(corpus, corpus.validation, tokenizer);
  return { tokenizer, manifest: await corpusManifest(corpus, { trainingTokens, validationTokens }) };
}
