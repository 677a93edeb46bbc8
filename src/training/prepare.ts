/**
 * What a run needs before anything native is loaded or written: config, corpus, tokenizer, plan and, when resuming, the
 * checkpoint. Everything that can be refused is refused here.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { baseToPin, findBase, pinnedBase, refuseAdapter, type AdapterBase } from '../checkpoint/adapterBase.ts';
import {
  loadCheckpoint,
  newestValidCheckpoint,
  openCheckpoint,
  type Checkpoint,
  type SkippedCheckpoint,
} from '../checkpoint/checkpoint.ts';
import { readState } from '../checkpoint/checkpointFiles.ts';
import type { ConfigSource } from '../config/layers.ts';
import { loadConfig, parseResolvedConfig } from '../config/load.ts';
import { pathNotes, placedConfig, type PathChoice, type PlacedConfig } from '../config/paths/absolutePaths.ts';
import type { Config } from '../config/schema.ts';
import { today, withChatFormat } from '../data/chat/corpusChats.ts';
import type { Corpus } from '../data/files/corpus.ts';
import { corpusManifest, refuseChangedCorpus, type CorpusManifest } from '../data/manifest.ts';
import { openRunCorpus, type RunCorpus } from '../data/runCorpus.ts';
import { countCorpus } from '../data/tokens/prepareTokenizer.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import {
  refuseFewValidationTokens,
  refuseShortValidation,
  refuseValidationWithoutLoss,
} from '../data/validationPart.ts';
import { DamagedCheckpointError, wrongInput } from '../errors.ts';
import { otherConfigOf, refuseOtherConfig } from '../run/configFile.ts';
import { resolveCheckpoint } from '../run/findCheckpoint.ts';
import { assertFreshStart, directoryState } from '../run/runDirectory.ts';
import { runPaths } from '../run/runPaths.ts';
import { readRunStatus } from '../run/status.ts';
import { defaultPrompt } from '../sampling/requests.ts';
import { readBounded } from '../storage/boundedFile.ts';
import type { AskedRun } from './changedResume.ts';
import { assertMayResume, configOf } from './mayResume.ts';
import { planRun, refuseTooLarge, type RunPlan } from './plan/plan.ts';
import { planWarnings, repetitionWarning } from './plan/planWarnings.ts';
import { refuseMovedStages } from './plan/stages.ts';
import { countText } from './plan/preparePlan.ts';
import { withTokenCache, type SharedText } from './processes/sharedText.ts';
import { isExhausted, progressOf, type Progress } from './progress.ts';
import type { StateTensors } from './tensorValues.ts';

/** What the user asked for. */
export interface TrainingRequest extends SharedText {
  /** Left out to resume a run with the config it has. */
  config: ConfigSource | undefined;
  runDirectory: string | undefined;
  set: readonly string[];
  resume: boolean;
}

/** A config that has been read, and where its run is or will be. */
export interface LocatedRun extends PlacedConfig {
  runDirectory: string;
  /** Whether the run directory follows from the name of the config. */
  isNamedByConfig?: boolean;
  resume: boolean;
  /** For the commands that messages propose. */
  asked: AskedRun;
}

export interface PreparedTraining {
  config: Config;
  corpus: Corpus;
  manifest: CorpusManifest;
  tokenizer: Tokenizer;
  plan: RunPlan;
  runDirectory: string;
  configPath: string | undefined;
  /** Folder of the checkpoint to continue from; undefined for a fresh run. */
  resumedFrom: string | undefined;
  /** Folder of the checkpoint whose weights a fresh run starts from (`start.from`); undefined for random weights. */
  startsFrom: string | undefined;
  /** The checkpoint whose weights an adapter is trained for; undefined without an adapter. */
  base: AdapterBase | undefined;
  /**
   * Hands over the tensors of the checkpoint to continue or start from, once: they are large, and nobody else may keep
   * them. Those of a base are not among them.
   */
  takeTensors(): StateTensors | undefined;
  /** Newer checkpoints that are damaged. */
  skipped: SkippedCheckpoint[];
  /** Paths of the config that lead elsewhere than they say. */
  notes: string[];
  /** What is probably not meant; said before the first step. */
  warnings: string[];
  progress: Progress;
  isFinished: boolean;
}

