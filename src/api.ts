/** The JavaScript API, `import … from 'clm'`: everything that the package exports. docs/api.md describes it. */
export {
  ConfigError,
  DamagedCheckpointError,
  DivergedError,
  EnvironmentError,
  ExpectedError,
  InputError,
} from './errors.ts';
export { chat, complete, completeAll, loadRun, score, stream } from './api/model.ts';
export { openRun } from './api/runDirectory.ts';
export { train } from './api/training.ts';

export type { FailureKind } from './errors.ts';
export type { IndexedCompletion, LoadOptions, Prompt, Run } from './api/model.ts';
export type { RunDirectory, SavedCheckpoint, SavedSample } from './api/runDirectory.ts';
export type { TrainOptions } from './api/training.ts';
export type { Config, ConfigInput } from './config/schema.ts';
export type { ChatMessage } from './data/chat/messages.ts';
export type { ChatFormat, Tokenizer } from './data/tokenizers/tokenizer.ts';
export type { RunSummary } from './experiments/runSummary.ts';
export type { Environment } from './run/environment.ts';
export type { CheckpointRecord, EvaluationRecord, MetricsRecord, StepRecord } from './run/metrics.ts';
export type { Completion, Reply } from './sampling/completion.ts';
export type { Alternative } from './sampling/tokenTexts.ts';
export type { ChoiceScores, TextScore } from './sampling/scoring/textScores.ts';
export type { SettingsInput } from './sampling/settings.ts';
export type {
  DeviceFact,
  EndFact,
  Fact,
  ReferenceFact,
  SampleFact,
  SaveFailedFact,
  SavingFact,
  StartFact,
  TrainingResult,
  WarningFact,
} from './training/sinks/facts.ts';
