/**
 * Reads what a config.json says of RoPE. transformers 4 writes `rope_theta` and `rope_scaling`; 5 writes both into
 * `rope_parameters`. Where a file has both, clm takes what transformers 5.24 does: `rope_scaling`, unless it is empty,
 * replaces `rope_parameters`, and a `rope_theta` inside of the one that counts goes before the one outside.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/schema.ts';
import type { ConfigReader } from './configReader.ts';

type Section = Readonly<Record<string, unknown>>;

/** @param longest `max_position_embeddings` */
export function readRope(reader: ConfigReader, longest: number): Pick<Config['model'], 'ropeTheta' | 'ropeScaling'> {
  const { given, problems, warnings } = reader;
  const outerTheta = reader.get('rope_theta');
  const scaling = section(reader, 'rope_scaling');
  const parameters = section(reader, 'rope_parameters');
  const name = Object.keys(scaling).length > 0 ? 'rope_scaling' : 'rope_parameters';
  const chosen = name === 'rope_scaling' ? scaling : parameters;
  const whole = (one: Section): Section => {
    const { type, ...rest } = one;
    return { rope_theta: outerTheta, rope_type: type ?? 'default', ...rest };
  };
  const values = whole(chosen);

  const theta = values['rope_theta'];
  const ropeTheta = typeof theta === 'number' && theta > 1 && theta < Infinity ? theta : 10_000;
  if (ropeTheta !== theta) problems.push(`rope_theta is ${JSON.stringify(theta)}; it must be a number greater than 1`);
  if (name === 'rope_scaling' && Object.keys(parameters).length > 0 && !isDeepStrictEqual(values, whole(parameters))) {
    warnings.push(
      `rope_scaling and rope_parameters differ: took rope_scaling ${JSON.stringify(scaling)}, as transformers 5 does`,
    );
  }
  if ((given['rope_theta'] ?? theta) !== theta) {
    warnings.push(
      `rope_theta is ${JSON.stringify(outerTheta)}, but ${JSON.stringify(theta)} in ${name}: took ` +
        `${JSON.stringify(theta)}, as transformers 5 does`,
    );
  }

  const ropeType = values['rope_type'];
  if (chosen['type'] !== undefined && chosen['rope_type'] !== undefined && chosen['type'] !== ropeType) {
    warnings.push(
      `${name} has type ${JSON.stringify(chosen['type'])} and rope_type ${JSON.stringify(ropeType)}: took ` +
        'rope_type, as transformers does',
    );
  }
  const known = new Set(['rope_theta', 'rope_type']);
  const value = (key: string, fallback?: number): number => {
    known.add(key);
    const found = Object.hasOwn(values, key) ? values[key] : fallback;
    if (typeof found === 'number' && found > 0 && found < Infinity) return found;
    problems.push(`${key} of the RoPE scaling is ${JSON.stringify(found)}; it must be a number greater than 0`);
    return 1;
  };
  const ropeScaling = ((): Config['model']['ropeScaling'] => {
    if (ropeType === 'default') return null;
    if (ropeType === 'linear') return { kind: 'linear', factor: value('factor') };
    if (ropeType === 'llama3') {
      return {
        kind: 'llama3',
        factor: value('factor'),
        lowFrequencyFactor: value('low_freq_factor'),
        highFrequencyFactor: value('high_freq_factor'),
        originalContextLength: value('original_max_position_embeddings', longest),
      };
    }
    problems.push(`the RoPE scaling is of type ${JSON.stringify(ropeType)}; clm supports default, linear and llama3`);
    return null;
  })();

  // The length before the scaling, which only llama3 uses. Versions of transformers differ about one outside.
  known.add('original_max_position_embeddings');
  const outerLength = reader.get('original_max_position_embeddings') ?? null;
  if (ropeScaling?.kind === 'llama3' && outerLength !== null && outerLength !== ropeScaling.originalContextLength) {
    problems.push(
      `original_max_position_embeddings is ${JSON.stringify(outerLength)}, but ${ropeScaling.originalContextLength} ` +
        `in ${name}; remove the wrong one`,
    );
  }
  const isKnownType = ropeScaling !== null || ropeType === 'default';
  for (const [key, one] of Object.entries(values)) {
    if (!isKnownType || known.has(key) || one === null || (key === 'partial_rotary_factor' && one === 1)) continue;
    reader.unknown(`${name}.${key}`, `the RoPE parameters have ${key}, which clm does not know`);
  }
  return { ropeTheta, ropeScaling };
}

function section(reader: ConfigReader, key: string): Section {
  const value = reader.get(key) ?? {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Section;
  reader.problems.push(`${key} is ${JSON.stringify(value)}; it must be an object or null`);
  return {};
}