/** Without `shared` for this process alone. @throws wrong input if config, corpus or run do not allow the run */
export async function prepareTraining(located: LocatedRun, shared?: SharedText): Promise<PreparedTraining> {
  const run = { ...located, config: withChatDate(located) };
  const { runDirectory } = run;
  const { checkpoint, skipped } = await checkpointToResume(run);
  const text = await openRunCorpus(run, checkpoint ? runPaths(runDirectory).corpus : null);
  const { config } = text;
  refuseShortValidation(text.opened);
  const base = await baseOf(config, checkpoint);
  // Of a base, the weights are read later, a part at a time.
  const start = checkpoint || base || config.start.from === null ? undefined : await loadStart(config.start.from);
  const opened = checkpoint ?? start ?? (base && (await openCheckpoint(base.path, { optimizer: false })));
  const { cached, notes } = withTokenCache(config, shared);
  const { tokenizer, corpus, manifest } = await prepareText({ ...text, config: cached }, opened, shared?.tokenizerText);
  const { trainingTokens, validationTokens, supply } = manifest;
  refuseFewValidationTokens(validationTokens);
  if (checkpoint === undefined) await refuseValidationWithoutLoss(corpus, tokenizer);
  const size = { vocabularySize: tokenizer.vocabularySize, trainingTokens, supply };
  const plan = planRun(config, size);
  refuseTooLarge(plan);
  defaultPrompt(config, tokenizer);
  const progress = progressOf(checkpoint);
  if (progress.step > plan.steps) {
    throw wrongInput(
      `training.steps is ${plan.steps}, but ${runDirectory} has already been trained for ${progress.step} steps.`,
    );
  }
  const isAtEnd = progress.step === plan.steps || isExhausted(progress.validation, config.evaluation.patience);
  const former = checkpoint && configOf(checkpoint);
  const past = former && { config: former, steps: planRun(former, size).steps, made: progress.step };
  if (past) refuseMovedStages(past, config, plan.steps);
  const other = checkpoint && otherConfigOf(runDirectory, run.asked.configPath);
  const warnings = planWarnings(config, plan.steps, past);
  const repetition = repetitionWarning(config, plan.epochs);
  if (repetition !== undefined) warnings.push(repetition);
  if (other !== undefined)
    warnings.push(`the run was made from ${other}; it continues as ${run.asked.configPath} says`);
  return {
    ...{ config, corpus, manifest, tokenizer, plan, runDirectory, skipped, warnings, progress },
    configPath: run.asked.configPath,
    notes: [...pathNotes(run, config), ...notes],
    resumedFrom: checkpoint?.path,
    startsFrom: start?.path ?? base?.path,
    base,
    takeTensors: takenOnce(checkpoint ?? start),
    isFinished: isAtEnd && isLoggedAsDone(runDirectory, progress.step),
  };
}

/**
 * Reads the config and determines the run directory: each may follow from the other.
 * @param onReplaced see `loadConfig`
 * @throws wrong input if neither is given, or the config is not valid
 */
export function findConfig(
  { config: source, runDirectory, set, resume }: TrainingRequest,
  onReplaced?: (message: string) => void,
): LocatedRun {
  if (runDirectory === '') throw wrongInput('--run is empty. Name a directory, or leave --run out for runs/<name>.');
  const resumed = resume ? (name: string) => runPaths(runDirectory ?? path.join('runs', name)).config : undefined;
  const asked = { configPath: typeof source === 'string' ? source : undefined, set };
  const options = (choice: PathChoice) => ({
    ...{ set, resumed, ...choice },
    onReplaced: choice.prefersFormer ? undefined : onReplaced, // said once
  });
  if (source !== undefined) {
    const isNamedByConfig = runDirectory === undefined;
    const placed = placedConfig((choice) => loadConfig(source, { ...options(choice), namesRun: isNamedByConfig }));
    const { name } = placed.config;
    if (isNamedByConfig && resume && typeof source === 'string') refuseFormerName(name, source);
    const directory = path.resolve(runDirectory ?? path.join('runs', name));
    return { ...placed, runDirectory: directory, isNamedByConfig, resume, asked };
  }
  if (runDirectory === undefined || !resume) {
    throw wrongInput('A config is missing: clm train CONFIG, or to continue a run: clm train --run DIR --resume');
  }
  const file = runPaths(runDirectory).config;
  if (!existsSync(file))
    throw wrongInput(`There is no run at ${runDirectory}: it has no config.yaml. Give the config to start one.`);
  const placed = placedConfig((choice) =>
    set.length > 0
      ? loadConfig(file, options(choice))
      : parseResolvedConfig(readBounded(file).toString('utf8'), file, choice),
  );
  return { ...placed, runDirectory: path.resolve(runDirectory), resume, asked };
}

/** Letters of other scripts used to become '-' in names: such a run must not be begun again unsaid. */
function refuseFormerName(name: string, configPath: string): void {
  const former = path.join('runs', name.replace(/[^A-Za-z0-9._-]/g, '-'));
  const isOther = former !== path.join('runs', name) && !existsSync(path.join('runs', name));
  if (!isOther || !existsSync(runPaths(former).config)) return;
  throw wrongInput(
    `${configPath}: its run is now kept in runs/${name}, but there is a run in ${former}, as it used to be called. ` +
      `Give --run ${former} to continue that one, or rename its directory.`,
  );
}

