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
import { prepareTokenizer } from '../data/prepareTokenizer.ts';
import { countTokens } from '../data/tokens.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { planRun, type RunPlan } from './plan.ts';

export interface TrainingRequest {
  configPath: string | undefined;
  runDirectory: string | undefined;
  set: readonly string[];
  resume: boolean;
}

export interface PreparedTraining {
  config: Config;
  corpus: Corpus;
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
  const { tokenizer, trainingTokens } = checkpoint
    ? await readTokenizer(checkpoint, corpus)
    : await prepareTokenizer(config.tokenizer, corpus);
  const plan = planRun(config, { vocabularySize: tokenizer.vocabularySize, trainingTokens });
  assertPrompt(config, tokenizer);
  const startStep = checkpoint?.step ?? 0;
  if (startStep > plan.steps) {
    throw wrongInput(`training.steps is ${plan.steps}, but ${runDirectory} has made ${startStep} steps already.`);
  }
  const isFinished = checkpoint !== undefined && startStep === plan.steps;
  return { config, corpus, tokenizer, plan, runDirectory, checkpoint, skipped, startStep, isFinished };
}

/** The config and the run directory: each may follow from the other. */
function findConfig({ configPath, runDirectory, set, resume }: TrainingRequest): { config: Config; runDirectory: string } {
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

/** Only what leaves the past steps as they were may change. */
function assertMayResume(checkpoint: Checkpoint, config: Config, runDirectory: string): void {
  const before = parseResolvedConfig(checkpoint.configText, path.join(checkpoint.path, 'config.yaml'));
  const differences = resumeDifferences(before, config);
  if (differences.length === 0) return;
  throw wrongInput(
    `${runDirectory} was started with another ${differences.join(', ')}. Resuming may change only training.steps, ` +
      'schedule, evaluation, checkpoints, samples and reports; start a new run with --run for anything else.',
  );
}

async function readTokenizer(
  checkpoint: Checkpoint,
  corpus: Corpus,
): Promise<{ tokenizer: Tokenizer; trainingTokens: number }> {
  const tokenizer = tokenizerFromFile(checkpoint.tokenizerText, path.join(checkpoint.path, 'tokenizer.json'));
  return { tokenizer, trainingTokens: await countTokens(corpus, corpus.training, tokenizer) };
}

function assertPrompt({ samples }: Config, tokenizer: Tokenizer): void {
  if (samples.prompt === '') throw wrongInput('samples.prompt is empty: there is nothing to continue.');
  try {
    tokenizer.encode(samples.prompt);
  } catch (error) {
    throw wrongInput(`samples.prompt: ${(error as Error).message}`, { cause: error });
  }
}
