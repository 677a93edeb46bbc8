/** Checks across keys: combinations that no run can have, each reported where one of the keys is written. */
import { weightAt } from './sections/corpus.ts';
import { originOf, location, renderKeyPath, valueAt } from './located.ts';
import type { KeyPath, LocatedValue } from './located.ts';
import type { Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** The invalid combinations in a config whose keys are valid each on their own, in the order of the schema. */
export function crossProblems(config: Config, tree: LocatedValue): Problem[] {
  const { corpus, evaluation, model, optimizer, schedule, tokenizer, training } = config;
  const problems: Problem[] = [];
  const report = (paths: readonly KeyPath[], message: string) => {
    const written = paths.filter((path) => valueAt(tree, path) !== undefined);
    problems.push({ origin: originOf(tree, written[0] ?? []), message });
  };

  if (!Number.isInteger(model.headSize)) {
    const heads = nearestDivisor(model.width, model.heads);
    report(
      [
        ['model', 'heads'],
        ['model', 'width'],
      ],
      `model.heads (${model.heads}) must divide model.width (${model.width}); e.g. model.heads: ${heads}`,
    );
  }
  if (model.heads % model.keyValueHeads !== 0) {
    const keyValueHeads = nearestDivisor(model.heads, model.keyValueHeads);
    report(
      [
        ['model', 'keyValueHeads'],
        ['model', 'heads'],
      ],
      `model.keyValueHeads (${model.keyValueHeads}) must divide model.heads (${model.heads}); ` +
        `e.g. model.keyValueHeads: ${keyValueHeads}`,
    );
  }
  if (model.family === 'llama' && Number.isInteger(model.headSize) && model.headSize % 2 !== 0) {
    report(
      [
        ['model', 'headSize'],
        ['model', 'heads'],
        ['model', 'width'],
      ],
      `model.headSize (${model.headSize}) must be even, because RoPE rotates pairs of its elements; ` +
        'change model.width or model.heads, or set model.headSize',
    );
  }
  if (model.family !== 'llama') {
    for (const key of ['ropeTheta', 'ropeScaling', 'nopeEveryLayers'] as const) {
      if (model[key] !== modelDefaults[key])
        report(
          [['model', key]],
          `model.${key} has no effect for family gpt2, which learns positions; remove it, or set model.family: llama`,
        );
    }
  }
  const lengths = (['steps', 'tokens', 'epochs'] as const).filter((key) => training[key] !== null);
  if (lengths.length > 1) {
    const paths = lengths.map((key) => ['training', key]);
    const written = paths.map((path) => `${renderKeyPath(path)} (${location(originOf(tree, path))})`);
    report(paths, `only one of ${written.join(' and ')} can set the length of the run; set the others to null`);
  }
  const splits = (['tail', 'hash', 'path'] as const).filter((key) => corpus.validation[key] !== null);
  if (splits.length > 1) {
    const paths = splits.map((key) => ['corpus', 'validation', key]);
    report(
      paths,
      `only one of ${paths.map(renderKeyPath).join(' and ')} can define the validation split; set the others to null`,
    );
  }
  const weighted = corpus.sources.filter(({ weight }) => weight !== null).length;
  for (const [i, { weight, finalWeight, weightsAtSteps }] of corpus.sources.entries()) {
    const key = `corpus.sources[${i}]`;
    const later = finalWeight !== null ? 'finalWeight' : 'weightsAtSteps';
    if (weight === null && weighted > 0)
      report([['corpus', 'sources', i]], `${key}.weight is missing: set it for all sources or for none`);
    else if (weight === null && (finalWeight ?? weightsAtSteps) !== null)
      report([['corpus', 'sources', i]], `${key}.${later} requires ${key}.weight`);
    if (finalWeight !== null && weightsAtSteps !== null) {
      report(
        [['corpus', 'sources', i, 'finalWeight']],
        `only one of ${key}.finalWeight and ${key}.weightsAtSteps can be set; set the other to null`,
      );
    }
    const descends = weightsAtSteps?.findIndex(({ step }, at) => at > 0 && step <= weightsAtSteps[at - 1]!.step) ?? -1;
    if (descends > 0)
      report(
        [['corpus', 'sources', i, 'weightsAtSteps', descends, 'step']],
        `the steps of ${key}.weightsAtSteps must be in ascending order`,
      );
  }
  const steps = [
    0,
    ...corpus.sources.flatMap(({ weightsAtSteps }) => weightsAtSteps?.map(({ step }) => step) ?? []),
    Infinity,
  ];
  // The sum of the weights is linear between these steps, so it is zero somewhere only if it is zero at one of them.
  const weightless =
    weighted === 0
      ? undefined
      : steps.find((step) => corpus.sources.every((source) => weightAt(source, step, step === Infinity ? 1 : 0) === 0));
  if (weightless !== undefined) {
    const when = weightless === Infinity ? 'at the end' : `at step ${weightless}`;
    report(
      [['corpus', 'sources']],
      `all sources of the mixture have weight 0 ${when}; give at least one a weight above 0`,
    );
  }
  for (const [i, { prompt, completion }] of corpus.sources.entries()) {
    if ((prompt === null) === (completion === null)) continue;
    const [given, missing] = prompt === null ? ['completion', 'prompt'] : ['prompt', 'completion'];
    report(
      [['corpus', 'sources', i, given!]],
      `corpus.sources[${i}].${given} requires corpus.sources[${i}].${missing}: pairs have both`,
    );
  }
  if (schedule.finalLearningRate !== null && schedule.finalLearningRate > optimizer.learningRate) {
    report(
      [
        ['schedule', 'finalLearningRate'],
        ['optimizer', 'learningRate'],
      ],
      `schedule.finalLearningRate (${schedule.finalLearningRate}) must not exceed ` +
        `optimizer.learningRate (${optimizer.learningRate}); lower schedule.finalLearningRate`,
    );
  }
  const unused = (path: KeyPath, used: boolean, kind: string): void => {
    if (used || configAt(config, path) === null) return;
    report([path], `${renderKeyPath(path)} has no effect with ${kind}; set it to null`);
  };
  const needed = (path: KeyPath, used: boolean, example: string): void => {
    if (!used || configAt(config, path) !== null) return;
    report([[...path.slice(0, -1), 'kind']], `${renderKeyPath(path)} is missing; e.g. ${example}`);
  };
  needed(['tokenizer', 'vocabularySize'], tokenizer.kind === 'bpe', 'tokenizer: { kind: bpe, vocabularySize: 4096 }');
  needed(['tokenizer', 'path'], tokenizer.kind === 'file', 'tokenizer: { kind: file, path: tokenizer.json }');
  unused(['tokenizer', 'vocabularySize'], tokenizer.kind === 'bpe', `tokenizer.kind: ${tokenizer.kind}`);
  unused(['tokenizer', 'path'], tokenizer.kind === 'file', `tokenizer.kind: ${tokenizer.kind}`);
  unused(['tokenizer', 'endOfText'], tokenizer.kind === 'file', `tokenizer.kind: ${tokenizer.kind}`);
  unused(['evaluation', 'patience'], evaluation.everySteps !== null, 'evaluation.everySteps: null');
  const { kind } = schedule;
  unused(['optimizer', 'momentum'], optimizer.kind === 'muon', `optimizer.kind: ${optimizer.kind}`);
  unused(
    ['schedule', 'finalLearningRate'],
    !['constant', 'inverse-square-root'].includes(kind),
    `schedule.kind: ${kind}`,
  );
  unused(['schedule', 'decaySteps'], kind === 'warmup-stable-decay', `schedule.kind: ${kind}`);
  return problems;
}

const modelDefaults = { ropeTheta: 10_000, ropeScaling: null, nopeEveryLayers: null };
const configAt = (config: Config, path: KeyPath): unknown =>
  path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], config);

function nearestDivisor(width: number, heads: number): number {
  for (let away = 1; ; away++) {
    if (heads - away >= 1 && width % (heads - away) === 0) return heads - away;
    if (width % (heads + away) === 0) return heads + away;
  }
}
