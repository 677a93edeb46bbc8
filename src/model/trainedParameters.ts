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

/** @param tokens vocabulary size of the tokenizer */
export function parameterRoles(config: PartlyTrained, tokens: number): ParameterRoles {
  const table = parameterTable(config.model, tokens);
  const adapter = adapterOf(config);
  if (adapter !== null) {
    const own = adapterTable(table, adapter, config.model);
    return { trained: own, frozen: table, saved: own };
  }
  const expressions = config.training.freeze.map(patternExpression);
  const isFrozen = ({ name }: ParameterSpec): boolean => expressions.some((expression) => expression.test(name));
  return { trained: table.filter((spec) => !isFrozen(spec)), frozen: table.filter(isFrozen), saved: table };
}

/** What a pattern of `training.freeze` matches. */
export interface FrozenParameters {
  pattern: string;
  tensors: number;
  parameters: number;
}

/**
 * By pattern, in the order of the config.
 *
 * @param tokens vocabulary size of the tokenizer
 * @throws wrong input if a pattern matches no parameter, or nothing is left to train
 */
export function frozenParameters(config: PartlyTrained, tokens: number): FrozenParameters[] {
  const { trained, saved } = parameterRoles(config, tokens);
  const matches = config.training.freeze.map((pattern) => {
    const expression = patternExpression(pattern);
    const matched = saved.filter(({ name }) => expression.test(name));
    const parameters = matched.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    return { pattern, tensors: matched.length, parameters };
  });
  const without = matches.find(({ tensors }) => tensors === 0);
  if (without !== undefined) {
    if (/\{[^}]*$/.test(without.pattern))
      throw wrongInput(`training.freeze: ${JSON.stringify(without.pattern)} has a { that is not closed: add the }.`);
    const names = [...new Set(saved.map(({ name }) => name.replace(/^blocks\.\d+/, 'blocks.N')))];
    throw wrongInput(
      `training.freeze: ${JSON.stringify(without.pattern)} matches no parameter. Those of this model, N being the ` +
        `number of a layer from 0: ${names.join(', ')}. * stands for any characters, e.g. "blocks.0.*".`,
    );
  }
  if (trained.length === 0) throw wrongInput('training.freeze matches every parameter: nothing is left to train.');
  return matches;
}

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
