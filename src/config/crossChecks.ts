/** Checks across keys: combinations that no run can have, each reported where one of the keys is written. */
import { alternatives, dependentKeys } from './choices.ts';
import { location, originOf, parseKeyPath, valueAt } from './located.ts';
import type { LocatedValue } from './located.ts';
import type { Problem } from './problems.ts';
import { configValue } from './resolved.ts';
import type { Config } from './schema.ts';
import { weightAt } from './sections/corpus.ts';

/** Reports a problem of the keys given, such as `corpus.sources[0].path`, at the first of them that is written. */
type Report = (keys: readonly string[], message: string) => void;

/** The invalid combinations in a config whose keys are valid each on their own, in the order of the schema. */
export function crossProblems(config: Config, tree: LocatedValue): Problem[] {
  const problems: Problem[] = [];
  const isWritten = (key: string): boolean => valueAt(tree, parseKeyPath(key)!) !== undefined;
  const report: Report = (keys, message) => {
    const written = keys.find(isWritten);
    problems.push({ origin: originOf(tree, written === undefined ? [] : parseKeyPath(written)!), message });
  };
  checkModel(config, report);
  checkAdapter(config, report);
  const lengths = alternatives.lengths.filter((key) => isSet(config, key));
  if (lengths.length > 1) {
    const written = lengths.map((key) => `${key} (${location(originOf(tree, parseKeyPath(key)!))})`);
    report(lengths, `only one of ${written.join(' and ')} can set the length of the run; set the others to null`);
  }
  const splits = alternatives.splits.filter((key) => isSet(config, key));
  if (splits.length > 1)
    report(splits, `only one of ${splits.join(' and ')} can define the validation split; set the others to null`);
  checkMixture(config, report);
  checkStages(config, report);
  checkPreferences(config, report);
  for (const [i, source] of config.corpus.sources.entries()) {
    const { prompt, completion, messages, lossOn, chosen, rejected } = source;
    const key = (name: string): string => `corpus.sources[${i}].${name}`;
    if (messages !== null && (prompt !== null || completion !== null))
      report([key('messages')], `${key('messages')} and pairs of prompt and completion exclude each other`);
    if (messages === null && lossOn !== 'assistant')
      report([key('lossOn')], `${key('lossOn')} has an effect on chats only; set ${key('messages')}`);
    if ((prompt === null) === (completion === null) || chosen !== null || rejected !== null) continue;
    const [set, missing] = prompt === null ? ['completion', 'prompt'] : ['prompt', 'completion'];
    report([key(set)], `${key(set)} requires ${key(missing)}: pairs have both`);
  }
  const { optimizer, schedule } = config;
  if (schedule.finalLearningRate !== null && schedule.finalLearningRate > optimizer.learningRate) {
    report(
      ['schedule.finalLearningRate', 'optimizer.learningRate'],
      `schedule.finalLearningRate (${schedule.finalLearningRate}) must not exceed ` +
        `optimizer.learningRate (${optimizer.learningRate}); lower schedule.finalLearningRate`,
    );
  }
  checkKinds(config, report);
  return problems;
}

const isSet = (config: Config, key: string): boolean => configValue(config, parseKeyPath(key)!) !== null;

function checkModel({ model }: Config, report: Report): void {
  if (!Number.isInteger(model.headSize)) {
    report(
      ['model.heads', 'model.width'],
      `model.heads (${model.heads}) must divide model.width (${model.width}); ` +
        `e.g. model.heads: ${nearestDivisor(model.width, model.heads)}`,
    );
  }
  if (model.heads % model.keyValueHeads !== 0) {
    report(
      ['model.keyValueHeads', 'model.heads'],
      `model.keyValueHeads (${model.keyValueHeads}) must divide model.heads (${model.heads}); ` +
        `e.g. model.keyValueHeads: ${nearestDivisor(model.heads, model.keyValueHeads)}`,
    );
  }
  if (model.family === 'llama' && Number.isInteger(model.headSize) && model.headSize % 2 !== 0) {
    report(
      ['model.headSize', 'model.heads', 'model.width'],
      `model.headSize (${model.headSize}) must be even, because RoPE rotates pairs of its elements; ` +
        'change model.width or model.heads, or set model.headSize',
    );
  }
  if (2 * (model.valueEmbeddings ?? 0) > model.layers) {
    report(
      ['model.valueEmbeddings', 'model.layers'],
      `model.valueEmbeddings (${model.valueEmbeddings}) must be at most half of model.layers (${model.layers}): each ` +
        'serves one of the first layers and one of the last',
    );
  }
  for (const { key, of, kinds, unset } of dependentKeys) {
    if (of !== 'model.family' || kinds.includes(model.family)) continue;
    if (model[key.replace('model.', '') as keyof typeof model] === unset) continue;
    report(
      [key],
      `${key} has no effect for family gpt2, which learns positions; remove it, or set model.family: llama`,
    );
  }
}