/** The config with the day that chat templates are told: that of the run that is resumed, else today. */
function withChatDate({ config, runDirectory, resume }: LocatedRun): Config {
  if (config.corpus.chatDate !== null || !config.corpus.sources.some(({ messages }) => messages !== null))
    return config;
  const file = runPaths(runDirectory).config;
  const former = resume && existsSync(file) ? parseResolvedConfig(readBounded(file).toString('utf8'), file) : undefined;
  return { ...config, corpus: { ...config.corpus, chatDate: former?.corpus.chatDate ?? today() } };
}

/** The checkpoint that `start.from` names: a run's last one, or the one given; without its optimizer. */
async function loadStart(from: string): Promise<Checkpoint> {
  const path = await resolveCheckpoint(from, 'last');
  refuseAdapter(from, (await readState(path)).record);
  return loadCheckpoint(path, { optimizer: false });
}

/** The base of an adapter: that of the checkpoint to continue, or for a new adapter what `start.from` names now. */
async function baseOf(
  { adapter, start }: Config,
  checkpoint: Checkpoint | undefined,
): Promise<AdapterBase | undefined> {
  if (adapter.kind === null) return undefined;
  const pin = checkpoint && pinnedBase(checkpoint.state);
  return pin === undefined ? baseToPin(start.from!) : findBase(start.from!, pin);
}

/** The checkpoint that the run continues from; none if it starts at step 0. Refuses what cannot be continued. */
async function checkpointToResume(
  run: LocatedRun,
): Promise<{ checkpoint: Checkpoint | undefined; skipped: SkippedCheckpoint[] }> {
  const { runDirectory, asked } = run;
  if (!run.resume) {
    const isTaken = (await directoryState(runDirectory)) === 'has-checkpoint';
    if (run.isNamedByConfig || isTaken) refuseOtherConfig(runDirectory, asked.configPath);
    await assertFreshStart(runDirectory);
    return { checkpoint: undefined, skipped: [] };
  }
  const found = await newestValidCheckpoint(runDirectory);
  const { checkpoint, skipped } = found;
  if (checkpoint === undefined && skipped.length > 0) {
    throw new DamagedCheckpointError(
      `${runDirectory}: every checkpoint is damaged, the newest: ${skipped[0]!.reason} ` +
        'Move the checkpoints folder away to start again from step 0.',
    );
  }
  if (checkpoint?.state['imported'] !== undefined) {
    const why = `${runDirectory} was imported: it has no optimizer state to continue with.`;
    refuseAdapter(runDirectory, checkpoint.state, why);
    throw wrongInput(`${why} Train a new run from it: start: { from: ${JSON.stringify(runDirectory)} } in a config.`);
  }
  if (checkpoint) await assertMayResume(checkpoint, run);
  else {
    if (run.isNamedByConfig) refuseOtherConfig(runDirectory, asked.configPath);
    await assertFreshStart(runDirectory);
  }
  return found;
}

type PreparedText = Pick<PreparedTraining, 'tokenizer' | 'corpus' | 'manifest'>;

/**
 * Tokenizer and counted corpus. With a checkpoint the tokenizer is the checkpoint's. A run that is resumed has a
 * manifest: the corpus must be unchanged, and need not be counted again (except to fill its token cache).
 */
async function prepareText(
  { config, opened, manifests }: RunCorpus,
  checkpoint: Pick<Checkpoint, 'path' | 'tokenizerText'> | undefined,
  tokenizerText?: string,
): Promise<PreparedText> {
  const given = checkpoint && tokenizerFromFile(checkpoint.tokenizerText, path.join(checkpoint.path, 'tokenizer.json'));
  if (given && manifests !== undefined) {
    refuseChangedCorpus(manifests.before, manifests.now);
    const corpus =
      config.corpus.cache === null
        ? withChatFormat(opened, given.chat)
        : (await countCorpus(opened, given, config.corpus)).corpus;
    return { tokenizer: given, corpus, manifest: manifests.before };
  }
  const other = tokenizerText === undefined ? undefined : tokenizerFromFile(tokenizerText, 'the tokenizer of rank 0');
  const text = await countText(config, opened, given ?? other);
  return { tokenizer: text.tokenizer, corpus: text.corpus, manifest: await corpusManifest(text.corpus, text) };
}

/**
 * A run that was stopped during its last evaluation still has to evaluate, and one that was killed right after its last
 * save lacks that checkpoint in its log: both are resumed, and then end at once.
 */
function isLoggedAsDone(runDirectory: string, step: number): boolean {
  const status = readRunStatus(runDirectory);
  return status?.state === 'done' && status.step === step;
}

function takenOnce(checkpoint: Checkpoint | undefined): PreparedTraining['takeTensors'] {
  let tensors = checkpoint && { model: [...checkpoint.model], optimizer: [...checkpoint.optimizer] };
  let isTaken = false;
  return () => {
    if (isTaken) throw new Error('the tensors of the checkpoint have been taken already');
    isTaken = true;
    const taken = tensors;
    tensors = undefined;
    return taken;
  };
}
