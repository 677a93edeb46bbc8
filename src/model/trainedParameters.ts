/** Which parameters of a run are trained, which stay as they are, and which a checkpoint holds. */
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { elementCount } from '../tensors/tensors.ts';
import { adapterOf, adapterTable } from './adapter.ts';
import { parameterTable, type ParameterSpec } from './parameters.ts';

export interface ParameterRoles {
  /** In gradients, optimizer and updates. */
  trained: ParameterSpec[];
  /** Read only; with an adapter, the parameters of its base. */
  frozen: ParameterSpec[];
  /** In `model.safetensors`: of an adapter its own, else all. */
  saved: ParameterSpec[];
}

type PartlyTrained = Pick<Config, 'model' | 'adapter' | 'training'>;

/**
 * @param tokens vocabulary size of the tokenizer
 * @throws wrong input if a pattern of `training.freeze` matches no parameter, or nothing is left to train
 */
export function parameterRoles(config: PartlyTrained, tokens: number): ParameterRoles {
  const table = parameterTable(config.model, tokens);
  const adapter = adapterOf(config);
  if (adapter !== null) {
    const own = adapterTable(table, adapter, config.model);
    return { trained: own, frozen: table, saved: own };
  }
  const names = new Set(frozenParameters(config, table).flatMap(({ matched }) => matched.map(({ name }) => name)));
  const frozen = table.filter(({ name }) => names.has(name));
  const trained = table.filter(({ name }) => !names.has(name));
  if (trained.length === 0) throw wrongInput('training.freeze matches every parameter: nothing is left to train.');
  return { trained, frozen, saved: table };
}

/** The parameters that a pattern of `training.freeze` matches. */
export interface FrozenParameters {
  pattern: string;
  matched: readonly ParameterSpec[];
}

/** By pattern, in the order of the config. @throws wrong input if a pattern matches none */
export const frozenParameters = (
  { training }: Pick<Config, 'training'>,
  table: readonly ParameterSpec[],
): FrozenParameters[] =>
  training.freeze.map((pattern) => {
    const expression = patternExpression(pattern);
    const matched = table.filter(({ name }) => expression.test(name));
    if (matched.length > 0) return { pattern, matched };
    const names = [...new Set(table.map(({ name }) => name.replace(/^blocks\.\d+/, 'blocks.N')))];
    throw wrongInput(
      `training.freeze: ${JSON.stringify(pattern)} matches no parameter of this model. Its parameters, with N from ` +
        `0: ${names.join(', ')}. * stands for any characters, e.g. "blocks.0.*".`,
    );
  });

/** What a pattern matches, e.g. `blocks.0.*: 9 tensors, 12,345 parameters`. */
export const frozenText = ({ pattern, matched }: FrozenParameters): string => {
  const size = matched.reduce((sum, { shape }) => sum + elementCount(shape), 0).toLocaleString('en-US');
  return `${pattern}: ${matched.length} ${matched.length === 1 ? 'tensor' : 'tensors'}, ${size} parameters`;
};

/** `*` any characters, `{a,b}` one of several, `{0..5}` one of these numbers; everything else is itself. */
function patternExpression(pattern: string): RegExp {
  const source = pattern.replace(/\*|\{(\d+)\.\.(\d+)\}|\{([^{}]*)\}|[^*{]|\{/g, (found, from, to, either) => {
    if (found === '*') return '.*';
    if (from !== undefined) return `(?:${numbers(Number(from), Number(to)).join('|')})`;
    if (either !== undefined) return `(?:${String(either).split(',').map(literal).join('|')})`;
    return literal(String(found));
  });
  return new RegExp(`^${source}$`);
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, Math.min(to - from + 1, 10_000)) }, (_, i) => from + i);

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