function checkMixture({ corpus: { sources } }: Config, report: Report): void {
  const isMixture = sources.some(({ weight }) => weight !== null);
  for (const [i, { weight, finalWeight, weightsAtSteps }] of sources.entries()) {
    const key = `corpus.sources[${i}]`;
    if (weight === null && isMixture) report([key], `${key}.weight is missing: set it for all sources or for none`);
    else if (weight === null && (finalWeight ?? weightsAtSteps) !== null)
      report([key], `${key}.${finalWeight !== null ? 'finalWeight' : 'weightsAtSteps'} requires ${key}.weight`);
    if (finalWeight !== null && weightsAtSteps !== null) {
      report(
        [`${key}.finalWeight`],
        `only one of ${key}.finalWeight and ${key}.weightsAtSteps can be set; set the other to null`,
      );
    }
    const descends = weightsAtSteps?.findIndex(({ step }, at) => at > 0 && step <= weightsAtSteps[at - 1]!.step) ?? -1;
    if (descends > 0)
      report(
        [`${key}.weightsAtSteps[${descends}].step`],
        `the steps of ${key}.weightsAtSteps must be in ascending order`,
      );
  }
  if (!isMixture) return;
  // The sum of the weights is linear between these steps, so it is zero somewhere only if it is zero at one of them.
  const steps = [
    0,
    ...sources.flatMap(({ weightsAtSteps }) => weightsAtSteps?.map(({ step }) => step) ?? []),
    Infinity,
  ];
  const weightless = steps.find((step) =>
    sources.every((source) => weightAt(source, step, step === Infinity ? 1 : 0) === 0),
  );
  if (weightless === undefined) return;
  const when = weightless === Infinity ? 'at the end' : `at step ${weightless}`;
  report(['corpus.sources'], `all sources of the mixture have weight 0 ${when}; give at least one a weight above 0`);
}

function checkStages({ model, training }: Config, report: Report): void {
  for (const key of ['microBatchesPerStep', 'contextLength'] as const) {
    const stages = training[key];
    if (stages === null || typeof stages === 'number') continue;
    const at = (i: number, name: string): string => `training.${key}[${i}].${name}`;
    if (Number.parseFloat(String(stages[0]!.from)) !== 0) report([at(0, 'from')], `${at(0, 'from')} must be 0`);
    const later = stages.slice(1).map(({ from }) => from);
    const mixed = later.findIndex((from) => typeof from !== typeof later[0]);
    if (mixed > 0)
      report(
        [at(mixed + 1, 'from')],
        `the stages of training.${key} begin at steps or at shares of the run, not at both`,
      );
    const places = [0, ...later.map((from) => Number.parseFloat(String(from)))];
    const falling = places.findIndex((place, i) => i > 0 && place <= places[i - 1]!);
    if (falling > 0) report([at(falling, 'from')], `the stages of training.${key} must be in ascending order`);
  }
  const lengths = training.contextLength ?? [];
  for (const [i, { value }] of lengths.entries()) {
    const key = `training.contextLength[${i}].value`;
    if (model.contextLength % value !== 0)
      report([key], `${key} (${value}) must divide model.contextLength (${model.contextLength})`);
    else if (i === lengths.length - 1 && value !== model.contextLength)
      report([key], `${key} (${value}), the last, must be model.contextLength (${model.contextLength})`);
  }
  if (lengths.length > 0 && training.objective.kind === 'dpo')
    report(['training.contextLength'], 'training.contextLength: preference pairs are not cut; set it to null with dpo');
}

