/** The values parameters start from: a pure function of the seed and each parameter's name. */
import { elementCount, type NamedTensor } from '../tensors/tensors.ts';
import { randomStream } from '../random.ts';
import type { ParameterSpec } from './parameters.ts';

export function initialParameters(table: readonly ParameterSpec[], seed: number): NamedTensor[] {
  return table.map(({ name, shape, initial }) => {
    const values = new Float32Array(elementCount(shape));
    if (initial.kind === 'ones') values.fill(1);
    if (initial.kind === 'normal') {
      const stream = randomStream(seed, `parameter ${name}`);
      for (let i = 0; i < values.length; i++) values[i] = initial.deviation * stream.normal();
    }
    return { name, shape, values };
  });
}
