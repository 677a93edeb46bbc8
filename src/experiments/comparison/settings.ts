/** Sorts runs into settings: runs that differ only by seed, name, location or what they write share one. */
import { isDeepStrictEqual } from 'node:util';
import type { RunHistory } from '../runHistory.ts';
import { settingNames } from './settingNames.ts';

export interface DifferingKey {
  key: string;
  /** The values of all runs, in the order given. */
  values: unknown[];
}

export interface Setting {
  /** What tells it from the others: `learningRate 3e-4`, or the names of its runs. */
  name: string;
  /** Values of the keys in which settings differ, without the seed. */
  values: Record<string, unknown>;
  runs: RunHistory[];
}

/** Keys that cannot change a loss: names, seeds, the device, what is written during training and how data is loaded. */
const keyWithoutEffect =
  /^(name$|seed$|device$|checkpoints\.|samples\.|reports\.|evaluation\.everySteps$|corpus\.(workers|cache)$)/;

/** Keys that name files whose content is known from the run directory. */
const pathOfText = /^corpus\.(sources\[\d+\]|validation)\.path$/;
const pathOfTokenizer = /^tokenizer\.path$/;

/** Of texts and tokenizers that differ although no key does. */
const textKey = 'corpus (content)';
const tokenizerKey = 'tokenizer (content)';

/** Config keys in which runs differ, without their name. */
export function differingKeys(runs: readonly RunHistory[]): DifferingKey[] {
  const keys = new Set(runs.flatMap(({ config }) => [...config.keys()]));
  return [...keys]
    .map((key) => ({ key, values: runs.map(({ config }) => config.get(key)) }))
    .filter(({ key, values }) => key !== 'name' && differ(values));
}

/**
 * Files count by their content, if all runs have recorded it: the same text at another path is the same setting, and
 * changed text at the same path is another one.
 */
export function settingsOf(runs: readonly RunHistory[], differing: readonly DifferingKey[]): Setting[] {
  const texts = runs.map(({ corpus }) => corpus?.files.map(({ sha256 }) => sha256).join());
  const tokenizers = runs.map(({ tokenizerSha256 }) => tokenizerSha256);
  const hasTexts = texts.every((each) => each !== undefined);
  const hasTokenizers = tokenizers.every((each) => each !== undefined);
  const isReplaced = (key: string): boolean =>
    (hasTexts && pathOfText.test(key)) || (hasTokenizers && pathOfTokenizer.test(key));
  const effective = differing.filter(({ key }) => !keyWithoutEffect.test(key));
  const identity = [
    ...effective.filter(({ key }) => !isReplaced(key)).map(({ values }) => values),
    ...(hasTexts ? [texts] : []),
    ...(hasTokenizers ? [tokenizers] : []),
  ];
  const bySetting = new Map<string, number[]>();
  runs.forEach((_, i) => {
    const key = JSON.stringify(identity.map((values) => values[i] ?? null));
    bySetting.set(key, [...(bySetting.get(key) ?? []), i]);
  });
  const members = [...bySetting.values()];
  const firsts = members.map(([first]) => first!);
  const named = effective.filter(({ values }) => differ(firsts.map((i) => values[i])));
  const isUnnamed = (values: readonly unknown[], what: RegExp): boolean =>
    differ(firsts.map((i) => values[i])) && !named.some(({ key }) => what.test(key));
  if (hasTexts && isUnnamed(texts, pathOfText)) named.push({ key: textKey, values: texts.map(shortHash) });
  if (
    hasTokenizers &&
    isUnnamed(tokenizers, /^(tokenizer\.|corpus )/) &&
    !named.some(({ key }) => pathOfText.test(key))
  )
    named.push({ key: tokenizerKey, values: tokenizers.map(shortHash) });
  const groups = members.map((indexes) => ({
    values: Object.fromEntries(named.map(({ key, values }) => [key, values[indexes[0]!] ?? null])),
    runs: indexes.map((i) => runs[i]!),
  }));
  const names = settingNames(groups);
  return groups.map((group, i) => ({ name: names[i]!, ...group }));
}

/** Whether values are not all equal. */
export const differ = (values: readonly unknown[]): boolean =>
  values.some((each) => !isDeepStrictEqual(each, values[0]));

/** The first letters of hashes, enough to tell two apart. */
const shortHash = (hashes: string | undefined): string | undefined =>
  hashes
    ?.split(',')
    .map((hash) => hash.slice(0, 8))
    .join(' ');