function checkAdapter({ adapter, start, model, training }: Config, report: Report): void {
  if (adapter.kind === null) return;
  if (start.from === null)
    report(['adapter.kind'], 'adapter needs start.from: the run whose weights are adapted, e.g. start: { from: RUN }');
  if (training.freeze.length > 0)
    report(['training.freeze'], 'training.freeze has no effect with an adapter, which trains nothing else; remove it');
  const targets = adapter.targets ?? [];
  const twice = targets.find((target, i) => targets.indexOf(target) < i);
  if (twice !== undefined) report(['adapter.targets'], `adapter.targets names ${twice} twice`);
  const part = targets.find((target) => ['query', 'key', 'value'].includes(target));
  if (part !== undefined && targets.includes('queryKeyValue'))
    report(['adapter.targets'], `adapter.targets: queryKeyValue contains ${part}; name only one of them`);
  if (targets.includes('gate') && model.activation !== 'swiglu')
    report(['adapter.targets'], `adapter.targets: a model with activation ${model.activation} has no gate; remove it`);
}

/** Preference pairs and their objective: one never without the other, and nothing else beside them. */
function checkPreferences({ corpus: { sources, packing }, training, start }: Config, report: Report): void {
  const isDpo = training.objective.kind === 'dpo';
  for (const [i, { chosen, rejected, completion, messages }] of sources.entries()) {
    const key = (name: string): string => `corpus.sources[${i}].${name}`;
    if ((chosen === null) !== (rejected === null)) {
      const [set, missing] = chosen === null ? ['rejected', 'chosen'] : ['chosen', 'rejected'];
      report([key(set)], `${key(set)} requires ${key(missing)}: preference pairs have both`);
    } else if (chosen === null && isDpo) {
      report(
        [key('path'), 'training.objective.kind'],
        `training.objective.kind: dpo trains on preference pairs alone, and ${key('path')} has none; ` +
          `name their fields in ${key('chosen')} and ${key('rejected')}, or remove the source`,
      );
    } else if (chosen !== null && !isDpo) {
      report([key('chosen')], `${key('chosen')} requires training.objective.kind: dpo, for all sources`);
    }
    const other = completion !== null ? 'completion' : messages !== null ? 'messages' : null;
    if (chosen !== null && other !== null)
      report([key(other)], `${key(other)} and preference pairs (${key('chosen')}) exclude each other`);
  }
  if (!isDpo) return;
  if (start.from === null)
    report(
      ['training.objective.kind'],
      'training.objective.kind: dpo requires start.from: the model in it is trained, and is the reference',
    );
  if (packing === 'documents')
    report(['corpus.packing'], 'corpus.packing: documents has no effect on preference pairs; remove it');
}

/** Keys that only some kinds have. */
function checkKinds(config: Config, report: Report): void {
  const { evaluation, tokenizer } = config;
  const without = (key: string, kind: string, remedy = '', unset: unknown = null): void =>
    report([key], `${key} has no effect with ${kind}; set it to ${String(unset)}${remedy}`);
  const needed = (key: string, isUsed: boolean, example: string): void => {
    if (isUsed && !isSet(config, key)) report(['tokenizer.kind'], `${key} is missing; e.g. tokenizer: ${example}`);
  };
  needed('tokenizer.vocabularySize', tokenizer.kind === 'bpe', '{ kind: bpe, vocabularySize: 4096 }');
  needed('tokenizer.path', tokenizer.kind === 'file', '{ kind: file, path: tokenizer.json }');
  for (const { key, of, kinds, unset } of dependentKeys) {
    const kind = configValue(config, parseKeyPath(of)!);
    if (of === 'model.family' || kinds.includes(kind)) continue;
    if (configValue(config, parseKeyPath(key)!) === unset) continue;
    without(key, `${of}: ${String(kind)}`, `, or ${of} to ${kinds.join(' or ')}`, unset);
  }
  if (evaluation.everySteps === null && isSet(config, 'evaluation.patience'))
    without('evaluation.patience', 'evaluation.everySteps: null');
}

/** The divisor of `total` nearest to `number`, which is not one; the lower of two. */
function nearestDivisor(total: number, number: number): number {
  for (let away = 1; ; away++) {
    if (number - away >= 1 && total % (number - away) === 0) return number - away;
    if (total % (number + away) === 0) return number + away;
  }
}
