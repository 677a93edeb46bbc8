/** Parts of a model that no class of transformers, and no architecture of llama.cpp, has with clm's other parts. */
import type { ModelConfig } from '../model/parameters.ts';

/** The first such part of a model, and what the models that do have it are like; null if there is none. */
export function unsharedPart({
  normPlacement,
  logitSoftCap,
  valueEmbeddings,
}: Pick<ModelConfig, 'normPlacement' | 'logitSoftCap' | 'valueEmbeddings'>): {
  key: string;
  value: unknown;
  but: string;
} | null {
  const gemma = ' (Gemma 2 has another activation, and scales its embeddings)';
  if (valueEmbeddings !== null) return { key: 'valueEmbeddings', value: valueEmbeddings, but: '' };
  if (logitSoftCap !== null) return { key: 'logitSoftCap', value: logitSoftCap, but: gemma };
  if (normPlacement === 'sandwich') return { key: 'normPlacement', value: normPlacement, but: gemma };
  const olmo = ' (OLMo 2 normalises the queries of all heads together)';
  if (normPlacement === 'after') return { key: 'normPlacement', value: normPlacement, but: olmo };
  return null;
}
