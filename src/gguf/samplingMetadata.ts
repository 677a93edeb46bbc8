/** How to sample from a model, as llama.cpp's tools do by default if a GGUF file says so. */
import { configSchema, type Config } from '../config/schema.ts';
import type { SamplingDefaults } from '../huggingface/generationConfig.ts';
import { float32, uint32, type MetadataValue } from './file/metadata.ts';
import type { MetadataReader } from './metadataReader.ts';

const prefix = 'general.sampling.';

/** clm's keys, and the value that has no effect, which is null in clm. */
const keys = {
  temp: { key: 'temperature', noEffect: null },
  top_k: { key: 'topK', noEffect: 0 },
  top_p: { key: 'topP', noEffect: 1 },
  min_p: { key: 'minP', noEffect: 0 },
  penalty_repeat: { key: 'repetitionPenalty', noEffect: null },
} as const;

/** None if all settings are clm's defaults. Otherwise all, since the defaults of llama.cpp's tools are others. */
export function samplingMetadata(samples: Config['samples']): [string, MetadataValue][] {
  const defaults = configSchema.shape.samples.parse({});
  const all = Object.entries(keys);
  if (all.every(([, { key }]) => samples[key] === defaults[key])) return [];
  return all.map(([name, { key, noEffect }]) => {
    const value = samples[key] ?? noEffect!;
    return [prefix + name, name === 'top_k' ? uint32(value) : float32(value)];
  });
}

export function readSampling(reader: MetadataReader): SamplingDefaults {
  const sampling: Record<string, number | null> = {};
  for (const [name, { key, noEffect }] of Object.entries(keys)) {
    const value = reader.any(prefix + name);
    if (value === undefined) continue;
    const own = value === noEffect ? null : value;
    if (configSchema.shape.samples.safeParse({ [key]: own }).success) sampling[key] = own as number | null;
    else reader.warnings.push(`${prefix}${name} is ${String(value)}, which clm cannot sample with: not taken over`);
  }
  return sampling;
}
