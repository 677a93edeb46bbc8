/**
 * The table of a decoder's parameters: names, shapes, how each starts and whether it decays. One ordered
 * walk over it serves initialisation, optimizer, checkpoint, counting and export. Loads nothing native.
 *
 * C width · V vocabulary size · T context length · L layers
 */
import type { Config } from '../config/schema.ts';

export type ModelConfig = Config['model'];

/** How a parameter starts; `normal` has mean 0. */
export type Initial = { kind: 'normal'; deviation: number } | { kind: 'ones' } | { kind: 'zeros' };

export interface ParameterSpec {
  /** The path of the part it belongs to, as `blocks.3.attention.output`. */
  name: string;
  shape: number[];
  initial: Initial;
  /** Weight decay pulls matrices towards zero; vectors (gains, biases) are left alone. */
  decays: boolean;
  /** Takes part in a matrix product of the forward pass: what FLOPs are counted by. */
  multiplies: boolean;
}

/**
 * Every parameter in order. Matrices are (inputs, outputs). GPT-2's initialisation: normal 0.02, the
 * projections back into the residual stream divided by √(2L) (Radford et al. 2019, section 2.3). The
 * token embedding is also the output head (tied), which is why it must not start at N(0, 1): the untrained
 * loss would be far above ln V.
 */
export function parameterTable(model: ModelConfig, vocabularySize: number): ParameterSpec[] {
  const { width, layers, contextLength, biases } = model;
  const deviation = 0.02;
  const residual = deviation / Math.sqrt(2 * layers);
  const matrix = (name: string, inputs: number, outputs: number, spread = deviation): ParameterSpec => ({
    name,
    shape: [inputs, outputs],
    initial: { kind: 'normal', deviation: spread },
    decays: true,
    multiplies: true,
  });
  const vector = (name: string, size: number, kind: 'ones' | 'zeros'): ParameterSpec => ({
    name,
    shape: [size],
    initial: { kind },
    decays: false,
    multiplies: false,
  });
  const linear = (name: string, inputs: number, outputs: number, spread?: number): ParameterSpec[] => [
    matrix(`${name}.weight`, inputs, outputs, spread),
    ...(biases ? [vector(`${name}.bias`, outputs, 'zeros')] : []),
  ];
  const norm = (name: string): ParameterSpec[] => [
    vector(`${name}.gain`, width, 'ones'),
    ...(biases ? [vector(`${name}.bias`, width, 'zeros')] : []),
  ];
  const block = (path: string): ParameterSpec[] => [
    ...norm(`${path}.attentionNorm`),
    ...linear(`${path}.attention.queryKeyValue`, width, 3 * width),
    ...linear(`${path}.attention.output`, width, width, residual),
    ...norm(`${path}.feedForwardNorm`),
    ...linear(`${path}.feedForward.up`, width, 4 * width),
    ...linear(`${path}.feedForward.down`, 4 * width, width, residual),
  ];
  return [
    matrix('embedding.tokens', vocabularySize, width),
    { ...matrix('embedding.positions', contextLength, width), multiplies: false },
    ...Array.from({ length: layers }, (_, i) => block(`blocks.${i}`)).flat(),
    ...norm('finalNorm'),
  ];
}

/** How many numbers a parameter holds. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
